//! Every fault at every point of a small script; and every second fault after every first one.

use anyhow::Result;

use crate::coverage::Sum;
use crate::fault::{Fault, Planned, When};
use crate::plan::{Plan, Script, all_faults};
use crate::run::{Report, run};
use crate::trace::Keep;

/// What is to be walked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk {
    /// The script, without faults.
    pub plan: Plan,
    /// The first fault's kinds.
    pub first: Vec<Fault>,
    /// The second fault's; empty: one fault only.
    pub second: Vec<Fault>,
}

impl Walk {
    /// All scripts on both kinds of server, with and without a ledger.
    pub fn all(depth: u8) -> Vec<Self> {
        let mut all = Vec::new();
        for script in [
            Script::Write,
            Script::Transaction,
            Script::Session,
            Script::Vanish,
        ] {
            for mariadb in [false, true] {
                for ledger in [true, false] {
                    all.push(Self {
                        plan: Plan::quiet(script, mariadb, ledger, 1),
                        first: all_faults(),
                        second: if depth > 1 {
                            second_faults()
                        } else {
                            Vec::new()
                        },
                    });
                }
            }
        }
        all
    }

    /// The plans that begin with a fault at this point, and how they went.
    ///
    /// # Errors
    /// A run could not begin.
    pub fn at(&self, point: u32, each: &mut dyn FnMut(&Plan, &Report)) -> Result<()> {
        for fault in &self.first {
            let mut plan = self.plan.clone();
            plan.faults.push(Planned {
                when: When::Point(point),
                fault: *fault,
            });
            let report = run(&plan, Keep::Violations)?;
            each(&plan, &report);
            for next in point + 1..report.points {
                for second in &self.second {
                    let mut plan = plan.clone();
                    plan.faults.push(Planned {
                        when: When::Point(next),
                        fault: *second,
                    });
                    let report = run(&plan, Keep::Violations)?;
                    each(&plan, &report);
                }
            }
        }
        Ok(())
    }

    /// How many points the script has without faults.
    ///
    /// # Errors
    /// The run could not begin.
    pub fn points(&self) -> Result<u32> {
        Ok(run(&self.plan, Keep::Violations)?.points)
    }

    /// Walks all of it.
    ///
    /// # Errors
    /// A run could not begin.
    pub fn walk(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        for point in 0..self.points()? {
            self.at(point, &mut |plan, report| {
                sum.add(|| serde_json::to_string(plan).unwrap_or_default(), report);
            })?;
        }
        Ok(sum)
    }
}

/// Kinds of a second fault: one of each that differs after another.
pub fn second_faults() -> Vec<Fault> {
    use crate::fault::Seen;
    vec![
        Fault::Rst {
            cut: 0,
            seen: Seen::ByBoth,
        },
        Fault::Fin {
            cut: 1000,
            seen: Seen::ByProxy,
        },
        Fault::Crash {
            cut: 1000,
            millis: 500,
            reset: false,
        },
    ]
}
