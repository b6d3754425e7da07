//! Do the server's keepalive probes come before a middlebox forgets?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::facts::IdleProbe;
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step, advise};

pub(super) const CHECK: Check = Check {
    name: "keepalive",
    area: Area::Timeouts,
    only: None,
    rule: "For how long the path lets connections be silent is known (`--idle-limit`, or found by the probe `idle`), and the \
           server's keepalive period is as long or longer (warning), or more than 0.8 of it (note). The period is MariaDB's \
           `tcp_keepalive_time`, else the kernel's `net.ipv4.tcp_keepalive_time` on the server's machine.",
    why: "Firewalls, NAT and load balancers forget a connection that is silent for longer than they like: 240 s (Azure), 350 s \
          (AWS), 600 s (Google), 900 s (IPVS), an hour (many firewalls). A keepalive probe of either end counts as traffic.",
    risk: "A few bytes a minute for each idle connection. Interval × probes below a minute would cut sessions over a link that \
           is down for a moment.",
    look,
    fix,
};

/// What is known to cut: said, or measured.
fn idle_limit(facts: &Facts) -> Option<Duration> {
    let measured = facts.path.idle.ok().and_then(|probe| probe.cut.as_ref());
    facts
        .path
        .idle_limit
        .or_else(|| measured.map(|cut| cut.limit()))
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    facts.product()?;
    let Some(limit) = idle_limit(facts) else {
        if facts.path.local == Some(true) {
            return Ok(Vec::new());
        }
        return match facts.path.idle.ok().map(IdleProbe::untried) {
            Some(None) => Ok(Vec::new()),
            Some(Some(untried)) => Err(untried),
            None => Err(Missing(
                "for how long the path lets connections be silent is not known: --idle-limit TIME says it, --probe idle measures it"
                    .to_owned(),
            )),
        };
    };
    let own = facts.variables.limit("tcp_keepalive_time");
    let (period, whose) = match own {
        Some(period) => (period, "MariaDB's tcp_keepalive_time"),
        None => (
            facts.kernel.get()?.keepalive,
            "the kernel's tcp_keepalive_time",
        ),
    };
    let seen = format!(
        "the path forgets a connection that is silent for {} s, {whose} is {} s",
        limit.as_secs(),
        period.as_secs()
    );
    Ok(if period >= limit {
        vec![Found::warning(seen)]
    } else if period.as_secs_f64() > 0.8 * limit.as_secs_f64() {
        vec![Found::note(seen)]
    } else {
        Vec::new()
    })
}

fn fix(facts: &Facts) -> Vec<Step> {
    let third = idle_limit(facts)
        .map_or(120, |limit| limit.as_secs() / 3)
        .clamp(1, 120);
    let mut steps = vec![
        Setting::only(Product::MariaDb, "tcp_keepalive_time", third),
        Setting::only(Product::MariaDb, "tcp_keepalive_interval", 30),
        Setting::only(Product::MariaDb, "tcp_keepalive_probes", 4),
    ];
    if facts.product().ok() != Some(Product::MariaDb) {
        steps.push(advise(format!(
            "MySQL takes the kernel's: sysctl -w net.ipv4.tcp_keepalive_time={third} on the server's machine (and in \
             /etc/sysctl.d), in a container with its own --sysctl."
        )));
    }
    steps.push(advise(
        "Or at the client's end: any of its two ends will do. Through Steadfast both have it already.",
    ));
    steps.push(advise(
        "Proxies that count data, not packets (HAProxy, Envoy, RDS Proxy), are not impressed by keepalive: there only a pool \
         with a shorter lifetime helps.",
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::facts::{KernelTcp, Seen};
    use super::super::testing::{mariadb, mysql, severity};
    use super::*;

    fn kernel(mut facts: Facts, seconds: u64, limit: Option<u64>) -> Facts {
        facts.kernel = Seen::Is(KernelTcp {
            keepalive: Duration::from_secs(seconds),
            retries: 15,
        });
        facts.path.local = Some(true);
        facts.path.idle_limit = limit.map(Duration::from_secs);
        facts
    }

    #[test]
    fn the_period_is_compared_with_the_limit() {
        for (period, limit, expected) in [
            (7200, None, None),
            (7200, Some(350), Some(Warning)),
            (300, Some(350), Some(Note)),
            (120, Some(350), None),
        ] {
            assert_eq!(
                severity(&kernel(mysql(&[]), period, limit), "keepalive"),
                expected
            );
        }
        let own = mariadb(&[("tcp_keepalive_time", "120")]);
        assert_eq!(severity(&kernel(own, 7200, Some(350)), "keepalive"), None);
        let none = mariadb(&[("tcp_keepalive_time", "0")]);
        assert_eq!(
            severity(&kernel(none, 7200, Some(350)), "keepalive"),
            Some(Warning)
        );
    }
}
