//! `docs/doctor.md`: one page of all checks, made from the checks.

use std::fmt::Write;

use super::{Area, CHECKS, Check, Facts};
use crate::page::fix;

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## The checks\n\n| Check | Finds something when |\n|---|---|\n");
    for area in Area::ALL {
        for check in of(area) {
            let _ = writeln!(page, "| [`{0}`](#{0}) | {1} |", check.name, check.rule);
        }
    }
    for area in Area::ALL {
        let _ = writeln!(page, "\n## {}", area.title());
        for check in of(area) {
            one(&mut page, check);
        }
    }
    page
}

fn of(area: Area) -> impl Iterator<Item = &'static Check> {
    CHECKS.iter().filter(move |check| check.area == area)
}

const HEAD: &str = "\
# What brings about the next lost connection

`steadfast doctor mysql://USER@HOST` looks at a server, its machine and the way to it for what will lose connections: settings,
limits that are nearly reached, modes, and things on the way that cut. It works with an ordinary account; what it could not
look at, it says, and never takes for fine. This page is made from the checks that it makes.

- **error**: connections are cut or refused now, or the next ordinary event will certainly do it.
- **warning**: ordinary use will lose connections.
- **note**: after a loss evidence would be missing, or a habit will cost later. Notes do not count for the exit code.

The exit code is 0 without errors and warnings, 3 with some, 1 where doctor could not run, 2 where its command line is wrong.

## The account

Most checks need no privilege at all. To see other accounts' sessions and transactions, replication and blocked hosts:

    -- MySQL
    GRANT PROCESS, REPLICATION CLIENT ON *.* TO doctor@'%';
    GRANT SELECT ON performance_schema.* TO doctor@'%';
    -- MariaDB from 10.5
    GRANT PROCESS, BINLOG MONITOR, REPLICA MONITOR ON *.* TO doctor@'%';
    GRANT SELECT ON performance_schema.* TO doctor@'%';

A note of when the server was started is kept in the state directory, to see restarts by.

`--fix` and `--undo` need to set variables:

    -- MySQL 8.0 and later
    GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO doctor@'%';
    GRANT SELECT ON performance_schema.persisted_variables TO doctor@'%';
    -- MariaDB, and MySQL before 8.0
    GRANT SUPER ON *.* TO doctor@'%';

To see which passwords expire, also SELECT on mysql.user (MariaDB: mysql.global_priv). Memory, files, disks and the kernel's
settings are looked at where the server runs on the same machine; else `--memory 8G` says how much memory it has.

## Fixing

`--fix` shows what it would set and asks first; `--yes` says yes. It sets what can be set while the server runs and what a
program may decide: with SET PERSIST on MySQL 8 and later, elsewhere with SET GLOBAL, and prints the lines for the option file.
It mends errors and warnings, and a note only where `--only` names its check. What it has set, and what was there before, is
written to the state directory first; `--undo` brings it back. Sessions that are open keep their old values.

What somebody else sets in between is left alone, and so is another server that answers at the same address: name one server,
not several behind one address. Where the connection is lost in the middle, doctor says what it has done, and `--undo` brings
that back.

## Probes

Each says what it does before it does it, and is bounded; `--no-probes` leaves them out, `--probe NAME` makes only those named.

| Probe | What it does |
|---|---|
| `idle` | Keeps connections silent for growing times, at most as long as `--idle-max`, and sees which of them live. On the same machine only where it is named |
| `packet` | Sends and fetches packets from 64 KiB to 4 MiB |
| `slow-read` | Pauses for some seconds in the middle of a result |
| `slow-write` | Pauses for some seconds in the middle of a statement |
";

fn one(page: &mut String, check: &Check) {
    let _ = writeln!(page, "\n### {}\n", check.name);
    let _ = writeln!(page, "**Finds something when:** {}\n", check.rule);
    let _ = writeln!(page, "**Why it matters:** {}\n", check.why);
    page.push_str("**Fix:**\n\n");
    for step in (check.fix)(&Facts::default()) {
        fix(page, &step);
    }
    let _ = writeln!(page, "\n**Its risk:** {}", check.risk);
}
