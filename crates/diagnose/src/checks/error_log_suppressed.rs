//! Are the lines that tell of lost connections suppressed?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step};

/// Aborted connection, closed for a timeout, SHUTDOWN received, closing a thread by force, not shut down normally:
/// the messages that MySQL 8 and 9 write, by number.
const TELLING: [&str; 5] = ["10914", "15123", "13172", "10909", "12551"];

/// MySQL's default.
const SERVICES: &str = "'log_filter_internal; log_sink_internal'";

pub(super) const CHECK: Check = Check {
    name: "error-log-suppressed",
    area: Area::Visibility,
    only: Some(Product::MySql),
    rule: "`log_error_suppression_list` names a message that tells of lost connections (MY-010914, MY-015123, MY-013172, \
           MY-010909, MY-012551), or `log_error_services` is empty (error).",
    why: "What is suppressed cannot be read after a loss, whatever the verbosity.",
    risk: "The log has again the lines that somebody did not want.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    if !facts.is_mysql_since(80_000) {
        facts.product()?;
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    if writes_nothing(facts)? {
        found.push(Found::error(
            "log_error_services is empty: nothing is written to any log",
        ));
    }
    let hidden: Vec<&str> = suppressed(facts.text("log_error_suppression_list")?)
        .into_iter()
        .filter(|(_, is_telling)| *is_telling)
        .map(|(name, _)| name)
        .collect();
    if !hidden.is_empty() {
        found.push(Found::note(format!(
            "log_error_suppression_list hides {}",
            hidden.join(", ")
        )));
    }
    Ok(found)
}

fn writes_nothing(facts: &Facts) -> Result<bool, Missing> {
    Ok(facts.text("log_error_services")?.trim().is_empty())
}

/// What the list names, and whether it tells of lost connections. Numbers may be written without MY- and zeros.
fn suppressed(list: &str) -> Vec<(&str, bool)> {
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
            (name, TELLING.contains(&digits.trim_start_matches('0')))
        })
        .collect()
}

fn fix(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    if writes_nothing(facts).unwrap_or(true) {
        steps.push(Setting::only(
            Product::MySql,
            "log_error_services",
            SERVICES,
        ));
    }
    let list = facts.text("log_error_suppression_list");
    let named = suppressed(list.as_ref().copied().unwrap_or_default());
    if list.is_err() || named.iter().any(|(_, is_telling)| *is_telling) {
        let kept: Vec<&str> = named
            .into_iter()
            .filter(|(_, is_telling)| !is_telling)
            .map(|(name, _)| name)
            .collect();
        steps.push(Setting::only(
            Product::MySql,
            "log_error_suppression_list",
            format!("'{}'", kept.join(",")),
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Note};
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn only_what_tells_of_losses_matters_and_the_rest_stays() {
        for (list, expected) in [
            ("", None),
            ("MY-013360", None),
            ("MY-010914", Some(Note)),
            ("10914,MY-013360", Some(Note)),
        ] {
            let facts = mysql(&[
                ("log_error_suppression_list", list),
                ("log_error_services", "log_sink_internal"),
            ]);
            assert_eq!(severity(&facts, "error-log-suppressed"), expected, "{list}");
            if expected.is_some() && list.contains("13360") {
                assert_eq!(
                    fix(&facts),
                    [Setting::only(
                        Product::MySql,
                        "log_error_suppression_list",
                        "'MY-013360'"
                    )]
                );
            }
        }
    }

    #[test]
    fn a_log_that_nothing_writes_is_mended_by_what_writes_it() {
        let facts = |list| {
            mysql(&[
                ("log_error_services", ""),
                ("log_error_suppression_list", list),
            ])
        };
        let services = Setting::only(Product::MySql, "log_error_services", SERVICES);
        let list = Setting::only(Product::MySql, "log_error_suppression_list", "''");
        assert_eq!(severity(&facts(""), "error-log-suppressed"), Some(Error));
        assert!(fix(&facts("MY-013360")) == std::slice::from_ref(&services));
        assert_eq!(fix(&facts("MY-010914")), [services, list]);
    }
}
