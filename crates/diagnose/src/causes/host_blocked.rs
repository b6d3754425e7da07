//! `max_connect_errors`.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Product};
use crate::log::LogKind;
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::{LEFT_OVER, LOGGED_IN, WAS_GREETED, WORDLESS};

pub(super) const RULE: Rule = Rule {
    cause: Cause::HostBlocked,
    meaning: "After max_connect_errors connections in a row from a host that did not end their login, the server refuses that \
              host: port scanners and load balancers' TCP checks count.",
    proofs: &[
        Sign {
            what: "the server said 1129",
            seen: |evidence| evidence.told(1129),
        },
        Sign {
            what: "the error log says that a host is blocked",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::HostBlocked),
        },
    ],
    refutations: &[
        WAS_GREETED,
        LEFT_OVER,
        LOGGED_IN,
        WORDLESS,
        Sign {
            what: "the client was told something else",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                let code = client.code?;
                (code != 1129).then(|| format!("the client says: {}", client.text))
            },
        },
        Sign {
            what: "the server said something else",
            seen: |evidence| match evidence.server_end()? {
                End::Said { code, message, .. } if *code != 1129 => {
                    Some(format!("the server said {code}: {message}"))
                }
                End::Refused => Some("nobody listened at the address".to_owned()),
                _ => None,
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Does the server tell the host 1129 (Host is blocked), and what connects from it without logging in?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        Step::Sql {
            mariadb: "FLUSH HOSTS;",
            mysql: "TRUNCATE TABLE performance_schema.host_cache;  -- up to 8.3 also FLUSH HOSTS",
        },
        Setting::live("max_connect_errors", 1_000_000),
        advise(
            "Find what connects and does not log in: a load balancer's TCP check (use its MySQL check, with an account of its \
             own), a port scanner, a network that loses packets.",
        ),
        Step::Sql {
            mariadb: "SHOW GLOBAL STATUS LIKE 'Aborted_connects%';",
            mysql: "SELECT IP, HOST, SUM_CONNECT_ERRORS, COUNT_HANDSHAKE_ERRORS FROM performance_schema.host_cache;",
        },
        Setting::only(Product::MariaDb, "host_cache_size", 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mariadb, of_server, wire};

    #[test]
    fn the_server_says_it() {
        let said = End::Said {
            code: 1129,
            message: "Host '10.0.0.7' is blocked because of many connection errors".to_owned(),
            survives: false,
        };
        certain(
            &of_server(mariadb(), wire(Moment::Connecting, said)),
            Cause::HostBlocked,
        );
    }
}
