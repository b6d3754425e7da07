//! The faults: what they are called, and those that come from outside, on the processes and on the network between
//! them. Those at points of the protocol are in `points.rs`.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use steadfast_sandbox::Cut;

use crate::points::{self, Aim};
use crate::rig::Rig;
use crate::rng::Rng;

const FROZEN: Duration = Duration::from_secs(3);
const BLACK_HOLE: Duration = Duration::from_secs(5);
/// Longest time that Steadfast stays dead, in milliseconds.
const PROXY_DEAD: u64 = 300;

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
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// Nothing happens.
    None,
    /// kill -9 of the server, and start again.
    Kill,
    /// Graceful shutdown and start again.
    Restart,
    /// Every connection to the server is closed with FIN.
    Fin,
    /// Every connection to the server is closed with RST.
    Rst,
    /// An administrator KILLs every session of the clients' account, of which clients are rightly told.
    KillSessions,
    /// SIGSTOP for 3 s.
    Freeze,
    /// No byte passes for 5 s, nothing is closed.
    Blackhole,
    /// Connections are cut at a COMMIT: in turn it is lost, or it arrives and its answer is lost.
    Commit,
    /// Connections are cut at a random answer of the server's, which is lost.
    Answer,
    /// A write outside a transaction takes effect, and its answer is lost.
    WriteAnswer,
    /// COMMIT arrives, its answer is lost, FIN.
    CommitFin,
    /// COMMIT arrives, its answer is lost, RST.
    CommitRst,
    /// The connection is cut in the middle of COMMIT's bytes.
    CommitHalf,
    /// COMMIT arrives, then the connection is a black hole.
    CommitHole,
    /// The sender of COMMIT is reset, and the server gets it late.
    CommitLate,
    /// kill -9 of the server at a COMMIT, before its OK.
    CommitKill,
    /// The server is frozen in COMMIT, for longer than the proxy waits, and thawed.
    CommitFrozen,
    /// COMMIT's answer is lost, then the resolver's connection as soon as it is made.
    ResolverConnect,
    /// The same, at the resolver's login.
    ResolverLogin,
    /// COMMIT goes into a black hole, then the resolver is cut at its KILL of what it left.
    ResolverKill,
    /// COMMIT's answer is lost, then the resolver is cut at its fence.
    ResolverFence,
    /// The same, at the fence's answer.
    ResolverFenced,
    /// The same, where it reads what the fence found.
    ResolverRecord,
    /// The same, and the server is killed with -9 at the fence.
    ResolverCrash,
    /// A write outside a transaction is cut between the hidden BEGIN and the write.
    AutoBegin,
    /// A write outside a transaction loses its answer.
    AutoWrite,
    /// A write outside a transaction is cut at its recorded COMMIT: before, within or behind.
    AutoCommit,
    /// kill -9 of Steadfast, and start again; clients connect again.
    ProxyKill,
    /// kill -9 of Steadfast at a COMMIT.
    ProxyCommit,
}

/// What an injection did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Injected {
    /// Connections or processes that were hit; 0: nothing came by that the fault was for.
    pub(crate) hits: u32,
}

impl Fault {
    /// All that can be injected where nothing is recorded.
    pub(crate) const WITHOUT_LEDGER: &'static [Fault] = &[
        Fault::Kill,
        Fault::CommitFin,
        Fault::Restart,
        Fault::CommitHalf,
        Fault::Fin,
        Fault::CommitKill,
        Fault::Rst,
        Fault::CommitLate,
        Fault::Freeze,
        Fault::CommitRst,
        Fault::ProxyKill,
        Fault::Blackhole,
        Fault::CommitHole,
        Fault::Answer,
        Fault::CommitFrozen,
        Fault::ResolverConnect,
        Fault::ProxyCommit,
        Fault::ResolverLogin,
        Fault::ResolverKill,
    ];

    /// What else the ledger brings.
    pub(crate) const OF_THE_LEDGER: &'static [Fault] = &[
        Fault::ResolverCrash,
        Fault::ResolverFence,
        Fault::AutoBegin,
        Fault::ResolverFenced,
        Fault::AutoWrite,
        Fault::ResolverRecord,
        Fault::AutoCommit,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::KillSessions => "kill-sessions",
            Self::Freeze => "freeze",
            Self::Blackhole => "blackhole",
            Self::Commit => "commit",
            Self::Answer => "answer",
            Self::WriteAnswer => "write-answer",
            Self::CommitFin => "commit-fin",
            Self::CommitRst => "commit-rst",
            Self::CommitHalf => "commit-half",
            Self::CommitHole => "commit-hole",
            Self::CommitLate => "commit-late",
            Self::CommitKill => "commit-kill",
            Self::CommitFrozen => "commit-frozen",
            Self::ResolverConnect => "resolver-connect",
            Self::ResolverLogin => "resolver-login",
            Self::ResolverKill => "resolver-kill",
            Self::ResolverFence => "resolver-fence",
            Self::ResolverFenced => "resolver-fenced",
            Self::ResolverRecord => "resolver-record",
            Self::ResolverCrash => "resolver-crash",
            Self::AutoBegin => "auto-begin",
            Self::AutoWrite => "auto-write",
            Self::AutoCommit => "auto-commit",
            Self::ProxyKill => "proxy-kill",
            Self::ProxyCommit => "proxy-commit",
        }
    }

    /// Whether it ends a process with kill -9.
    pub(crate) fn kills_a_process(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::CommitKill
                | Self::ResolverCrash
                | Self::ProxyKill
                | Self::ProxyCommit
        )
    }

    /// Whether clients lose their connections by it, whatever the proxy does: it is the proxy that dies.
    pub(crate) fn kills_the_proxy(self) -> bool {
        matches!(self, Self::ProxyKill | Self::ProxyCommit)
    }

    /// Where it strikes; `None`: anywhere.
    pub(crate) fn aim(self) -> Option<Aim> {
        Aim::of(self)
    }

    /// Lets it happen, and returns when its cause is over.
    pub(crate) async fn inject(self, rig: &mut Rig, rng: &mut Rng) -> Result<Injected> {
        if self == Self::None {
            return Ok(Injected::default());
        }
        if let Some(aim) = self.aim() {
            return points::inject(aim, rig, rng).await;
        }
        let (server, link) = rig.sandbox()?;
        match self {
            Self::Kill => {
                rig.on_server(|server| {
                    server.kill()?;
                    server.start_again()
                })
                .await?;
            }
            Self::Restart => rig.on_server(|server| server.restart()).await?,
            Self::Fin => link.cut(Cut::Fin),
            Self::Rst => link.cut(Cut::Rst),
            Self::KillSessions => {
                return Ok(Injected {
                    hits: rig.kill_sessions().await?,
                });
            }
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
            Self::ProxyKill => {
                rig.kill_proxy()?;
                tokio::time::sleep(rng.millis(0, PROXY_DEAD)).await;
                rig.start_proxy_again().await?;
            }
            _ => bail!("{} has a point of its own", self.name()),
        }
        Ok(Injected { hits: 1 })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_fault_is_called_on_the_command_line_what_reports_call_it() {
        for fault in Fault::value_variants() {
            let shown = fault.to_possible_value().unwrap();
            assert_eq!(shown.get_name(), fault.name());
        }
    }

    #[test]
    fn every_fault_is_part_of_the_whole_campaign_but_those_that_others_contain_or_clients_are_told_of()
     {
        for fault in Fault::value_variants() {
            let in_part = Fault::WITHOUT_LEDGER.contains(fault);
            let of_ledger = Fault::OF_THE_LEDGER.contains(fault);
            assert!(!(in_part && of_ledger));
            let contained = matches!(fault, Fault::None | Fault::Commit | Fault::WriteAnswer);
            let told = *fault == Fault::KillSessions;
            assert_eq!(
                in_part || of_ledger,
                !contained && !told,
                "{}",
                fault.name()
            );
        }
    }
}
