//! What a process uses, as /proc tells (proc_pid_stat(5), proc_pid_status(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// What all threads of a process have used so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// On a processor, in user and kernel mode.
    pub(super) cpu: Duration,
    /// Context switches, of its own will and against it.
    pub(super) switches: u64,
}

impl Usage {
    /// # Errors
    /// The process is gone, or the kernel does not count its time (`CONFIG_SCHED_INFO`).
    pub(super) fn of(process: u32) -> Result<Self> {
        let tasks = format!("/proc/{process}/task");
        let mut usage = Self {
            cpu: Duration::ZERO,
            switches: 0,
        };
        for task in fs::read_dir(&tasks).with_context(|| format!("could not list {tasks}"))? {
            let task = task?.path();
            let read = |name: &str| fs::read_to_string(task.join(name));
            // Nanoseconds: the process's own times are in ticks of 10 ms.
            let (times, status) = match (read("schedstat"), read("status")) {
                (Ok(times), Ok(status)) => (times, status),
                // The thread has ended since they were listed.
                _ if !task.exists() => continue,
                (Err(error), _) | (_, Err(error)) => {
                    return Err(error)
                        .with_context(|| format!("could not read {}", task.display()));
                }
            };
            let on_cpu = times.split_whitespace().next().unwrap_or_default();
            usage.cpu += Duration::from_nanos(
                on_cpu
                    .parse()
                    .with_context(|| format!("no time in schedstat: {times:?}"))?,
            );
            usage.switches += switches(&status);
        }
        Ok(usage)
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}

fn switches(status: &str) -> u64 {
    status
        .lines()
        .filter_map(|line| line.split_once("ctxt_switches:"))
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

/// Memory of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Resident now, in KiB.
    pub(super) resident: u64,
    /// The most that has been resident since [`forget_peak`], in KiB.
    pub(super) peak: u64,
}

impl Memory {
    /// # Errors
    /// The process is gone.
    pub(super) fn of(process: u32) -> Result<Self> {
        let file = format!("/proc/{process}/status");
        let status = fs::read_to_string(&file).with_context(|| format!("could not read {file}"))?;
        Ok(Self {
            resident: kib(&status, "VmRSS:")?,
            peak: kib(&status, "VmHWM:")?,
        })
    }
}

fn kib(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("a process's status has no {name}"))
}

/// From now on the peak of this process is counted anew.
///
/// # Errors
/// The process is gone, or is another account's.
pub(super) fn forget_peak(process: u32) -> Result<()> {
    let file = format!("/proc/{process}/clear_refs");
    fs::write(&file, "5").with_context(|| format!("could not write {file}"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_a_process_does_is_seen() {
        let mut busy = Command::new("/bin/sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let before = Usage::of(busy.id()).unwrap();
        let enough = loop {
            let used = Usage::of(busy.id()).unwrap().since(before);
            if used.cpu > Duration::from_millis(20) || begun.elapsed() > Duration::from_secs(10) {
                break used.cpu;
            }
        };
        let took = begun.elapsed();
        let memory = Memory::of(busy.id()).unwrap();
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(
            enough > Duration::from_millis(20) && enough <= took,
            "{enough:?} of {took:?}"
        );
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
        assert!(Usage::of(busy.id()).is_err());
    }

    #[test]
    fn both_kinds_of_switches_count() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(switches(status), 157);
        assert_eq!(
            kib("VmHWM:\t    9 kB\nVmRSS:\t 8 kB\n", "VmRSS:").unwrap(),
            8
        );
    }
}
