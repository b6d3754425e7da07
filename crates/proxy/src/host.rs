//! What the server's machine tells of it, where Steadfast runs on the same one: the error log, the kernel's log, and the
//! memory control group. Each is used where it can be read; nothing here needs a right.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast_diagnose::kernel::{KernelEvent, KernelKind};
use steadfast_diagnose::log::LogEvent;
use tokio::time::Instant;

/// Bytes of the error log that are read for one loss.
const MAX_LOG: u64 = 1 << 20;

/// Numbers that are remembered, of what is asked for every half second: for as long as statements may stand still.
const REMEMBERED: usize = 600;

/// Processes and groups of the server that are remembered.
const PROCESSES: usize = 4;

/// Lines of the kernel's log that are remembered.
const KERNEL_LINES: usize = 64;

/// `O_NONBLOCK` of Linux.
const O_NONBLOCK: i32 = 0o4000;

/// The server's machine.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// The file with the number of the server's process.
    pid_file: Option<PathBuf>,
    /// The numbers that its processes have had, the newest last.
    processes: VecDeque<u32>,
    log: Option<ErrorLog>,
    /// The control groups of the same.
    groups: VecDeque<Group>,
    kernel: Option<KernelLog>,
}

impl Host {
    /// Of a server with these settings; empty where it does not run on this machine.
    pub(crate) fn of(variables: &BTreeMap<String, String>) -> Self {
        let Some(pid_file) = pid_file(variables) else {
            return Self::default();
        };
        let mut host = Self {
            pid_file: Some(pid_file),
            processes: VecDeque::new(),
            log: ErrorLog::of(variables),
            groups: VecDeque::new(),
            kernel: KernelLog::open(),
        };
        host.note_process();
        host
    }

    /// A server that was started again is another process, and may be in another group; and somebody may move it.
    fn note_process(&mut self) {
        let Some(process) = self.pid_file.as_deref().and_then(process) else {
            return;
        };
        if self.processes.back() != Some(&process) {
            if self.processes.len() == PROCESSES {
                self.processes.pop_front();
            }
            self.processes.push_back(process);
        }
        let Some(group) = Group::of(process) else {
            return;
        };
        if self.groups.iter().all(|known| known.counts != group.counts) {
            if self.groups.len() == PROCESSES {
                self.groups.pop_front();
            }
            self.groups.push_back(group);
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
        self.log.is_some() || !self.groups.is_empty() || self.kernel.is_some()
    }

    /// Takes note of how far the logs have come; to be called often.
    pub(crate) fn note(&mut self) {
        if let Some(log) = &mut self.log {
            log.note();
        }
        self.note_process();
        for group in &mut self.groups {
            group.note();
        }
    }

    /// What the error log has told since then, if it can be read.
    pub(crate) fn logged_since(&self, then: Instant) -> Option<Vec<LogEvent>> {
        self.log.as_ref()?.since(then)
    }

    /// What the kernel has told since then, if it can be read.
    pub(crate) fn kernel_since(&mut self, then: Instant) -> Option<Vec<KernelEvent>> {
        let mut events = self.kernel.as_mut()?.since(then);
        for event in &mut events {
            if self.processes.iter().any(|process| event.names(*process)) {
                event.is_of_the_server();
            }
        }
        // Those of other processes are about others, where the kernel counts processes as the server does.
        if !self.processes.is_empty() && in_first_namespace() {
            events.retain(|event| !matches!(event.kind, KernelKind::OomKill { server: false }));
        }
        Some(events)
    }

    /// Processes of the server's group that were killed for memory since then, if that is known.
    pub(crate) fn group_kills_since(&self, then: Instant) -> Option<u64> {
        let kills = self.groups.iter().filter_map(|group| {
            let before = before(&group.counted, then)?;
            // A group that is gone has counted to the end.
            let last = || group.counted.back().map(|(_, count)| *count);
            Some(group.count().or_else(last)?.saturating_sub(before))
        });
        // Of none nothing is known.
        kills.reduce(|one, other| one + other)
    }
}

/// Whether processes have the numbers here that the kernel's log has.
fn in_first_namespace() -> bool {
    // PROC_PID_INIT_INO of Linux.
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new("pid:[4026531836]"))
}

/// The file with the number of the server's process, if it is one of this machine.
fn pid_file(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let here = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    if variables.get("hostname")? != here.trim() {
        return None;
    }
    let file = absolute(variables, variables.get("pid_file")?);
    process(&file)?;
    Some(file)
}

/// The server's process.
fn process(file: &Path) -> Option<u32> {
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
        assert!(pid_file(&variables).is_none());
    }
}
