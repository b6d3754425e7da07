//! Faults at points of the protocol: where on the link they strike, and with what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use steadfast_sandbox::{Cut, Direction, Point, Seen, Server, Sight, Verdict};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::faults::{Fault, Injected};
use crate::rig::{DEAD_AFTER, Killer, Rig};
use crate::rng::Rng;

/// Bytes before a packet's payload.
const PACKET_HEADER: usize = 4;
/// How often a round strikes where that is cheap, and where each strike costs seconds.
const MANY: u32 = 4;
const FEW: u32 = 1;
/// How long a round waits for what it strikes.
const WITHIN: Duration = Duration::from_secs(3);
/// The same where something must be found dead first.
const WITHIN_SLOW: Duration = Duration::from_secs(9);
/// How long after a COMMIT a process is killed or stopped, at most, in microseconds.
const HALF_DONE: u64 = 3000;
/// Chunks between two answers that are lost.
const ANSWERS_APART: u32 = 41;
/// What the workload runs outside transactions only.
const OUTSIDE: [&[u8]; 3] = [b"INSERT INTO request ", b"UPDATE tally ", b"UPDATE triple "];
/// How late a COMMIT arrives, in milliseconds: before, during and after what resolves it.
const LATE: [u64; 4] = [20, 120, 600, 2500];

/// Where a fault strikes and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// A COMMIT or its answer.
    Commit(Strike),
    /// Any answer of the server's.
    Answer,
    /// What acknowledges a write outside a transaction: its own answer, or that of the COMMIT that it was given.
    WriteAnswer,
    /// What resolves a COMMIT whose answer was lost.
    Resolver(Step),
    /// A write outside a transaction that was given one.
    Auto(Part),
}

/// What happens to a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// In turn the COMMIT or its answer is lost.
    Either,
    AnswerLost(Cut),
    Half,
    Hole,
    Late,
    ServerKilled,
    ServerFrozen,
    ProxyKilled,
}

/// A step of what resolves a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Connect,
    Login,
    Kill,
    Fence,
    Fenced,
    Record,
    Crash,
}

/// A part of a wrapped write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Begin,
    Write,
    Commit,
}

impl Aim {
    /// `None`: the fault strikes anywhere.
    pub(crate) fn of(fault: Fault) -> Option<Self> {
        Some(match fault {
            Fault::Commit => Self::Commit(Strike::Either),
            Fault::Answer => Self::Answer,
            Fault::WriteAnswer => Self::WriteAnswer,
            Fault::CommitFin => Self::Commit(Strike::AnswerLost(Cut::Fin)),
            Fault::CommitRst => Self::Commit(Strike::AnswerLost(Cut::Rst)),
            Fault::CommitHalf => Self::Commit(Strike::Half),
            Fault::CommitHole => Self::Commit(Strike::Hole),
            Fault::CommitLate => Self::Commit(Strike::Late),
            Fault::CommitKill => Self::Commit(Strike::ServerKilled),
            Fault::CommitFrozen => Self::Commit(Strike::ServerFrozen),
            Fault::ProxyCommit => Self::Commit(Strike::ProxyKilled),
            Fault::ResolverConnect => Self::Resolver(Step::Connect),
            Fault::ResolverLogin => Self::Resolver(Step::Login),
            Fault::ResolverKill => Self::Resolver(Step::Kill),
            Fault::ResolverFence => Self::Resolver(Step::Fence),
            Fault::ResolverFenced => Self::Resolver(Step::Fenced),
            Fault::ResolverRecord => Self::Resolver(Step::Record),
            Fault::ResolverCrash => Self::Resolver(Step::Crash),
            Fault::AutoBegin => Self::Auto(Part::Begin),
            Fault::AutoWrite => Self::Auto(Part::Write),
            Fault::AutoCommit => Self::Auto(Part::Commit),
            Fault::None
            | Fault::Kill
            | Fault::Restart
            | Fault::Fin
            | Fault::Rst
            | Fault::KillSessions
            | Fault::Freeze
            | Fault::Blackhole
            | Fault::ProxyKill => return None,
        })
    }

    /// How often a round strikes.
    fn strikes(self) -> u32 {
        match self {
            Self::Answer => 3 * MANY,
            Self::Commit(
                Strike::Hole | Strike::ServerKilled | Strike::ServerFrozen | Strike::ProxyKilled,
            )
            | Self::Resolver(Step::Kill | Step::Crash) => FEW,
            Self::Resolver(_) => 2,
            Self::Commit(_) | Self::Auto(_) | Self::WriteAnswer => MANY,
        }
    }

    /// What falls with the connection.
    fn victim(self) -> Victim {
        match self {
            Self::Commit(Strike::ServerKilled) | Self::Resolver(Step::Crash) => {
                Victim::ServerKilled
            }
            Self::Commit(Strike::ServerFrozen) => Victim::ServerFrozen,
            Self::Commit(Strike::Hole) | Self::Resolver(Step::Kill) => Victim::Link,
            Self::Commit(Strike::ProxyKilled) => Victim::Proxy,
            _ => Victim::Nobody,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Nobody,
    Link,
    ServerKilled,
    ServerFrozen,
    Proxy,
}

/// Strikes until it has struck often enough or nothing comes by any more, and brings back what was killed.
pub(crate) async fn inject(aim: Aim, rig: &mut Rig, rng: &mut Rng) -> Result<Injected> {
    let (server, link) = rig.sandbox()?;
    let order = Arc::new(Order {
        struck: AtomicU32::new(0),
        enough: aim.strikes(),
        done: Notify::new(),
        hole: Notify::new(),
        over: AtomicBool::new(false),
        fell: AtomicBool::new(false),
    });
    let mut archer = Archer {
        aim,
        sight: Sight::default(),
        order: Arc::clone(&order),
        rng: Rng::new(rng.next()),
        newest: link.newest(),
        phase: Phase::Looking,
        answers: BTreeSet::new(),
        fenced: BTreeSet::new(),
        wrapped: BTreeSet::new(),
        seen: 0,
        arm: Arm {
            server: Arc::clone(&server),
            proxy: rig.proxy_killer(),
        },
    };
    link.set_tap(move |direction, connection, bytes| archer.look(direction, connection, bytes));
    let struck = || order.struck.load(Ordering::SeqCst);
    if aim.victim() == Victim::Link {
        if timeout(WITHIN, order.hole.notified()).await.is_ok() {
            link.black_hole(true);
            tokio::time::sleep(outlasting(rng)).await;
            link.black_hole(false);
            if struck() == 0 {
                wait(&order, WITHIN_SLOW).await;
            }
        }
    } else {
        wait(&order, WITHIN).await;
    }
    if struck() > 0 {
        fall(aim.victim(), &order, &server, rig, rng).await?;
    }
    link.clear_tap();
    if struck() > 0 {
        match aim.victim() {
            Victim::Nobody | Victim::Link => {}
            Victim::ServerKilled => rig.on_server(|server| server.start_again()).await?,
            Victim::ServerFrozen => {
                tokio::time::sleep(outlasting(rng)).await;
                server.thaw()?;
            }
            Victim::Proxy => rig.start_proxy_again().await?,
        }
    }
    Ok(Injected { hits: struck() })
}

/// Longer than the proxy waits for a server that is silent: twice the limit, because the health check tries another
/// connection before it believes it, and the time between two checks.
fn outlasting(rng: &mut Rng) -> Duration {
    2 * DEAD_AFTER + rng.millis(800, 2500)
}

/// Until all strikes are done, or time is over: then there were fewer.
async fn wait(order: &Order, within: Duration) {
    if timeout(within, order.done.notified()).await.is_err() {
        order.over.store(true, Ordering::SeqCst);
    }
}

/// Kills or stops the victim, if the tap has not done so: soon after the COMMIT.
async fn fall(
    victim: Victim,
    order: &Order,
    server: &Server,
    rig: &Rig,
    rng: &mut Rng,
) -> Result<()> {
    if order.fell.load(Ordering::SeqCst) {
        return Ok(());
    }
    let begun = Instant::now();
    let wait = Duration::from_micros(rng.between(0, HALF_DONE));
    while begun.elapsed() < wait {
        tokio::task::yield_now().await;
    }
    match victim {
        Victim::Nobody | Victim::Link => {}
        Victim::ServerKilled => server.kill()?,
        Victim::ServerFrozen => server.freeze()?,
        Victim::Proxy => rig.kill_proxy()?,
    }
    Ok(())
}

/// What the tap and who armed it share.
struct Order {
    struck: AtomicU32,
    enough: u32,
    done: Notify,
    /// A COMMIT is on its way, and nothing is to come through after it.
    hole: Notify,
    /// It is too late for more.
    over: AtomicBool,
    /// The victim was killed or stopped by the tap itself.
    fell: AtomicBool,
}

impl Order {
    fn is_done(&self) -> bool {
        self.over.load(Ordering::SeqCst) || self.struck.load(Ordering::SeqCst) >= self.enough
    }

    fn strike(&self) {
        if self.struck.fetch_add(1, Ordering::SeqCst) + 1 >= self.enough {
            self.done.notify_one();
        }
    }
}

/// What a tap may reach out to: everything but the link.
struct Arm {
    server: Arc<Server>,
    proxy: Option<Killer>,
}

/// Where a strike at a resolver stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For a COMMIT to bring into doubt.
    Looking,
    /// A COMMIT is in doubt; so many strikes at what resolves it.
    Doubt(u32),
}

struct Archer {
    aim: Aim,
    sight: Sight,
    order: Arc<Order>,
    rng: Rng,
    /// Connections above it are newer than the order.
    newest: u64,
    phase: Phase,
    /// Connections whose next answer is lost.
    answers: BTreeSet<u64>,
    /// Connections whose next answer is a fence's, and is lost.
    fenced: BTreeSet<u64>,
    /// Connections with a wrapped write under way.
    wrapped: BTreeSet<u64>,
    /// Answers seen.
    seen: u32,
    arm: Arm,
}

impl Archer {
    fn look(&mut self, direction: Direction, connection: u64, bytes: &[u8]) -> Verdict {
        match direction {
            Direction::ToServer => {
                let seen = self.sight.to_server(connection, bytes);
                self.request(connection, &seen, bytes)
            }
            Direction::ToClient => self.response(connection),
        }
    }

    fn cut(&mut self) -> Cut {
        if self.rng.one_in(2) {
            Cut::Fin
        } else {
            Cut::Rst
        }
    }

    fn request(&mut self, connection: u64, seen: &[Seen], bytes: &[u8]) -> Verdict {
        let wraps = wraps(seen);
        if wraps.is_some() {
            self.wrapped.insert(connection);
        }
        let find = |point: Point| seen.iter().find(|packet| packet.point == point);
        let commit = find(Point::Commit);
        let was_wrapped = commit.is_some() && self.wrapped.remove(&connection);
        if self.order.is_done() || self.spares(connection) {
            return Verdict::Pass;
        }
        match (self.aim, commit) {
            (Aim::Commit(strike), Some(commit)) => self.at_commit(strike, connection, commit),
            (Aim::WriteAnswer, Some(_)) if was_wrapped => self.lose_answer(connection),
            (Aim::WriteAnswer, None) if wraps.is_none() && outside(seen, bytes) => {
                self.lose_answer(connection)
            }
            (Aim::Resolver(step), _) => self.at_resolver(step, connection, seen),
            (Aim::Auto(Part::Begin), _) => match wraps {
                Some(begin_ends) => {
                    self.order.strike();
                    Verdict::CutWithin(begin_ends, self.cut())
                }
                None => Verdict::Pass,
            },
            (Aim::Auto(Part::Write), _) if wraps.is_some() => self.lose_answer(connection),
            (Aim::Auto(Part::Commit), Some(commit)) if was_wrapped => {
                let strike = match self.rng.between(0, 3) {
                    0 => Strike::Half,
                    1 => Strike::Either,
                    _ => Strike::AnswerLost(self.cut()),
                };
                self.at_commit(strike, connection, commit)
            }
            _ => Verdict::Pass,
        }
    }

    /// A command that is lost again and again is given up (`limits.attempts`, four), and rightly so: what ran again on a
    /// new connection is struck once more at most. Where any answer is struck, that of a long result is likely to be met
    /// each time: twice more.
    fn spares(&self, connection: u64) -> bool {
        let once_more = self.newest + 1;
        match self.aim {
            Aim::Auto(_) | Aim::Commit(_) | Aim::WriteAnswer => connection > once_more,
            Aim::Resolver(_) => self.phase == Phase::Looking && connection > once_more,
            Aim::Answer => connection > once_more + 1,
        }
    }

    fn lose_answer(&mut self, connection: u64) -> Verdict {
        self.answers.insert(connection);
        Verdict::Pass
    }

    fn at_commit(&mut self, strike: Strike, connection: u64, commit: &Seen) -> Verdict {
        match strike {
            Strike::Either if self.rng.one_in(2) => self.lose_answer(connection),
            Strike::AnswerLost(_) => self.lose_answer(connection),
            Strike::Either => {
                self.order.strike();
                Verdict::CutBefore(self.cut())
            }
            Strike::Half => {
                self.order.strike();
                let length = commit.at.len() as u64;
                let within = self.rng.between(1, length) as usize;
                Verdict::CutWithin(commit.at.start + within, self.cut())
            }
            Strike::Hole => {
                self.order.strike();
                self.order.hole.notify_one();
                Verdict::Hole
            }
            Strike::Late => {
                self.order.strike();
                let which = self.rng.between(0, LATE.len() as u64) as usize;
                Verdict::Late(Duration::from_millis(
                    LATE.get(which).copied().unwrap_or_default(),
                ))
            }
            Strike::ServerKilled | Strike::ServerFrozen | Strike::ProxyKilled => {
                self.fell_or_mark(connection)
            }
        }
    }

    /// A process is being killed.
    fn killing(&self) -> bool {
        let kills = matches!(self.aim.victim(), Victim::ServerKilled | Victim::Proxy);
        kills && self.order.is_done()
    }

    /// In turn: the victim falls before it has the bytes, or soon after.
    fn fell_or_mark(&mut self, connection: u64) -> Verdict {
        let victim = self.aim.victim();
        // Nothing comes back any more on this connection: whatever a dead victim still did is in doubt. One that only
        // sleeps may answer when it wakes.
        if victim != Victim::ServerFrozen {
            self.answers.insert(connection);
        }
        if self.rng.one_in(2) {
            let fallen = match victim {
                Victim::Nobody | Victim::Link => Ok(()),
                Victim::ServerKilled => self.arm.server.kill().map_err(anyhow::Error::from),
                Victim::ServerFrozen => self.arm.server.freeze().map_err(anyhow::Error::from),
                Victim::Proxy => self.arm.proxy.as_ref().map_or(Ok(()), Killer::kill),
            };
            match fallen {
                Ok(()) => self.order.fell.store(true, Ordering::SeqCst),
                Err(error) => eprintln!("a fault could not be injected: {error:#}"),
            }
        }
        self.order.strike();
        Verdict::Pass
    }

    fn at_resolver(&mut self, step: Step, connection: u64, seen: &[Seen]) -> Verdict {
        let find = |point: Point| seen.iter().find(|packet| packet.point == point);
        let Phase::Doubt(_) = self.phase else {
            if find(Point::Commit).is_none() {
                return Verdict::Pass;
            }
            if step == Step::Kill {
                self.doubt();
                self.order.hole.notify_one();
                return Verdict::Hole;
            }
            return self.lose_answer(connection);
        };
        if connection <= self.newest {
            return Verdict::Pass;
        }
        let point = match step {
            Step::Connect => return Verdict::Pass,
            Step::Login => Point::Login,
            Step::Kill => Point::Kill,
            Step::Fence | Step::Fenced | Step::Crash => Point::Fence,
            Step::Record => Point::Record,
        };
        if find(point).is_none() {
            return Verdict::Pass;
        }
        match step {
            Step::Crash => self.fell_or_mark(connection),
            Step::Fenced => {
                self.fenced.insert(connection);
                Verdict::Pass
            }
            _ => {
                self.struck_resolver();
                let cut = self.cut();
                if self.rng.one_in(2) {
                    Verdict::CutBefore(cut)
                } else {
                    Verdict::CutAfter(cut)
                }
            }
        }
    }

    /// A COMMIT is in doubt now; what resolves it is struck once or twice.
    fn doubt(&mut self) {
        let again = u32::try_from(self.rng.between(1, 3)).unwrap_or(1);
        self.phase = Phase::Doubt(again);
    }

    fn struck_resolver(&mut self) {
        if let Phase::Doubt(left) = self.phase {
            self.phase = match left {
                0 | 1 => Phase::Looking,
                left => Phase::Doubt(left - 1),
            };
        }
        self.order.strike();
    }

    fn response(&mut self, connection: u64) -> Verdict {
        self.seen += 1;
        if self.killing() {
            return match self.answers.contains(&connection) {
                true => Verdict::Drop,
                false => Verdict::Pass,
            };
        }
        if self.answers.remove(&connection) {
            return self.answer();
        }
        if self.fenced.remove(&connection) {
            self.struck_resolver();
            return Verdict::CutBefore(self.cut());
        }
        let done = self.order.is_done();
        match self.aim {
            Aim::Answer
                if !done && self.seen.is_multiple_of(ANSWERS_APART) && !self.spares(connection) =>
            {
                self.order.strike();
                Verdict::CutBefore(self.cut())
            }
            Aim::Resolver(Step::Connect)
                if !done
                    && matches!(self.phase, Phase::Doubt(_))
                    && connection > self.newest
                    && !self.sight.knows(connection) =>
            {
                self.struck_resolver();
                Verdict::CutBefore(self.cut())
            }
            _ => Verdict::Pass,
        }
    }

    /// An answer to a COMMIT, which is to be lost.
    fn answer(&mut self) -> Verdict {
        match (self.aim, self.phase) {
            (Aim::Resolver(_), Phase::Looking) => self.doubt(),
            // Another was brought into doubt beside it.
            (Aim::Resolver(_), Phase::Doubt(_)) => {}
            _ => self.order.strike(),
        }
        match self.aim {
            Aim::Commit(Strike::AnswerLost(cut)) => Verdict::CutBefore(cut),
            _ => Verdict::CutBefore(self.cut()),
        }
    }
}

/// Whether a chunk has a write that is never part of a transaction of its client's.
fn outside(seen: &[Seen], bytes: &[u8]) -> bool {
    let texts = seen
        .iter()
        .filter(|packet| packet.point == Point::Write)
        .filter_map(|packet| bytes.get(packet.at.clone())?.get(PACKET_HEADER + 1..));
    texts
        .into_iter()
        .any(|text| OUTSIDE.iter().any(|begin| text.starts_with(begin)))
}

/// Whether a chunk is a write that was given a BEGIN; where the BEGIN ends.
fn wraps(seen: &[Seen]) -> Option<usize> {
    seen.windows(2).find_map(|pair| match pair {
        [begin, write] if begin.point == Point::Begin && write.point == Point::Write => {
            Some(begin.at.end)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(code: u8, text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len() + 1).unwrap();
        [&[length, 0, 0, 0, code], text.as_bytes()].concat()
    }

    #[test]
    fn a_write_outside_transactions_is_known_by_its_text_when_it_runs() {
        let is_outside = |bytes: &[u8]| outside(&Sight::default().to_server(1, bytes), bytes);
        let count = "UPDATE tally SET hits = hits + 1 WHERE client = 1";
        assert!(is_outside(&query(3, count)));
        assert!(is_outside(
            &[query(3, "SELECT 1"), query(3, count)].concat()
        ));
        // COM_STMT_PREPARE runs nothing.
        assert!(!is_outside(&query(0x16, count)));
        assert!(!is_outside(&query(3, "UPDATE own SET value = 1")));
    }
}
