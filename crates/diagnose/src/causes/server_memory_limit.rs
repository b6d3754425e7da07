//! The server's own limits to memory.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Product};
use crate::log::LogKind;
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, WORDLESS};

/// MySQL: the global and the connection's own memory limit.
const CODES: &[u16] = &[4081, 4082];

pub(super) const RULE: Rule = Rule {
    cause: Cause::ServerMemoryLimit,
    meaning: "The session used more memory than the server allows: connection_memory_limit or \
              global_connection_memory_limit on MySQL, which end the connection; max_session_mem_used on MariaDB, which ends \
              the statement.",
    proofs: &[
        Sign {
            what: "the server said 4081 or 4082 (MySQL), or 1290 with --max-session-mem-used (MariaDB)",
            seen: |evidence| {
                evidence
                    .told_any(CODES)
                    .or_else(|| match &evidence.wire.as_ref()?.end {
                        End::Said {
                            code: 1290,
                            message,
                            ..
                        } if is_memory(message) => Some(format!("the server said 1290: {message}")),
                        _ => None,
                    })
            },
        },
        Sign {
            what: "the error log says that a connection used more memory than it may",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::MemoryLimit),
        },
    ],
    refutations: &[
        CLIENT_ENDED,
        WORDLESS,
        Sign {
            what: "the server said something else",
            seen: |evidence| match evidence.server_end()? {
                End::Said { code, .. } if CODES.contains(code) => None,
                End::Said {
                    code: 1290,
                    message,
                    ..
                } if is_memory(message) => None,
                End::Said { code, message, .. } => {
                    Some(format!("the server said {code}: {message}"))
                }
                _ => None,
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Did the client's error speak of a memory limit, and what are the limits (SHOW VARIABLES LIKE '%memory_limit', \
               'max_session_mem_used')?",
    fix,
};

fn is_memory(message: &str) -> bool {
    message.contains("max-session-mem-used") || message.contains("max_session_mem_used")
}

fn fix(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![advise(
        "Let the statement need less: fewer columns in its sort, no huge GROUP_CONCAT or IN list, portions instead of one \
         large result.",
    )];
    let limits = [
        (Product::MySql, "connection_memory_limit"),
        (Product::MySql, "global_connection_memory_limit"),
        (Product::MariaDb, "max_session_mem_used"),
    ];
    for (product, name) in limits {
        // MySQL's defaults are the largest number that there is: no limit.
        if let Some(limit) = evidence.variables.number(name)
            && limit < 1 << 60
        {
            steps.push(Setting::only(product, name, limit.saturating_mul(2)));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mariadb, of_server, wire};

    #[test]
    fn mariadb_names_its_option() {
        let said = End::Said {
            code: 1290,
            message: "The MariaDB server is running with the --max-session-mem-used=8192 option so it cannot execute this \
                      statement"
                .to_owned(),
            survives: true,
        };
        certain(
            &of_server(mariadb(), wire(Moment::Waiting, said)),
            Cause::ServerMemoryLimit,
        );
    }
}
