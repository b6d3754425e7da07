//! The decision: what is proved, what is refuted, and what is left.

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Class};
use crate::causes::{RULES, amiss_before_shutdown};
use crate::evidence::{Boot, End, Evidence, Reach};
use crate::log::{Aborted, said};
use crate::rule::{Rule, Step};
use crate::signs::{DOWN, LEFT_OVER, RESTARTED};

/// The answer to why a connection was lost.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// It.
    pub answer: Answer,
    /// What it rests on, in sentences without a full stop.
    pub evidence: Vec<String>,
    /// Causes that are proved as well: what the answer brought about, or what came on top.
    pub also: Vec<Cause>,
    /// The causes that are neither proved nor refuted, the likeliest first; with a proof, none.
    pub candidates: Vec<Candidate>,
    /// What would decide between them.
    pub question: Option<&'static str>,
    /// What to do: about the answer, else about the likeliest candidate.
    pub fix: Vec<Step>,
}

/// Why a connection was lost, as far as the evidence tells.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Answer {
    /// This is why.
    Cause(Cause, Certainty),
    /// One of these, which this evidence cannot tell apart.
    Class(&'static Class),
    /// Nobody can say.
    Unknown,
}

impl Answer {
    /// Its stable name: that of the cause or the class, or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cause(cause, _) => cause.name(),
            Self::Class(class) => class.name,
            Self::Unknown => "unknown",
        }
    }

    /// Whether this answer says that it may have been that cause.
    pub fn allows(self, cause: Cause) -> bool {
        match self {
            Self::Cause(answer, _) => answer == cause,
            Self::Class(class) => class.members.contains(&cause),
            Self::Unknown => true,
        }
    }
}

/// How sure an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Something was seen that nothing else brings about.
    Proved,
    /// Everything else is refuted.
    NothingElseFits,
}

/// A cause that may have been it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// The cause.
    pub cause: Cause,
    /// What speaks for it, beyond that nothing speaks against it.
    pub hints: Vec<String>,
}

/// Why the connection was lost.
pub fn diagnose(evidence: &Evidence) -> Verdict {
    let looked: Vec<Look> = RULES.iter().map(|rule| Look::at(rule, evidence)).collect();
    let proved: Vec<&Look> = looked
        .iter()
        .filter(|look| !look.proofs.is_empty() && look.against.is_empty())
        .collect();
    let brought = |look: &Look| {
        proved
            .iter()
            .any(|other| other.rule.brings.contains(&look.rule.cause))
    };
    let answer = proved
        .iter()
        .filter(|look| !brought(look))
        .max_by_key(|look| look.proofs.len());
    if let Some(answer) = answer {
        let mut told = answer.proofs.clone();
        let mut also: Vec<Cause> = proved
            .iter()
            .map(|look| look.rule.cause)
            .filter(|cause| *cause != answer.rule.cause)
            .collect();
        if answer.rule.cause == Cause::Shutdown {
            for (cause, line) in amiss_before_shutdown(evidence) {
                told.push(line);
                if !also.contains(&cause) {
                    also.push(cause);
                }
            }
        }
        return Verdict {
            answer: Answer::Cause(answer.rule.cause, Certainty::Proved),
            evidence: told,
            also,
            candidates: Vec::new(),
            question: None,
            fix: (answer.rule.fix)(evidence),
        };
    }
    left_over(&looked, evidence)
}

/// Nothing is proved: what is not refuted is left.
fn left_over(looked: &[Look], evidence: &Evidence) -> Verdict {
    let mut open: Vec<&Look> = looked
        .iter()
        .filter(|look| look.against.is_empty())
        .collect();
    open.sort_by_key(|look| (std::cmp::Reverse(look.hints.len()), look.rule.cause));
    // Something proves a cause that something else refutes: what is left may be left for a wrong reason.
    let contradicted = looked
        .iter()
        .any(|look| !look.proofs.is_empty() && !look.against.is_empty());
    let causes: Vec<Cause> = open.iter().map(|look| look.rule.cause).collect();
    let answer = match causes[..] {
        _ if contradicted => Answer::Unknown,
        [] => Answer::Unknown,
        [cause] => Answer::Cause(cause, Certainty::NothingElseFits),
        _ => Class::of(&causes).map_or(Answer::Unknown, Answer::Class),
    };
    let mut sentences: Vec<String> = open.iter().flat_map(|look| look.hints.clone()).collect();
    sentences.extend(weightiest(looked));
    let sentences = once(sentences, evidence);
    open.extend(
        looked
            .iter()
            .filter(|look| !look.proofs.is_empty() && !look.against.is_empty()),
    );
    let likeliest = open.first().map(|look| look.rule);
    Verdict {
        answer,
        evidence: sentences,
        also: Vec::new(),
        candidates: open
            .iter()
            .map(|look| Candidate {
                cause: look.rule.cause,
                hints: look.hints.clone(),
            })
            .collect(),
        question: likeliest
            .filter(|_| causes.len() > 1)
            .map(|rule| rule.question),
        fix: likeliest.map_or_else(Vec::new, |rule| (rule.fix)(evidence)),
    }
}

/// Each sentence once, and once what the client said.
fn once(sentences: Vec<String>, evidence: &Evidence) -> Vec<String> {
    let client = evidence.client.as_ref().map(|client| &client.text[..]);
    let said = client.filter(|text| !text.is_empty());
    let mut kept: Vec<String> = Vec::new();
    for sentence in sentences {
        let again = kept.iter().any(|known| {
            *known == sentence
                || said.is_some_and(|text| known.contains(text) && sentence.contains(text))
        });
        if !again {
            kept.push(sentence);
        }
    }
    kept
}

/// Sentences that tell why something is ruled out, for one answer.
const MAX_AGAINST: usize = 4;

/// The sentences that rule out most.
fn weightiest(looked: &[Look]) -> Vec<String> {
    let mut counted: Vec<(usize, &String)> = Vec::new();
    for sentence in looked.iter().flat_map(|look| &look.against) {
        match counted.iter_mut().find(|(_, known)| *known == sentence) {
            Some((count, _)) => *count += 1,
            None => counted.push((1, sentence)),
        }
    }
    // A stable sort: among equals, what rules out the likelier causes first.
    counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counted
        .into_iter()
        .take(MAX_AGAINST)
        .map(|(_, sentence)| sentence.clone())
        .collect()
}

/// Whether no connection is left after it.
fn is_the_end(cause: Cause, evidence: &Evidence) -> bool {
    match cause {
        Cause::OutOfMemory | Cause::Crash | Cause::ProcessKilled => true,
        // It speaks, or closes connections, before it ends.
        Cause::Shutdown => evidence.server_end() == Some(&End::Silence),
        _ => false,
    }
}

/// Whether the log tells of a connection that its client gave up because nothing came from the server.
fn got_no_answer(evidence: &Evidence, why: Aborted) -> bool {
    let given_up = matches!(why, Aborted::ErrorReading | Aborted::ErrorWriting);
    evidence.aside.reach == Some(Reach::Mute)
        || (given_up && evidence.server_end() == Some(&End::Silence))
}

/// What the evidence says about one rule.
struct Look {
    rule: &'static Rule,
    proofs: Vec<String>,
    against: Vec<String>,
    hints: Vec<String>,
}

impl Look {
    fn at(rule: &'static Rule, evidence: &Evidence) -> Self {
        let seen = |signs: &[crate::rule::Sign]| {
            signs
                .iter()
                .filter_map(|sign| (sign.seen)(evidence))
                .collect()
        };
        let mut against: Vec<String> = seen(rule.refutations);
        if !rule.cause.ends_server() {
            against.extend((RESTARTED.seen)(evidence));
            against.extend((DOWN.seen)(evidence));
        }
        if is_the_end(rule.cause, evidence) {
            against.extend((LEFT_OVER.seen)(evidence));
        }
        if let Some((why, line)) = evidence.logged_reason()
            && !why.allows(rule.cause)
            // Who got no answer left, and that is what the log tells then.
            && !(rule.cause == Cause::Hang && got_no_answer(evidence, why))
            // A client may notice the server's end before the server is done with it.
            && !(rule.cause.ends_server() && matches!(evidence.aside.boot, Some(Boot::Restarted(_))))
        {
            against.push(format!("the server's error log says: {}", said(line)));
        }
        against.extend(evidence.log_is_silent_of(rule.cause));
        against.extend(evidence.client_would_have_heard(rule.cause));
        Self {
            rule,
            proofs: seen(rule.proofs),
            against,
            hints: seen(rule.hints),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Log, Moment};
    use crate::log::{LogEvent, LogKind};
    use crate::testing::{certain, mariadb, of_server, wire};

    #[test]
    fn what_a_client_says_is_repeated_once() {
        let text = "(2013, 'Lost connection to MySQL server during query (timed out)')";
        let evidence = Evidence {
            client: crate::client::ClientMessage::read(text),
            ..Evidence::default()
        };
        let told = diagnose(&evidence).evidence;
        let repeated = told.iter().filter(|sentence| sentence.contains(text));
        assert_eq!(repeated.count(), 1, "{told:#?}");
    }

    #[test]
    fn what_contradicts_itself_is_no_answer() {
        // Of a server that was not restarted, as it seems, the log tells of a shutdown.
        let mut evidence = of_server(mariadb(), wire(Moment::Idle, End::Fin));
        let only_one_left = diagnose(&evidence).answer;
        assert_eq!(
            only_one_left,
            Answer::Cause(Cause::Killed, Certainty::NothingElseFits)
        );
        evidence.log = Some(Log {
            events: vec![LogEvent {
                at: String::new(),
                line: "mariadbd (initiated by: unknown): Normal shutdown".to_owned(),
                kind: LogKind::ShutdownAsked,
            }],
            thread: None,
        });
        let verdict = diagnose(&evidence);
        assert_eq!(verdict.answer, Answer::Unknown);
        let causes: Vec<Cause> = verdict.candidates.iter().map(|one| one.cause).collect();
        assert!(causes.contains(&Cause::Shutdown), "{causes:?}");
    }

    #[test]
    fn a_server_that_still_has_the_connection_was_not_restarted() {
        let mut evidence = of_server(mariadb(), wire(Moment::Waiting, End::Silence));
        evidence.aside.boot = None;
        evidence.aside.leftover = Some(crate::evidence::Leftover::Sleeps);
        let candidates = diagnose(&evidence).candidates;
        let open = |cause| candidates.iter().any(|one| one.cause == cause);
        assert!(!open(Cause::ProcessKilled), "{candidates:?}");
        assert!(open(Cause::NetworkDrop), "{candidates:?}");
        evidence.aside.reach = Some(Reach::Silent);
        certain(&evidence, Cause::NetworkDrop);
        // It may have stood still.
        evidence.aside.reach = Some(Reach::Mute);
        certain(&evidence, Cause::Hang);
    }

    #[test]
    fn that_its_client_gave_up_is_no_evidence_against_a_hang() {
        let mut evidence = of_server(mariadb(), wire(Moment::Waiting, End::Silence));
        evidence.aside.reach = Some(Reach::Mute);
        evidence.log = Some(Log {
            events: vec![LogEvent {
                at: String::new(),
                line: "Aborted connection 7 (Got an error reading communication packets)"
                    .to_owned(),
                kind: LogKind::Aborted {
                    thread: 7,
                    why: Aborted::ErrorReading,
                },
            }],
            thread: Some(7),
        });
        certain(&evidence, Cause::Hang);
    }
}
