//! What the server's machine tells of it, where Steadfast runs on the same one: the error log, the kernel's log, and the
//! memory control group. Each is used where it can be read; nothing here needs a right.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast_diagnose::Kernel;
use steadfast_diagnose::kernel::{KernelEvent, KernelKind};
use steadfast_diagnose::log::{LogEvent, LogKind};
use tokio::time::Instant;

/// Bytes of the error log that are read at once; what has come before them is not looked at.
const MAX_LOG: u64 = 1 << 20;

/// What the error log has told is remembered for so long, and so many lines of it.
const LOG_AGE: Duration = Duration::from_secs(600);
const LOG_LINES: usize = 4096;

/// Lines of the error log that an incident keeps: the first and the last ones.
const LOG_KEPT: usize = 64;

/// Bytes of a file with the number of a process.
const MAX_PID: u64 = 64;

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
    /// The settings by which it was found.
    variables: BTreeMap<String, String>,
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
    fn of(variables: &BTreeMap<String, String>) -> Self {
        let Some(pid_file) = pid_file(variables) else {
            return Self::default();
        };
        let mut host = Self {
            variables: variables.clone(),
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

    /// Whether anything of it can be read.
    fn is_here(&self) -> bool {
        self.log.is_some() || !self.groups.is_empty() || self.kernel.is_some()
    }

    /// Of a server with these settings from now on. While it is the same one, what is known is still of use.
    pub(crate) fn become_of(&mut self, variables: &BTreeMap<String, String>) {
        if !self.is_here() || !is_same(&self.variables, variables) {
            *self = Self::of(variables);
        }
        self.variables = variables.clone();
    }

    /// What it has told around a loss of this connection, and while the lost command `waited`.
    pub(crate) fn told_around(
        &self,
        lost: Instant,
        waited: Duration,
        connection: Option<u32>,
    ) -> (Option<Vec<LogEvent>>, Option<Kernel>) {
        let then = lost.checked_sub(BEFORE.max(waited)).unwrap_or(lost);
        let group_kills = self.group_kills_since(then);
        let events = self.kernel_since(then);
        // Without the kernel's log, its count of the group is enough to tell that nothing was killed.
        let kernel = (events.is_some() || group_kills.is_some()).then(|| Kernel {
            events: events.unwrap_or_default(),
            group_kills,
        });
        (self.logged_since(then, connection), kernel)
    }

    /// Takes note of what the logs have told; to be called often.
    pub(crate) fn note(&mut self) {
        if let Some(log) = &mut self.log {
            log.note();
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.take();
        }
        self.note_process();
        for group in &mut self.groups {
            group.note();
        }
    }

    /// What the error log has told since then, if it can be read: of all and, of what it tells of single connections, of
    /// this one only.
    fn logged_since(&self, then: Instant, connection: Option<u32>) -> Option<Vec<LogEvent>> {
        let mut events = self.log.as_ref()?.since(then, connection.map(u64::from));
        if events.len() > LOG_KEPT {
            events.drain(LOG_KEPT / 2..events.len() - LOG_KEPT / 2);
        }
        Some(events)
    }

    /// What the kernel has told since then, if it can be read.
    fn kernel_since(&self, then: Instant) -> Option<Vec<KernelEvent>> {
        let mut events = self.kernel.as_ref()?.since(then);
        // The kernel counts processes as the server does: what it says of others, of whatever name, is about others.
        let known = !self.processes.is_empty() && in_first_namespace();
        events.retain_mut(|event| {
            let named = self.processes.iter().any(|process| event.names(*process));
            let KernelKind::OomKill { server } = &mut event.kind else {
                return true;
            };
            *server = named || (*server && !known);
            *server || !known
        });
        Some(events)
    }

    /// Processes of the server's group that were killed for memory since then, if that is known.
    fn group_kills_since(&self, then: Instant) -> Option<u64> {
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

/// Whether servers with these settings are one and the same as far as its machine is concerned.
fn is_same(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> bool {
    ["datadir", "hostname", "log_error", "pid_file"]
        .iter()
        .all(|name| one.get(*name) == other.get(*name))
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
    let mut text = String::new();
    let mut file = open(file)?.take(MAX_PID);
    file.read_to_string(&mut text).ok()?;
    let process: u32 = text.trim().parse().ok()?;
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

/// Opens a file of the server's; `None`: there is none that can be read, or it is none that keeps what is written to it.
fn open(path: &Path) -> Option<File> {
    // A FIFO that nobody writes to would not be opened for as long as that.
    let mut how = OpenOptions::new();
    let file = how.read(true).custom_flags(O_NONBLOCK).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

/// The server's error log.
#[derive(Debug)]
struct ErrorLog {
    path: PathBuf,
    /// The file of that name.
    inode: u64,
    /// How far it has been read.
    read: u64,
    /// What it has told, and when that was seen.
    told: VecDeque<(Instant, LogEvent)>,
}

impl ErrorLog {
    fn of(variables: &BTreeMap<String, String>) -> Option<Self> {
        let name = variables.get("log_error")?;
        if name.is_empty() || name == "stderr" {
            return None;
        }
        let path = absolute(variables, name);
        let found = open(&path)?.metadata().ok()?;
        Some(Self {
            path,
            inode: found.ino(),
            read: found.len(),
            told: VecDeque::new(),
        })
    }

    /// Takes what has been written since the last time.
    fn note(&mut self) {
        let Some(mut file) = open(&self.path) else {
            return;
        };
        let Ok(found) = file.metadata() else {
            return;
        };
        let size = found.len();
        if found.ino() == self.inode && size == self.read {
            return;
        }
        // Another file, or one that has become smaller: it was rotated.
        if found.ino() != self.inode || size < self.read {
            self.inode = found.ino();
            self.read = 0;
        }
        let from = self.read.max(size.saturating_sub(MAX_LOG));
        let mut text = Vec::new();
        let read = file
            .seek(SeekFrom::Start(from))
            .and_then(|_| file.take(MAX_LOG).read_to_end(&mut text));
        if read.is_err() {
            return;
        }
        // The rest of a line is still to be written.
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let whole = if text.len() as u64 == MAX_LOG && whole == 0 {
            text.len()
        } else {
            whole
        };
        self.read = from + whole as u64;
        let now = Instant::now();
        for event in text[..whole]
            .split(|byte| *byte == b'\n')
            .filter_map(LogEvent::read)
        {
            self.told.push_back((now, event));
        }
        let old = self.told.len().saturating_sub(LOG_LINES);
        self.told.drain(..old);
        while self.told.front().is_some_and(|(at, _)| now - *at > LOG_AGE) {
            self.told.pop_front();
        }
    }

    fn since(&self, then: Instant, connection: Option<u64>) -> Vec<LogEvent> {
        let about_it = |event: &LogEvent| match event.kind {
            LogKind::Aborted { thread, .. } | LogKind::PacketFailed { thread, .. } => {
                connection == Some(thread)
            }
            _ => true,
        };
        let late = self
            .told
            .iter()
            .filter(|(at, event)| *at >= then && about_it(event));
        late.map(|(_, event)| event.clone()).collect()
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

    fn since(&self, then: Instant) -> Vec<KernelEvent> {
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
const BEFORE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test(start_paused = true)]
    async fn only_what_the_log_has_told_since_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        fs::write(&path, "mysqld got signal 6 ;\n").unwrap();
        let variables = BTreeMap::from([
            ("datadir".to_owned(), dir.path().display().to_string()),
            ("log_error".to_owned(), "error.log".to_owned()),
        ]);
        let mut log = ErrorLog::of(&variables).unwrap();
        let then = Instant::now();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        write!(
            file,
            "nothing\nmysqld got signal 11 ;\n7 [Note] Aborted con"
        )
        .unwrap();
        log.note();
        let kinds = |log: &ErrorLog, connection| -> Vec<LogKind> {
            let told = log.since(then, connection);
            told.iter().map(|event| event.kind).collect()
        };
        assert_eq!(kinds(&log, Some(7)), [LogKind::Signal(11)]);
        // The rest of the line.
        writeln!(
            file,
            "nection 7 to db: 'a' user: 'b' host: 'c' (Got an error reading communication packets)"
        )
        .unwrap();
        log.note();
        assert_eq!(kinds(&log, Some(7)).len(), 2);
        assert_eq!(kinds(&log, Some(8)), [LogKind::Signal(11)]);
        // It was rotated.
        fs::rename(&path, dir.path().join("error.log.1")).unwrap();
        fs::write(&path, "mysqld: ready for connections.\n").unwrap();
        log.note();
        assert_eq!(kinds(&log, None), [LogKind::Signal(11), LogKind::Ready]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(log.since(Instant::now(), None), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_in_the_log_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        fs::write(&path, "").unwrap();
        let variables = BTreeMap::from([("log_error".to_owned(), path.display().to_string())]);
        let log = ErrorLog::of(&variables).unwrap();
        let mut host = Host {
            log: Some(log),
            ..Host::default()
        };
        let then = Instant::now();
        fs::write(&path, "mysqld got signal 11 ;\n".repeat(20_000)).unwrap();
        host.note();
        assert!(host.log.as_ref().unwrap().told.len() <= LOG_LINES);
        assert_eq!(host.logged_since(then, None).unwrap().len(), LOG_KEPT);
    }

    #[test]
    fn a_log_that_is_a_pipe_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        let made = std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        let variables = BTreeMap::from([("log_error".to_owned(), path.display().to_string())]);
        assert!(ErrorLog::of(&variables).is_none());
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
