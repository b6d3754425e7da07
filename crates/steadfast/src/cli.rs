//! The command line: commands, flags, and what their help says.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use steadfast_proxy::config::{
    Address, AdminAddress, LogFormat, LogLevel, Overrides, parse_duration,
};

use crate::access::url::{ServerUrl, UrlParser};
use crate::ledger::accounts::{Account, account};

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
    /// Explain lost connections: those of this Steadfast, or logs and messages
    #[command(after_help = WHY_HELP)]
    Why(WhyArgs),
    /// Look for the next lost connection: settings, limits, modes, and the way to the server
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Box<DoctorArgs>),
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

The account must be allowed to create users and procedures. The ledger is one small table and three procedures in the database steadfast. Steadfast uses it
by itself for every account that may execute them. What it is for, what it costs and who may do
what is in docs/ledger.md.

Exit codes:
  0  done; status: it is installed, as this version has it
  1  failed; status: it is not installed, or not as this version has it
  2  the command line is wrong, or there is no password";

const WHY_HELP: &str = "\
Examples:
  steadfast why
      The last losses of the Steadfast that runs here, grouped.
  steadfast why BCDFGH
      The whole story of one; errors that clients get name it.
  steadfast why --since 2h --json
  steadfast why --follow
  steadfast why --from /var/log/mysql/error.log
  steadfast why --from error.log dmesg.txt variables.txt
      Without Steadfast: the more it has, the more it can tell apart: the server's error log, the
      kernel's log (dmesg -T), SHOW GLOBAL VARIABLES, and what the client said, in any mixture, cut
      or wrapped.
  pbpaste | steadfast why --from -

Nothing is sent anywhere. What each cause is and how it is told from the others is in docs/causes.md.

Exit codes:
  0  done
  1  failed: a file cannot be read, or there is no such incident
  2  the command line is wrong";

const DOCTOR_HELP: &str = "\
Examples:
  steadfast doctor mysql://app@db.example.com
      Asks for the password; STEADFAST_PASSWORD or --password-file hold it for scripts.
  steadfast doctor --idle-limit 350s --pool-lifetime 30m mysql://app@db.example.com
      The path has a load balancer that forgets connections that are silent for 350 s.
  steadfast doctor --probe idle --idle-max 20m mysql://app@db.example.com
      Finds out for how long the path lets connections be silent.
  steadfast doctor --fix mysql://root@db.example.com
      Shows what it would set and asks; --undo brings back what was there.
  steadfast doctor --no-probes --json mysql://app@db.example.com > doctor.json

Any account will do; what it may not see is told. What is looked at, and why, is in docs/doctor.md.

Exit codes:
  0  nothing was found; notes do not count
  1  failed; the reason is on the standard error stream
  2  the command line is wrong, or there is no password
  3  errors or warnings were found; with --fix: some are left";

/// `steadfast doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Make this check and no other; may be repeated (names are in docs/doctor.md)
    #[arg(long, value_name = "CHECK", value_parser = check_name(), hide_possible_values = true)]
    pub(crate) only: Vec<String>,
    /// Set what can be set while the server runs, after showing it and asking
    #[arg(long, conflicts_with = "undo")]
    pub(crate) fix: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Bring back what was there before --fix
    #[arg(long, conflicts_with_all = ["probe", "only"])]
    pub(crate) undo: bool,
    /// Make no probes
    #[arg(long, conflicts_with = "probe")]
    pub(crate) no_probes: bool,
    /// Make this probe and no other; may be repeated
    #[arg(long, value_name = "PROBE", value_enum)]
    pub(crate) probe: Vec<Probe>,
    /// How long the probe idle may keep connections silent
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) idle_max: Duration,
    /// For how long the path is known to let connections be silent, such as 350s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_limit: Option<Duration>,
    /// For how long the client's pool keeps idle connections
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) pool_lifetime: Option<Duration>,
    /// How long the probes slow-read and slow-write pause
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) pause: Duration,
    /// The time between two looks at the server's counters
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) sample: Duration,
    /// The server's memory, such as 8G, where it runs on another machine
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// Where what --fix does and when the server was started is written down [default: ~/.local/state/steadfast]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// What doctor can try.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Probe {
    /// For how long connections may be silent.
    Idle,
    /// How large packets may be.
    Packet,
    /// Whether a pause in the middle of a result is survived.
    SlowRead,
    /// Whether a pause in the middle of a statement is survived.
    SlowWrite,
}

fn check_name() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(
        steadfast_diagnose::checks::CHECKS
            .iter()
            .map(|check| check.name),
    )
}

/// Bytes: a number, with K, M, G or T behind it for powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size, such as 512M or 8G");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text
        .get(digits.len()..)
        .unwrap_or_default()
        .to_ascii_uppercase()
        .as_str()
    {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1_u64 << 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number
        .checked_mul(unit)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(wrong)
}

/// `steadfast why`.
#[derive(Args, Debug)]
pub(crate) struct WhyArgs {
    /// The incident's id [default: the last ones]
    #[arg(conflicts_with_all = ["from", "last", "since", "follow"])]
    pub(crate) id: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: u32,
    /// Not older than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Go on with each that comes, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// Explain files instead: logs, dumps and messages in any mixture; "-" is the standard input
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["last", "since", "follow"])]
    pub(crate) from: Vec<PathBuf>,
    /// Where Steadfast keeps its files [default: ~/.local/state/steadfast]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Write JSON: one object; with --follow one a line
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

/// A server and an account on it.
#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    /// The server and an account on it: mysql://USER@HOST:PORT or mysql://USER@/path/to/socket
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
    pub(crate) server: ServerArgs,
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
    pub(crate) server: ServerArgs,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `steadfast ledger remove`.
#[derive(Args, Debug)]
pub(crate) struct LedgerRemove {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
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
