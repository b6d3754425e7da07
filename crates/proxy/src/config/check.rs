//! What no single setting can know: values that are out of range or do not fit together.

use std::{fs::File, time::Duration};

use super::{
    Address, AdminAddress, BackendTls, ClientTlsMode, ConfigError, Overrides, address::Written,
    file::FileSettings, format_size, settings::Settings,
};

/// The protocol's limit for a packet, which is also the largest `max_allowed_packet` of both servers.
const LARGEST_PACKET: u64 = 1 << 30;
/// Below this not even a login fits.
const SMALLEST_PACKET: u64 = 16 << 10;
const MOST_THREADS: usize = 1024;

/// A setting whose value cannot stand.
pub(super) struct Wrong {
    key: &'static str,
    what: String,
}

impl Wrong {
    /// Names where the value came from: a flag, a line of the file, or neither.
    pub(super) fn place(self, given: &Given, file: &FileSettings) -> ConfigError {
        match given.flag(self.key) {
            Some(flag) => ConfigError::new(format!("{flag}: {}", self.what)),
            None => file
                .error(self.key, &self.what)
                .unwrap_or_else(|| ConfigError::new(format!("{}: {}", self.key, self.what))),
        }
    }
}

/// The flags that were given, by the setting that each is for.
pub(super) struct Given(Vec<(&'static str, &'static str)>);

impl Given {
    pub(super) fn of(overrides: &Overrides) -> Self {
        let flags = [
            (overrides.backend.is_some(), "backend.address", "--backend"),
            (!overrides.listen.is_empty(), "listen", "--listen"),
            (overrides.admin.is_some(), "admin", "--admin"),
            (overrides.state_dir.is_some(), "state_dir", "--state-dir"),
            (overrides.threads.is_some(), "threads", "--threads"),
            (overrides.hold.is_some(), "timeouts.hold", "--hold"),
            (
                overrides.tls_certificate.is_some(),
                "tls.certificate",
                "--tls-cert",
            ),
            (overrides.tls_key.is_some(), "tls.key", "--tls-key"),
            (overrides.users_file.is_some(), "users.file", "--users-file"),
            (overrides.log_level.is_some(), "log.level", "--log-level"),
            (overrides.log_format.is_some(), "log.format", "--log-format"),
        ];
        Self(
            flags
                .into_iter()
                .filter(|(given, ..)| *given)
                .map(|(_, key, flag)| (key, flag))
                .collect(),
        )
    }

    fn flag(&self, key: &str) -> Option<&'static str> {
        self.0
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, flag)| *flag)
    }
}

/// Finds the first setting that cannot stand.
pub(super) fn check(settings: &Settings) -> Result<(), Wrong> {
    addresses(settings)?;
    tls(settings)?;
    times(settings)?;
    limits(settings)?;
    files(settings)
}

fn require(holds: bool, key: &'static str, what: impl FnOnce() -> String) -> Result<(), Wrong> {
    match holds {
        true => Ok(()),
        false => Err(Wrong { key, what: what() }),
    }
}

fn addresses(settings: &Settings) -> Result<(), Wrong> {
    require(!settings.listen.is_empty(), "listen", || {
        "clients need at least one address; write listen = [\"127.0.0.1:6033\"]".to_owned()
    })?;
    let threads = settings.threads.map_or(1, usize::from);
    require(threads <= MOST_THREADS, "threads", || {
        format!("{threads} is too many; the most is {MOST_THREADS}")
    })?;
    // Port 0 is another one each time, chosen by the kernel.
    let taken = |address: &Address| {
        !matches!(address, Address::Tcp { port: 0, .. })
            && settings
                .listen
                .iter()
                .any(|Written(listen)| listen == address)
    };
    let backend = settings.backend.address.as_ref();
    require(
        !backend.is_some_and(|Written(address)| taken(address)),
        "backend.address",
        || "Steadfast itself listens there; write the server's address".to_owned(),
    )?;
    let admin = match &settings.admin {
        AdminAddress::Off => false,
        AdminAddress::At(address) => taken(address),
    };
    require(!admin, "admin", || {
        "clients connect there (listen); write another port, or \"off\"".to_owned()
    })
}

fn tls(settings: &Settings) -> Result<(), Wrong> {
    let verifies = matches!(
        settings.backend.tls,
        BackendTls::VerifyCa | BackendTls::VerifyIdentity
    );
    require(
        verifies || settings.backend.ca.is_none(),
        "backend.ca",
        || {
            "the server's certificate is not checked with this backend.tls; write tls = \"verify-identity\" (or \"verify-ca\"), or remove ca".to_owned()
        },
    )?;
    let needs_ca = settings.backend.tls == BackendTls::VerifyCa;
    require(
        !needs_ca || settings.backend.ca.is_some(),
        "backend.tls",
        || {
            "a certificate of any known authority would pass, whoever it is for; name the server's own with ca = \"FILE\", or write tls = \"verify-identity\"".to_owned()
        },
    )?;
    let (certificate, key) = (&settings.tls.certificate, &settings.tls.key);
    require(
        certificate.is_none() || key.is_some(),
        "tls.certificate",
        || "its private key is missing; give tls.key (--tls-key) too".to_owned(),
    )?;
    require(key.is_none() || certificate.is_some(), "tls.key", || {
        "its certificate is missing; give tls.certificate (--tls-cert) too".to_owned()
    })?;
    let unused = settings.tls.client == ClientTlsMode::Off && certificate.is_some();
    require(!unused, "tls.certificate", || {
        "it is never shown with tls.client = \"off\"; write client = \"optional\", or remove it"
            .to_owned()
    })
}

fn times(settings: &Settings) -> Result<(), Wrong> {
    let timeouts = &settings.timeouts;
    for (key, duration, example) in [
        ("timeouts.connect", timeouts.connect, "5s"),
        ("timeouts.handshake", timeouts.handshake, "10s"),
        ("timeouts.dead_after", timeouts.dead_after, "10s"),
        ("limits.replay_time", settings.limits.replay_time, "60s"),
    ] {
        require(!duration.is_zero(), key, || {
            format!("it must be more than nothing; write, for example, \"{example}\"")
        })?;
    }
    for (key, duration, example) in [
        ("timeouts.keepalive_idle", timeouts.keepalive_idle, "60s"),
        (
            "timeouts.keepalive_interval",
            timeouts.keepalive_interval,
            "10s",
        ),
    ] {
        // TCP_KEEPIDLE and TCP_KEEPINTVL are whole seconds from 1 to 32767 (Linux, tcp(7)).
        let fits = duration.subsec_nanos() == 0
            && (Duration::from_secs(1)..=Duration::from_secs(32_767)).contains(&duration);
        require(fits, key, || {
            format!(
                "it must be whole seconds, from 1s to 32767s; write, for example, \"{example}\""
            )
        })?;
    }
    Ok(())
}

fn limits(settings: &Settings) -> Result<(), Wrong> {
    let packet = settings.limits.packet;
    require(
        (SMALLEST_PACKET..=LARGEST_PACKET).contains(&packet),
        "limits.packet",
        || {
            format!(
                "{} is not from {} to {}",
                format_size(packet),
                format_size(SMALLEST_PACKET),
                format_size(LARGEST_PACKET)
            )
        },
    )
}

fn files(settings: &Settings) -> Result<(), Wrong> {
    for (key, path) in [
        ("backend.ca", &settings.backend.ca),
        ("tls.certificate", &settings.tls.certificate),
        ("tls.key", &settings.tls.key),
    ] {
        let Some(path) = path else { continue };
        if let Err(error) = File::open(path) {
            return Err(Wrong {
                key,
                what: format!("{} cannot be read: {error}", path.display()),
            });
        }
    }
    Ok(())
}
