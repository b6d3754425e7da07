//! What `why --from` makes of the log excerpts that the injections leave behind: as they are, with the client's message,
//! and as people paste them.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::Table;
use steadfast_diagnose::log::LogKind;
use steadfast_diagnose::{Answer, Cause, Finding, Product, Reading, rule};

use super::collected::{Collected, Logging};
use super::inject::Subject;
use super::judge::subject;
use crate::report;
use crate::rng::Rng;

/// A way in which an excerpt comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    AsItIs,
    WithMessage,
    Windows,
    Collector,
    Mixed,
    Wrapped,
    Mail,
    Cut,
}

impl Form {
    const ALL: [Self; 8] = [
        Self::AsItIs,
        Self::WithMessage,
        Self::Windows,
        Self::Collector,
        Self::Mixed,
        Self::Wrapped,
        Self::Mail,
        Self::Cut,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::AsItIs => "as it is",
            Self::WithMessage => "and the client's message",
            Self::Windows => "Windows line ends",
            Self::Collector => "through journald, Docker or Kubernetes",
            Self::Mixed => "mixed with other lines",
            Self::Wrapped => "wrapped at 80 columns",
            Self::Mail => "quoted in a mail, wrapped between words",
            Self::Cut => "both ends and every fourth line cut",
        }
    }

    fn text(self, line: &Collected) -> String {
        let mut rng = Rng::new(line.seed);
        let log = &line.log;
        match self {
            Self::AsItIs => lines(log.iter().cloned()),
            Self::WithMessage => {
                let message = line.message.as_deref().unwrap_or_default();
                format!("{}\n{message}\n", lines(log.iter().cloned()))
            }
            Self::Windows => lines(log.iter().cloned()).replace('\n', "\r\n"),
            Self::Collector => {
                let before = [
                    "Nov  2 03:04:05 db1 mysqld[815]: ",
                    "db-1  | ",
                    "2026-11-02T03:04:05.123456789Z stderr F ",
                ][rng.between(0, 3) as usize];
                lines(log.iter().map(|one| format!("{before}{one}")))
            }
            Self::Mixed => lines(log.iter().flat_map(|one| {
                let other = OTHERS[rng.between(0, OTHERS.len() as u64) as usize];
                [one.clone(), other.to_owned()]
            })),
            Self::Wrapped => lines(log.iter().map(|one| wrapped(one, "", false))),
            Self::Mail => lines(log.iter().map(|one| wrapped(one, "> ", true))),
            Self::Cut => cut(log, &mut rng),
        }
    }
}

/// What other programs write, and people.
const OTHERS: &[&str] = &[
    "Nov  2 03:04:05 db1 CRON[2006]: (root) CMD (/usr/lib/backup --keep 2013)",
    "2026-11-02 03:04:05 INFO  request served in 2013 ms, 104 bytes",
    "",
    "and then we saw this in the log, any ideas?",
    "2026-11-02T03:04:05.000001Z 0 [Note] [MY-010733] [Server] Shutting down plugin 'ngram'",
    "    at com.example.Shop.order(Shop.java:110)",
];

fn lines(of: impl Iterator<Item = String>) -> String {
    of.fold(String::new(), |text, line| text + &line + "\n")
}

fn wrapped(line: &str, before: &str, between_words: bool) -> String {
    let mut text = before.to_owned();
    let mut width = 0;
    let pieces: Vec<String> = if between_words {
        line.split_inclusive(' ').map(str::to_owned).collect()
    } else {
        line.chars().map(String::from).collect()
    };
    for piece in pieces {
        let wide = piece.chars().count();
        if width > 0 && width + wide > 80 {
            text.push('\n');
            text.push_str(before);
            width = 0;
        }
        width += wide;
        text.push_str(&piece);
    }
    text
}

fn cut(log: &[String], rng: &mut Rng) -> String {
    let whole: Vec<char> = lines(log.iter().map(|line| {
        let end = if rng.one_in(4) {
            rng.between(20, 200) as usize
        } else {
            line.len()
        };
        line.chars().take(end).collect()
    }))
    .chars()
    .collect();
    let size = whole.len() as u64;
    let from = rng.between(0, size / 3) as usize;
    let to = rng.between(size - size / 3, size + 1) as usize;
    whole[from..to].iter().collect()
}

/// The best that a log alone allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// Nothing: it has no line about this.
    Nothing,
    /// This class, or one of its members.
    Class(&'static str),
    Itself,
}

fn allowed(line: &Collected, cause: Cause) -> Allowed {
    let mariadb = line.product() == Product::MariaDb;
    let verbose = line.logging == Logging::Verbose;
    // MySQL logs aborted connections from log_error_verbosity=3 on.
    let aborted = |of: Allowed| {
        if mariadb || verbose {
            of
        } else {
            Allowed::Nothing
        }
    };
    let told = |of: bool, best: Allowed| if of { best } else { Allowed::Nothing };
    let mentions = |words: &str| line.log.iter().any(|logged| logged.contains(words));
    match cause {
        Cause::IdleTimeout if !mariadb => told(verbose, Allowed::Itself),
        Cause::IdleTimeout | Cause::IdleTransactionTimeout | Cause::StalledUpload => {
            aborted(Allowed::Class("read-timeout"))
        }
        Cause::SlowReader if mariadb && !verbose => Allowed::Class("write-failed"),
        Cause::HandshakeTimeout if mariadb && !verbose => Allowed::Class("login-broken-off"),
        Cause::SlowReader | Cause::HandshakeTimeout | Cause::PacketTooLarge => {
            aborted(Allowed::Itself)
        }
        Cause::Killed | Cause::ProtocolMisuse => told(mariadb && verbose, Allowed::Itself),
        // While the server is busy, it does not see that its client has gone.
        Cause::ClientGone | Cause::ClientTimeout | Cause::ProxyTimeout | Cause::Hang => {
            let seen = line
                .thread
                .is_some_and(|thread| mentions(&format!("Aborted connection {thread} ")));
            told(seen, Allowed::Class("not-by-the-server"))
        }
        Cause::OutOfMemory | Cause::ProcessKilled => {
            let recovers = mentions("crash recovery from checkpoint")
                || mentions("engine: starting recovery")
                || mentions("not shutdown normally");
            told(recovers, Allowed::Class("killed-from-outside"))
        }
        Cause::ServerMemoryLimit => told(!mariadb, Allowed::Itself),
        Cause::Crash
        | Cause::Corruption
        | Cause::DiskFull
        | Cause::Shutdown
        | Cause::OpenFilesLimit => Allowed::Itself,
        _ => Allowed::Nothing,
    }
}

/// What was told of an excerpt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Cause,
    Class,
    Unknown,
    Nothing,
    Wrong,
}

/// One excerpt in one form, judged.
struct Judged {
    told: Told,
    /// The excerpt allows more.
    less: bool,
    answers: Vec<&'static str>,
}

fn judge(line: &Collected, form: Form) -> Judged {
    let mut reading = Reading::default();
    for one in form.text(line).split_inclusive('\n') {
        reading.line(one.as_bytes());
    }
    let (findings, _) = reading.finish();
    let answers: Vec<Answer> = findings.iter().map(|one| one.verdict.answer).collect();
    let names = answers.iter().map(|answer| answer.name()).collect();
    let Some(Subject::Cause(cause)) = subject(line) else {
        return Judged {
            told: if answers.is_empty() {
                Told::Nothing
            } else {
                Told::Wrong
            },
            less: false,
            answers: names,
        };
    };
    let is = |wanted: &dyn Fn(Answer) -> bool| answers.iter().any(|answer| wanted(*answer));
    let named = is(&|answer| matches!(answer, Answer::Cause(named, _) if named == cause));
    let class =
        is(&|answer| matches!(answer, Answer::Class(class) if class.members.contains(&cause)));
    let wrong = findings
        .iter()
        .filter(|finding| !is_bystanders(finding, line))
        .any(|finding| {
            // Of a crash whose reason was cut out, the crash is left.
            if form == Form::Cut
                && matches!(finding.verdict.answer, Answer::Cause(named, _) if rule(cause).brings.contains(&named))
            {
                return false;
            }
            let candidate = finding
                .verdict
                .candidates
                .iter()
                .any(|one| one.cause == cause);
            !finding.verdict.answer.allows(cause)
                || (finding.verdict.answer == Answer::Unknown && !candidate)
        });
    let told = match () {
        () if wrong => Told::Wrong,
        () if named => Told::Cause,
        () if class => Told::Class,
        () if is(&|answer| answer == Answer::Unknown) => Told::Unknown,
        () => Told::Nothing,
    };
    let less = match allowed(line, cause) {
        Allowed::Nothing => false,
        Allowed::Itself => !named,
        Allowed::Class(name) => {
            !named && !is(&|answer| matches!(answer, Answer::Class(class) if class.name == name))
        }
    };
    Judged {
        told,
        // What was cut out cannot be told.
        less: less && form != Form::Cut,
        answers: names,
    }
}

/// Whether it is about other connections.
fn is_bystanders(finding: &Finding, line: &Collected) -> bool {
    finding.evidence.log.as_ref().is_some_and(|log| {
        log.events.iter().all(|event| match event.kind {
            LogKind::Aborted { thread, .. } => Some(thread) != line.thread,
            _ => false,
        })
    })
}

/// All excerpts in all forms.
#[derive(Debug, Default)]
pub(crate) struct Excerpts {
    counts: BTreeMap<(Form, String), (BTreeMap<Told, u32>, u32)>,
    notes: Vec<String>,
}

impl Excerpts {
    pub(crate) fn of<'a>(lines: impl IntoIterator<Item = &'a Collected>) -> Self {
        let mut all = Self::default();
        // What reaches a server through Steadfast is not what was done to the client.
        for line in lines.into_iter().filter(|line| line.steadfast.is_none()) {
            for form in Form::ALL {
                let judged = judge(line, form);
                let (told, less) = all.counts.entry((form, line.server.clone())).or_default();
                *told.entry(judged.told).or_default() += 1;
                *less += u32::from(judged.less);
                if judged.told == Told::Wrong || judged.less {
                    all.notes.push(format!(
                        "excerpt, {}: {} {} ({}, seed {}): {:?} {:?}",
                        form.name(),
                        line.server,
                        line.subject,
                        line.logging.name(),
                        line.seed,
                        judged.told,
                        judged.answers
                    ));
                }
            }
        }
        all
    }

    /// Those that were told wrong, or less of than they allow.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether nothing was told wrong of this server's.
    pub(crate) fn holds(&self, server: &str) -> bool {
        self.counts.iter().all(|((_, on), (told, _))| {
            on != server || told.get(&Told::Wrong).is_none_or(|count| *count == 0)
        })
    }

    /// As text, in Markdown.
    pub(crate) fn text(&self) -> String {
        if self.counts.is_empty() {
            return String::new();
        }
        let mut table = Table::new();
        report::style(&mut table);
        table.set_header([
            "the log's excerpt",
            "server",
            "excerpts",
            "the cause",
            "a class",
            "unknown",
            "nothing",
            "less than it allows",
            "wrong",
        ]);
        for ((form, server), (told, less)) in &self.counts {
            let of = |what| told.get(&what).copied().unwrap_or_default();
            let all: u32 = told.values().sum();
            let counts = [
                all,
                of(Told::Cause),
                of(Told::Class),
                of(Told::Unknown),
                of(Told::Nothing),
                *less,
                of(Told::Wrong),
            ];
            let mut row = vec![
                form.name().to_owned(),
                super::table::title(server).to_owned(),
            ];
            row.extend(counts.map(|count| count.to_string()));
            table.add_row(row);
        }
        report::align(&mut table, 2);
        let mut text = String::new();
        let _written = writeln!(
            text,
            "## The log's excerpts, by themselves\n\n\
             What `steadfast why --from` tells of the lines that each injection, and each of what is no loss, left in the \
             error log, and nothing else: as they are, and as people paste them. Of many it can tell nothing: there is no \
             line, or none about it.\n\n{table}\n"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_tells_the_same_in_every_form() {
        let line: Collected = serde_json::from_str(
            r#"{"server":"mariadb","version":101119,"subject":"slow-reader","seed":5,"logging":"verbose","tls":false,
            "what":"","thread":30,"met":"greeting","listed":"gone","same_boot":9,"restarted":null,"moved":null,
            "variables":{},"kernel":[],"group_kills":0,"message":"(2013, 'Lost connection to MySQL server during query')",
            "log":["2026-11-23 10:33:13 30 [Warning] Could not write packet: fd: 45  state: 1  errno: 110  vio_errno: 1160  length: 970141",
            "2026-11-23 10:33:13 30 [Warning] Aborted connection 30 to db: 'unconnected' user: 'accuracy' host: 'localhost' (Got an error writing communication packets)"]}"#,
        )
        .unwrap();
        for form in Form::ALL {
            if form == Form::Cut {
                continue;
            }
            let judged = judge(&line, form);
            assert_eq!(
                (judged.told, judged.less),
                (Told::Cause, false),
                "{form:?}: {:?}",
                judged.answers
            );
        }
        let wrong = Collected {
            subject: "crash".to_owned(),
            ..line
        };
        assert_eq!(judge(&wrong, Form::AsItIs).told, Told::Wrong);
    }
}
