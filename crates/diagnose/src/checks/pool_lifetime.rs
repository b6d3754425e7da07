//! Does the client's pool let go of connections before something else does?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};

/// The servers' default of wait_timeout.
const DEFAULT: Duration = Duration::from_secs(28_800);

pub(super) const CHECK: Check = Check {
    name: "pool-lifetime",
    area: Area::Timeouts,
    only: None,
    rule: "How long the client's pool keeps an idle connection is known (`--pool-lifetime`), and the server's `wait_timeout` is not \
           longer (warning), or the path cuts earlier (`--idle-limit`, or found by the probe `idle`) and keepalive does not help \
           or is not known to (warning).",
    why: "Whoever keeps a connection the longest finds it dead: client < pool < proxy < server is the order in which nobody does.",
    risk: "Logging in again a little more often.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let Some(lifetime) = facts.path.pool_lifetime else {
        return Err(Missing("how long the client's pool keeps idle connections is not known: --pool-lifetime TIME says it".to_owned()));
    };
    let server = facts.seconds("wait_timeout")?;
    let kept = format!(
        "the pool keeps idle connections for {} s",
        lifetime.as_secs()
    );
    let mut found = Vec::new();
    if lifetime >= server {
        found.push(Found::warning(format!(
            "{kept}, the server for {} s (wait_timeout)",
            server.as_secs()
        )));
    }
    if let Some(limit) = path_limit(facts)
        && lifetime >= limit
    {
        found.push(Found::warning(format!(
            "{kept}, the path for {} s",
            limit.as_secs()
        )));
    }
    Ok(found)
}

/// After which silence the path cuts, though there is keepalive.
fn path_limit(facts: &Facts) -> Option<Duration> {
    let measured = facts.path.idle.ok().and_then(|probe| probe.cut);
    match (measured, facts.path.idle_limit) {
        (Some(cut), _) if cut.keepalive_helps != Some(true) => Some(cut.survived),
        (Some(_), _) => None,
        (None, said) => said,
    }
}

fn fix(facts: &Facts) -> Vec<Step> {
    let server = facts.seconds("wait_timeout").ok();
    let shortest = server.into_iter().chain(path_limit(facts)).min();
    let wanted = match shortest {
        Some(shortest) => format!("{} s", (shortest * 3 / 4).as_secs()),
        None => "three quarters of the shortest limit".to_owned(),
    };
    let mut steps = vec![advise(format!(
        "Let the pool close connections after {wanted}: maxLifetime or idleTimeout (Java), pool_recycle (Python), SetConnMaxLifetime \
         or SetConnMaxIdleTime (Go). Through Steadfast it does not matter."
    ))];
    // Only where it is the server that cuts, and where its default would not.
    let is_server = match (facts.path.pool_lifetime, server) {
        (Some(lifetime), Some(server)) => server <= lifetime && lifetime < DEFAULT,
        _ => true,
    };
    if is_server {
        steps.push(Setting::live("wait_timeout", DEFAULT.as_secs()));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn the_pool_must_be_the_first() {
        for (pool, server, path, expected) in [
            (1_800, "28800", None, None),
            (1_800, "600", None, Some(Warning)),
            (1_800, "28800", Some(350), Some(Warning)),
            (300, "28800", Some(350), None),
        ] {
            let mut facts = mysql(&[("wait_timeout", server)]);
            facts.path.pool_lifetime = Some(Duration::from_secs(pool));
            facts.path.idle_limit = path.map(Duration::from_secs);
            assert_eq!(severity(&facts, "pool-lifetime"), expected);
        }
    }

    #[test]
    fn the_server_is_changed_only_where_that_mends_it() {
        for (pool, server, path, sets) in [
            (1_800, "600", None, true),
            (1_800, "600", Some(350), true),
            // It is the path that cuts.
            (1_800, "3600", Some(350), false),
            // The default would be too short as well.
            (36_000, "600", None, false),
        ] {
            let mut facts = mysql(&[("wait_timeout", server)]);
            facts.path.pool_lifetime = Some(Duration::from_secs(pool));
            facts.path.idle_limit = path.map(Duration::from_secs);
            assert_eq!(severity(&facts, "pool-lifetime"), Some(Warning));
            let steps = fix(&facts);
            let set = steps.contains(&Setting::live("wait_timeout", 28_800));
            assert_eq!(set, sets, "{pool} {server} {path:?}");
        }
    }
}
