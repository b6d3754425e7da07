//! Proof that the checker can fail: wrong states are planted, each must be named.
//!
//! A leg without faults gives a correct database and correct records. Each plant changes the
//! database inside a transaction that is rolled back after the check, or the records, or a
//! session behind its client's back.

use anyhow::{Context, Result, bail};
use mysql_async::{Conn, TxOpts, prelude::Queryable};

use crate::check::{self, Kind};
use crate::client::{Client, How, Shared, Terms};
use crate::profiles::Profile;
use crate::record::{Outcome, Record};
use crate::rig::Rig;
use crate::snapshot;
use crate::state::SessionState;
use crate::survive::{Plan, take_records, work};

/// What is done to the database, and what the checker must call it.
const IN_DATABASE: &[(&str, Kind, &[&str])] = &[
    (
        "an acknowledged autocommit insert removed",
        Kind::Lost,
        &["DELETE FROM request LIMIT 1"],
    ),
    (
        "a counter set back by one",
        Kind::Lost,
        &["UPDATE tally SET hits = hits - 1 WHERE client = 1"],
    ),
    (
        "a counter increment applied twice",
        Kind::Doubled,
        &["UPDATE tally SET hits = hits + 1 WHERE client = 2"],
    ),
    (
        "an autocommit insert applied twice",
        Kind::Doubled,
        &[
            "INSERT INTO request (client, n, step, label) SELECT client, n, step, label FROM request LIMIT 1",
        ],
    ),
    (
        "one of three rows that one statement counts up left behind",
        Kind::Partial,
        &["UPDATE triple SET hits = hits - 1 WHERE client = 1 AND k = 2"],
    ),
    (
        "a transfer applied twice",
        Kind::Doubled,
        &[
            "CREATE TEMPORARY TABLE planted SELECT * FROM transfer LIMIT 1",
            "INSERT INTO transfer SELECT * FROM planted",
            "INSERT INTO tx SELECT t.* FROM tx t JOIN planted p ON p.client = t.client AND p.n = t.n",
            "UPDATE account, planted SET balance = balance - amount, version = version + 1 WHERE id = src",
            "UPDATE account, planted SET balance = balance + amount, version = version + 1 WHERE id = dst",
            "DROP TEMPORARY TABLE planted",
        ],
    ),
    (
        "the second half of a transaction missing",
        Kind::Partial,
        &["DELETE FROM transfer LIMIT 1"],
    ),
    (
        "a row that was rolled back to its savepoint",
        Kind::Partial,
        &[
            "INSERT INTO item (client, n, step, label) SELECT client, n, 77, 'undone' FROM tx WHERE profile = 'savepoint' LIMIT 1",
        ],
    ),
    (
        "a trigger's row missing",
        Kind::Partial,
        &["DELETE FROM audit LIMIT 1"],
    ),
    (
        "money made from nothing",
        Kind::Balance,
        &["UPDATE account SET balance = balance + 1 WHERE id = 1"],
    ),
    (
        "another row under an acknowledged insert id",
        Kind::WrongId,
        &["UPDATE item SET id = id + 10000000 ORDER BY id LIMIT 1"],
    ),
    (
        "a trigger that saw another id",
        Kind::WrongId,
        &["UPDATE audit SET item_id = item_id + 1 ORDER BY id LIMIT 1"],
    ),
    (
        "a time other than the one shown",
        Kind::WrongValue,
        &["UPDATE clock SET told = told + INTERVAL 1 MICROSECOND LIMIT 1"],
    ),
    (
        "a random number other than the one shown",
        Kind::WrongValue,
        &["UPDATE noise SET r = r + 1 LIMIT 1"],
    ),
    (
        "an upsert counted without its row",
        Kind::Balance,
        &["UPDATE kv SET hits = hits + 1 LIMIT 1"],
    ),
];

/// Runs the leg and all plants; returns a line for each, and whether all were caught.
pub(crate) async fn run(rig: &mut Rig, plan: &Plan) -> Result<(Vec<String>, bool)> {
    let mut worked = work(rig, plan).await?;
    let records = take_records(&mut worked);
    let mut conn = Conn::new(rig.direct.clone()).await?;
    snapshot::settle(&mut conn).await?;
    let database = plan.database();
    let clean = snapshot::read(&mut conn, &database).await?;
    let before = check::check(&records, &clean);
    if let Some(violation) = before.violations.first() {
        bail!("the leg without faults is not clean, nothing can be shown on it: {violation:?}");
    }
    let mut lines = Vec::new();
    let mut all = true;
    let mut note = |what: &str, wanted: Kind, caught: bool| {
        all &= caught;
        lines.push(format!(
            "{} {what} → {wanted:?}",
            if caught { "caught" } else { "MISSED" }
        ));
    };
    for (what, wanted, statements) in IN_DATABASE {
        let mut planted = conn.start_transaction(TxOpts::default()).await?;
        planted.query_drop(format!("USE {database}")).await?;
        for statement in *statements {
            planted
                .query_drop(*statement)
                .await
                .with_context(|| format!("could not plant {what}"))?;
        }
        let state = snapshot::read_in(&mut planted).await?;
        planted.rollback().await?;
        let findings = check::check(&records, &state);
        note(
            what,
            *wanted,
            findings
                .violations
                .iter()
                .any(|found| found.kind == *wanted),
        );
    }
    for (what, wanted, change) in in_records() {
        let mut changed = records.clone();
        if !change(&mut changed) {
            bail!("no record to plant {what} on: give more --rounds");
        }
        let findings = check::check(&changed, &clean);
        note(
            what,
            wanted,
            findings.violations.iter().any(|found| found.kind == wanted),
        );
    }
    conn.disconnect().await?;
    let caught = changed_session(rig, plan).await?;
    note(
        "a session variable changed behind the client's back",
        Kind::SessionState,
        caught,
    );
    Ok((lines, all))
}

type Change = fn(&mut Vec<Record>) -> bool;

fn in_records() -> Vec<(&'static str, Kind, Change)> {
    fn refuse(record: &mut Record, reread_differs: Option<bool>) {
        record.outcome = Outcome::Refused {
            message: "planted".into(),
            reread_differs,
        };
    }
    fn acknowledged(records: &mut [Record], profile: Profile) -> Option<&mut Record> {
        records.iter_mut().find(|record| {
            record.profile == profile.name() && record.outcome == Outcome::Acknowledged
        })
    }
    vec![
        (
            "a committed transaction that was answered with 1213",
            Kind::PresentThoughRefused,
            |records| {
                acknowledged(records, Profile::TransferText)
                    .map(|record| refuse(record, Some(true)))
                    .is_some()
            },
        ),
        ("1213 on private rows", Kind::Unproved1213, |records| {
            acknowledged(records, Profile::OwnRr)
                .map(|record| refuse(record, Some(true)))
                .is_some()
        }),
        (
            "1213 though every row read is as it was",
            Kind::Unproved1213,
            |records| {
                acknowledged(records, Profile::TransferText)
                    .map(|record| refuse(record, Some(false)))
                    .is_some()
            },
        ),
        (
            "1213 before anybody else committed a change",
            Kind::Unproved1213,
            |records| {
                acknowledged(records, Profile::TransferText)
                    .map(|record| {
                        refuse(record, Some(true));
                        record.ended = 0;
                    })
                    .is_some()
            },
        ),
        (
            "an acknowledged transaction that never ran",
            Kind::Lost,
            |records| {
                let Some(mut ghost) = acknowledged(records, Profile::TransferText).cloned() else {
                    return false;
                };
                ghost.number = 1_000_000;
                records.push(ghost);
                true
            },
        ),
        (
            "a transaction that no client ran",
            Kind::Doubled,
            |records| records.pop().is_some(),
        ),
    ]
}

async fn changed_session(rig: &Rig, plan: &Plan) -> Result<bool> {
    let database = plan.database();
    let state = SessionState::new(1, &database, rig.mariadb);
    let shared = Shared::new(1, Terms::default());
    let mut client = Client::new(
        1,
        plan.seed,
        rig.client_options(&database, 32),
        state,
        shared,
    );
    client.connect().await.map_err(anyhow::Error::msg)?;
    client
        .run(How::Text, "SET time_zone = ?", vec!["+09:00".into()])
        .await
        .map_err(|stop| anyhow::anyhow!("{stop}"))?;
    client
        .verify_session()
        .await
        .map_err(|stop| anyhow::anyhow!("{stop}"))?;
    client.disconnect().await;
    Ok(client
        .violations
        .iter()
        .any(|found| found.kind == Kind::SessionState))
}
