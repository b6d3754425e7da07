//! `steadfast ledger install|status|remove`: the commit ledger on a server.

mod accounts;
mod server;
mod status;
mod url;

use std::process::ExitCode;

use anyhow::bail;
use steadfast_session::ledger::schema;

use crate::cli::{LedgerArgs, LedgerCommand, LedgerInstall, LedgerRemove};
use crate::{FAILED, USAGE};
use accounts::Account;
use server::Admin;

pub(crate) use accounts::account;
pub(crate) use url::ServerUrl;

/// Runs the command. Errors are one line on the standard error stream.
pub(crate) fn run(args: LedgerArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("steadfast: the runtime cannot be started: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let done = runtime.block_on(async {
        match args.command {
            LedgerCommand::Install(args) => install(args).await,
            LedgerCommand::Status(args) => status::run(args).await,
            LedgerCommand::Remove(args) => remove(args).await,
        }
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("steadfast: {error:#}");
            let usage = error.downcast_ref::<server::PasswordError>().is_some();
            ExitCode::from(if usage { USAGE } else { FAILED })
        }
    }
}

async fn install(args: LedgerInstall) -> anyhow::Result<ExitCode> {
    let mut admin = Admin::connect(&args.server).await?;
    let accounts = if args.accounts.is_empty() {
        admin.accounts().await?
    } else {
        args.accounts.iter().cloned().map(Account::Named).collect()
    };
    let statements = schema::install(admin.flavor);
    let grants: Vec<String> = accounts
        .iter()
        .map(|account| schema::grant(&account.to_string()))
        .collect();
    if args.dry_run {
        print_script(statements.iter().chain(&grants));
        return Ok(ExitCode::SUCCESS);
    }
    for statement in &statements {
        admin.run(statement).await?;
    }
    let mut refused = 0;
    for (account, grant) in accounts.iter().zip(&grants) {
        if let Err(error) = admin.run(grant).await {
            eprintln!("steadfast: {account} cannot use the ledger: {error:#}");
            refused += 1;
        }
    }
    admin.quit().await;
    if refused > 0 {
        bail!(
            "the ledger is installed, but {refused} of {} accounts cannot use it",
            accounts.len()
        );
    }
    println!(
        "the ledger is installed; it may be used by {}",
        accounts::list(&accounts)
    );
    Ok(ExitCode::SUCCESS)
}

async fn remove(args: LedgerRemove) -> anyhow::Result<ExitCode> {
    let mut admin = Admin::connect(&args.server).await?;
    let mut statements: Vec<String> = admin
        .grantees()
        .await?
        .iter()
        .map(|account| schema::revoke(&account.to_string()))
        .collect();
    statements.extend(schema::remove());
    if admin.holds_only_the_ledger().await? {
        statements.push(format!("DROP DATABASE IF EXISTS {}", schema::DATABASE));
    }
    if args.dry_run {
        print_script(statements.iter());
        return Ok(ExitCode::SUCCESS);
    }
    for statement in &statements {
        admin.run(statement).await?;
    }
    admin.quit().await;
    println!(
        "the ledger is removed; a COMMIT that is lost on the way is answered 1180 from now on"
    );
    Ok(ExitCode::SUCCESS)
}

/// SQL as the mariadb and mysql clients read it: procedures have semicolons inside.
fn print_script<'a>(statements: impl Iterator<Item = &'a String>) {
    println!("DELIMITER ;;");
    for statement in statements {
        println!("{statement};;");
    }
    println!("DELIMITER ;");
}
