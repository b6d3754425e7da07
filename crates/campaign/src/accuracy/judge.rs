//! Is a verdict right?

use steadfast_diagnose::{Answer, Cause, Class, Verdict, diagnose};

use super::best::{Best, best_of};
use super::collected::{Collected, Look, Through};
use super::inject::Subject;

/// What a verdict is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    /// As good as the evidence allows.
    Right,
    /// It holds the truth, and the evidence allows a better one.
    Vague,
    /// It says something that is not so.
    Wrong,
}

/// A verdict about one injection, from one kind of evidence.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) answer: &'static str,
    pub(crate) worth: Worth,
    pub(crate) verdict: Verdict,
}

/// The answer where Steadfast has no incident because nothing was lost.
pub(crate) const NOTHING_LOST: &str = "nothing lost";

/// Diagnoses what was collected of a cause, and compares.
pub(crate) fn judge(collected: &Collected, cause: Cause, look: Look) -> Judged {
    let verdict = diagnose(&collected.evidence(look));
    if let Some(Through {
        prevented,
        incident: None,
    }) = &collected.steadfast
    {
        return Judged {
            answer: NOTHING_LOST,
            worth: if *prevented {
                Worth::Right
            } else {
                Worth::Wrong
            },
            verdict,
        };
    }
    let best = best_of(collected, cause, look).best;
    Judged {
        answer: verdict.answer.name(),
        worth: worth(verdict.answer, &verdict, cause, best),
        verdict,
    }
}

fn worth(answer: Answer, verdict: &Verdict, cause: Cause, best: Best) -> Worth {
    match answer {
        Answer::Cause(named, _) if named == cause => Worth::Right,
        _ if matches!(best, Best::Behind(names) if names.contains(&answer.name())) => Worth::Right,
        Answer::Cause(..) => Worth::Wrong,
        Answer::Class(class) if !class.members.contains(&cause) => Worth::Wrong,
        Answer::Class(class) => match best {
            Best::Unknown => Worth::Right,
            Best::Class(name) if within(class, name) => Worth::Right,
            Best::Cause | Best::Class(_) | Best::Behind(_) => Worth::Vague,
        },
        Answer::Unknown => {
            let candidate = verdict.candidates.iter().any(|one| one.cause == cause);
            match best {
                _ if !candidate => Worth::Wrong,
                Best::Unknown => Worth::Right,
                Best::Cause | Best::Class(_) | Best::Behind(_) => Worth::Vague,
            }
        }
    }
}

/// Whether a class says no less than the one of this name.
fn within(class: &Class, name: &str) -> bool {
    let Some(best) = Class::ALL.iter().find(|best| best.name == name) else {
        return false;
    };
    class
        .members
        .iter()
        .all(|member| best.members.contains(member))
}

/// What would be told of a negative: Steadfast's incident, or the log's findings. None is right.
pub(crate) fn incidents(collected: &Collected) -> Vec<&'static str> {
    if collected.steadfast.is_some() {
        return collected
            .incident()
            .map(|incident| diagnose(&incident.evidence).answer.name())
            .into_iter()
            .collect();
    }
    collected
        .findings()
        .iter()
        .map(|finding| finding.verdict.answer.name())
        .collect()
}

/// The subject of a line.
pub(crate) fn subject(collected: &Collected) -> Option<Subject> {
    Subject::from_name(&collected.subject)
}

#[cfg(test)]
mod tests {
    use steadfast_diagnose::{Certainty, Evidence};

    use super::*;

    fn class(name: &str) -> Answer {
        Answer::Class(Class::ALL.iter().find(|class| class.name == name).unwrap())
    }

    #[test]
    fn only_what_the_evidence_allows_is_right() {
        let anything = diagnose(&Evidence::default());
        let of = |answer, best| worth(answer, &anything, Cause::ProcessKilled, best);
        let right = Answer::Cause(Cause::ProcessKilled, Certainty::Proved);
        let other = Answer::Cause(Cause::Crash, Certainty::NothingElseFits);
        assert_eq!(of(right, Best::Class("server-died")), Worth::Right);
        assert_eq!(of(other, Best::Class("server-died")), Worth::Wrong);
        assert_eq!(of(other, Best::Unknown), Worth::Wrong);
        let died = class("server-died");
        assert_eq!(of(died, Best::Class("server-died")), Worth::Right);
        assert_eq!(of(died, Best::Class("server-restarted")), Worth::Right);
        assert_eq!(of(died, Best::Class("killed-from-outside")), Worth::Vague);
        assert_eq!(of(died, Best::Cause), Worth::Vague);
        assert_eq!(of(class("path"), Best::Unknown), Worth::Wrong);
        assert_eq!(of(Answer::Unknown, Best::Unknown), Worth::Right);
        assert_eq!(of(Answer::Unknown, Best::Cause), Worth::Vague);
    }
}
