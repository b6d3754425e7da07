//! The command line: commands, flags, and what their help says.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use steadfast_proxy::config::{
    Address, AdminAddress, LogFormat, LogLevel, Overrides, parse_duration,
};

use crate::ledger::accounts::{Account, account};
use crate::ledger::url::{ServerUrl, UrlParser};

/// Makes lost connections to MySQL and MariaDB servers invisible to their clients.
#[derive(Parser, Debug)]
#[command(name = "steadfast", version, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the reason is on the standard error stream
  2  the command line or the configuration is wrong";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Serve clients: stand between them and one server
    #[command(after_help = SERVE_HELP)]
    Serve(Box<ServeArgs>),
    /// Show it: a real server, real faults, clients direct and through Steadfast side by side
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// The commit ledger on a server: with it no COMMIT is ever in doubt
    #[command(after_help = LEDGER_HELP)]
    Ledger(LedgerArgs),
    /// Explain lost connections: from logs, dumps and messages
    #[command(after_help = WHY_HELP)]
    Why(WhyArgs),
}

const SERVE_HELP: &str = "\
Examples:
  steadfast serve --backend db.example.com:3306
      Clients connect to 127.0.0.1:6033 instead, with the same users and passwords.
  steadfast serve --backend 10.0.0.5:3306 --listen 0.0.0.0:3306 --admin off
  steadfast serve --config steadfast.toml --check

A flag wins over the file, the file over the default. Ctrl-C or SIGTERM drains:
open transactions may finish (timeouts.drain), then it ends.

Exit codes:
  0  shut down after a drain, or --check found nothing wrong
  1  failed: an address cannot be opened, a file cannot be used
  2  the command line or the configuration is wrong";

const DEMO_HELP: &str = "\
Examples:
  steadfast demo
  steadfast demo --server mysql --seconds 120
  steadfast demo --json > demo.json

The first run fetches a server if this machine has none. Nothing is left behind.

Exit codes:
  0  no client of Steadfast's saw a failure that it promises to hide
  1  one did, or the demo could not run
  2  the command line is wrong
  130  stopped by Ctrl-C";

const LEDGER_HELP: &str = "\
Examples:
  steadfast ledger install mysql://root@db.example.com:3306
      Asks for the password; STEADFAST_PASSWORD or --password-file hold it for scripts.
  steadfast ledger install --dry-run mysql://root@db.example.com | less
  steadfast ledger install --for app@10.0.0.% --for batch mysql://root@db.example.com
  steadfast ledger status mysql://root@db.example.com
  steadfast ledger remove mysql://root@db.example.com

The ledger is one small table and three procedures in the database steadfast. Steadfast uses it
by itself for every account that may execute them. What it is for, what it costs and who may do
what is in docs/ledger.md.

Exit codes:
  0  done; status: it is installed, as this version has it
  1  failed; status: it is not installed, or not as this version has it
  2  the command line is wrong, or there is no password";

const WHY_HELP: &str = "\
Examples:
  steadfast why --from /var/log/mysql/error.log
  steadfast why --from error.log dmesg.txt variables.txt
      The more it has, the more it can tell apart: the server's error log, the kernel's log
      (dmesg -T), SHOW GLOBAL VARIABLES, and what the client said, in any mixture, cut or wrapped.
  pbpaste | steadfast why --from -

Neither a server nor a running Steadfast is needed, and nothing is sent anywhere. What each cause is
and how it is told from the others is in docs/causes.md.

Exit codes:
  0  done
  1  failed: a file cannot be read
  2  the command line is wrong";

/// `steadfast why`.
#[derive(Args, Debug)]
pub(crate) struct WhyArgs {
    /// Files to explain, in any mixture of logs, dumps and messages; "-" is the standard input
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) from: Vec<PathBuf>,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `steadfast serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The settings file (TOML; every setting is in docs/configuration.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The server, HOST:PORT or /path/to/socket; needed here or in the file
    #[arg(long, value_name = "ADDRESS")]
    backend: Option<Address>,
    /// Where clients connect; may be repeated [default: 127.0.0.1:6033]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<Address>,
    /// Where /metrics, /health and /ready are, or "off" [default: 127.0.0.1:6080]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<AdminAddress>,
    /// Where Steadfast keeps its files [default: ~/.local/state/steadfast]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How long clients are held while no server can be reached [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    hold: Option<Duration>,
    /// Threads that serve sessions [default: the number of cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// The certificate that clients are shown, PEM [default: one is generated]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Passwords that no login can tell, lines of user = "password"; not readable for everybody
    #[arg(long, value_name = "FILE")]
    users_file: Option<PathBuf>,
    /// The least important level that is logged [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = log_level())]
    log_level: Option<LogLevel>,
    /// Log for people or for machines [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = log_format())]
    log_format: Option<LogFormat>,
    /// Say whether the configuration is complete and right, and end
    #[arg(long)]
    pub(crate) check: bool,
}

fn log_level() -> impl TypedValueParser<Value = LogLevel> {
    PossibleValuesParser::new(LogLevel::NAMES).try_map(|name| name.parse())
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(LogFormat::NAMES).try_map(|name| name.parse())
}

impl ServeArgs {
    /// The flags that win over the file.
    pub(crate) fn overrides(self) -> Overrides {
        Overrides {
            backend: self.backend,
            listen: self.listen,
            admin: self.admin,
            state_dir: self.state_dir,
            threads: self.threads,
            hold: self.hold,
            tls_certificate: self.tls_cert,
            tls_key: self.tls_key,
            users_file: self.users_file,
            log_level: self.log_level,
            log_format: self.log_format,
        }
    }
}

/// `steadfast ledger`.
#[derive(Args, Debug)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    pub(crate) command: LedgerCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum LedgerCommand {
    /// Make its table and procedures, and let accounts use them; may be repeated
    Install(LedgerInstall),
    /// Say whether it is there, who may use it, and whether the server keeps what it acknowledges
    Status(LedgerStatus),
    /// Remove it and all its grants
    Remove(LedgerRemove),
}

/// The server and the administrator's account.
#[derive(Args, Debug)]
pub(crate) struct LedgerServer {
    /// The server and an account that may create users and procedures: mysql://USER@HOST:PORT
    #[arg(value_name = "URL", value_parser = UrlParser)]
    pub(crate) url: ServerUrl,
    /// A file that holds the password
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Authorities that the server's certificate must be signed by, PEM [default: TLS if offered, any certificate]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
}

/// `steadfast ledger install`.
#[derive(Args, Debug)]
pub(crate) struct LedgerInstall {
    #[command(flatten)]
    pub(crate) server: LedgerServer,
    /// Print the SQL and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Let this account use it, USER@HOST, and no other that may not already; may be repeated [default: every account]
    #[arg(long = "for", value_name = "ACCOUNT", value_parser = account)]
    pub(crate) accounts: Vec<Account>,
}

/// `steadfast ledger status`.
#[derive(Args, Debug)]
pub(crate) struct LedgerStatus {
    #[command(flatten)]
    pub(crate) server: LedgerServer,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `steadfast ledger remove`.
#[derive(Args, Debug)]
pub(crate) struct LedgerRemove {
    #[command(flatten)]
    pub(crate) server: LedgerServer,
    /// Print the SQL and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `steadfast demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// The server to run
    #[arg(long, value_enum, default_value_t = DemoServer::Mariadb)]
    pub(crate) server: DemoServer,
    /// How long the workload and its faults last, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    pub(crate) seconds: u32,
    /// Write the outcome as one JSON object to the standard output, without the table
    #[arg(long)]
    pub(crate) json: bool,
}

/// The servers that the demo can run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum DemoServer {
    /// MySQL.
    #[value(name = "mysql")]
    Mysql,
    /// MariaDB.
    #[value(name = "mariadb")]
    Mariadb,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_serve_reaches_the_configuration() {
        let line = [
            "steadfast",
            "serve",
            "--backend",
            "db:3306",
            "--listen",
            "127.0.0.1:1",
            "--listen",
            "127.0.0.1:2",
            "--admin",
            "off",
            "--state-dir",
            "/s",
            "--hold",
            "2m",
            "--threads",
            "3",
            "--tls-cert",
            "/c",
            "--tls-key",
            "/k",
            "--users-file",
            "/u",
            "--log-level",
            "debug",
            "--log-format",
            "json",
        ];
        let Command::Serve(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not serve");
        };
        let expected = Overrides {
            backend: Some("db:3306".parse().unwrap()),
            listen: vec![
                "127.0.0.1:1".parse().unwrap(),
                "127.0.0.1:2".parse().unwrap(),
            ],
            admin: Some(AdminAddress::Off),
            state_dir: Some("/s".into()),
            threads: NonZeroUsize::new(3),
            hold: Some(Duration::from_secs(120)),
            tls_certificate: Some("/c".into()),
            tls_key: Some("/k".into()),
            users_file: Some("/u".into()),
            log_level: Some(LogLevel::Debug),
            log_format: Some(LogFormat::Json),
        };
        assert_eq!(args.overrides(), expected);
    }

    #[test]
    fn the_demo_has_its_defaults() {
        let Command::Demo(args) = Cli::try_parse_from(["steadfast", "demo"]).unwrap().command
        else {
            panic!("not demo");
        };
        assert_eq!(
            (args.server, args.seconds, args.json),
            (DemoServer::Mariadb, 60, false)
        );
    }
}
