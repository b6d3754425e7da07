//! How often is a diagnosis right? Each cause is injected with random numbers on a real server, with default and verbose
//! logging, with and without TLS; what can be seen of it is collected, and judged by the rules: a confusion matrix for
//! each kind of evidence.
//!
//! Clients come to the server itself, and what can be seen there is judged; or they come through Steadfast (`--serve`), and
//! its incidents are.
//!
//! - `inject/`: the causes, and what is no loss;
//! - `stage.rs`, `bench.rs`, `session.rs`, `bystanders.rs`: the server, what is looked at, a client that misbehaves, and
//!   others that lose their connections at the same time;
//! - `front.rs`, `path.rs`: Steadfast before the server, and the path between the two;
//! - `collected.rs`: the evidence, as it is kept;
//! - `excerpts.rs`: what `why --from` makes of the log's lines alone;
//! - `best.rs`: what each kind of evidence allows; `judge.rs`, `table.rs`: what came of it.

mod bench;
mod best;
mod bystanders;
mod collected;
mod excerpts;
mod front;
mod here;
mod inject;
mod judge;
mod path;
mod session;
mod stage;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use steadfast_diagnose::Cause;
use steadfast_sandbox::Kind;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::bench::Bench;
use self::collected::{Collected, Logging, Look};
use self::excerpts::Excerpts;
use self::here::NotHere;
use self::inject::Subject;
use self::judge::{Worth, judge};
use self::stage::Stage;
use self::table::Matrix;
use crate::report;

/// Attempts at an injection that does not come about.
const ATTEMPTS: u64 = 3;

/// Of so many injections one is on a busy server.
const BUSY: u32 = 5;

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    /// The steadfast binary through which clients come; `None`: they come to the server itself.
    pub(crate) serve: Option<PathBuf>,
    /// Names of causes; none: all, and what is no loss.
    pub(crate) causes: Vec<String>,
    /// Injections of each.
    pub(crate) rounds: u32,
    pub(crate) seed: u64,
    /// Inject nothing: judge what the file has.
    pub(crate) judge_only: bool,
    pub(crate) json: Option<PathBuf>,
    /// Write the matrix there.
    pub(crate) docs: Option<PathBuf>,
    /// Tell each verdict that is not right, with its evidence.
    pub(crate) explain: bool,
}

impl Plan {
    fn subjects(&self) -> Result<Vec<Subject>> {
        if self.causes.is_empty() {
            return Ok(Subject::all().collect());
        }
        self.causes
            .iter()
            .map(|name| {
                Subject::from_name(name).with_context(|| format!("no cause is named {name:?}"))
            })
            .collect()
    }
}

/// Injects what is missing, judges all, and prints the matrix: whether it is as it should be.
///
/// # Errors
/// There is no server, or a file cannot be read or written.
pub(crate) async fn run(plan: &Plan) -> Result<bool> {
    if !plan.judge_only
        && let Some(holds) = path::in_own_namespace().await?
    {
        return Ok(holds);
    }
    let mut lines: Vec<Collected> = match &plan.json {
        Some(path) => report::read_lines(path)?,
        None => Vec::new(),
    };
    let mut not_here = BTreeMap::new();
    let name = server_name(plan.kind);
    let failed = match plan.judge_only {
        true => BTreeSet::new(),
        false => inject_missing(plan, &mut lines, &mut not_here).await?,
    };
    if plan.explain {
        for line in lines.iter().filter(|line| line.server == name) {
            explain(line);
        }
    }
    let matrix = Matrix::of(&lines);
    let excerpts = Excerpts::of(&lines);
    if plan.explain {
        for note in excerpts.notes() {
            println!("{note}");
        }
    }
    let mut text = matrix.text();
    text.push_str(&excerpts.text());
    text.push_str(&not_injected(plan, &lines, &not_here));
    println!("{text}");
    if let Some(path) = &plan.docs {
        std::fs::write(path, page(&text))
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(failed.is_empty() && matrix.holds(name) && excerpts.holds(name))
}

/// What of all causes the lines do not have, and why.
fn not_injected(
    plan: &Plan,
    lines: &[Collected],
    not_here: &BTreeMap<&'static str, String>,
) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let name = server_name(kind);
        let here = kind == plan.kind;
        let of = |subject: Subject| {
            lines
                .iter()
                .any(|line| line.server == name && line.subject == subject.name())
        };
        if !here && !lines.iter().any(|line| line.server == name) {
            continue;
        }
        for subject in Subject::all().filter(|subject| !of(*subject)) {
            let why = match (subject.missing_on(kind), not_here.get(subject.name())) {
                (Some(why), _) => why,
                (None, Some(why)) if here => why,
                _ => "not injected, or not on this machine",
            };
            text.push_str(&format!("- {kind}, {}: {why}.\n", subject.name()));
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("## Not injected\n\n{text}")
}

fn server_name(kind: Kind) -> &'static str {
    match kind {
        Kind::MariaDb => "mariadb",
        Kind::MySql => "mysql",
    }
}

/// All subjects in turn, so that a campaign that is stopped has seen each. Those that could not be injected, though the
/// machine allows it.
async fn inject_missing(
    plan: &Plan,
    lines: &mut Vec<Collected>,
    not_here: &mut BTreeMap<&'static str, String>,
) -> Result<BTreeSet<&'static str>> {
    let mut failed = BTreeSet::new();
    let subjects = plan.subjects()?;
    let name = server_name(plan.kind);
    let had = |lines: &[Collected], subject: Subject| {
        lines
            .iter()
            .filter(|line| line.steadfast.is_some() == plan.serve.is_some())
            .filter(|line| line.server == name && line.subject == subject.name())
            .count() as u32
    };
    let mut bench: Option<Bench> = None;
    for round in 1..=plan.rounds {
        for subject in &subjects {
            if let Some(why) = subject.missing_on(plan.kind) {
                not_here.insert(subject.name(), why.to_owned());
                continue;
            }
            let number = had(lines, *subject);
            if number >= round || not_here.contains_key(subject.name()) {
                continue;
            }
            let used = match &mut bench {
                Some(bench) => bench,
                None => bench.insert(Bench::start(plan.kind, plan.serve.as_deref()).await?),
            };
            match one(used, *subject, number, plan.seed).await {
                Ok(line) => {
                    if let Some(path) = &plan.json {
                        report::append_line(path, &line)?;
                    }
                    tell(&line);
                    lines.push(line);
                }
                Err(error) => {
                    eprintln!("{} {}: not injected: {error:#}", name, subject.name());
                    if error.downcast_ref::<NotHere>().is_none() {
                        failed.insert(subject.name());
                        // Whatever state it is in, the next one is to find a good one.
                        bench = None;
                    }
                    not_here.insert(subject.name(), format!("{error:#}"));
                }
            }
        }
    }
    Ok(failed)
}

/// The injection of this number.
async fn one(bench: &Bench, subject: Subject, number: u32, seed: u64) -> Result<Collected> {
    let logging = if number.is_multiple_of(2) {
        Logging::Default
    } else {
        Logging::Verbose
    };
    let tls = !(number / 2).is_multiple_of(2);
    // Where connections are counted, or there is none to be had, others would be in the way.
    let alone = matches!(
        subject,
        Subject::Cause(Cause::TooManyConnections | Cause::OpenFilesLimit) | Subject::Negative(_)
    );
    let busy = number % BUSY == BUSY - 1 && !alone;
    let mut attempt = 0;
    loop {
        let name = format!("{}/{number}/{attempt}", subject.name());
        let seed = xxh3_64_with_seed(name.as_bytes(), seed);
        bench.settle().await?;
        bench.restore().await?;
        let mut stage = Stage::set(bench, seed, logging, tls, busy).await?;
        let outcome = match subject.inject(&mut stage).await {
            Ok(()) => stage.collect(subject.name(), seed).await,
            Err(error) => Err(error),
        };
        if outcome.is_err() && !bench.server.is_running() {
            let log = std::fs::read_to_string(bench.server.error_log())?;
            let last: Vec<&str> = log.lines().rev().take(12).collect();
            for line in last.into_iter().rev() {
                eprintln!("  | {line:.200}");
            }
        }
        bench.alive().await?;
        match outcome {
            Err(error) if error.downcast_ref::<NotHere>().is_none() && attempt + 1 < ATTEMPTS => {
                eprintln!("{} again: {error:#}", subject.name());
                attempt += 1;
            }
            other => {
                bench.restore().await?;
                return other;
            }
        }
    }
}

/// One line for whoever watches.
fn tell(line: &Collected) {
    let verdicts: Vec<String> = match judge::subject(line) {
        Some(Subject::Cause(cause)) => Look::of(line)
            .into_iter()
            .map(|look| {
                let judged = judge(line, cause, look);
                format!("{} ({:?})", judged.answer, judged.worth)
            })
            .collect(),
        _ => vec![format!("incidents: {:?}", judge::incidents(line))],
    };
    eprintln!(
        "{} {} ({}{}{}): {}: {}",
        line.server,
        line.subject,
        line.logging.name(),
        if line.tls { ", TLS" } else { "" },
        if line.busy { ", busy" } else { "" },
        line.what,
        verdicts.join("; ")
    );
}

/// A verdict that is not right, and what it was made from.
fn explain(line: &Collected) {
    let Some(Subject::Cause(cause)) = judge::subject(line) else {
        return;
    };
    for look in Look::of(line) {
        let judged = judge(line, cause, look);
        if judged.worth == Worth::Right {
            continue;
        }
        println!(
            "{:?}: {} ({}, {}): {} taken for {}",
            judged.worth,
            line.subject,
            look.name(),
            line.logging.name(),
            line.what,
            judged.answer
        );
        for sentence in &judged.verdict.evidence {
            println!("    {sentence}");
        }
        let open: Vec<&str> = judged
            .verdict
            .candidates
            .iter()
            .map(|one| one.cause.name())
            .collect();
        println!("  candidates: {}", open.join(", "));
        println!(
            "  thread {:?}, met {:?}, listed {:?}, same boot {:?}, moved {:?}, message {:?}",
            line.thread,
            line.met,
            line.listed,
            line.same_boot,
            line.moved
                .as_ref()
                .map(|moved| moved.iter().filter(|(_, by)| **by > 0).collect::<Vec<_>>()),
            line.message
        );
        for logged in line.log.iter().take(12) {
            println!("  | {logged:.240}");
        }
    }
}

/// docs/accuracy.md.
fn page(matrix: &str) -> String {
    format!(
        "# How often a diagnosis is right\n\n\
         Each cause is injected on real servers, with random times, sizes and moments, with default logging \
         (`log_warnings=2`, `log_error_verbosity=2`) and verbose logging (4, 3), with and without TLS in turn. What can be \
         seen is judged by the rules of `steadfast why`. An answer is right if it is the cause, or a class of causes that \
         this evidence cannot tell apart; it is vague if the evidence allows more, and wrong if it says something that is \
         not so.\n\n\
         Clients come through Steadfast, whose incidents are judged as they are, and without the logs of the server's \
         machine; or they come to the server itself, and what can be seen there afterwards is judged. What Steadfast \
         prevents is right where nothing is lost and no incident is written. This page is written by\n\n    \
         cargo run -p steadfast-campaign -- accuracy --server mariadb --serve target/debug/steadfast --json FILE\n    \
         cargo run -p steadfast-campaign -- accuracy --server mariadb --json FILE --docs docs/accuracy.md\n\n\
         and the same with `--server mysql`. Lines of several files may be put into one.\n\n{matrix}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_few_causes_are_found_on_real_servers() {
        for kind in Kind::ALL {
            let names = [
                "killed",
                "packet-too-large",
                "process-killed",
                "client-gone",
            ];
            let mut causes: Vec<String> = names.map(str::to_owned).into();
            causes.push(inject::Negative::Goodbye.name().to_owned());
            let plan = Plan {
                kind,
                serve: None,
                causes,
                rounds: 1,
                seed: 1,
                judge_only: false,
                json: None,
                docs: None,
                explain: false,
            };
            let (mut lines, mut not_here) = (Vec::new(), BTreeMap::new());
            let failed = inject_missing(&plan, &mut lines, &mut not_here)
                .await
                .unwrap();
            assert!(failed.is_empty() && not_here.is_empty(), "{not_here:?}");
            assert_eq!(lines.len(), 5);
            let matrix = Matrix::of(&lines);
            assert!(matrix.holds(server_name(kind)), "{}", matrix.text());
        }
    }

    #[test]
    fn what_was_collected_is_read_again_as_it_was_written() {
        let line = r#"{"server":"mysql","version":90704,"subject":"idle-timeout","seed":1,"logging":"default","tls":true,
            "what":"wait_timeout=1, idle","thread":15,"met":"greeting","listed":"gone","same_boot":9,"restarted":null,
            "moved":{"Aborted_clients":1,"Aborted_connects":0},"variables":{"wait_timeout":"1"},"log":[],"kernel":[],
            "group_kills":0,"message":"ERROR 4031: The client was disconnected by the server because of inactivity."}"#;
        let collected: Collected = serde_json::from_str(line).unwrap();
        let again: Collected =
            serde_json::from_str(&serde_json::to_string(&collected).unwrap()).unwrap();
        let answer = |look| judge(&again, Cause::IdleTimeout, look).answer;
        assert_eq!(answer(Look::ServerAndMessage), "idle-timeout");
        assert_ne!(answer(Look::Server), "idle-timeout");
    }
}
