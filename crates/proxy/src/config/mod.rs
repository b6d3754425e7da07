//! The configuration: defaults, then the file, then the flags of the command line.
//!
//! [`Config::load`] is the only way to one. It is complete and consistent, so nothing after it needs to check.
//! `docs/configuration.md` describes every setting; a test compares the two.

mod address;
mod check;
#[cfg(test)]
mod documentation;
mod error;
mod file;
mod sections;
mod settings;
mod size;
mod span;
mod users;

use std::{
    env,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

pub use steadfast_net::Address;

pub use self::{
    address::AdminAddress,
    error::ConfigError,
    sections::{
        IncidentSettings, LedgerMode, LedgerSettings, Limits, Log, LogFormat, LogLevel, Timeouts,
    },
    settings::{BackendTls, ClientTlsMode},
    size::{format_size, parse_size},
    span::{format_duration, parse_duration},
    users::Users,
};
use self::{address::Written, file::FileSettings, settings::Settings};

/// Everything that `steadfast serve` can be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where clients connect; never empty. Default 127.0.0.1:6033.
    pub listen: Vec<Address>,
    /// Where the admin HTTP listens. Default 127.0.0.1:6080.
    pub admin: AdminAddress,
    /// Where Steadfast keeps its files. Default the XDG state directory, `~/.local/state/steadfast`.
    pub state_dir: PathBuf,
    /// Threads that serve sessions. Default the number of cores.
    pub threads: NonZeroUsize,
    /// The server.
    pub backend: Backend,
    /// TLS towards clients.
    pub tls: ClientTls,
    /// How long Steadfast waits.
    pub timeouts: Timeouts,
    /// What Steadfast may use.
    pub limits: Limits,
    /// Passwords from the users file; empty without one.
    pub users: Users,
    /// Whether COMMITs are recorded.
    pub ledger: LedgerSettings,
    /// What is kept of losses.
    pub incidents: IncidentSettings,
    /// What is logged.
    pub log: Log,
}

/// The server behind Steadfast.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: Address,
    /// How the leg to it uses TLS. Default `preferred`.
    pub tls: BackendTls,
    /// The authorities that its certificate may come from, a PEM file. Given with [`BackendTls::VerifyCa`]; with
    /// [`BackendTls::VerifyIdentity`] the system's when not given; with no other.
    pub ca: Option<PathBuf>,
}

/// TLS towards clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientTls {
    /// Not offered.
    Off,
    /// Offered; clients may do without.
    Optional(Certificate),
    /// A client that does not use it is refused.
    Required(Certificate),
}

/// The certificate that clients are shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Certificate {
    /// One that Steadfast makes for itself.
    Generated,
    /// PEM files.
    Files {
        /// The certificate and those between it and its authority.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// What the flags of the command line say; they win over the file.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Overrides {
    /// `--backend`.
    pub backend: Option<Address>,
    /// `--listen`, which may be repeated; empty: not given.
    pub listen: Vec<Address>,
    /// `--admin`.
    pub admin: Option<AdminAddress>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--threads`.
    pub threads: Option<NonZeroUsize>,
    /// `--hold`.
    pub hold: Option<Duration>,
    /// `--tls-cert`.
    pub tls_certificate: Option<PathBuf>,
    /// `--tls-key`.
    pub tls_key: Option<PathBuf>,
    /// `--users-file`.
    pub users_file: Option<PathBuf>,
    /// `--log-level`.
    pub log_level: Option<LogLevel>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
}

impl Config {
    /// Merges the defaults, the file, if one is given, and the flags.
    ///
    /// # Errors
    /// One line that names the file, the line, the setting, what is wrong and what to write instead.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let file = match file {
            Some(path) => FileSettings::read(path)?,
            None => FileSettings::default(),
        };
        Self::resolve(&file, overrides)
    }

    fn resolve(file: &FileSettings, overrides: Overrides) -> Result<Self, ConfigError> {
        let given = check::Given::of(&overrides);
        let mut settings = file.settings.clone();
        overrides.apply_to(&mut settings);
        check::check(&settings).map_err(|wrong| wrong.place(&given, file))?;
        let Written(address) = settings.backend.address.ok_or_else(|| {
            ConfigError::new(
                "no server is given; write --backend HOST:3306, or address = \"HOST:3306\" under [backend] in the file"
                    .to_owned(),
            )
        })?;
        Ok(Self {
            listen: settings
                .listen
                .into_iter()
                .map(|Written(address)| address)
                .collect(),
            admin: settings.admin,
            state_dir: settings.state_dir.map_or_else(default_state_dir, Ok)?,
            threads: settings
                .threads
                .or_else(|| std::thread::available_parallelism().ok())
                .unwrap_or(NonZeroUsize::MIN),
            backend: Backend {
                address,
                tls: settings.backend.tls,
                ca: settings.backend.ca,
            },
            tls: ClientTls::new(settings.tls),
            timeouts: settings.timeouts,
            limits: settings.limits,
            users: settings
                .users
                .file
                .map_or_else(|| Ok(Users::default()), |path| Users::load(&path))?,
            ledger: settings.ledger,
            incidents: settings.incidents,
            log: settings.log,
        })
    }
}

impl ClientTls {
    fn new(settings: settings::TlsSettings) -> Self {
        let certificate = match (settings.certificate, settings.key) {
            (Some(certificate), Some(key)) => Certificate::Files { certificate, key },
            _ => Certificate::Generated,
        };
        match settings.client {
            ClientTlsMode::Off => Self::Off,
            ClientTlsMode::Optional => Self::Optional(certificate),
            ClientTlsMode::Required => Self::Required(certificate),
        }
    }
}

impl Overrides {
    fn apply_to(self, settings: &mut Settings) {
        fn set<T>(target: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *target = value;
            }
        }
        if !self.listen.is_empty() {
            settings.listen = self.listen.into_iter().map(Written).collect();
        }
        set(
            &mut settings.backend.address,
            self.backend.map(|address| Some(Written(address))),
        );
        set(&mut settings.admin, self.admin);
        set(&mut settings.state_dir, self.state_dir.map(Some));
        set(&mut settings.threads, self.threads.map(Some));
        set(&mut settings.timeouts.hold, self.hold);
        set(
            &mut settings.tls.certificate,
            self.tls_certificate.map(Some),
        );
        set(&mut settings.tls.key, self.tls_key.map(Some));
        set(&mut settings.users.file, self.users_file.map(Some));
        set(&mut settings.log.level, self.log_level);
        set(&mut settings.log.format, self.log_format);
    }
}

/// `$XDG_STATE_HOME/steadfast`, or `~/.local/state/steadfast` (XDG Base Directory Specification 0.8; it says that a
/// relative path in the variable is to be ignored).
///
/// # Errors
/// Neither that variable nor `HOME` is set.
pub fn default_state_dir() -> Result<PathBuf, ConfigError> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("steadfast"))
        .ok_or_else(|| {
            ConfigError::new(
                "no directory for Steadfast's files: neither XDG_STATE_HOME nor HOME is set; write --state-dir DIR"
                    .to_owned(),
            )
        })
}
