//! What the server's machine tells of it, where Steadfast runs on the same one: the error log, the kernel's log, and the
//! memory control group. Each is used where it can be read; nothing here needs a right.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast_diagnose::kernel::KernelEvent;
use steadfast_diagnose::log::LogEvent;
use tokio::time::Instant;

/// Bytes of the error log that are read for one loss.
const MAX_LOG: u64 = 1 << 20;

/// Numbers that are remembered, of what is asked for every half second: for as long as statements may stand still.
const REMEMBERED: usize = 600;

/// Lines of the kernel's log that are remembered.
const KERNEL_LINES: usize = 64;

/// `O_NONBLOCK` of Linux.
const O_NONBLOCK: i32 = 0o4000;

/// The server's machine.
#[derive(Debug, Default)]
pub(crate) struct Host {
    log: Option<ErrorLog>,
    group: Option<Group>,
    kernel: Option<KernelLog>,
}

impl Host {
    /// Of a server with these settings; empty where it does not run on this machine.
    pub(crate) fn of(variables: &BTreeMap<String, String>) -> Self {
        let Some(process) = process(variables) else {
            return Self::default();
        };
        Self {
            log: ErrorLog::of(variables),
            group: Group::of(process),
            kernel: KernelLog::open(),
        }
    }

    /// Whether servers with these settings are one and the same as far as its machine is concerned.
    pub(crate) fn is_same(
        one: &BTreeMap<String, String>,
        other: &BTreeMap<String, String>,
    ) -> bool {
        ["datadir", "hostname", "log_error", "pid_file"]
            .iter()
            .all(|name| one.get(*name) == other.get(*name))
    }

    /// Whether anything of it can be read.
    pub(crate) fn is_here(&self) -> bool {
        self.log.is_some() || self.group.is_some() || self.kernel.is_some()
    }

    /// Takes note of how far the logs have come; to be called often.
    pub(crate) fn note(&mut self) {
        if let Some(log) = &mut self.log {
            log.note();
        }
        if let Some(group) = &mut self.group {
            group.note();
        }
    }

    /// What the error log has told since then, if it can be read.
    pub(crate) fn logged_since(&self, then: Instant) -> Option<Vec<LogEvent>> {
        self.log.as_ref()?.since(then)
    }

    /// What the kernel has told since then, if it can be read.
    pub(crate) fn kernel_since(&mut self, then: Instant) -> Option<Vec<KernelEvent>> {
        Some(self.kernel.as_mut()?.since(then))
    }

    /// Processes of the server's group that were killed for memory since then, if that is known.
    pub(crate) fn group_kills_since(&self, then: Instant) -> Option<u64> {
        let group = self.group.as_ref()?;
        let before = before(&group.counted, then)?;
        Some(group.count()?.saturating_sub(before))
    }
}

/// The server's process, if it is one of this machine.
fn process(variables: &BTreeMap<String, String>) -> Option<u32> {
    let here = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    if variables.get("hostname")? != here.trim() {
        return None;
    }
    let file = absolute(variables, variables.get("pid_file")?);
    let process: u32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    // Started by a loader, the name may be the loader's: what it runs is among its arguments.
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    (line.contains("mysqld") || line.contains("mariadbd")).then_some(process)
}

/// A path as the server has it, which may be meant from its data directory.
fn absolute(variables: &BTreeMap<String, String>, path: &str) -> PathBuf {
    let base = variables.get("datadir").map_or("", String::as_str);
    Path::new(base).join(path)
}

/// The server's error log.
#[derive(Debug)]
struct ErrorLog {
    path: PathBuf,
    /// The file of that name.
    inode: u64,
    /// How large it was, and when.
    sizes: VecDeque<(Instant, u64)>,
}

impl ErrorLog {
    fn of(variables: &BTreeMap<String, String>) -> Option<Self> {
        let name = variables.get("log_error")?;
        if name.is_empty() || name == "stderr" {
            return None;
        }
        let path = absolute(variables, name);
        File::open(&path).ok()?;
        let mut log = Self {
            path,
            inode: 0,
            sizes: VecDeque::new(),
        };
        log.note();
        Some(log)
    }

    fn note(&mut self) {
        let Ok(found) = fs::metadata(&self.path) else {
            return;
        };
        if self.inode != found.ino() {
            self.inode = found.ino();
            self.sizes.clear();
        }
        remember(&mut self.sizes, found.len());
    }

    fn since(&self, then: Instant) -> Option<Vec<LogEvent>> {
        let from = before(&self.sizes, then)?;
        let mut file = File::open(&self.path).ok()?;
        let found = file.metadata().ok()?;
        let size = found.len();
        // Another file, or one that has become smaller: it was rotated.
        let rotated = found.ino() != self.inode || from > size;
        let from = if rotated { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(size.saturating_sub(MAX_LOG))))
            .ok()?;
        let mut text = Vec::new();
        file.take(MAX_LOG).read_to_end(&mut text).ok()?;
        let lines = text.split(|byte| *byte == b'\n');
        Some(lines.filter_map(LogEvent::read).collect())
    }
}

fn remember(known: &mut VecDeque<(Instant, u64)>, number: u64) {
    if known.len() == REMEMBERED {
        known.pop_front();
    }
    known.push_back((Instant::now(), number));
}

/// The last number of before, or the first that is known.
fn before(known: &VecDeque<(Instant, u64)>, then: Instant) -> Option<u64> {
    let found = known.iter().rev().find(|(at, _)| *at <= then);
    found.or(known.front()).map(|(_, number)| *number)
}

/// A memory control group.
#[derive(Debug)]
struct Group {
    /// The file that counts, of either version of control groups.
    counts: PathBuf,
    /// What it has counted, and when.
    counted: VecDeque<(Instant, u64)>,
}

impl Group {
    fn of(process: u32) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
        let file = |line: &str| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let path = path.trim_start_matches('/');
            match controllers {
                "" => Some(Path::new("/sys/fs/cgroup").join(path).join("memory.events")),
                _ if controllers.split(',').any(|name| name == "memory") => Some(
                    Path::new("/sys/fs/cgroup/memory")
                        .join(path)
                        .join("memory.oom_control"),
                ),
                _ => None,
            }
        };
        let counts = groups.lines().filter_map(file).find(|path| path.exists())?;
        let mut group = Self {
            counts,
            counted: VecDeque::new(),
        };
        group.note();
        Some(group)
    }

    fn note(&mut self) {
        if let Some(count) = self.count() {
            remember(&mut self.counted, count);
        }
    }

    fn count(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.counts).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "))?;
        line.trim().parse().ok()
    }
}

/// The kernel's log.
#[derive(Debug)]
struct KernelLog {
    file: File,
    told: VecDeque<(Instant, KernelEvent)>,
}

impl KernelLog {
    fn open() -> Option<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open("/dev/kmsg")
            .ok()?;
        // What was told before has no time that could be compared.
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self {
            file,
            told: VecDeque::new(),
        })
    }

    fn since(&mut self, then: Instant) -> Vec<KernelEvent> {
        self.take();
        let late = self.told.iter().filter(|(at, _)| *at >= then);
        late.map(|(_, event)| event.clone()).collect()
    }

    /// Takes what has been told: one record at each read.
    fn take(&mut self) {
        let mut record = [0; 8 << 10];
        // More at once than its buffer has.
        for _ in 0..100_000 {
            let read = match self.file.read(&mut record) {
                Ok(0) => return,
                Ok(read) => read,
                // Records were lost, or a call was interrupted: the next ones are there.
                Err(error)
                    if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) =>
                {
                    continue;
                }
                Err(_) => return,
            };
            let text = record[..read].splitn(2, |byte| *byte == b';').nth(1);
            if let Some(event) = text.and_then(KernelEvent::read) {
                if self.told.len() == KERNEL_LINES {
                    self.told.pop_front();
                }
                self.told.push_back((Instant::now(), event));
            }
        }
    }
}

/// What a log may have written of a loss before it was seen: a server that shuts down says so first, and lets go of idle
/// connections 2 s later (MySQL 9.7).
pub(crate) const BEFORE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use steadfast_diagnose::log::LogKind;

    #[tokio::test(start_paused = true)]
    async fn only_what_the_log_has_told_since_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        fs::write(&path, "mysqld got signal 6 ;\n").unwrap();
        let variables = BTreeMap::from([
            ("datadir".to_owned(), dir.path().display().to_string()),
            ("log_error".to_owned(), "error.log".to_owned()),
        ]);
        let log = ErrorLog::of(&variables).unwrap();
        let then = Instant::now();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, "nothing\nmysqld got signal 11 ;").unwrap();
        let told: Vec<LogKind> = log
            .since(then)
            .unwrap()
            .iter()
            .map(|event| event.kind)
            .collect();
        assert_eq!(told, [LogKind::Signal(11)]);
        // It was rotated.
        fs::rename(&path, dir.path().join("error.log.1")).unwrap();
        fs::write(&path, "mysqld: ready for connections.\n").unwrap();
        let told = log.since(then).unwrap();
        assert_eq!(told[0].kind, LogKind::Ready);
    }

    #[test]
    fn a_server_of_another_machine_tells_nothing() {
        let variables = BTreeMap::from([
            ("hostname".to_owned(), "another".to_owned()),
            ("pid_file".to_owned(), "/proc/self/stat".to_owned()),
        ]);
        assert!(process(&variables).is_none());
    }
}
