//! Was it killed for memory before, or nearly?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};
use crate::words::size;

pub(super) const CHECK: Check = Check {
    name: "out-of-memory",
    area: Area::Memory,
    only: None,
    rule: "Processes of the server's control group were killed for memory (error), the most memory the server ever had is over \
           0.97 of its limit (warning), or a tenth of it is swapped out (warning).",
    why: "What has happened will happen again: the kernel kills the server, and all connections end at once. A server in swap \
          takes so long that clients give up.",
    risk: "More memory costs; a smaller buffer pool reads more from the disk.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![advise(
            "Give it more memory or a smaller innodb_buffer_pool_size (six tenths of the limit), and look at what else runs in \
             its control group.",
        )]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let process = facts.process.get()?;
    let mut found = Vec::new();
    if let Some(killed) = process.killed.filter(|killed| *killed > 0) {
        found.push(Found::error(format!(
            "{killed} processes of the server's control group were killed for memory"
        )));
    }
    if let Some(limit) = facts.memory.ok()
        && process.peak as f64 > 0.97 * limit.bytes as f64
    {
        found.push(Found::warning(format!(
            "the server has had {} of the {} that {} has",
            size(process.peak),
            size(limit.bytes),
            limit.what
        )));
    }
    if process.swapped > process.resident / 10 {
        found.push(Found::warning(format!(
            "{} of the server are swapped out, {} are in memory",
            size(process.swapped),
            size(process.resident)
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Warning};
    use super::super::facts::{Process, Seen};
    use super::super::testing::{mysql, severity};

    #[test]
    fn kills_and_swapping_are_found() {
        for (killed, swapped, expected) in [
            (Some(0), 0, None),
            (Some(1), 0, Some(Error)),
            (None, 300, Some(Warning)),
        ] {
            let mut facts = mysql(&[]);
            facts.process = Seen::Is(Process {
                resident: 1000,
                peak: 1000,
                swapped,
                killed,
                ..Process::default()
            });
            assert_eq!(severity(&facts, "out-of-memory"), expected);
        }
    }
}
