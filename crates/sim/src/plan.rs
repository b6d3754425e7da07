//! What a run is made of, all of it decided by its seed, or written out.

use serde::{Deserialize, Serialize};

use crate::fault::{Class, Fault, Phase, Planned, Seen, When};
use crate::random::Random;

/// What is wrong on purpose.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default,
)]
pub enum Plant {
    /// Nothing.
    #[default]
    None,
    /// The fence does not fence.
    NoFence,
    /// The ledger's call is sent in one go with the statement before it.
    PipelinedCall,
    /// A proxy that starts again uses the lanes of before.
    LaneReused,
    /// A transaction is replayed although its COMMIT was sent and has taken effect.
    ReplayAfterCommit,
    /// A SET is forgotten when a session is restored.
    ForgottenSet,
}

/// What clients do.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default,
)]
pub enum Script {
    /// Everything, at random.
    #[default]
    Mixed,
    /// One write outside a transaction.
    Write,
    /// One transaction of two writes, and its COMMIT.
    Transaction,
    /// A transaction, in whose middle the client leaves without a word.
    Vanish,
    /// A SET, a transaction with a read, and a look at the session.
    Session,
}

/// A run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Decides everything that is not written here.
    pub seed: u64,
    /// The server is like MariaDB, not like MySQL.
    pub mariadb: bool,
    /// The ledger is installed.
    pub ledger: bool,
    /// The proxy is told not to use it.
    pub off: bool,
    /// What clients do.
    pub script: Script,
    /// How many clients.
    pub clients: usize,
    /// How many things each does.
    pub operations: u32,
    /// The longest way of a segment, in milliseconds.
    pub latency: u64,
    /// Writes in a hundred that arrive in two parts.
    pub split: u64,
    /// A crash forgets AUTO_INCREMENT values that were drawn and not written.
    pub forgets_ids: bool,
    /// How long clients are held, in milliseconds.
    pub hold: u64,
    /// How many bytes of a response the proxy holds back until it is complete; `None`: all.
    #[serde(default)]
    pub hold_back: Option<usize>,
    /// What goes wrong.
    pub faults: Vec<Planned>,
    /// What is wrong on purpose.
    pub plant: Plant,
}

impl Plan {
    /// The run of this seed. `ledger`: `None` lets the seed decide (three of four have it).
    pub fn random(seed: u64, ledger: Option<bool>, plant: Plant) -> Self {
        let mut random = Random::new(seed);
        let with_ledger = random.chance(75);
        let clients = random.pick(&[1, 2, 2, 3, 3, 4]);
        let mut plan = Self {
            seed,
            mariadb: random.chance(50),
            ledger: ledger.unwrap_or(with_ledger),
            off: !ledger.unwrap_or(with_ledger) && random.chance(50),
            script: Script::Mixed,
            clients,
            operations: random.between(3, 8) as u32,
            // Never without any: the proxy may ask until the clock has moved.
            latency: random.pick(&[1, 1, 2, 5, 20]),
            split: random.pick(&[0, 5, 20]),
            forgets_ids: random.chance(50),
            hold: HOLD,
            hold_back: random.pick(&[None, None, Some(1), Some(80)]),
            faults: Vec::new(),
            plant,
        };
        if plant == Plant::LaneReused {
            plan.faults.push(Planned {
                when: When::Moment(random.below(1_000) as u32),
                fault: Fault::ProxyCrash { millis: 5 },
            });
        }
        for _ in 0..random.pick(&[1, 1, 2, 2, 3, 5]) {
            let when = plan.random_when(&mut random);
            let fault = random_fault(&mut random, matches!(when, When::Moment(_)));
            plan.faults.push(Planned { when, fault });
        }
        if plan.ledger && random.chance(10) {
            plan.strike_a_fence(&mut random);
        }
        plan
    }

    /// A run without faults, whose points are to be counted.
    pub fn quiet(script: Script, mariadb: bool, ledger: bool, clients: usize) -> Self {
        Self {
            seed: 1,
            mariadb,
            ledger,
            off: false,
            script,
            clients,
            operations: 1,
            latency: 1,
            split: 0,
            forgets_ids: false,
            hold: HOLD,
            hold_back: None,
            faults: Vec::new(),
            plant: Plant::None,
        }
    }

    /// A loss that makes a fence necessary, and a fault at one of its points: by chance the two hardly meet.
    fn strike_a_fence(&mut self, random: &mut Random) {
        let loss = Fault::Rst {
            cut: 1000,
            seen: Seen::ByProxy,
        };
        let when = When::At(Phase::Send, Class::Ledger, random.below(4) as u32);
        self.faults.push(Planned { when, fault: loss });
        let phase = random.pick(&[
            Phase::Send,
            Phase::Before,
            Phase::Within,
            Phase::After,
            Phase::Answer,
        ]);
        let when = When::At(phase, Class::Fence, random.below(2) as u32);
        let fault = random_fault(random, false);
        self.faults.push(Planned { when, fault });
    }

    fn random_when(&self, random: &mut Random) -> When {
        let size = 60 + self.clients as u64 * u64::from(self.operations) * 20;
        match random.below(10) {
            0..=2 => When::Point(random.below(size) as u32),
            3..=8 => {
                let phase = random.pick(&[
                    Phase::Send,
                    Phase::Before,
                    Phase::Within,
                    Phase::After,
                    Phase::Answer,
                ]);
                let class = random.pick(&[
                    Class::Ledger,
                    Class::Ledger,
                    Class::Ledger,
                    Class::Commit,
                    Class::Commit,
                    Class::Autocommit,
                    Class::Autocommit,
                    Class::Write,
                    Class::Write,
                    Class::LockingRead,
                    Class::Read,
                    Class::Begin,
                    Class::Fence,
                    Class::Rollback,
                    Class::Savepoint,
                    Class::Set,
                    Class::Prepare,
                    Class::Login,
                    Class::Hidden,
                ]);
                let many = match class {
                    Class::Fence => 3,
                    Class::Hidden => 40,
                    Class::Login => 12,
                    _ => 8,
                };
                When::At(phase, class, random.below(many) as u32)
            }
            _ => When::Moment(random.below(3_000) as u32),
        }
    }

    /// Whether the server may be away for longer than clients are held: then 1053, and 1180 for what is in doubt.
    pub fn outlasts_hold(&self) -> bool {
        let outages = self.faults.iter().map(|planned| {
            // Who waits between two of them has waited for the first, and what comes back takes its time.
            planned.fault.outage() + RECOVERY
        });
        outages.sum::<u64>() >= self.hold
    }

    /// Whether a fault of the plan is one of these.
    pub fn has(&self, test: impl Fn(Fault) -> bool) -> bool {
        self.faults.iter().any(|planned| test(planned.fault))
    }
}

/// How long clients are held in a random run, in milliseconds: twice the product's default, so that the two or three
/// faults of most runs do not outlast it.
const HOLD: u64 = 120_000;

/// How long it may take after a fault until a session is as it was, in milliseconds.
const RECOVERY: u64 = 8_000;

/// Where bytes are cut, in thousandths.
const CUTS: [u16; 6] = [0, 1, 300, 700, 999, 1000];

fn random_fault(random: &mut Random, at_moment: bool) -> Fault {
    let cut = if random.chance(50) {
        random.pick(&CUTS)
    } else {
        random.below(1001) as u16
    };
    let seen = random.pick(&[
        Seen::ByBoth,
        Seen::ByBoth,
        Seen::ByProxy,
        Seen::ByProxy,
        Seen::ByServer,
    ]);
    // Mostly shorter than clients are held.
    let millis = random.pick(&[5, 100, 500, 2_000, 6_000, 12_000]);
    let millis = if random.chance(2) { 150_000 } else { millis };
    match random.below(if at_moment { 26 } else { 24 }) {
        0..=2 => Fault::Fin { cut, seen },
        3..=6 => Fault::Rst { cut, seen },
        7 | 8 => Fault::BlackHole { cut, millis },
        9 | 10 => Fault::Delay { millis },
        11 | 12 => Fault::Partition { millis },
        13 | 14 => Fault::Freeze { millis },
        15..=18 => Fault::Crash {
            cut,
            millis,
            reset: random.chance(50),
        },
        19 => Fault::Kill,
        20..=22 if !at_moment => Fault::Stall {
            millis,
            lost: random.chance(60),
        },
        _ => Fault::ProxyCrash {
            millis: random.pick(&[5, 500, 3_000]),
        },
    }
}

/// Every kind of fault that can strike at a point, with every cut that matters there.
pub fn all_faults() -> Vec<Fault> {
    let mut all = Vec::new();
    for seen in [Seen::ByBoth, Seen::ByProxy, Seen::ByServer] {
        for cut in [0, 500, 1000] {
            all.push(Fault::Fin { cut, seen });
            all.push(Fault::Rst { cut, seen });
        }
    }
    for cut in [0, 500, 1000] {
        for reset in [false, true] {
            all.push(Fault::Crash {
                cut,
                millis: 500,
                reset,
            });
        }
        all.push(Fault::BlackHole {
            cut,
            millis: 12_000,
        });
    }
    all.extend([
        Fault::Delay { millis: 12_000 },
        Fault::Stall {
            millis: 4_000,
            lost: false,
        },
        Fault::Stall {
            millis: 4_000,
            lost: true,
        },
        Fault::Partition { millis: 6_000 },
        Fault::Freeze { millis: 12_000 },
        Fault::Kill,
        Fault::ProxyCrash { millis: 100 },
    ]);
    all
}
