//! `steadfast ledger install|status|remove`: the commit ledger on a server.

pub(crate) mod accounts;
mod grants;
mod inspect;
mod rights;
mod server;
mod status;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use steadfast_session::ledger::schema::{self, Flavor};

use crate::access::PasswordError;
use crate::cli::{LedgerArgs, LedgerCommand, LedgerInstall, LedgerRemove};
use crate::{FAILED, USAGE};
use accounts::Account;
use grants::Grants;
use inspect::{Found, Part};
use server::Admin;

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
            let usage = error.downcast_ref::<PasswordError>().is_some();
            ExitCode::from(if usage { USAGE } else { FAILED })
        }
    }
}

async fn install(args: LedgerInstall) -> anyhow::Result<ExitCode> {
    let mut admin = Admin::connect(&args.server).await?;
    if admin.is_read_only().await? {
        bail!(
            "{} is read_only: install on the primary, its replicas get the ledger from it",
            args.server.url.address
        );
    }
    let found = Found::look(&mut admin).await?;
    check(&found)?;
    let mut statements = schema::install_table(admin.flavor);
    // One that is in use stays: MySQL cannot replace it without a moment in which it is missing.
    for (procedure, part) in schema::PROCEDURES.iter().zip(&found.procedures) {
        if *part != Part::Current {
            statements.extend(schema::install_procedure(admin.flavor, procedure));
        }
    }
    let accounts = if !args.accounts.is_empty() {
        args.accounts
    } else if admin.has_public() {
        vec![Account::Public]
    } else {
        Grants::read(&mut admin).await?.without()
    };
    let grants: Vec<String> = accounts
        .iter()
        .map(|account| schema::grant(&account.to_string()))
        .collect();
    if args.dry_run {
        let text = script(admin.flavor, statements.iter().chain(&grants));
        admin.quit().await;
        print(&text)?;
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
    let users = if accounts.is_empty() {
        "every account, as before".to_owned()
    } else {
        accounts::list(&accounts)
    };
    print(&format!(
        "the ledger is installed; it may be used by {users}\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether what is there can be made a ledger of this version without touching what is somebody else's.
fn check(found: &Found) -> anyhow::Result<()> {
    if !found.foreign.is_empty() {
        // EXECUTE is granted on all of it.
        bail!(
            "the database steadfast has something of somebody else's, which the accounts of the ledger could then use: {}; move it to another database first",
            found.foreign.join(", ")
        );
    }
    if let Part::Other(how) = &found.table {
        bail!(
            "the table steadfast.commit_ledger {how}: it is of another version of Steadfast, or somebody else's; `steadfast ledger remove` drops it, while no COMMIT is in doubt"
        );
    }
    Ok(())
}

async fn remove(args: LedgerRemove) -> anyhow::Result<ExitCode> {
    let mut admin = Admin::connect(&args.server).await?;
    let found = Found::look(&mut admin).await?;
    let mut statements: Vec<String> = Grants::read(&mut admin)
        .await?
        .removable()
        .iter()
        .map(|account| schema::revoke(&account.to_string()))
        .collect();
    statements.extend(schema::remove());
    if found.foreign.is_empty() {
        statements.push(format!("DROP DATABASE IF EXISTS {}", schema::DATABASE));
    }
    if args.dry_run {
        let text = script(admin.flavor, statements.iter());
        admin.quit().await;
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    for statement in &statements {
        admin.run(statement).await?;
    }
    admin.quit().await;
    if !found.foreign.is_empty() {
        print(&format!(
            "the database steadfast stays: it has {}\n",
            found.foreign.join(", ")
        ))?;
    }
    print(
        "the ledger is removed; a COMMIT that is lost on the way is answered 1180 from now on\n",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// SQL as the mariadb and mysql clients read it: procedures have semicolons inside.
fn script<'a>(flavor: Flavor, statements: impl Iterator<Item = &'a String>) -> String {
    let mut text = "DELIMITER ;;\n".to_owned();
    let mut add = |statement: &str| {
        text.push_str(statement);
        text.push_str(";;\n");
    };
    schema::prepare(flavor).iter().for_each(|one| add(one));
    statements.for_each(|one| add(one));
    text.push_str("DELIMITER ;\n");
    text
}

/// Writes to the standard output. Somebody who reads no further, such as `head`, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("the standard output cannot be written")
        }
        _ => Ok(()),
    }
}
