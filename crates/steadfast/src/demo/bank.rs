//! The tables of the two sides, the commit ledger, and the audit: what the server holds against what the clients
//! were told.

use std::collections::HashMap;

use anyhow::{Context, Result};
use mysql_async::{Conn, Opts, prelude::Queryable};
use serde::Serialize;
use steadfast_sandbox::Kind;
use steadfast_session::ledger::schema::{self, Flavor};

use super::tally::Fate;

/// Clients of each side.
pub(super) const CLIENTS: usize = 12;
/// Accounts that each client moves money between.
pub(super) const ACCOUNTS_EACH: u64 = 5;
/// The balance of each account at the start.
pub(super) const INITIAL_BALANCE: i64 = 1000;
/// The sum of all balances of a side, always.
pub(super) const SUM: i64 = INITIAL_BALANCE * ACCOUNTS_EACH as i64 * CLIENTS as i64;

/// The clients' account on the server.
pub(super) const USER: &str = "teller";

/// SQL that makes one side's tables. A transfer's id is not unique to the server, so that one
/// that was made twice can be seen.
pub(super) fn tables(schema: &str) -> String {
    let accounts: Vec<String> = (1..=ACCOUNTS_EACH * CLIENTS as u64)
        .map(|id| format!("({id}, {INITIAL_BALANCE})"))
        .collect();
    format!(
        "CREATE DATABASE {schema};\n\
         CREATE TABLE {schema}.account (id INT UNSIGNED PRIMARY KEY, balance BIGINT NOT NULL) ENGINE=InnoDB;\n\
         CREATE TABLE {schema}.transfer (n BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, id BIGINT UNSIGNED NOT NULL, \
         giver INT UNSIGNED NOT NULL, taker INT UNSIGNED NOT NULL, amount BIGINT NOT NULL, KEY (id)) ENGINE=InnoDB;\n\
         INSERT INTO {schema}.account VALUES {};\n\
         GRANT ALL ON {schema}.* TO '{USER}'@'%';\n",
        accounts.join(", ")
    )
}

/// Installs the commit ledger and lets the clients' account use it.
pub(super) async fn install_ledger(admin: &Opts, kind: Kind) -> Result<()> {
    let flavor = match kind {
        Kind::MariaDb => Flavor::MariaDb,
        Kind::MySql => Flavor::MySql,
    };
    let mut statements = schema::prepare(flavor);
    statements.extend(schema::install(flavor));
    statements.push(schema::grant(&format!("'{USER}'@'%'")));
    let run = async {
        let mut conn = Conn::new(admin.clone()).await?;
        for statement in statements {
            conn.query_drop(statement).await?;
        }
        conn.disconnect().await
    };
    run.await
        .context("the commit ledger could not be installed")
}

/// What the server holds in the end, compared with what the clients were told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Audit {
    /// Transfers that were acknowledged, and are not there.
    pub(super) lost: usize,
    /// Transfers that are there more than once.
    pub(super) doubled: usize,
    /// Transfers that are there though the client was told that they failed.
    pub(super) made_though_failed: usize,
    /// Transfers whose outcome the client does not know and that are there.
    pub(super) unknown_made: usize,
    /// The sum of all balances before.
    pub(super) sum_before: i64,
    /// The sum of all balances after.
    pub(super) sum_after: i64,
    /// Accounts whose balance is not what their transfers make of it.
    pub(super) accounts_wrong: u64,
}

/// Reads the tables of `schema` as `admin`, straight from the server.
pub(super) async fn audit(admin: &Opts, schema: &str, transfers: &[(u64, Fate)]) -> Result<Audit> {
    let read = async {
        let mut conn = Conn::new(admin.clone()).await?;
        let made: Vec<(u64, u64)> = conn
            .query(format!(
                "SELECT id, COUNT(*) FROM {schema}.transfer GROUP BY id"
            ))
            .await?;
        let sum: Option<i64> = conn
            .query_first(format!(
                "SELECT CAST(SUM(balance) AS SIGNED) FROM {schema}.account"
            ))
            .await?;
        let wrong: Option<u64> = conn
            .query_first(format!(
                "SELECT COUNT(*) FROM {schema}.account a WHERE balance <> {INITIAL_BALANCE} \
                 - (SELECT COALESCE(SUM(amount), 0) FROM {schema}.transfer WHERE giver = a.id) \
                 + (SELECT COALESCE(SUM(amount), 0) FROM {schema}.transfer WHERE taker = a.id)"
            ))
            .await?;
        conn.disconnect().await?;
        Ok::<_, mysql_async::Error>((made, sum.unwrap_or_default(), wrong.unwrap_or_default()))
    };
    let (made, sum_after, accounts_wrong) =
        read.await.context("the accounts could not be audited")?;
    Ok(Audit {
        sum_before: SUM,
        sum_after,
        accounts_wrong,
        ..compare(transfers, &made.into_iter().collect())
    })
}

/// The transfers only; `made` says how often each is there.
fn compare(transfers: &[(u64, Fate)], made: &HashMap<u64, u64>) -> Audit {
    let there = |wanted: &[Fate], expected: bool| {
        transfers
            .iter()
            .filter(|(id, fate)| wanted.contains(fate) && made.contains_key(id) == expected)
            .count()
    };
    Audit {
        lost: there(&[Fate::Acknowledged], false),
        doubled: made.values().filter(|count| **count > 1).count(),
        made_though_failed: there(&[Fate::Failed], true),
        unknown_made: there(&[Fate::Doubtful, Fate::Untold], true),
        sum_before: SUM,
        sum_after: SUM,
        accounts_wrong: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fate_is_held_against_the_table() {
        let transfers = [
            (1, Fate::Acknowledged),
            (2, Fate::Acknowledged),
            (3, Fate::Acknowledged),
            (4, Fate::Failed),
            (5, Fate::Failed),
            (6, Fate::Doubtful),
            (7, Fate::Untold),
            (8, Fate::Doubtful),
        ];
        let made = HashMap::from([(1, 1), (3, 2), (5, 1), (6, 1), (7, 1)]);
        let audit = compare(&transfers, &made);
        assert_eq!(
            (
                audit.lost,
                audit.doubled,
                audit.made_though_failed,
                audit.unknown_made
            ),
            (1, 1, 1, 2)
        );
    }
}
