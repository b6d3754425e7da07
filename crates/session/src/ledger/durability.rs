//! Settings of a server under which a crash may take what it has acknowledged. The ledger is lost with it, so the two
//! agree; but the client was told OK.

/// Asks for the settings: rows of a name and a value. SHOW, because it has one form of ON on all versions.
pub const SETTINGS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('innodb_doublewrite', 'innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog')";

/// What a setting that is not durable means.
pub const CONSEQUENCE: &str = "a crash may take COMMITs that were acknowledged, and neither the server nor Steadfast can know";

/// Those that are not durable, each as `name = value`; `value` gives that of a setting, if the server has it.
///
/// `sync_binlog` counts where there is a binary log: after a crash, transactions that it has lost are rolled back.
pub fn not_durable(value: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut durable = vec![
        ("innodb_flush_log_at_trx_commit", &["1"][..]),
        ("innodb_doublewrite", &["ON", "DETECT_AND_RECOVER"]),
    ];
    if value("log_bin").is_some_and(|on| on.eq_ignore_ascii_case("ON")) {
        durable.push(("sync_binlog", &["1"]));
    }
    let found = durable.into_iter().filter_map(|(name, durable)| {
        let value = value(name)?;
        let is = durable.iter().any(|good| value.eq_ignore_ascii_case(good));
        (!is).then(|| format!("{name} = {value}"))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> Vec<String> {
        not_durable(|name| {
            let found = settings.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_servers_defaults_are_durable_but_for_mariadbs_binary_log() {
        let mut settings = [
            ("innodb_doublewrite", "ON"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("log_bin", "OFF"),
            ("sync_binlog", "0"),
        ];
        assert!(of(&settings).is_empty());
        settings[2].1 = "ON";
        assert_eq!(of(&settings), ["sync_binlog = 0"]);
        settings[3].1 = "1";
        assert!(of(&settings).is_empty());
    }

    #[test]
    fn each_that_is_not_is_named() {
        let settings = [
            ("innodb_doublewrite", "DETECT_ONLY"),
            ("innodb_flush_log_at_trx_commit", "2"),
            ("log_bin", "ON"),
            ("sync_binlog", "1000"),
        ];
        assert_eq!(
            of(&settings),
            [
                "innodb_flush_log_at_trx_commit = 2",
                "innodb_doublewrite = DETECT_ONLY",
                "sync_binlog = 1000"
            ]
        );
    }
}
