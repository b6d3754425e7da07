//! Probes: what can only be found out by trying. Each says on the standard error stream what it does, is bounded in
//! time and load, and may be left out.

mod idle;
mod packet;
mod pause;

use steadfast_diagnose::checks::facts::Seen;
use steadfast_diagnose::checks::{Area, CHECKS, Facts};

use crate::access::Access;
use crate::cli::{DoctorArgs, Probe};

/// Connections that the probe `idle` has open at the same time, at most.
const MOST: u64 = 16;

/// Makes those that are wanted.
pub(super) async fn run(access: &Access, args: &DoctorArgs, facts: &mut Facts) {
    let left_out = "left out by --no-probes".to_owned();
    let limit = facts.number("max_allowed_packet").unwrap_or(1 << 20);
    let (idle, packet, (slow_read, slow_write)) = tokio::join!(
        async {
            let is_named = args.probe.contains(&Probe::Idle);
            if !wanted(args, Probe::Idle) {
                Seen::Unseen(left_out.clone())
            } else if facts.path.local == Some(true) && !is_named {
                Seen::Unseen(
                    "the path stays on this machine; --probe idle tries it all the same".to_owned(),
                )
            } else {
                idle::probe(access, args.idle_max, connections(facts)).await
            }
        },
        async {
            if wanted(args, Probe::Packet) {
                packet::probe(access, limit).await
            } else {
                Seen::Unseen(left_out.clone())
            }
        },
        async {
            let read = async {
                if wanted(args, Probe::SlowRead) {
                    pause::slow_read(access, args.pause, limit).await
                } else {
                    Seen::Unseen(left_out.clone())
                }
            };
            let write = async {
                if wanted(args, Probe::SlowWrite) {
                    pause::slow_write(access, args.pause, limit).await
                } else {
                    Seen::Unseen(left_out.clone())
                }
            };
            tokio::join!(read, write)
        },
    );
    facts.path.idle = idle;
    facts.path.packet = packet;
    facts.path.slow_read = slow_read;
    facts.path.slow_write = slow_write;
}

/// Whether somebody wants it: by name, or because nobody said otherwise and a check could use it.
fn wanted(args: &DoctorArgs, probe: Probe) -> bool {
    if !args.probe.is_empty() {
        return args.probe.contains(&probe);
    }
    let of_path = |name: &String| {
        CHECKS
            .iter()
            .any(|check| check.name == name && (check.area == Area::Path || name == "keepalive"))
    };
    !args.no_probes && (args.only.is_empty() || args.only.iter().any(of_path))
}

/// How many connections may be opened: a tenth of those that are free, for this account too.
fn connections(facts: &Facts) -> u64 {
    let limit = facts.number("max_connections").unwrap_or(100);
    let used = facts.counter("threads_connected").unwrap_or(50);
    let own = match facts.number("max_user_connections") {
        Ok(0) | Err(_) => u64::MAX,
        Ok(limit) => limit / 4,
    };
    (limit.saturating_sub(used) / 10).min(own).clamp(2, MOST)
}

/// Says what a probe is about to do.
fn announce(text: &str) {
    eprintln!("probe {text}");
}
