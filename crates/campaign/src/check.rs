//! The checker: decides from the database and the clients' records alone, without IO, whether
//! every transaction became what its client was told.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::record::{Expected, Outcome, Record};
use crate::schema::{INITIAL_BALANCE, OWN_STEP};

/// (client, transaction number).
pub(crate) type TxKey = (u32, u32);

/// A row of a log table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) table: &'static str,
    pub(crate) step: u32,
    pub(crate) columns: Vec<(&'static str, String)>,
}

impl LogRow {
    fn column(&self, name: &str) -> Option<&str> {
        self.columns
            .iter()
            .find(|(column, _)| *column == name)
            .map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> i64 {
        self.column(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or_default()
    }
}

/// Everything that the database holds at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) logs: HashMap<TxKey, Vec<LogRow>>,
    /// account → (balance, version)
    pub(crate) accounts: BTreeMap<u32, (i64, u64)>,
    /// (client, slot) → (value, version)
    pub(crate) own: BTreeMap<(u32, u32), (i64, u64)>,
    /// (client, k) → hits
    pub(crate) kv: BTreeMap<(u32, u32), i64>,
    /// (client, tag) → hits
    pub(crate) tagged: BTreeMap<(u32, u32), i64>,
    /// client → hits
    pub(crate) tally: BTreeMap<u32, u64>,
    /// client → hits of each of its rows that one statement changes together
    pub(crate) triple: BTreeMap<u32, Vec<u64>>,
}

/// What kind of promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The client saw an error that the contract does not allow at this point, or lost its
    /// connection.
    ClientVisible,
    /// 1213 without proof that what the transaction had read was changed.
    Unproved1213,
    /// An acknowledged transaction is not there.
    Lost,
    /// A transaction's effect is there twice.
    Doubled,
    /// A part of a transaction is there.
    Partial,
    /// A transaction is there though the client was told that it is rolled back.
    PresentThoughRefused,
    /// A row does not have the insert id that the client was told.
    WrongId,
    /// A row does not have the value (time, random number, amount) that the client was told.
    WrongValue,
    /// A statement told another number of affected rows than it must have affected.
    WrongAffected,
    /// A statement's result was wrong while the transaction ran.
    WrongAnswer,
    /// Sums or counters do not follow from the log.
    Balance,
    /// The session's state is not what the client set.
    SessionState,
    /// A transaction was still open on the server after every client had left.
    LeftOpen,
}

impl Kind {
    /// Each, with its name in tables.
    pub(crate) const ALL: &'static [(Kind, &'static str)] = &[
        (Kind::ClientVisible, "client-visible failure"),
        (Kind::Lost, "lost"),
        (Kind::Doubled, "doubled"),
        (Kind::Partial, "there in part"),
        (Kind::PresentThoughRefused, "there though refused"),
        (Kind::WrongId, "wrong insert id"),
        (Kind::WrongAffected, "wrong affected rows"),
        (Kind::Balance, "sums moved"),
        (Kind::WrongValue, "wrong value stored"),
        (Kind::WrongAnswer, "wrong answer"),
        (Kind::Unproved1213, "1213 without proof"),
        (Kind::SessionState, "session state differs"),
        (Kind::LeftOpen, "transaction left open"),
    ];
}

/// One broken promise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) profile: String,
    pub(crate) client: u32,
    pub(crate) number: u32,
    pub(crate) detail: String,
}

/// The checker's result.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) violations: Vec<Violation>,
    /// Profile → 1213 answers proved to be right.
    pub(crate) proved: BTreeMap<&'static str, u64>,
    /// Profile → transactions whose outcome the client did not learn: (found there, found absent).
    pub(crate) resolved: BTreeMap<&'static str, (u64, u64)>,
}

enum Presence {
    Absent,
    Once,
    Twice(String),
    Partly(String),
}

/// Compares what the clients were told with what the database holds.
pub(crate) fn check(records: &[Record], snapshot: &Snapshot) -> Findings {
    let mut findings = Findings::default();
    let mut known: HashMap<TxKey, ()> = HashMap::new();
    let empty = Vec::new();
    let mut writers: HashMap<(u32, u64), u64> = HashMap::new();
    for record in records {
        let key = (record.client, record.number);
        known.insert(key, ());
        let rows = snapshot.logs.get(&key).unwrap_or(&empty);
        let presence = presence(&record.expected, rows);
        if let (Presence::Once, Some(sent)) = (&presence, record.commit_sent) {
            for write in &record.writes {
                writers.insert(*write, sent);
            }
        }
        judge(record, &presence, rows, &mut findings);
    }
    for record in records {
        judge_refusal(record, &writers, &mut findings);
    }
    for (key, rows) in &snapshot.logs {
        if !known.contains_key(key) {
            let detail = format!("{} rows of a transaction that no client ran", rows.len());
            findings.add(Kind::Doubled, "-", *key, detail);
        }
    }
    check_sums(records, snapshot, &mut findings);
    findings
}

impl Findings {
    fn add(&mut self, kind: Kind, profile: &str, (client, number): TxKey, detail: String) {
        self.violations.push(Violation {
            kind,
            profile: profile.to_owned(),
            client,
            number,
            detail,
        });
    }
}

fn presence(expected: &[Expected], rows: &[LogRow]) -> Presence {
    if rows.is_empty() {
        return Presence::Absent;
    }
    let place = |table: &str, step: u32| format!("{table} step {step}");
    let mut missing = Vec::new();
    for want in expected {
        let found = rows
            .iter()
            .filter(|row| row.table == want.table && row.step == want.step)
            .count();
        match found {
            0 => missing.push(place(want.table, want.step)),
            1 => {}
            n => {
                return Presence::Twice(format!(
                    "{} is there {n} times",
                    place(want.table, want.step)
                ));
            }
        }
    }
    let stray = rows.iter().find(|row| {
        !expected
            .iter()
            .any(|want| want.table == row.table && want.step == row.step)
    });
    if !missing.is_empty() {
        return Presence::Partly(format!("missing: {}", missing.join(", ")));
    }
    if let Some(row) = stray {
        let place = place(row.table, row.step);
        return Presence::Partly(format!(
            "{place} is there, though the client rolled it back or never ran it"
        ));
    }
    Presence::Once
}

fn judge(record: &Record, presence: &Presence, rows: &[LogRow], findings: &mut Findings) {
    let key = (record.client, record.number);
    let open = matches!(
        record.outcome,
        Outcome::Doubt { .. } | Outcome::Unanswered { .. }
    );
    let acknowledged = record.outcome == Outcome::Acknowledged;
    match presence {
        Presence::Twice(what) => {
            findings.add(
                Kind::Doubled,
                record.profile,
                key,
                format!("{what}; outcome: {:?}", record.outcome),
            );
        }
        Presence::Partly(what) if acknowledged || open => {
            findings.add(
                Kind::Partial,
                record.profile,
                key,
                format!("{what}; outcome: {:?}", record.outcome),
            );
        }
        Presence::Partly(_) | Presence::Once if !acknowledged && !open => {
            let detail = format!(
                "{} rows are there; outcome: {:?}",
                rows.len(),
                record.outcome
            );
            findings.add(Kind::PresentThoughRefused, record.profile, key, detail);
        }
        Presence::Absent if acknowledged && !record.expected.is_empty() => {
            findings.add(
                Kind::Lost,
                record.profile,
                key,
                "acknowledged, but no row of it is there".into(),
            );
        }
        Presence::Absent if open && !record.expected.is_empty() => {
            findings.resolved.entry(record.profile).or_default().1 += 1;
        }
        Presence::Once => {
            if open {
                findings.resolved.entry(record.profile).or_default().0 += 1;
            }
            compare_told(record, rows, findings);
        }
        Presence::Absent | Presence::Partly(_) => {}
    }
}

fn compare_told(record: &Record, rows: &[LogRow], findings: &mut Findings) {
    for want in &record.expected {
        let Some(row) = rows
            .iter()
            .find(|row| row.table == want.table && row.step == want.step)
        else {
            continue;
        };
        for (column, told) in &want.told {
            let found = row.column(column).unwrap_or("NULL");
            if found != told {
                let kind = if matches!(*column, "id" | "item_id") {
                    Kind::WrongId
                } else {
                    Kind::WrongValue
                };
                let detail = format!(
                    "{}.{column} of step {} is {found}, the client was told {told}; outcome: {:?}",
                    want.table, want.step, record.outcome
                );
                findings.add(kind, record.profile, (record.client, record.number), detail);
            }
        }
    }
}

/// The profile whose ids a replay cannot give again.
const UNPINNABLE: &str = "insert-before-trigger";

/// A 1213 is right when another transaction, whose COMMIT was sent before the 1213 arrived,
/// wrote the next version of a row that the refused one had read.
fn judge_refusal(record: &Record, writers: &HashMap<(u32, u64), u64>, findings: &mut Findings) {
    let Outcome::Refused {
        message,
        reread_differs,
    } = &record.outcome
    else {
        return;
    };
    if !record.recorded {
        // CALL and several statements in one are not replayed: the refusal is the contract.
        *findings.proved.entry(record.profile).or_default() += 1;
        return;
    }
    if record.profile == UNPINNABLE {
        // The trigger draws an id from another table before the row does, and one statement can be given one id only
        // (SET insert_id, both servers). The client is shown both, so a replay after another client's insert shows
        // other data: a true mismatch.
        *findings.proved.entry(record.profile).or_default() += 1;
        return;
    }
    let overtaken = record.reads.iter().any(|(account, version)| {
        writers
            .get(&(*account, version + 1))
            .is_some_and(|sent| *sent < record.ended)
    });
    if record.contended && overtaken && *reread_differs != Some(false) {
        *findings.proved.entry(record.profile).or_default() += 1;
        return;
    }
    let why = match (record.contended, record.reads.is_empty(), reread_differs) {
        (false, _, _) => "nobody else changes what this profile reads",
        (true, true, _) => "it had not read a contended row yet",
        (true, false, Some(false)) => "a re-read found every row as it was",
        (true, false, _) => "no commit of another transaction changed a row that it had read",
    };
    let detail = format!(
        "{why}; read (account, version) {:?}; message: {message}",
        record.reads
    );
    findings.add(
        Kind::Unproved1213,
        record.profile,
        (record.client, record.number),
        detail,
    );
}

fn check_sums(records: &[Record], snapshot: &Snapshot, findings: &mut Findings) {
    let mut accounts: BTreeMap<u32, (i64, u64)> = snapshot
        .accounts
        .keys()
        .map(|id| (*id, (INITIAL_BALANCE, 0)))
        .collect();
    let mut own: BTreeMap<(u32, u32), (i64, u64)> =
        snapshot.own.keys().map(|key| (*key, (0, 0))).collect();
    let mut kv: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    let mut tagged: BTreeMap<(u32, u32), i64> =
        snapshot.tagged.keys().map(|key| (*key, 0)).collect();
    for ((client, _), rows) in &snapshot.logs {
        for row in rows {
            let at = |name: &str| u32::try_from(row.number(name)).unwrap_or_default();
            let amount = row.number("amount");
            match row.table {
                "transfer" => {
                    for (account, change) in [(at("src"), -amount), (at("dst"), amount)] {
                        let entry = accounts.entry(account).or_default();
                        *entry = (entry.0 + change, entry.1 + 1);
                    }
                }
                "own_log" => {
                    let entry = own.entry((*client, at("slot"))).or_default();
                    *entry = (entry.0 + amount, entry.1 + 1);
                }
                "kv_log" => *kv.entry((*client, at("k"))).or_default() += amount,
                "tag_log" => *tagged.entry((*client, at("tag"))).or_default() += amount,
                _ => {}
            }
        }
    }
    let nobody = (0, 0);
    let mut differ = |what: &str, same: bool, is: String, follows: String| {
        if !same {
            findings.add(
                Kind::Balance,
                "-",
                nobody,
                format!("{what} is {is}, from the log follows {follows}"),
            );
        }
    };
    differ(
        "account → (balance, version)",
        accounts == snapshot.accounts,
        format!("{:?}", snapshot.accounts),
        format!("{accounts:?}"),
    );
    differ(
        "own",
        own == snapshot.own,
        format!("{:?}", snapshot.own),
        format!("{own:?}"),
    );
    differ(
        "kv",
        kv == snapshot.kv,
        format!("{:?}", snapshot.kv),
        format!("{kv:?}"),
    );
    differ(
        "tagged",
        tagged == snapshot.tagged,
        format!("{:?}", snapshot.tagged),
        format!("{tagged:?}"),
    );
    let torn = snapshot
        .own
        .iter()
        .find(|(_, (value, version))| *value != OWN_STEP * *version as i64);
    if let Some((key, row)) = torn {
        findings.add(
            Kind::Balance,
            "-",
            nobody,
            format!("own {key:?} is {row:?}: value and version disagree"),
        );
    }
    check_tally(records, snapshot, findings);
}

/// Counters without a log: between what was acknowledged, and that with what was in doubt.
fn check_tally(records: &[Record], snapshot: &Snapshot, findings: &mut Findings) {
    let tally: BTreeMap<u32, Vec<u64>> = snapshot
        .tally
        .iter()
        .map(|(client, hits)| (*client, vec![*hits]))
        .collect();
    check_counters(
        "counter-autocommit",
        &bounds(records, |record| record.tally),
        &tally,
        findings,
    );
    let triple = bounds(records, |record| record.triple);
    check_counters("triple-autocommit", &triple, &snapshot.triple, findings);
}

/// `rows`: client → rows that one statement counts up together.
fn check_counters(
    profile: &str,
    bounds: &BTreeMap<u32, (u64, u64)>,
    rows: &BTreeMap<u32, Vec<u64>>,
    findings: &mut Findings,
) {
    for (client, (low, high)) in bounds {
        let hits = rows.get(client).map(Vec::as_slice).unwrap_or_default();
        let least = hits.iter().min().unwrap_or(&0);
        let most = hits.iter().max().unwrap_or(&0);
        let kind = match (least, most) {
            (least, most) if least != most => Kind::Partial,
            (least, _) if least < low => Kind::Lost,
            (_, most) if most > high => Kind::Doubled,
            _ => continue,
        };
        let detail = format!(
            "counter is {hits:?}; {low} increments were acknowledged, {} in doubt",
            high - low
        );
        findings.add(kind, profile, (*client, 0), detail);
    }
}

/// Client → increments that were acknowledged, and that with those in doubt.
fn bounds(records: &[Record], increments: fn(&Record) -> u64) -> BTreeMap<u32, (u64, u64)> {
    let mut bounds: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for record in records {
        let (low, high) = bounds.entry(record.client).or_default();
        let by = increments(record);
        match record.outcome {
            Outcome::Acknowledged => {
                *low += by;
                *high += by;
            }
            Outcome::Doubt { .. } | Outcome::Unanswered { .. } => *high += by,
            Outcome::Refused { .. } | Outcome::Failed { .. } => {}
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome) -> Record {
        Record {
            client: 1,
            number: 1,
            profile: "transfer-text",
            contended: true,
            recorded: true,
            outcome,
            expected: vec![
                Expected {
                    table: "tx",
                    step: 0,
                    told: vec![],
                },
                Expected {
                    table: "item",
                    step: 1,
                    told: vec![("id", "7".into())],
                },
            ],
            reads: vec![(3, 10)],
            writes: vec![(3, 11)],
            tally: 0,
            triple: 0,
            commit_sent: Some(100),
            ended: 200,
        }
    }

    fn rows(id: &str) -> Vec<LogRow> {
        vec![
            LogRow {
                table: "tx",
                step: 0,
                columns: vec![],
            },
            LogRow {
                table: "item",
                step: 1,
                columns: vec![("id", id.into())],
            },
        ]
    }

    fn kinds(records: &[Record], rows: Vec<LogRow>) -> Vec<Kind> {
        let mut snapshot = Snapshot::default();
        if !rows.is_empty() {
            snapshot.logs.insert((1, 1), rows);
        }
        check(records, &snapshot)
            .violations
            .into_iter()
            .map(|violation| violation.kind)
            .collect()
    }

    fn doubt() -> Outcome {
        Outcome::Doubt {
            message: "1180".into(),
        }
    }

    fn refused(reread_differs: Option<bool>) -> Outcome {
        Outcome::Refused {
            message: "1213".into(),
            reread_differs,
        }
    }

    #[test]
    fn an_acknowledged_transaction_must_be_there_once_and_entire() {
        let records = [record(Outcome::Acknowledged)];
        assert_eq!(kinds(&records, rows("7")), []);
        assert_eq!(kinds(&records, vec![]), [Kind::Lost]);
        assert_eq!(kinds(&records, rows("7")[..1].to_vec()), [Kind::Partial]);
        assert_eq!(
            kinds(&records, [rows("7"), rows("7")].concat()),
            [Kind::Doubled]
        );
        assert_eq!(kinds(&records, rows("8")), [Kind::WrongId]);
    }

    #[test]
    fn a_doubt_allows_once_or_absent_but_nothing_else() {
        let records = [record(doubt())];
        assert_eq!(kinds(&records, rows("7")), []);
        assert_eq!(kinds(&records, vec![]), []);
        assert_eq!(kinds(&records, rows("7")[..1].to_vec()), [Kind::Partial]);
        assert_eq!(
            kinds(&records, [rows("7"), rows("9")].concat()),
            [Kind::Doubled]
        );
    }

    #[test]
    fn a_failed_transaction_must_be_absent() {
        let records = [record(Outcome::Failed {
            message: "2013".into(),
        })];
        assert_eq!(kinds(&records, vec![]), []);
        assert_eq!(kinds(&records, rows("7")), [Kind::PresentThoughRefused]);
        assert_eq!(
            kinds(&records, rows("7")[..1].to_vec()),
            [Kind::PresentThoughRefused]
        );
    }

    #[test]
    fn a_1213_is_proved_only_by_a_commit_that_was_sent_before_it() {
        let overtaker = |sent| Record {
            client: 2,
            reads: vec![],
            commit_sent: Some(sent),
            ..record(Outcome::Acknowledged)
        };
        let mut snapshot = Snapshot::default();
        snapshot.logs.insert((2, 1), rows("7"));
        let proved = |refused: Record, other: Record| {
            check(&[refused, other], &snapshot)
                .proved
                .get("transfer-text")
                .copied()
        };
        assert_eq!(proved(record(refused(Some(true))), overtaker(150)), Some(1));
        assert_eq!(proved(record(refused(None)), overtaker(150)), Some(1));
        assert_eq!(
            proved(record(refused(Some(true))), overtaker(250)),
            None,
            "committed later"
        );
        assert_eq!(
            proved(record(refused(Some(false))), overtaker(150)),
            None,
            "re-read unchanged"
        );
        let private = Record {
            contended: false,
            ..record(refused(Some(true)))
        };
        assert_eq!(
            proved(private, overtaker(150)),
            None,
            "nobody else writes private rows"
        );
    }

    #[test]
    fn counters_lie_between_acknowledged_and_acknowledged_with_doubts() {
        let counted = |outcome, number| Record {
            expected: vec![],
            tally: 1,
            number,
            writes: vec![],
            ..record(outcome)
        };
        let records = [counted(Outcome::Acknowledged, 1), counted(doubt(), 2)];
        let with = |hits| {
            let snapshot = Snapshot {
                tally: [(1, hits)].into(),
                ..Snapshot::default()
            };
            check(&records, &snapshot)
                .violations
                .into_iter()
                .map(|found| found.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(with(0), [Kind::Lost]);
        assert_eq!(with(1), []);
        assert_eq!(with(2), []);
        assert_eq!(with(3), [Kind::Doubled]);
    }
    #[test]
    fn rows_that_one_statement_counts_up_stay_equal() {
        let records = [Record {
            expected: vec![],
            writes: vec![],
            triple: 1,
            ..record(doubt())
        }];
        let with = |rows: [u64; 3]| {
            let snapshot = Snapshot {
                triple: [(1, rows.to_vec())].into(),
                ..Snapshot::default()
            };
            let found = check(&records, &snapshot).violations;
            found
                .into_iter()
                .map(|found| found.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(with([0, 0, 0]), []);
        assert_eq!(with([1, 1, 1]), []);
        assert_eq!(with([1, 1, 0]), [Kind::Partial]);
        assert_eq!(with([2, 2, 2]), [Kind::Doubled]);
    }

    #[test]
    fn a_refusal_is_the_contract_where_the_ledger_promises_nothing() {
        let call = Record {
            recorded: false,
            contended: false,
            ..record(refused(None))
        };
        assert_eq!(kinds(&[call], vec![]), []);
        let private = Record {
            contended: false,
            ..record(refused(None))
        };
        assert_eq!(kinds(&[private], vec![]), [Kind::Unproved1213]);
    }
}
