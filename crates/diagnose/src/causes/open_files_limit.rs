//! No file descriptor left.

use crate::cause::Cause;
use crate::evidence::{Boot, End, Evidence, Reach};
use crate::log::LogKind;
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::CLIENT_ENDED;

/// Out of resources when opening a file; cannot open a file.
const CODES: &[u16] = &[23, 24];

pub(super) const RULE: Rule = Rule {
    cause: Cause::OpenFilesLimit,
    meaning: "The server has as many files and sockets open as it may (open_files_limit): it cannot open a table, or not even \
              take another connection; MySQL's InnoDB ends the whole server.",
    proofs: &[
        Sign {
            what: "the error log says that too many files are open",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::OpenFiles),
        },
        Sign {
            what: "the server said 23 or 24, to this connection or to another one, or another error with the error number 24",
            seen: |evidence| {
                if let Some(Reach::Said(code)) = evidence.aside.reach
                    && CODES.contains(&code)
                {
                    return Some(format!("another attempt to connect was told {code}"));
                }
                evidence
                    .told_any(CODES)
                    .or_else(|| match &evidence.wire.as_ref()?.end {
                        End::Said { code, message, .. } if is_files(message) => {
                            Some(format!("the server said {code}: {message}"))
                        }
                        _ => None,
                    })
            },
        },
        Sign {
            what: "the server's counter of connections that it could not accept moved (Connection_errors_accept)",
            seen: |evidence| {
                (evidence.moved("Connection_errors_accept")? > 0).then(|| {
                    "the server counted connections that it could not accept (Connection_errors_accept)".to_owned()
                })
            },
        },
    ],
    refutations: &[
        CLIENT_ENDED,
        Sign {
            what: "the server was restarted, and its error log tells nothing of files",
            seen: |evidence| {
                evidence.log.as_ref()?;
                let restarted = matches!(evidence.aside.boot?, Boot::Restarted(_));
                (restarted && evidence.logged(|kind| kind == LogKind::OpenFiles).is_none())
                    .then(|| "the server's error log tells nothing of files".to_owned())
            },
        },
        Sign {
            what: "the error log tells nothing of files, the server counted no connection that it could not accept \
                   (Connection_errors_accept), and it took another one",
            seen: |evidence| {
                evidence.log.as_ref()?;
                let quiet = evidence.logged(|kind| kind == LogKind::OpenFiles).is_none()
                    && evidence.told_any(CODES).is_none()
                    && evidence.moved("Connection_errors_accept")? == 0
                    && evidence.aside.reach? == Reach::Greeted;
                // An error that the wire had would have been seen.
                (quiet && evidence.wire.is_none()).then(|| {
                    "the server's error log tells nothing of files, and another connection was taken at once".to_owned()
                })
            },
        },
        Sign {
            what: "the login had ended, and no error spoke of files",
            seen: |evidence| {
                let spoke = matches!(&evidence.wire.as_ref()?.end, End::Said { code, message, .. } if CODES.contains(code) || is_files(message));
                (!spoke).then(|| (crate::signs::LOGGED_IN.seen)(evidence))?
            },
        },
        Sign {
            what: "the server said something else",
            seen: |evidence| match evidence.server_end()? {
                End::Said { code, message, .. } if !CODES.contains(code) && !is_files(message) => {
                    Some(format!("the server said {code}: {message}"))
                }
                End::Refused => Some("nobody listened at the address".to_owned()),
                _ => None,
            },
        },
    ],
    hints: &[Sign {
        what: "new connections get no greeting, while the server answers on one that it has",
        seen: |evidence| {
            (evidence.aside.reach? == Reach::NotAccepted).then(|| {
                "another attempt connected, and got no greeting, while the server answered on a connection that it had".to_owned()
            })
        },
    }],
    // Whoever cannot be accepted gets no greeting, and gives up.
    brings: &[
        Cause::Hang,
        Cause::ClientTimeout,
        Cause::Crash,
        Cause::ProcessKilled,
    ],
    question: "How near are Open_files and the number of connections to open_files_limit?",
    fix,
};

fn is_files(message: &str) -> bool {
    message.contains("Too many open files")
        || message.contains("rrno: 24")
        || message.contains("rrcode: 24")
}

fn fix(evidence: &Evidence) -> Vec<Step> {
    let limit = evidence
        .variables
        .number("open_files_limit")
        .unwrap_or(32_768);
    vec![
        Setting::at_start(
            "open_files_limit",
            limit.saturating_mul(4).clamp(65_535, 1_048_576).max(limit),
        ),
        advise(
            "With systemd the unit decides: systemctl edit mariadb (or mysql), LimitNOFILE=1048576; then restart.",
        ),
        advise("Or let it need less: table_open_cache, max_connections."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn the_error_number_tells_it() {
        let said = End::Said {
            code: 1016,
            message: "Can't open file: './shop/orders.frm' (errno: 24 - Too many open files)"
                .to_owned(),
            survives: true,
        };
        certain(
            &of_server(mysql(), wire(Moment::Waiting, said)),
            Cause::OpenFilesLimit,
        );
    }
}
