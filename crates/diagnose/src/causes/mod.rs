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
use crate::rule::Rule;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_stands_at_the_place_of_its_cause() {
        for (cause, rule) in Cause::ALL.into_iter().zip(&RULES) {
            assert_eq!(cause, rule.cause);
            assert_eq!(cause, super::rule(cause).cause);
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
        }
    }
}
