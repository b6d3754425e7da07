//! Does what the server has, and will likely need, fit its memory?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Step, advise};
use crate::words::size;

const MIB: u64 = 1 << 20;

/// Code, dictionary and table cache of a server that has begun to work.
const BASE: u64 = 150 * MIB;

/// The performance schema of MySQL 8 and 9 at its defaults.
const PERFORMANCE_SCHEMA: u64 = 200 * MIB;

/// What an idle connection has touched: a part of its stack, its structures, its packet buffer.
const IDLE_CONNECTION: u64 = 400 << 10;

pub(super) const CHECK: Check = Check {
    name: "memory-limit",
    area: Area::Memory,
    only: None,
    rule: "What the server has at all times (buffer pool, logs, caches) is over 0.95 (error) or 0.85 (warning) of the smallest \
           limit of its memory: control groups and the machine's own, or `--memory`; or this, with the most connections that \
           were ever open and buffers for those that ran at the same time, is over the limit (warning). What it would need if \
           all of max_connections used all their buffers at once is no measure: it never happens.",
    why: "The kernel kills a server that wants more than there is, and all its connections end at once.",
    risk: "A smaller buffer pool reads more from the disk; shrinking it takes a while and blocks for moments.",
    look,
    fix,
};

/// What the server has at all times, in bytes.
fn fixed(facts: &Facts) -> Result<u64, Missing> {
    let product = facts.product()?;
    let pool = facts.number("innodb_buffer_pool_size")?;
    let overhead = match product {
        Product::MySql => pool / 100 * 8,
        Product::MariaDb => pool / 20,
    };
    let key_buffer = facts.number("key_buffer_size").unwrap_or_default();
    let uses_keys = facts
        .status
        .number("key_blocks_used")
        .is_some_and(|blocks| blocks > 1000);
    let mut sum = pool + overhead + facts.number("innodb_log_buffer_size")? + BASE;
    sum += if uses_keys {
        key_buffer
    } else {
        key_buffer / 10
    };
    if let Ok(cache) = facts.number("aria_pagecache_buffer_size") {
        let is_used = facts
            .status
            .number("aria_pagecache_blocks_used")
            .is_some_and(|blocks| blocks > 1000);
        sum += if is_used { cache } else { cache / 10 };
    }
    if facts
        .text("query_cache_type")
        .is_ok_and(|kind| !matches!(kind, "OFF" | "0"))
    {
        sum += facts.number("query_cache_size").unwrap_or_default();
    }
    if product == Product::MySql && facts.is_on("performance_schema").unwrap_or_default() {
        sum += PERFORMANCE_SCHEMA;
    }
    Ok(sum)
}

/// What sessions have likely needed when the most of them were there, in bytes.
fn sessions(facts: &Facts) -> Result<u64, Missing> {
    let most = facts.counter("max_used_connections")?;
    let running = facts.counter("threads_running")?.max(4).min(most);
    let mut each = 0;
    for buffer in [
        "sort_buffer_size",
        "join_buffer_size",
        "read_buffer_size",
        "read_rnd_buffer_size",
    ] {
        each += facts.number(buffer)?;
    }
    if facts.is_on("log_bin").unwrap_or_default() {
        each += facts.number("binlog_cache_size").unwrap_or_default();
    }
    Ok(most * IDLE_CONNECTION + running.saturating_mul(each))
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.memory.get()?;
    let fixed = fixed(facts)?;
    let part = fixed as f64 / limit.bytes.max(1) as f64;
    let seen = format!(
        "the server has about {} at all times ({} of it the buffer pool), {} has {}",
        size(fixed),
        size(facts.number("innodb_buffer_pool_size")?),
        limit.what,
        size(limit.bytes)
    );
    if part > 0.95 {
        return Ok(vec![Found::error(seen)]);
    }
    if part > 0.85 {
        return Ok(vec![Found::warning(seen)]);
    }
    let likely = fixed.saturating_add(sessions(facts)?);
    Ok(if likely > limit.bytes {
        vec![Found::warning(format!(
            "{seen}; with the {} connections that were open at the same time it is about {}",
            facts.counter("max_used_connections")?,
            size(likely)
        ))]
    } else {
        Vec::new()
    })
}

fn fix(facts: &Facts) -> Vec<Step> {
    let pool = facts.memory.ok().map_or_else(
        || "six tenths of the memory".to_owned(),
        // Whole chunks of 128 MiB, of which the servers make their pools.
        |limit| {
            let wanted = limit.bytes / 10 * 6;
            let chunk = if wanted < 256 * MIB { MIB } else { 128 * MIB };
            (wanted / chunk * chunk).to_string()
        },
    );
    vec![
        advise(format!(
            "Give the server more memory, or a smaller pool: SET GLOBAL innodb_buffer_pool_size = {pool}, and innodb_buffer_pool_size = \
             {pool} below [mysqld]."
        )),
        advise("In a container the pool must fit the container's limit, not the machine's memory."),
        Step::Sql {
            mariadb: "SHOW GLOBAL STATUS LIKE 'Max_used_connections'; -- then max_connections = one and a half of it",
            mysql: "SHOW GLOBAL STATUS LIKE 'Max_used_connections'; -- then max_connections = one and a half of it",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Warning};
    use super::super::facts::{MemoryLimit, Seen};
    use super::super::testing::{mariadb, mysql, severity};
    use super::*;

    fn limited(facts: Facts, bytes: u64) -> Facts {
        let mut facts = facts.counting(&[("max_used_connections", "10"), ("threads_running", "2")]);
        facts.memory = Seen::Is(MemoryLimit {
            bytes,
            what: "the control group".to_owned(),
        });
        facts
    }

    const BUFFERS: [(&str, &str); 5] = [
        ("sort_buffer_size", "262144"),
        ("join_buffer_size", "262144"),
        ("read_buffer_size", "131072"),
        ("read_rnd_buffer_size", "262144"),
        ("innodb_log_buffer_size", "16777216"),
    ];

    fn with_pool(make: fn(&[(&str, &str)]) -> Facts, pool: u64) -> Facts {
        let pool = pool.to_string();
        let mut variables = BUFFERS.to_vec();
        variables.push(("innodb_buffer_pool_size", &pool));
        make(&variables)
    }

    #[test]
    fn the_pool_is_compared_with_the_limit() {
        for make in [mysql, mariadb] {
            for (pool, expected) in [(700, None), (800, Some(Warning)), (900, Some(Error))] {
                let facts = limited(with_pool(make, pool * MIB), 1100 * MIB);
                assert_eq!(severity(&facts, "memory-limit"), expected, "{pool} MiB");
            }
        }
    }

    #[test]
    fn a_pool_of_seven_tenths_is_fine_on_a_large_machine() {
        for make in [mysql, mariadb] {
            let facts = limited(with_pool(make, 7 << 30), 10 << 30);
            assert_eq!(severity(&facts, "memory-limit"), None);
        }
    }

    #[test]
    fn many_connections_count_when_they_were_there() {
        let facts = limited(with_pool(mariadb, 700 * MIB), 1100 * MIB)
            .counting(&[("max_used_connections", "1000")]);
        assert_eq!(severity(&facts, "memory-limit"), Some(Warning));
    }
}
