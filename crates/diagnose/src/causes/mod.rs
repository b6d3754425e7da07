//! One file for each cause.

mod client_gone;
mod client_timeout;
mod corruption;
mod crash;
mod demoted;
mod disk_full;
mod handshake_timeout;
mod hang;
mod host_blocked;
mod idle_timeout;
mod idle_transaction_timeout;
mod killed;
mod middlebox_idle;
mod network_drop;
mod not_listening;
mod offline_mode;
mod open_files_limit;
mod out_of_memory;
mod packet_too_large;
mod process_killed;
mod protocol_misuse;
mod proxy_timeout;
mod query_timeout;
mod server_memory_limit;
mod shutdown;
mod slow_reader;
mod stalled_upload;
mod too_many_connections;

use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::rule::{Rule, Setting, Step, advise};

pub(crate) use self::shutdown::amiss_before as amiss_before_shutdown;

/// All rules, in the order of [`Cause::ALL`].
pub(crate) static RULES: [Rule; Cause::ALL.len()] = [
    idle_timeout::RULE,
    middlebox_idle::RULE,
    packet_too_large::RULE,
    out_of_memory::RULE,
    slow_reader::RULE,
    crash::RULE,
    corruption::RULE,
    handshake_timeout::RULE,
    client_timeout::RULE,
    protocol_misuse::RULE,
    demoted::RULE,
    disk_full::RULE,
    killed::RULE,
    query_timeout::RULE,
    shutdown::RULE,
    process_killed::RULE,
    hang::RULE,
    network_drop::RULE,
    client_gone::RULE,
    proxy_timeout::RULE,
    idle_transaction_timeout::RULE,
    stalled_upload::RULE,
    too_many_connections::RULE,
    host_blocked::RULE,
    offline_mode::RULE,
    server_memory_limit::RULE,
    open_files_limit::RULE,
    not_listening::RULE,
];

/// The rule of a cause.
pub fn rule(cause: Cause) -> &'static Rule {
    &RULES[cause as usize]
}

/// Whether an error that ends a statement and leaves the connection tells of a cause: of a limit to time or memory, a full
/// disk, damaged data, a server that takes no writes.
pub fn tells_of_a_cause(code: u16, message: &str) -> bool {
    may_tell_of_a_cause(code)
        && match code {
            1290 => {
                demoted::OPTIONS
                    .iter()
                    .any(|option| message.contains(option))
                    || server_memory_limit::is_memory(message)
            }
            demoted::NOT_PREPARED => demoted::is_outside_of_cluster(message),
            _ if disk_full::WRITING.contains(&code) => disk_full::is_space(message),
            _ => true,
        }
}

/// Whether an error of this number and text, told to a client, is another trouble than a lost or refused connection: somebody
/// else's lock, a statement that was interrupted, an option that forbids it, an account's limit to statements, a host without
/// an account.
pub(crate) fn is_no_loss(code: u16, message: &str) -> bool {
    match code {
        1130 | 1205 | 1213 | 1317 => true,
        1290 => !tells_of_a_cause(code, message),
        1226 => !too_many_connections::is_of_connections(message),
        _ => false,
    }
}

/// Whether [`tells_of_a_cause`] looks at the message of errors with this number.
pub fn may_tell_of_a_cause(code: u16) -> bool {
    [
        &[1290, demoted::NOT_PREPARED],
        query_timeout::CODES,
        server_memory_limit::CODES,
        corruption::CODES,
        demoted::CODES,
        disk_full::CODES,
        disk_full::WRITING,
    ]
    .iter()
    .any(|codes| codes.contains(&code))
}

/// Raises a variable that both servers have: to what is wanted where it is known what it is, else in words, since any number
/// may be a lower one.
fn raise(
    evidence: &Evidence,
    name: &'static str,
    in_words: &str,
    wanted: impl FnOnce(u64) -> u64,
) -> Step {
    match evidence.variables.number(name) {
        Some(now) => Setting::live(name, wanted(now).max(now)),
        None => advise(format!(
            "Raise {name} on the server to {in_words} (SHOW GLOBAL VARIABLES LIKE '{name}')."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_statements_own_tell_of_no_cause() {
        for (code, message) in [
            (1064, "You have an error in your SQL syntax"),
            (1062, "Duplicate entry '28' for key 'PRIMARY'"),
            (1290, "running with the --secure-file-priv option"),
            (1047, "Unknown command"),
            (
                1026,
                "Error writing file '/x' (Errcode: 13 \"Permission denied\")",
            ),
        ] {
            assert!(!tells_of_a_cause(code, message), "{code}");
        }
        for (code, message) in [
            (3024, "maximum statement execution time exceeded"),
            (1290, "running with the --super-read-only option"),
            (1290, "running with the --max-session-mem-used=65536 option"),
            (
                1026,
                "Error writing file '/x' (Errcode: 28 \"No space left on device\")",
            ),
            (1034, "Index for table 't' is corrupt"),
            (1047, "WSREP has not yet prepared node for application use"),
            (1114, "The table 't' is full"),
        ] {
            assert!(tells_of_a_cause(code, message), "{code}");
        }
    }

    #[test]
    fn each_rule_stands_at_the_place_of_its_cause() {
        for (cause, rule) in Cause::ALL.into_iter().zip(&RULES) {
            assert_eq!(cause, rule.cause);
            assert_eq!(cause, super::rule(cause).cause);
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
        }
    }
}
