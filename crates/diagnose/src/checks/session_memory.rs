//! Can a single session take the server's memory?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step};
use crate::words::size;

const MIB: u64 = 1 << 20;

/// A buffer that each session may have, beyond which nobody has measured a gain.
const LARGE: u64 = 64 * MIB;

/// Memory of a table that a session makes for itself, where the machine's is not known.
const LARGE_TABLE: u64 = 4 << 30;

/// Buffers of a session, and the servers' usual defaults.
const BUFFERS: [(&str, u64); 4] = [
    ("sort_buffer_size", 256 << 10),
    ("join_buffer_size", 256 << 10),
    ("read_buffer_size", 128 << 10),
    ("read_rnd_buffer_size", 256 << 10),
];

pub(super) const CHECK: Check = Check {
    name: "session-memory",
    area: Area::Memory,
    only: None,
    rule: "`sort_buffer_size`, `join_buffer_size`, `read_buffer_size` or `read_rnd_buffer_size` is over 64 MiB; or the smaller of \
           `tmp_table_size` and `max_heap_table_size` is over an eighth of the memory, or MySQL's `temptable_max_ram` over a \
           quarter (4 GiB where the memory is not known).",
    why: "Each session may take as much, some of it once for each join: one query, or a few at the same time, and the kernel \
          kills the server.",
    risk: "Queries that sort or collect much use the disk; a session that needs more can SET SESSION it.",
    look,
    fix,
};

/// What is too large: name, value, and what it should be.
fn large(facts: &Facts) -> Result<Vec<(&'static str, u64, u64)>, Missing> {
    let product = facts.product()?;
    let mut large = Vec::new();
    for (name, usual) in BUFFERS {
        let value = facts.number(name)?;
        if value > LARGE {
            large.push((name, value, usual));
        }
    }
    let part = |parts: u64| {
        facts
            .memory
            .ok()
            .map_or(LARGE_TABLE, |limit| limit.bytes / parts)
    };
    let (tmp, heap) = (
        facts.number("tmp_table_size")?,
        facts.number("max_heap_table_size")?,
    );
    if tmp.min(heap) > part(8) {
        large.push(("tmp_table_size", tmp, 64 * MIB));
        large.push(("max_heap_table_size", heap, 64 * MIB));
    }
    if product == Product::MySql
        && let Ok(shared) = facts.number("temptable_max_ram")
        && shared > part(4)
        && is_set(facts, "temptable_max_ram")
    {
        large.push(("temptable_max_ram", shared, 1 << 30));
    }
    Ok(large)
}

/// MySQL computes some from the machine's memory; that is not somebody's mistake.
fn is_set(facts: &Facts, name: &str) -> bool {
    facts
        .origins
        .ok()
        .is_none_or(|origins| origins.contains_key(name))
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    Ok(large(facts)?
        .into_iter()
        .map(|(name, value, _)| Found::warning(format!("{name} is {}", size(value))))
        .collect())
}

fn fix(facts: &Facts) -> Vec<Step> {
    let large = large(facts).unwrap_or_else(|_| {
        BUFFERS
            .iter()
            .map(|(name, usual)| (*name, 0, *usual))
            .collect()
    });
    large
        .into_iter()
        .map(|(name, _, usual)| match name {
            "temptable_max_ram" => Setting::only(Product::MySql, name, usual),
            _ => Setting::live(name, usual),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mariadb, mysql, severity};
    use super::*;

    const FRESH: [(&str, &str); 6] = [
        ("sort_buffer_size", "2097152"),
        ("join_buffer_size", "262144"),
        ("read_buffer_size", "131072"),
        ("read_rnd_buffer_size", "262144"),
        ("tmp_table_size", "16777216"),
        ("max_heap_table_size", "16777216"),
    ];

    #[test]
    fn one_buffer_or_two_table_sizes_are_enough() {
        for make in [mysql, mariadb] {
            let facts = make(&FRESH);
            assert_eq!(severity(&facts, "session-memory"), None);
            let with = |more: &[(&'static str, &'static str)]| {
                let mut all = FRESH.to_vec();
                all.extend_from_slice(more);
                make(&all)
            };
            let huge = "17179869184";
            assert_eq!(
                severity(
                    &with(&[("sort_buffer_size", "1073741824")]),
                    "session-memory"
                ),
                Some(Warning)
            );
            assert_eq!(
                severity(&with(&[("tmp_table_size", huge)]), "session-memory"),
                None
            );
            let both = with(&[("tmp_table_size", huge), ("max_heap_table_size", huge)]);
            assert_eq!(severity(&both, "session-memory"), Some(Warning));
            assert_eq!(
                fix(&both),
                [
                    Setting::live("tmp_table_size", 64 * MIB),
                    Setting::live("max_heap_table_size", 64 * MIB)
                ]
            );
        }
    }
}
