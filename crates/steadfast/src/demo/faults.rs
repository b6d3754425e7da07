//! The faults, one after another: what happens when, and to whom.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use steadfast_sandbox::{Cut, Direction, Link, Point, Server, Sight, Verdict};
use tokio::time::{Instant, sleep, sleep_until};

/// Before the first fault, so that the table shows a quiet moment.
const QUIET_START: Duration = Duration::from_millis(1500);
/// After the last fault, so that everybody recovers within the time.
const QUIET_END: Duration = Duration::from_millis(2500);
/// Between two faults at least, however long the first took.
const BREATH: Duration = Duration::from_millis(400);
/// A second round of all faults is begun for each full half minute.
const ROUND: Duration = Duration::from_secs(30);
const LONGEST_FREEZE: Duration = Duration::from_secs(3);
const LONGEST_BLACK_HOLE: Duration = Duration::from_secs(5);
/// So many COMMITs of each side are struck where their answers are lost.
const COMMITS: u32 = 4;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// kill -9 of the server, and its start.
    Kill,
    /// All connections to the server are cut, with FIN and in the next round with RST.
    Cut,
    /// Some COMMITs arrive at the server, and their connections are cut before the answers are through.
    Commits,
    /// SIGSTOP and, later, SIGCONT.
    Freeze,
    /// A graceful shutdown and a start.
    Restart,
    /// Nothing arrives, and nothing is closed.
    BlackHole,
}

const ORDER: [Fault; 6] = [
    Fault::Kill,
    Fault::Cut,
    Fault::Commits,
    Fault::Freeze,
    Fault::Restart,
    Fault::BlackHole,
];

impl Fault {
    /// For a list.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "server killed (kill -9) and started again",
            Self::Cut => "all connections cut",
            Self::Commits => "connections cut before the answers to their COMMITs",
            Self::Freeze => "server frozen for a while",
            Self::Restart => "server restarted",
            Self::BlackHole => "network swallows everything for a while",
        }
    }

    /// While it lasts.
    pub(super) fn now(self) -> &'static str {
        match self {
            Self::Kill => "the server was killed (kill -9) and starts again",
            Self::Cut => "all connections to the server are cut",
            Self::Commits => "the answers to COMMITs are lost",
            Self::Freeze => "the server is frozen",
            Self::Restart => "the server restarts",
            Self::BlackHole => "the network swallows everything",
        }
    }
}

/// When each fault begins, since the start of the workload, and how long one may take.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Plan {
    starts: Vec<(Duration, Fault)>,
    slot: Duration,
}

fn plan(total: Duration) -> Plan {
    let rounds = u32::try_from(total.as_secs() / ROUND.as_secs())
        .unwrap_or(u32::MAX)
        .max(1);
    let slot = total.saturating_sub(QUIET_START + QUIET_END) / (rounds * ORDER.len() as u32);
    let starts = (0_u32..)
        .zip(
            ORDER
                .into_iter()
                .cycle()
                .take(ORDER.len() * rounds as usize),
        )
        .map(|(n, fault)| (QUIET_START + slot * n, fault))
        .collect();
    Plan { starts, slot }
}

/// The links and the server that faults befall: both sides alike.
pub(super) struct Victims {
    pub(super) server: Arc<Server>,
    pub(super) links: [Link; 2],
}

/// What has happened so far, and what happens now.
#[derive(Default)]
pub(super) struct Course {
    begun: RefCell<Vec<(std::time::Instant, Fault)>>,
    current: Cell<Option<Fault>>,
}

impl Course {
    /// All faults so far, oldest first.
    pub(super) fn begun(&self) -> Vec<(std::time::Instant, Fault)> {
        self.begun.borrow().clone()
    }

    /// The fault of this moment.
    pub(super) fn current(&self) -> Option<Fault> {
        self.current.get()
    }

    /// Lets the faults happen. The first round is completed even when it takes longer than
    /// `total`; of the others, those are left out that would begin too late.
    pub(super) async fn run(&self, victims: &Victims, total: Duration) -> Result<()> {
        let start = Instant::now();
        let plan = plan(total);
        for (n, (at, fault)) in plan.starts.into_iter().enumerate() {
            sleep_until(start + at).await;
            if n >= ORDER.len() && start.elapsed() + QUIET_END > total {
                break;
            }
            self.begun
                .borrow_mut()
                .push((std::time::Instant::now(), fault));
            self.current.set(Some(fault));
            let cut = match n / ORDER.len() % 2 {
                0 => Cut::Fin,
                _ => Cut::Rst,
            };
            victims.suffer(fault, cut, plan.slot).await?;
            self.current.set(None);
            sleep(BREATH).await;
        }
        Ok(())
    }
}

impl Victims {
    /// Returns when the fault is over.
    async fn suffer(&self, fault: Fault, cut: Cut, slot: Duration) -> Result<()> {
        match fault {
            Fault::Kill => {
                self.with_server(|server| {
                    server.kill()?;
                    server.start_again()
                })
                .await?;
            }
            Fault::Restart => self.with_server(Server::restart).await?,
            Fault::Freeze => {
                self.with_server(Server::freeze).await?;
                sleep((slot / 2).min(LONGEST_FREEZE)).await;
                self.with_server(Server::thaw).await?;
            }
            Fault::Cut => {
                for link in &self.links {
                    link.cut(cut);
                }
                // Long enough for the table to show it.
                sleep(Duration::from_millis(500)).await;
            }
            Fault::Commits => {
                let struck = self
                    .links
                    .each_ref()
                    .map(|link| lose_answers_to_commits(link, cut));
                let begun = Instant::now();
                while begun.elapsed() < slot * 3 / 5
                    && struck.iter().any(|n| n.load(Ordering::Relaxed) < COMMITS)
                {
                    sleep(Duration::from_millis(50)).await;
                }
                self.links.iter().for_each(Link::clear_tap);
            }
            Fault::BlackHole => {
                for link in &self.links {
                    link.black_hole(true);
                }
                sleep((slot * 3 / 5).min(LONGEST_BLACK_HOLE)).await;
                for link in &self.links {
                    link.black_hole(false);
                }
            }
        }
        Ok(())
    }

    async fn with_server(
        &self,
        action: impl FnOnce(&Server) -> Result<(), steadfast_sandbox::Error> + Send + 'static,
    ) -> Result<()> {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || action(&server)).await??;
        Ok(())
    }
}

/// Cuts connections of a link that carries no TLS, each before the answer to its COMMIT, until [`COMMITS`] have been; tells
/// how many. It goes on until the link's tap is cleared.
fn lose_answers_to_commits(link: &Link, cut: Cut) -> Arc<AtomicU32> {
    let struck = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&struck);
    let mut sight = Sight::default();
    let mut waiting = BTreeSet::new();
    link.set_tap(move |direction, connection, bytes| match direction {
        Direction::ToServer => {
            let seen = sight.to_server(connection, bytes);
            let commits = seen.iter().any(|packet| packet.point == Point::Commit);
            let begun = count.load(Ordering::Relaxed) as usize + waiting.len();
            if commits && begun < COMMITS as usize {
                waiting.insert(connection);
            }
            Verdict::Pass
        }
        Direction::ToClient if waiting.remove(&connection) => {
            count.fetch_add(1, Ordering::Relaxed);
            Verdict::CutBefore(cut)
        }
        Direction::ToClient => Verdict::Pass,
    });
    struck
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_comes_once_in_a_short_demo_and_twice_in_a_minute() {
        for (seconds, rounds) in [(10, 1), (15, 1), (59, 1), (60, 2), (120, 4)] {
            let total = Duration::from_secs(seconds);
            let plan = plan(total);
            assert_eq!(plan.starts.len(), rounds * ORDER.len());
            let last = plan.starts.last().map(|(at, _)| *at).unwrap_or_default();
            assert!(last + plan.slot + QUIET_END <= total, "{plan:?}");
            assert!(plan.slot >= Duration::from_secs(1), "{plan:?}");
        }
    }
}
