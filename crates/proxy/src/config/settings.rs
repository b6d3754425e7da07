//! The settings as the file has them: everything may be absent.

use std::{num::NonZeroUsize, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    address::{AdminAddress, Written, local},
    sections::{IncidentSettings, LedgerSettings, Limits, Log, Timeouts},
};

/// The whole file.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) listen: Vec<Written>,
    pub(super) admin: AdminAddress,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) backend: BackendSettings,
    pub(super) tls: TlsSettings,
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
    pub(super) users: UsersSettings,
    pub(super) ledger: LedgerSettings,
    pub(super) incidents: IncidentSettings,
    pub(super) log: Log,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Written(local(6033))],
            admin: AdminAddress::At(local(6080)),
            state_dir: None,
            threads: None,
            backend: BackendSettings::default(),
            tls: TlsSettings::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            users: UsersSettings::default(),
            ledger: LedgerSettings::default(),
            incidents: IncidentSettings::default(),
            log: Log::default(),
        }
    }
}

/// `[backend]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BackendSettings {
    pub(super) address: Option<Written>,
    pub(super) tls: BackendTls,
    pub(super) ca: Option<PathBuf>,
}

/// How the leg to the server uses TLS; the words are those of the MySQL client's `--ssl-mode`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendTls {
    /// Never.
    Disabled,
    /// If the server offers it; its certificate is not checked.
    #[default]
    Preferred,
    /// Always; its certificate is not checked.
    Required,
    /// Always; its certificate must come from an authority in `backend.ca`, which is needed.
    VerifyCa,
    /// Always; its certificate must come from an authority in `backend.ca`, or without one from an authority that the
    /// system knows, and must name the server's host.
    VerifyIdentity,
}

/// `[tls]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsSettings {
    pub(super) client: ClientTlsMode,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// Whether clients may, must or cannot use TLS.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientTlsMode {
    /// They may.
    #[default]
    Optional,
    /// They must.
    Required,
    /// They cannot.
    Off,
}

/// `[users]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UsersSettings {
    pub(super) file: Option<PathBuf>,
}

impl Settings {
    /// A relative path in the file is meant from where the file is, not from where Steadfast was started.
    pub(super) fn make_paths_relative_to(&mut self, base: &std::path::Path) {
        let paths = [
            &mut self.state_dir,
            &mut self.backend.ca,
            &mut self.tls.certificate,
            &mut self.tls.key,
            &mut self.users.file,
        ];
        for path in paths.into_iter().flatten() {
            *path = base.join(&path);
        }
    }
}
