//! Runs the same operations with real clients directly and through Steadfast, and compares what they see.
//!
//! `cargo run -p steadfast-clients -- --server mariadb --serve target/debug/steadfast`; tests/clients/README.md
//! says what a client is and how to add one.

mod accounts;
mod catalog;
mod child;
mod compare;
mod drive;
mod install;
mod lose;
mod operations;
mod overhear;
mod proxy;
mod report;
mod request;
mod retries;
mod run;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use serde_json::Value;
use steadfast_sandbox::{Kind, Server};

use accounts::Account;
use overhear::Leg;
use proxy::Proxy;
use report::{Logins, Operations, Overheard, Report};
use request::{Login, Op, Request};
use run::Ready;

/// Compare what real clients see directly and through a proxy.
///
/// Starts a server of its own. Without --serve, --through or --forward both runs are direct, which must show no
/// difference. The exit code is 1 if a cell is wrong, 2 if the matrix could not run.
#[derive(Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example: cargo run -p steadfast-clients -- --server mysql --client pymysql --serve target/debug/steadfast"
)]
struct Args {
    #[command(subcommand)]
    command: Option<Subcommand>,
    /// The server behind the proxy.
    #[arg(long, value_enum, required_unless_present = "drive")]
    server: Option<ServerKind>,
    /// Only this client (repeatable); see the table for names.
    #[arg(long, value_name = "NAME")]
    client: Vec<String>,
    /// A proxy that already runs; its backend must be the server, whose address is printed.
    #[arg(long, value_name = "HOST:PORT", group = "between")]
    through: Option<SocketAddr>,
    /// Run this steadfast binary as the proxy.
    #[arg(long, value_name = "BINARY", group = "between")]
    serve: Option<PathBuf>,
    /// Use a plain TCP forwarder as the proxy: shows that the harness is neutral.
    #[arg(long, group = "between")]
    forward: bool,
    /// With --forward: replace bytes in what the server sends (of equal length): shows that it is noticed.
    #[arg(long, value_name = "FROM=TO", requires = "forward")]
    plant: Option<String>,
    /// Only accounts with this plugin, or `empty`; the first account is the one that operates.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only with or without TLS. By default logins are tried both ways; operations go over TLS to MySQL only, whose
    /// default plugin needs it with some clients.
    #[arg(long, value_enum)]
    tls: Option<Switch>,
    /// Only the operations or only the logins.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Also write each transcript into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    transcripts: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Be the driver of a built-in client: request on standard input, transcript on standard output.
    #[arg(long, value_name = "NAME", hide = true)]
    drive: Option<String>,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    Retries(retries::Options),
}

#[derive(Clone, Copy, ValueEnum)]
enum ServerKind {
    Mariadb,
    Mysql,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Operations,
    Logins,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match (&args.command, &args.drive) {
        (Some(Subcommand::Retries(options)), _) => retries::run(options).map(|well| {
            if well {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }),
        (None, Some(driver)) => drive::run(driver).map(|()| ExitCode::SUCCESS),
        (None, None) => report(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("steadfast-clients: {error:#}");
        ExitCode::from(2)
    })
}

fn report(args: &Args) -> anyhow::Result<ExitCode> {
    let report = matrix(args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report.json())?);
    } else {
        report.print();
    }
    Ok(if report.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The server, the proxy before it, and the files that clients read.
struct Bench {
    server: Server,
    proxy: Proxy,
    load_file: PathBuf,
    /// The proxy is to keep sessions whose server connections are taken away.
    keeps: bool,
    /// Where transcripts are kept.
    transcripts: Option<PathBuf>,
    /// Removed with everything in it at the end.
    directory: tempfile::TempDir,
}

fn matrix(args: &Args) -> anyhow::Result<Report> {
    let kind = match args.server {
        Some(ServerKind::Mysql) => Kind::MySql,
        Some(ServerKind::Mariadb) | None => Kind::MariaDb,
    };
    let mut accounts = accounts::chosen(kind, args.plugin.as_deref())?;
    let clients = chosen_clients(&args.client)?;
    let mut report = Report::default();
    let mut ready = Vec::new();
    for client in &clients {
        match run::ready(client, &catalog::scripts()) {
            Ok(runnable) => ready.push((client.name.as_str(), runnable)),
            Err(reason) => report
                .absent
                .push((client.name.clone(), format!("{reason:#}"))),
        }
    }
    if ready.is_empty() {
        let reasons = report
            .absent
            .iter()
            .map(|(client, reason)| format!("{client}: {reason}"));
        bail!(
            "no client can run: {}",
            reasons.collect::<Vec<_>>().join("; ")
        );
    }
    let server = start(kind, &mut accounts, &mut report)?;
    let mut bench = prepare(args, server, &accounts)?;
    report.server = format!("{kind} {}", bench.server.version());
    report.through = match (&args.serve, args.forward, args.through) {
        (Some(binary), ..) => format!("{} serve", binary.display()),
        (None, true, _) => "a plain forwarder".to_owned(),
        (None, false, Some(addr)) => addr.to_string(),
        (None, false, None) => "direct (no proxy given)".to_owned(),
    };
    let tls_of = |by_default: &[bool]| match args.tls {
        Some(switch) => vec![switch == Switch::On],
        None => by_default.to_vec(),
    };
    if args.only != Some(Part::Logins) {
        let first = accounts.first().context("there are no accounts")?;
        for tls in tls_of(&[kind == Kind::MySql]) {
            for (name, ready) in &ready {
                eprintln!("clients: {name}, operations");
                report
                    .operations
                    .push(operate(&bench, name, ready, first, tls)?);
            }
        }
    }
    if args.only != Some(Part::Operations) {
        for (name, ready) in &ready {
            eprintln!("clients: {name}, logins");
            for tls in tls_of(&[false, true]) {
                report.proxy_ended = report.proxy_ended.or(bench.forget_passwords(args)?);
                let (logins, overheard) = log_in(&bench, name, ready, &accounts, tls)?;
                report.logins.extend(logins);
                report.overheard.push(overheard);
            }
        }
    }
    report.proxy_ended = report.proxy_ended.or(bench.proxy.ended()?);
    Ok(report)
}

fn chosen_clients(names: &[String]) -> anyhow::Result<Vec<catalog::Client>> {
    let mut clients = catalog::clients(&catalog::scripts())?;
    if let Some(unknown) = names
        .iter()
        .find(|name| clients.iter().all(|client| client.name != **name))
    {
        let all: Vec<_> = clients.iter().map(|client| client.name.as_str()).collect();
        bail!("there is no client {unknown}: choose of {}", all.join(", "));
    }
    clients.retain(|client| names.is_empty() || names.contains(&client.name));
    Ok(clients)
}

/// Starts the server; without the account that it cannot have here.
fn start(kind: Kind, accounts: &mut Vec<Account>, report: &mut Report) -> anyhow::Result<Server> {
    if !accounts.iter().any(Account::is_clear) {
        return Ok(builder(kind).start()?);
    }
    let error = match builder(kind).clear_password(accounts::PASSWORD).start() {
        Ok(server) => return Ok(server),
        Err(error) => error,
    };
    accounts.retain(|account| !account.is_clear());
    if accounts.is_empty() {
        return Err(error.into());
    }
    let name = format!("logins with {}", operations::CLEAR_PASSWORD);
    report.absent.push((name, error.to_string()));
    Ok(builder(kind).start()?)
}

fn builder(kind: Kind) -> steadfast_sandbox::Builder {
    // Nothing here asks for durability, and it costs most of the time.
    let server = Server::of(kind)
        .option("max_allowed_packet=128M")
        .option("innodb_flush_log_at_trx_commit=0")
        .option("sync_binlog=0");
    match kind {
        // MySQL refuses blobs of more than a tenth of its redo log.
        Kind::MySql => server.option("innodb_redo_log_capacity=512M"),
        // A session whose handshake names a collation that MariaDB does not know (the mysql client's 255) is reset by
        // COM_RESET_CONNECTION to the character set of the session that its cached thread served before (10.11): two
        // sides would differ by chance. A thread of its own resets to the server's.
        Kind::MariaDb => server.option("thread_cache_size=0"),
    }
}

fn prepare(args: &Args, server: Server, accounts: &[Account]) -> anyhow::Result<Bench> {
    script(&server, operations::STATIC_SCHEMA)?;
    accounts::create(&server, accounts)?;
    let directory = tempfile::tempdir()?;
    let load_file = directory.path().join("load.csv");
    fs::write(&load_file, operations::LOAD_FILE)?;
    let proxy = open_proxy(args, server.addr(), directory.path())?;
    Ok(Bench {
        server,
        proxy,
        load_file,
        keeps: args.serve.is_some() || args.through.is_some(),
        transcripts: args.transcripts.clone(),
        directory,
    })
}

fn open_proxy(args: &Args, server: SocketAddr, directory: &Path) -> anyhow::Result<Proxy> {
    if let Some(binary) = &args.serve {
        return Proxy::serve(binary, server, directory);
    }
    if let Some(addr) = args.through {
        eprintln!("clients: the server is at {server}; waiting for a proxy to it at {addr}");
        return Proxy::running(addr);
    }
    if !args.forward {
        return Ok(Proxy::none(server));
    }
    let plant = match &args.plant {
        None => None,
        Some(plant) => match plant.split_once('=') {
            Some((from, to)) if !from.is_empty() && from.len() == to.len() => {
                Some((from.as_bytes().to_vec(), to.as_bytes().to_vec()))
            }
            _ => bail!("--plant wants FROM=TO with both of the same length, not {plant}"),
        },
    };
    Proxy::forward(server, plant)
}

/// Runs statements, among them procedures with semicolons in them.
fn script(server: &Server, statements: &[&str]) -> anyhow::Result<()> {
    server.sql(&format!(
        "DELIMITER ;;\nSET NAMES utf8mb4;;\n{};;\n",
        statements.join(";;\n")
    ))?;
    Ok(())
}

/// The request for one side.
fn request(addr: SocketAddr, account: &Account, tls: bool, ops: &[Op]) -> Request {
    let login = Login {
        host: addr.ip().to_string(),
        port: addr.port(),
        user: account.user.clone(),
        password: account.password.to_owned(),
        database: Some(operations::DATABASE.to_owned()),
        tls,
        multi: false,
        clear_password: account.is_clear(),
    };
    Request {
        login,
        program: None,
        ops: ops.to_vec(),
    }
}

/// The operations on both sides, each on a database in its first state.
fn operate(
    bench: &Bench,
    name: &str,
    ready: &Ready,
    account: &Account,
    tls: bool,
) -> anyhow::Result<Operations> {
    let ops = operations::operations(&bench.load_file, (accounts::SECOND_USER, account.password));
    let run = format!("{name}-operations-{}", report::on_off(tls));
    let sides = bench.both_sides(&run, ready, None, |addr| {
        script(&bench.server, operations::SCHEMA)?;
        Ok(request(addr, account, tls, &ops))
    })?;
    let outcomes = compare::compare(&ops, &sides.direct, &sides.through);
    Ok(Operations {
        client: name.to_owned(),
        tls,
        outcomes,
        failures: sides.failures,
    })
}

/// The logins to all accounts on both sides. Each side begins with no password known: not to the server's cache, and
/// with --serve not to Steadfast.
fn log_in(
    bench: &Bench,
    name: &str,
    ready: &Ready,
    accounts: &[Account],
    tls: bool,
) -> anyhow::Result<(Vec<Logins>, Overheard)> {
    let first = accounts.first().context("there are no accounts")?;
    let lost = tempfile::tempdir()?;
    let attempts = |account: &Account| {
        operations::logins(
            account.plugin,
            &account.user,
            account.password,
            accounts::WRONG_PASSWORD,
            lost.path(),
        )
    };
    let ops: Vec<_> = accounts.iter().flat_map(attempts).collect();
    let run = format!("{name}-logins-{}", report::on_off(tls));
    let directly = Leg::to(bench.server.addr())?;
    let through = Leg::to(bench.proxy.addr)?;
    let sides = bench.both_sides(&run, ready, Some(lost.path()), |addr| {
        let leg = if addr == bench.proxy.addr { &through } else { &directly };
        bench.server.sql(
            "CREATE DATABASE IF NOT EXISTS matrix; CREATE DATABASE IF NOT EXISTS matrix_lost; FLUSH PRIVILEGES",
        )?;
        Ok(request(leg.addr(), first, tls, &ops))
    })?;
    let overheard = Overheard {
        client: name.to_owned(),
        tls,
        directly: directly.heard(),
        // A forwarder hides nothing.
        through: bench.keeps && through.heard(),
    };
    let logins = accounts.iter().map(|account| {
        let outcomes = compare::compare(&attempts(account), &sides.direct, &sides.through);
        Logins {
            client: name.to_owned(),
            plugin: account.plugin,
            tls,
            verdict: compare::login_verdict(&outcomes),
            survived: compare::survived(&outcomes).filter(|_| bench.keeps),
            outcomes,
            failures: sides.failures.clone(),
        }
    });
    Ok((logins.collect(), overheard))
}

/// The transcripts of a client's two runs.
struct Sides {
    direct: Vec<Value>,
    through: Vec<Value>,
    failures: Vec<String>,
}

impl Bench {
    /// Starts another Steadfast, so that no client's login is recognised by a password that another's has shown. Gives
    /// why the one before had ended, if it had.
    fn forget_passwords(&mut self, args: &Args) -> anyhow::Result<Option<String>> {
        let Some(binary) = &args.serve else {
            return Ok(None);
        };
        let ended = self.proxy.ended()?;
        // It ends before the next begins: they share a directory.
        let server = self.server.addr();
        self.proxy = Proxy::none(server);
        self.proxy = Proxy::serve(binary, server, self.directory.path())?;
        Ok(ended)
    }

    /// Runs a client on both sides. Sessions that wait for files in `lost` are told to go on, through the proxy after
    /// their server connections were taken away.
    fn both_sides(
        &self,
        run: &str,
        ready: &Ready,
        lost: Option<&Path>,
        request: impl Fn(SocketAddr) -> anyhow::Result<Request>,
    ) -> anyhow::Result<Sides> {
        let mut failures = Vec::new();
        let mut side = |side: &str, addr| {
            let request = request(addr)?;
            let watch = match lost {
                None => None,
                Some(files) => {
                    for file in fs::read_dir(files)? {
                        fs::remove_file(file?.path())?;
                    }
                    let kill = side == "through" && self.keeps;
                    Some(lose::Watch::start(&self.server.url(), files, kill)?)
                }
            };
            let transcript = ready.run(&request)?;
            if let Some(watch) = watch {
                watch.end()?;
            }
            failures.extend(
                transcript
                    .failure
                    .map(|failure| format!("the driver, {side}: {failure}")),
            );
            if let Some(directory) = &self.transcripts {
                let lines: String = transcript
                    .lines
                    .iter()
                    .map(|line| format!("{line}\n"))
                    .collect();
                fs::create_dir_all(directory)?;
                fs::write(directory.join(format!("{run}-{side}.jsonl")), lines)?;
            }
            anyhow::Ok(transcript.lines)
        };
        let direct = side("direct", self.server.addr())?;
        let through = side("through", self.proxy.addr)?;
        Ok(Sides {
            direct,
            through,
            failures,
        })
    }
}
