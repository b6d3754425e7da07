//! Facts about the machine, where the server runs on this one (Linux).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast_diagnose::checks::Facts;
use steadfast_diagnose::checks::facts::{Disk, KernelTcp, MemoryLimit, Process, Seen};

/// Limits of control groups from here on mean that there is none (cgroup v1 writes the largest whole number of pages).
const NO_LIMIT: u64 = 1 << 60;

/// Notes that nothing of the machine can be seen, and why.
pub(super) fn unseen(why: &str, facts: &mut Facts) {
    facts.memory = Seen::Unseen(format!("{why}: --memory says how much it has"));
    facts.process = Seen::Unseen(why.to_owned());
    facts.disks = Seen::Unseen(why.to_owned());
    facts.kernel = Seen::Unseen(why.to_owned());
}

/// Looks at the machine, if the server runs on it: a forwarded port and a container look local too.
pub(super) fn look(hostname: &str, facts: &mut Facts) {
    facts.path.local = None;
    let Some(process) = find(hostname, facts) else {
        unseen(
            "the server's process is not on this machine, or not to be seen",
            facts,
        );
        return;
    };
    facts.path.local = Some(true);
    facts.memory = memory_limit(&process);
    facts.process = match status(&process) {
        Some(status) => Seen::Is(status),
        None => Seen::Unseen(format!(
            "{} cannot be read",
            process.join("status").display()
        )),
    };
    facts.disks = disks(facts);
    facts.kernel = kernel(&process);
}

/// `/proc/PID` of the server.
fn find(hostname: &str, facts: &Facts) -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    if own.trim() != hostname {
        return None;
    }
    let file = PathBuf::from(facts.text("pid_file").ok()?);
    let file = if file.is_absolute() {
        file
    } else {
        Path::new(facts.text("datadir").ok()?).join(file)
    };
    let pid: u32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    // A pid file that was left behind names somebody else.
    let command = fs::read(process.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command);
    let is_server = ["mysqld", "mariadbd"]
        .iter()
        .any(|name| command.contains(name));
    is_server.then_some(process)
}

/// The smallest limit: of the control group, of those around it, of the machine.
fn memory_limit(process: &Path) -> Seen<MemoryLimit> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| kilobytes(&text, "MemTotal:"));
    let Some(machine) = machine else {
        return Seen::Unseen("/proc/meminfo cannot be read".to_owned());
    };
    let mut limit = MemoryLimit {
        bytes: machine,
        what: "the machine".to_owned(),
    };
    let Some(group) = control_group(process) else {
        return Seen::Is(limit);
    };
    for directory in group.directory.ancestors() {
        if !directory.starts_with(&group.root) {
            break;
        }
        let bytes = fs::read_to_string(directory.join(group.limit_file))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(bytes) = bytes.filter(|bytes| *bytes < NO_LIMIT && *bytes < limit.bytes) {
            limit = MemoryLimit {
                bytes,
                what: "its control group".to_owned(),
            };
        }
    }
    Seen::Is(limit)
}

/// The memory control group of a process.
struct ControlGroup {
    root: PathBuf,
    directory: PathBuf,
    limit_file: &'static str,
    events_file: &'static str,
}

/// From `/proc/PID/cgroup` (cgroups(7)): version 1 where it has the memory controller, else version 2.
fn control_group(process: &Path) -> Option<ControlGroup> {
    let text = fs::read_to_string(process.join("cgroup")).ok()?;
    let of = |controller: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            controllers
                .split(',')
                .any(|one| one == controller)
                .then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let (root, path, limit_file, events_file) = match of("memory") {
        Some(path) => (
            "/sys/fs/cgroup/memory",
            path,
            "memory.limit_in_bytes",
            "memory.oom_control",
        ),
        None => ("/sys/fs/cgroup", of("")?, "memory.max", "memory.events"),
    };
    let root = PathBuf::from(root);
    Some(ControlGroup {
        directory: root.join(path),
        root,
        limit_file,
        events_file,
    })
}

fn status(process: &Path) -> Option<Process> {
    let text = fs::read_to_string(process.join("status")).ok()?;
    let killed = control_group(process)
        // The root group has everybody's.
        .filter(|group| group.directory != group.root)
        .and_then(|group| fs::read_to_string(group.directory.join(group.events_file)).ok())
        .and_then(|events| {
            let line = events
                .lines()
                .find_map(|line| line.strip_prefix("oom_kill "))?;
            line.trim().parse().ok()
        });
    let limits = fs::read_to_string(process.join("limits")).unwrap_or_default();
    let file_limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Some(Process {
        resident: kilobytes(&text, "VmRSS:")?,
        peak: kilobytes(&text, "VmHWM:")?,
        swapped: kilobytes(&text, "VmSwap:").unwrap_or_default(),
        killed,
        // Only its own user and root may look.
        open_files: fs::read_dir(process.join("fd"))
            .ok()
            .map(|files| files.count() as u64),
        file_limit,
    })
}

/// The line `name   123 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    number.checked_mul(1024)
}

/// The file systems below the server's directories, each once.
fn disks(facts: &Facts) -> Seen<Vec<Disk>> {
    let directory_of = |name| {
        let file = PathBuf::from(facts.text(name).ok()?);
        file.parent().map(Path::to_path_buf)
    };
    let data = facts.text("datadir").ok().map(PathBuf::from);
    let first_tmp = facts
        .text("tmpdir")
        .ok()
        .and_then(|list| list.split(':').next())
        .map(PathBuf::from);
    let redo = facts
        .text("innodb_log_group_home_dir")
        .ok()
        .map(PathBuf::from);
    let redo = redo.map(|path| data.as_ref().map_or(path.clone(), |data| data.join(path)));
    let places = [
        ("datadir", data),
        ("binary log", directory_of("log_bin_basename")),
        ("redo log", redo),
        ("tmpdir", first_tmp),
    ];
    let mut file_systems = BTreeSet::new();
    let mut disks = Vec::new();
    for (what, path) in places {
        let Some(path) = path.filter(|path| path.is_absolute()) else {
            continue;
        };
        let Ok(seen) = rustix::fs::statvfs(&path) else {
            continue;
        };
        if !file_systems.insert((seen.f_fsid, seen.f_blocks, seen.f_bavail)) {
            continue;
        }
        disks.push(Disk {
            path: path.display().to_string(),
            what,
            free: seen.f_bavail.saturating_mul(seen.f_frsize),
            size: seen.f_blocks.saturating_mul(seen.f_frsize),
        });
    }
    if disks.is_empty() {
        return Seen::Unseen("the server's directories cannot be looked at".to_owned());
    }
    Seen::Is(disks)
}

fn kernel(process: &Path) -> Seen<KernelTcp> {
    let space = |path: &Path| fs::read_link(path.join("ns/net"));
    match (space(process), space(Path::new("/proc/self"))) {
        (Ok(theirs), Ok(own)) if theirs == own => {}
        (Ok(_), Ok(_)) => {
            return Seen::Unseen(
                "the server is in another network namespace, with settings of its own".to_owned(),
            );
        }
        _ => {
            return Seen::Unseen(
                "the server's network namespace cannot be seen: run doctor as root or as the server's user".to_owned(),
            );
        }
    }
    let read = |name: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys/net/ipv4").join(name)).ok()?;
        text.trim().parse::<u32>().ok()
    };
    match (read("tcp_keepalive_time"), read("tcp_retries2")) {
        (Some(keepalive), Some(retries)) => Seen::Is(KernelTcp {
            keepalive: Duration::from_secs(keepalive.into()),
            retries,
        }),
        _ => Seen::Unseen("/proc/sys/net/ipv4 cannot be read".to_owned()),
    }
}
