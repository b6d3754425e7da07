//! `steadfast ledger status`: is it there, who may use it, and can the server keep what it promises?

use std::process::ExitCode;

use serde::Serialize;
use steadfast_session::ledger::schema::Flavor;

use super::accounts::{self, Account};
use super::server::{Admin, complete};
use crate::FAILED;
use crate::cli::LedgerStatus;

/// What was found.
#[derive(Serialize, Debug)]
struct Status {
    /// The table and all procedures are there.
    installed: bool,
    /// Some of them are, which is of no use.
    damaged: bool,
    /// Rows: one for each session that writes or has written within a day.
    lanes: u64,
    /// Lanes of COMMITs whose answer was lost.
    fenced: u64,
    /// Who may use it.
    accounts: Vec<String>,
    /// Accounts that can log in and may not.
    without: Vec<String>,
    /// A crash of the machine may take COMMITs that were acknowledged: setting and value.
    not_durable: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(args: LedgerStatus) -> anyhow::Result<ExitCode> {
    let mut admin = Admin::connect(&args.server).await?;
    let status = look(&mut admin).await?;
    admin.quit().await;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print(&status);
    }
    Ok(if status.installed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

async fn look(admin: &mut Admin) -> anyhow::Result<Status> {
    let parts = admin.parts().await?;
    let installed = complete(&parts);
    let mut status = Status {
        installed,
        damaged: !installed && !parts.is_empty(),
        lanes: 0,
        fenced: 0,
        accounts: Vec::new(),
        without: Vec::new(),
        not_durable: not_durable(admin).await?,
    };
    if !installed {
        return Ok(status);
    }
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    status.lanes = number(
        admin
            .value("SELECT COUNT(*) FROM steadfast.commit_ledger")
            .await?,
    );
    status.fenced = number(
        admin
            .value("SELECT COUNT(*) FROM steadfast.commit_ledger WHERE fenced")
            .await?,
    );
    let allowed = admin.grantees().await?;
    if !allowed.contains(&Account::Public) {
        status.without = admin
            .every_account()
            .await?
            .iter()
            .filter(|account| !allowed.contains(account))
            .map(ToString::to_string)
            .collect();
    }
    status.accounts = allowed.iter().map(ToString::to_string).collect();
    Ok(status)
}

/// Settings under which a crash may take what was acknowledged. The ledger is lost with it, so the two agree; but
/// the client was told OK.
async fn not_durable(admin: &mut Admin) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut settings = vec![("innodb_flush_log_at_trx_commit", "1")];
    if admin.value("SELECT @@log_bin").await?.as_deref() == Some("1") {
        settings.push(("sync_binlog", "1"));
    }
    if admin.flavor == Flavor::MariaDb {
        settings.push(("innodb_doublewrite", "1"));
    }
    for (name, durable) in settings {
        let value = admin.value(&format!("SELECT @@GLOBAL.{name}")).await?;
        if let Some(value) = value
            && value != durable
        {
            found.push(format!("{name} = {value}"));
        }
    }
    Ok(found)
}

fn print(status: &Status) {
    if status.damaged {
        println!("the ledger is there in part only: run `steadfast ledger install` again");
    } else if !status.installed {
        println!(
            "the ledger is not installed: a COMMIT whose answer is lost is answered 1180/08007"
        );
    } else {
        println!("the ledger is installed");
        println!(
            "lanes: {} (one for each session that writes), {} of them with a COMMIT that was in doubt",
            status.lanes, status.fenced
        );
        let named = |names: &[String]| {
            accounts::list(
                &names
                    .iter()
                    .map(|name| match name.as_str() {
                        "PUBLIC" => Account::Public,
                        _ => Account::Named(name.clone()),
                    })
                    .collect::<Vec<_>>(),
            )
        };
        println!("may be used by: {}", named(&status.accounts));
        if !status.without.is_empty() {
            println!(
                "may not be used by: {}; `steadfast ledger install` lets them",
                named(&status.without)
            );
        }
    }
    for setting in &status.not_durable {
        println!(
            "warning: {setting}: a crash may take COMMITs that were acknowledged, and neither the server nor Steadfast can know"
        );
    }
}
