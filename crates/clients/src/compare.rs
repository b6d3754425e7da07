//! Compares two transcripts of the same operations.
//!
//! Nothing is canonicalised here: drivers write what must be equal and leave out what cannot be (the connection id
//! becomes "equals CONNECTION_ID()", a duration becomes "ended early").

use serde_json::Value;

use crate::operations::KEPT;
use crate::request::Op;

/// How an operation went through the proxy, measured by how it went directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    Different,
    /// The client cannot log in, directly neither.
    Refused,
    /// The client cannot log in directly, but can through the proxy.
    Better,
    /// The client has no such operation.
    Unsupported,
    /// The transcript of a side is missing: its driver ended early.
    Missing,
}

impl Verdict {
    /// What the table shows.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Verdict::Equal => "equal",
            Verdict::Different => "DIFFERENT",
            Verdict::Refused => "refused",
            Verdict::Better => "better",
            Verdict::Unsupported => "-",
            Verdict::Missing => "MISSING",
        }
    }

    /// Whether it speaks against the proxy (or the driver).
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Verdict::Different | Verdict::Missing)
    }
}

/// Two lines that should be equal; `None` where a side has no more.
pub(crate) type Difference = (Option<Value>, Option<Value>);

/// One operation of one client.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) op: String,
    pub(crate) verdict: Verdict,
    pub(crate) differences: Vec<Difference>,
    /// Why the direct login was refused.
    pub(crate) refusal: Option<String>,
    /// Whether a session was opened through the proxy.
    pub(crate) admitted: bool,
    /// The last line through the proxy.
    pub(crate) last: Option<Value>,
}

/// Compares what two runs of a driver wrote, operation by operation.
pub(crate) fn compare(ops: &[Op], direct: &[Value], through: &[Value]) -> Vec<Outcome> {
    let of = |lines: &[Value], op: &Op| -> Vec<Value> {
        lines
            .iter()
            .filter(|line| line["op"] == op.name.as_str())
            .cloned()
            .collect()
    };
    ops.iter()
        .map(|op| outcome(op, of(direct, op), of(through, op)))
        .collect()
}

fn outcome(op: &Op, direct: Vec<Value>, through: Vec<Value>) -> Outcome {
    let refusal = refused(&direct);
    let verdict = if direct.is_empty() || through.is_empty() {
        Verdict::Missing
    } else if direct.iter().chain(&through).any(claims_falsehood) {
        Verdict::Different
    } else if direct == through {
        if refusal.is_some() {
            Verdict::Refused
        } else if direct.iter().any(|line| line.get("unsupported").is_some()) {
            Verdict::Unsupported
        } else {
            Verdict::Equal
        }
    } else if refusal.is_some() && refused(&through).is_none() {
        Verdict::Better
    } else {
        Verdict::Different
    };
    let lines = direct.len().max(through.len());
    let pairs = (0..lines).map(|i| (direct.get(i).cloned(), through.get(i).cloned()));
    let differences = pairs
        .filter(|pair| pair.0 != pair.1 || pair.0.iter().chain(&pair.1).any(claims_falsehood))
        .collect();
    Outcome {
        op: op.name.clone(),
        verdict,
        differences,
        refusal,
        admitted: through.iter().any(|line| line["step"] != "connect"),
        last: through.last().cloned(),
    }
}

/// A boolean in a transcript is a claim (the blob came back the same) that must be true on both sides.
fn claims_falsehood(line: &Value) -> bool {
    line.as_object()
        .is_some_and(|members| members.values().any(|value| *value == Value::Bool(false)))
}

/// The error of a login that failed.
fn refused(lines: &[Value]) -> Option<String> {
    let error = lines
        .iter()
        .find(|line| line["step"] == "connect")?
        .get("error")?;
    let code = error.get("code").filter(|code| !code.is_null());
    let message = error
        .get("message")
        .or(error.get("exception"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(match code {
        Some(code) => format!("{code} {message}"),
        None => message.to_owned(),
    })
}

/// The cell of the logins matrix for one account, from the outcomes of [`crate::operations::logins`]: where the client
/// cannot log in directly with the right password, anything through the proxy is at least as good, except that a
/// wrong password must never do.
pub(crate) fn login_verdict(outcomes: &[Outcome]) -> Verdict {
    let [right, again, wrong, _survives] = outcomes else {
        return Verdict::Missing;
    };
    if outcomes
        .iter()
        .any(|outcome| outcome.verdict == Verdict::Missing)
    {
        return Verdict::Missing;
    }
    if wrong.admitted && wrong.verdict != Verdict::Equal {
        return Verdict::Different;
    }
    if right.refusal.is_some() {
        return match right.verdict {
            Verdict::Better => Verdict::Better,
            _ => Verdict::Refused,
        };
    }
    // The wrong password is refused on both sides when all is well, which is equal.
    let equal = right.verdict == Verdict::Equal
        && again.verdict == Verdict::Equal
        && (matches!(wrong.verdict, Verdict::Equal | Verdict::Refused)
            || refused_by_the_server_only_here(wrong));
    if equal {
        Verdict::Equal
    } else {
        Verdict::Different
    }
}

/// Whether a login with a wrong password was refused by the server (1045) through the proxy and by the client itself
/// directly: it does not send the password without TLS, for example.
fn refused_by_the_server_only_here(wrong: &Outcome) -> bool {
    const DENIED: &str = "1045";
    let here = wrong.last.as_ref().map(Value::to_string);
    let directly = wrong.refusal.as_deref();
    !wrong.admitted
        && here.is_some_and(|error| error.contains(DENIED))
        && directly.is_some_and(|error| !error.contains(DENIED))
}

/// Whether the last of [`crate::operations::logins`] went on after the loss of its server connection; `None` if the
/// client could not log in through the proxy.
pub(crate) fn survived(outcomes: &[Outcome]) -> Option<bool> {
    let survives = outcomes.last().filter(|outcome| outcome.admitted)?;
    let last = survives.last.as_ref().map(Value::to_string);
    Some(last.is_some_and(|last| last.contains(KEPT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations;
    use serde_json::json;

    fn verdict<const N: usize, const M: usize>(
        direct: [&Value; N],
        through: [&Value; M],
    ) -> Verdict {
        let (direct, through) = (direct.map(Value::clone), through.map(Value::clone));
        let op = Op {
            name: "query".to_owned(),
            login: Default::default(),
            steps: Vec::new(),
        };
        compare(&[op], &direct, &through)[0].verdict
    }

    fn line(result: Value) -> Value {
        json!({ "op": "query", "step": 0, "result": result })
    }

    fn refusal(message: &str) -> Value {
        json!({ "op": "query", "step": "connect", "error": { "message": message } })
    }

    #[test]
    fn any_difference_in_any_line_is_one() {
        let (one, two) = (line(json!(1)), line(json!(2)));
        assert_eq!(verdict([&one], [&one]), Verdict::Equal);
        assert_eq!(verdict([&one], [&two]), Verdict::Different);
        assert_eq!(verdict([&one], [&one, &two]), Verdict::Different);
        assert_eq!(verdict([&one, &two], [&one]), Verdict::Different);
    }

    #[test]
    fn a_false_claim_is_wrong_on_both_sides() {
        let claim = json!({ "op": "query", "step": 0, "same": false });
        assert_eq!(verdict([&claim], [&claim]), Verdict::Different);
    }

    #[test]
    fn a_side_that_says_nothing_is_not_equal_to_the_other() {
        assert_eq!(verdict([], []), Verdict::Missing);
        assert_eq!(verdict([&line(json!(1))], []), Verdict::Missing);
    }

    #[test]
    fn a_login_that_only_fails_directly_is_better() {
        let session = line(json!(1));
        assert_eq!(verdict([&refusal("no")], [&session]), Verdict::Better);
        assert_eq!(verdict([&session], [&refusal("no")]), Verdict::Different);
        assert_eq!(
            verdict([&refusal("no")], [&refusal("no")]),
            Verdict::Refused
        );
    }

    fn login(direct: [bool; 3], through: [bool; 3]) -> Verdict {
        let ops = operations::logins("plugin", "user", "right", "wrong", "lost".as_ref());
        let transcript = |successes: [bool; 3]| -> Vec<Value> {
            let lines = ops.iter().zip(successes.into_iter().chain([successes[0]]));
            lines
                .map(|(op, success)| match success {
                    true => json!({ "op": op.name, "step": 0, "rows": [["user"]] }),
                    false => json!({ "op": op.name, "step": "connect", "error": { "code": 1045 } }),
                })
                .collect()
        };
        let (direct, through) = (transcript(direct), transcript(through));
        login_verdict(&compare(&ops, &direct, &through))
    }

    #[test]
    fn a_wrong_password_is_never_admitted() {
        assert_eq!(
            login([true, true, false], [true, true, false]),
            Verdict::Equal
        );
        assert_eq!(
            login([true, true, false], [true, true, true]),
            Verdict::Different
        );
        assert_eq!(
            login([false, false, false], [true, true, true]),
            Verdict::Different
        );
        // The account without a password on a server that takes any.
        assert_eq!(
            login([true, true, true], [true, true, true]),
            Verdict::Equal
        );
    }

    #[test]
    fn a_session_has_survived_if_it_shows_what_it_kept() {
        let ops = operations::logins("plugin", "user", "right", "wrong", "lost".as_ref());
        let survived = |last: Value| {
            let mut lines: Vec<Value> = ops
                .iter()
                .map(|op| json!({ "op": op.name, "step": 0 }))
                .collect();
            lines.push(last);
            survived(&compare(&ops, &lines, &lines))
        };
        let name = ops.last().unwrap().name.as_str();
        let line = |result: Value| json!({ "op": name, "step": 3, "result": result });
        assert_eq!(survived(line(json!([[KEPT, "db"]]))), Some(true));
        assert_eq!(survived(line(json!([[null, "db"]]))), Some(false));
        let refused = json!({ "op": name, "step": "connect", "error": {} });
        let refused = [refused];
        assert_eq!(super::survived(&compare(&ops, &refused, &refused)), None);
    }

    #[test]
    fn the_servers_refusal_is_as_good_as_the_clients_own() {
        let ops = operations::logins("plugin", "user", "", "wrong", "lost".as_ref());
        let verdict = |direct: &str, through: &str| {
            let transcript = |message: &str| -> Vec<Value> {
                let lines = ops.iter().map(|op| match op.name.contains("wrong") {
                    true => {
                        let error = json!({ "message": message });
                        json!({ "op": op.name, "step": "connect", "error": error })
                    }
                    false => json!({ "op": op.name, "step": 0 }),
                });
                lines.collect()
            };
            login_verdict(&compare(&ops, &transcript(direct), &transcript(through)))
        };
        let (own, denied) = ("2061 needs TLS", "1045 Access denied");
        assert_eq!(verdict(own, denied), Verdict::Equal);
        assert_eq!(verdict(denied, own), Verdict::Different);
        assert_eq!(verdict(denied, "1045 denied"), Verdict::Different);
    }

    #[test]
    fn what_fails_directly_may_only_get_better() {
        assert_eq!(
            login([false, false, false], [true, true, false]),
            Verdict::Better
        );
        assert_eq!(
            login([false, false, false], [false, false, false]),
            Verdict::Refused
        );
        assert_eq!(
            login([true, true, false], [false, true, false]),
            Verdict::Different
        );
    }
}
