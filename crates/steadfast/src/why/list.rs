//! Many incidents for people: equal ones that came together are one line.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use steadfast_proxy::{Incident, Stored};

/// Incidents with less time than this between them came together.
const TOGETHER_MS: u64 = 60_000;

/// Incidents with the same cause and the same outcome, one after the other.
struct Group<'a> {
    last: &'a Incident,
    count: u32,
    users: Vec<&'a str>,
    longest_ms: u64,
}

/// Writes them, the newest last.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(out: &mut impl Write, incidents: &[Stored]) -> io::Result<()> {
    heading(out)?;
    for group in grouped(incidents) {
        row(
            out,
            &[
                &when(group.last.at_ms),
                &group.last.id,
                &group.count.to_string(),
                &group.last.why.answer,
                &group.users.join(", "),
                &told(group.last, group.longest_ms),
            ],
        )?;
    }
    writeln!(out, "\n`steadfast why ID` tells the whole story of one.")
}

/// Writes one as a line.
///
/// # Errors
/// Those of `out`.
pub(super) fn line(out: &mut impl Write, incident: &Incident) -> io::Result<()> {
    row(
        out,
        &[
            &when(incident.at_ms),
            &incident.id,
            "1",
            &incident.why.answer,
            &incident.user,
            &told(incident, incident.waited_ms),
        ],
    )
}

fn heading(out: &mut impl Write) -> io::Result<()> {
    row(
        out,
        &[
            "When",
            "Id",
            "Times",
            "Cause",
            "User",
            "What the client saw",
        ],
    )
}

fn row(out: &mut impl Write, cells: &[&str; 6]) -> io::Result<()> {
    let [when, id, times, cause, user, seen] = cells;
    writeln!(
        out,
        "{when:<19}  {id:<6}  {times:>5}  {cause:<24}  {user:<16}  {seen}"
    )
}

fn told(incident: &Incident, waited_ms: u64) -> String {
    if incident.waits {
        return "waits".to_owned();
    }
    let waited = match waited_ms {
        0 => String::new(),
        1..1000 => format!(", waited {waited_ms} ms"),
        _ => format!(", waited {:.1} s", waited_ms as f64 / 1000.0),
    };
    match incident.error {
        0 => format!("nothing{waited}"),
        code => format!("error {code}{waited}"),
    }
}

fn grouped(incidents: &[Stored]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for Stored { incident, .. } in incidents {
        let same = groups.iter_mut().rev().find(|group| {
            group.last.why.answer == incident.why.answer
                && group.last.error == incident.error
                && group.last.waits == incident.waits
                && incident.at_ms.abs_diff(group.last.at_ms) < TOGETHER_MS
        });
        match same {
            Some(group) => {
                group.count += 1;
                group.last = incident;
                group.longest_ms = group.longest_ms.max(incident.waited_ms);
                if !group.users.contains(&incident.user.as_str()) {
                    group.users.push(&incident.user);
                }
            }
            None => groups.push(Group {
                last: incident,
                count: 1,
                users: vec![&incident.user],
                longest_ms: incident.waited_ms,
            }),
        }
    }
    groups
}

/// The time of here, to the second.
pub(super) fn when(at_ms: u64) -> String {
    i64::try_from(at_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map(|time| {
            time.to_zoned(TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        })
        .unwrap_or_default()
}
