//! The server's own limits to memory.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Product};
use crate::log::LogKind;
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, WORDLESS};

/// MySQL: the global and the connection's own memory limit.
pub(super) const CODES: &[u16] = &[4081, 4082];

/// MariaDB's, as 1290 names it.
const OPTION: &[&str] = &["max-session-mem-used", "max_session_mem_used"];

/// What the servers have by default is no limit.
const NO_LIMIT: u64 = 1 << 60;

/// The limits, and whose they are.
const LIMITS: [(Product, &str); 3] = [
    (Product::MySql, "connection_memory_limit"),
    (Product::MySql, "global_connection_memory_limit"),
    (Product::MariaDb, "max_session_mem_used"),
];

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
                    .or_else(|| evidence.told_option(OPTION))
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
            what: "the server sets no limit to memory",
            seen: |evidence| {
                let server = evidence.server?;
                // A session may have a limit of its own.
                if evidence.told_any(CODES).is_some() || evidence.told_option(OPTION).is_some() {
                    return None;
                }
                let ours = LIMITS
                    .iter()
                    .filter(|(product, _)| *product == server.product);
                let mut names = Vec::new();
                for (_, name) in ours {
                    match evidence.variables.number(name) {
                        Some(limit) if limit >= NO_LIMIT => names.push(*name),
                        None if *name == "global_connection_memory_limit" => {}
                        _ => return None,
                    }
                }
                Some(format!("{} is no limit", names.join(" and ")))
            },
        },
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

/// Whether 1290 is about memory.
pub(super) fn is_memory(message: &str) -> bool {
    OPTION.iter().any(|option| message.contains(option))
}

fn fix(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![advise(
        "Let the statement need less: fewer columns in its sort, no huge GROUP_CONCAT or IN list, portions instead of one \
         large result.",
    )];
    for (product, name) in LIMITS {
        if let Some(limit) = evidence.variables.number(name)
            && limit < NO_LIMIT
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
