//! The faults, from outside: on the server's process and on the network in front of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use steadfast_sandbox::{Cut, Direction, Link, Server, Verdict};

const FROZEN: Duration = Duration::from_secs(3);
const BLACK_HOLE: Duration = Duration::from_secs(5);
const COMMITS_CUT: u32 = 6;
const ANSWERS_CUT: u32 = 12;
const ANSWERS_APART: u32 = 41;
const CUTS_WITHIN: Duration = Duration::from_secs(3);

/// A kind of fault.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    clap::ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    /// Nothing happens.
    None,
    /// kill -9 and start again.
    Kill,
    /// Graceful shutdown and start again.
    Restart,
    /// Every connection to the server is closed with FIN.
    Fin,
    /// Every connection to the server is closed with RST.
    Rst,
    /// SIGSTOP for 3 s.
    Freeze,
    /// No byte passes for 5 s, nothing is closed.
    Blackhole,
    /// Six connections are cut, one after another, at a COMMIT: in turn the COMMIT is lost, or
    /// it arrives and its answer is lost.
    Commit,
    /// Twelve connections are cut, one after another, at a random answer of the server's, which
    /// is lost.
    Answer,
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Freeze => "freeze",
            Self::Blackhole => "blackhole",
            Self::Commit => "commit",
            Self::Answer => "answer",
        }
    }

    /// Lets it happen, and returns when its cause is over.
    pub(crate) async fn inject(self, server: &Arc<Server>, link: &Link) -> Result<()> {
        match self {
            Self::None => {}
            Self::Kill => {
                blocking(server, |server| {
                    server.kill()?;
                    server.start_again()
                })
                .await?;
            }
            Self::Restart => blocking(server, |server| server.restart()).await?,
            Self::Fin => link.cut(Cut::Fin),
            Self::Rst => link.cut(Cut::Rst),
            Self::Freeze => {
                server.freeze()?;
                tokio::time::sleep(FROZEN).await;
                server.thaw()?;
            }
            Self::Blackhole => {
                link.black_hole(true);
                tokio::time::sleep(BLACK_HOLE).await;
                link.black_hole(false);
            }
            Self::Commit => at_commits(link).await,
            Self::Answer => at_answers(link).await,
        }
        Ok(())
    }
}

/// Cuts at COM_QUERY packets that are a COMMIT, until six were cut or 3 s are over.
async fn at_commits(link: &Link) {
    let left = Arc::new(AtomicU32::new(COMMITS_CUT));
    let remaining = Arc::clone(&left);
    let mut waiting_for_answer: BTreeSet<u64> = BTreeSet::new();
    link.set_tap(move |direction, connection, bytes| {
        if remaining_is_zero(&remaining) {
            return Verdict::Pass;
        }
        match direction {
            Direction::ToClient if waiting_for_answer.remove(&connection) => {
                remaining.fetch_sub(1, Ordering::Relaxed);
                Verdict::CutBefore(Cut::Fin)
            }
            Direction::ToServer if bytes.ends_with(b"\x03COMMIT") => {
                if remaining_is_even(&remaining) {
                    waiting_for_answer.insert(connection);
                    Verdict::Pass
                } else {
                    remaining.fetch_sub(1, Ordering::Relaxed);
                    Verdict::CutBefore(Cut::Rst)
                }
            }
            Direction::ToClient | Direction::ToServer => Verdict::Pass,
        }
    });
    until_zero(&left).await;
    link.clear_tap();
}

fn remaining_is_zero(remaining: &AtomicU32) -> bool {
    remaining.load(Ordering::Relaxed) == 0
}

fn remaining_is_even(remaining: &AtomicU32) -> bool {
    remaining.load(Ordering::Relaxed).is_multiple_of(2)
}

/// Loses every 41st chunk that the server sends, and its connection, until twelve were cut or
/// 3 s are over.
async fn at_answers(link: &Link) {
    let left = Arc::new(AtomicU32::new(ANSWERS_CUT));
    let remaining = Arc::clone(&left);
    let mut seen = 0_u32;
    link.set_tap(move |direction, _, _| {
        seen += u32::from(direction == Direction::ToClient);
        if direction == Direction::ToServer
            || !seen.is_multiple_of(ANSWERS_APART)
            || remaining_is_zero(&remaining)
        {
            return Verdict::Pass;
        }
        remaining.fetch_sub(1, Ordering::Relaxed);
        Verdict::CutBefore(if seen.is_multiple_of(2 * ANSWERS_APART) {
            Cut::Fin
        } else {
            Cut::Rst
        })
    });
    until_zero(&left).await;
    link.clear_tap();
}

async fn until_zero(left: &AtomicU32) {
    let begun = tokio::time::Instant::now();
    while !remaining_is_zero(left) && begun.elapsed() < CUTS_WITHIN {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn blocking(
    server: &Arc<Server>,
    action: impl FnOnce(&Server) -> Result<(), steadfast_sandbox::Error> + Send + 'static,
) -> Result<()> {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || action(&server)).await??;
    Ok(())
}
