//! `steadfast ledger status`: is it there, who may use it, and can the server keep what it promises?

use std::process::ExitCode;

use serde::Serialize;
use steadfast_session::ledger::durability;
use steadfast_session::ledger::schema::{self, Flavor};

use super::accounts::{self, Account};
use super::grants::Grants;
use super::inspect::{self, Found};
use super::server::Admin;
use crate::FAILED;
use crate::cli::LedgerStatus;

/// Whether it is there.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As this version has it.
    Current,
    /// All of it is there, but not as this version has it.
    Outdated,
    /// In part only: of no use.
    Damaged,
    /// Not at all.
    Missing,
}

/// What was found.
#[derive(Serialize, Debug)]
struct Status {
    /// Kind and version.
    server: String,
    state: State,
    /// What is not as it should be, for [`State::Outdated`] and [`State::Damaged`].
    faults: Vec<String>,
    /// Rows: at most one for each COMMIT at the same time and for each that was in doubt, within a day and a half.
    lanes: u64,
    /// Lanes of COMMITs whose answer was lost.
    fenced: u64,
    /// How long ago the oldest of them was first used, in seconds by the server's clock.
    oldest_seconds: Option<u64>,
    /// Whether accounts that are made later can use it.
    everybody: bool,
    /// Who can log in and use it.
    accounts: Vec<String>,
    /// Who can log in and cannot.
    without: Vec<String>,
    /// A crash of the machine may take COMMITs that were acknowledged: setting and value.
    not_durable: Vec<String>,
    /// Anything else that somebody should look at.
    warnings: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(args: LedgerStatus) -> anyhow::Result<ExitCode> {
    let mut admin = Admin::connect(&args.server).await?;
    let status = look(&mut admin).await?;
    admin.quit().await;
    super::print(&if args.json {
        serde_json::to_string_pretty(&status)? + "\n"
    } else {
        describe(&status)
    })?;
    Ok(if status.state == State::Current {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

async fn look(admin: &mut Admin) -> anyhow::Result<Status> {
    let found = Found::look(admin).await?;
    let mut status = Status {
        server: admin.version(),
        state: State::Missing,
        faults: Vec::new(),
        lanes: 0,
        fenced: 0,
        oldest_seconds: None,
        everybody: false,
        accounts: Vec::new(),
        without: Vec::new(),
        not_durable: not_durable(admin).await?,
        warnings: Vec::new(),
    };
    if !found.foreign.is_empty() {
        status.warnings.push(format!(
            "the database steadfast has something of somebody else's: {}; who may use the ledger may use its routines",
            found.foreign.join(", ")
        ));
    }
    if found.is_missing() {
        return Ok(status);
    }
    status.faults = found.faults();
    let (definer, excess) = inspect::definer(admin).await?;
    let definer = definer.fault(&format!("the account {}", schema::DEFINER));
    if found.table == inspect::Part::Current {
        let birth = inspect::birth(admin).await?;
        let emptied = birth.fault("the row of lane 0, which says how old the ledger is,");
        status.faults.extend(emptied);
        lanes(admin, &mut status).await?;
    }
    status.faults.extend(definer);
    status.state = if !found.is_complete() {
        State::Damaged
    } else if status.faults.is_empty() {
        State::Current
    } else {
        State::Outdated
    };
    let grants = Grants::read(admin).await?;
    let names = |accounts: Vec<Account>| accounts.iter().map(ToString::to_string).collect();
    status.everybody = grants.includes_everybody();
    status.accounts = names(grants.allowed());
    status.without = names(grants.without());
    if !grants.writers.is_empty() {
        status.warnings.push(format!(
            "the table may be written by {}: who writes it can make a COMMIT fail or seem done",
            accounts::list(&grants.writers)
        ));
    }
    for grant in excess {
        status.warnings.push(format!(
            "{} has more rights than the procedures need: {grant}",
            schema::DEFINER
        ));
    }
    status.warnings.extend(filters(admin).await?);
    Ok(status)
}

async fn lanes(admin: &mut Admin, status: &mut Status) -> anyhow::Result<()> {
    let rows = admin
        .rows(&format!(
            "SELECT COUNT(*), IFNULL(SUM(fenced), 0), GREATEST(0, UNIX_TIMESTAMP() - MIN(opened))
             FROM steadfast.commit_ledger WHERE lane <> {}",
            schema::BIRTH
        ))
        .await?;
    let number = |at: usize| rows.first()?.get(at)?.parse().ok();
    status.lanes = number(0).unwrap_or(0);
    status.fenced = number(1).unwrap_or(0);
    status.oldest_seconds = number(2);
    Ok(())
}

async fn not_durable(admin: &mut Admin) -> anyhow::Result<Vec<String>> {
    let rows = admin.rows(durability::SETTINGS).await?;
    Ok(durability::not_durable(|name| {
        let row = rows
            .iter()
            .find(|row| row.first().is_some_and(|found| found == name));
        row?.get(1).cloned()
    }))
}

/// A binary log that leaves the ledger out: replicas then have the data and not the record.
async fn filters(admin: &mut Admin) -> anyhow::Result<Option<String>> {
    if admin.value("SELECT @@GLOBAL.log_bin").await?.as_deref() != Some("1") {
        return Ok(None);
    }
    // MySQL 8.2 renamed it, and 8.4 forgot the old name.
    let old = match admin.flavor {
        Flavor::MariaDb => true,
        Flavor::MySql => {
            let version = admin.version();
            version.starts_with("MySQL 8.0.") || version.starts_with("MySQL 8.1.")
        }
    };
    let query = if old {
        "SHOW MASTER STATUS"
    } else {
        "SHOW BINARY LOG STATUS"
    };
    let rows = match admin.rows(query).await {
        Ok(rows) => rows,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    let Some([_, _, only, never, ..]) = rows.first().map(Vec::as_slice) else {
        return Ok(None);
    };
    let names = |list: &str| list.split(',').any(|name| name == schema::DATABASE);
    Ok((names(never) || !only.is_empty() && !names(only)).then(|| {
        "the binary log leaves out the database steadfast: replicas and backups from it have the data without the ledger"
            .to_owned()
    }))
}

/// For people.
fn describe(status: &Status) -> String {
    let mut lines = vec![match status.state {
        State::Current => format!("the ledger is installed on {}", status.server),
        State::Outdated => {
            "the ledger is installed, but not as this version of Steadfast has it: run `steadfast ledger install` again"
                .to_owned()
        }
        State::Damaged => {
            "the ledger is there in part only: run `steadfast ledger install` again".to_owned()
        }
        State::Missing => {
            "the ledger is not installed: a COMMIT whose answer is lost is answered 1180/08007; `steadfast ledger install` installs it"
                .to_owned()
        }
    }];
    lines.extend(status.faults.iter().map(|fault| format!("  {fault}")));
    if status.state != State::Missing {
        let oldest = match status.oldest_seconds {
            Some(age) => format!("; the oldest was first used {} ago", ago(age)),
            None => String::new(),
        };
        lines.push(format!(
            "lanes: {}, {} of them with a COMMIT that was in doubt{oldest}",
            status.lanes, status.fenced
        ));
        lines.push(if status.everybody {
            "may be used by: every account, also by those that are made later".to_owned()
        } else {
            format!(
                "may be used by: {}; accounts that are made later need `steadfast ledger install` again",
                few(&status.accounts)
            )
        });
        if !status.without.is_empty() {
            lines.push(format!(
                "may not be used by: {}; `steadfast ledger install` lets them all, `--for` some",
                few(&status.without)
            ));
        }
    }
    lines.extend(
        status
            .not_durable
            .iter()
            .map(|setting| format!("warning: {setting}: {}", durability::CONSEQUENCE)),
    );
    lines.extend(
        status
            .warnings
            .iter()
            .map(|warning| format!("warning: {warning}")),
    );
    lines.join("\n") + "\n"
}

/// A few names, or how many.
fn few(names: &[String]) -> String {
    match names {
        [] => "no account".to_owned(),
        few if few.len() <= 10 => few.join(", "),
        many => format!("{} accounts (--json names them)", many.len()),
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
