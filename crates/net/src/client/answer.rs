//! Answers the server's authentication plugins with a known password.

use steadfast_wire::auth::{
    self, FAST_AUTH_SUCCESS, PERFORM_FULL_AUTH, Password, Plugin, REQUEST_PUBLIC_KEY,
    REQUEST_PUBLIC_KEY_SHA256, caching_sha2_response, clear_password, ed25519_response,
    native_response, rsa_encrypt_password,
};
use steadfast_wire::handshake::{AuthSwitchRequest, NONCE_LEN};
use zeroize::Zeroizing;

use super::OwnedOk;
use super::dialogue::{AuthStep, Dialogue, MAX_STEPS};
use crate::{LoginError, Stream};

/// A packet that may be the password.
type Answer = Zeroizing<Vec<u8>>;

/// One authentication with a password.
pub(super) struct Authentication<'a> {
    password: &'a Password,
    plugin: Plugin,
    nonce: [u8; NONCE_LEN],
    /// The RSA key was asked for and is due.
    awaits_key: bool,
}

impl<'a> Authentication<'a> {
    /// With the nonce of the greeting, or the last one that the server sent.
    pub(super) fn new(password: &'a Password, nonce: [u8; NONCE_LEN]) -> Self {
        Authentication {
            password,
            plugin: Plugin::NativePassword,
            nonce,
            awaits_key: false,
        }
    }

    /// At a point that the server has reached with another's answers: this plugin, with this first data.
    pub(super) fn resumed(password: &'a Password, plugin: Plugin, nonce: [u8; NONCE_LEN]) -> Self {
        Authentication {
            plugin,
            ..Authentication::new(password, nonce)
        }
    }

    /// The plugin that is being answered: at the end, the account's.
    pub(super) fn plugin(&self) -> &'static str {
        self.plugin.name().unwrap_or_default()
    }

    pub(super) fn into_plugin(self) -> String {
        self.plugin().to_owned()
    }

    /// The answer that goes into the handshake response or COM_CHANGE_USER. A plugin that needs data of its own first
    /// gets `mysql_native_password` instead: the server then asks to switch.
    pub(super) fn first_answer(&mut self, plugin: Plugin, stream: &Stream) -> Answer {
        self.plugin = match plugin {
            Plugin::CachingSha2 | Plugin::Sha256 => plugin,
            Plugin::ClearPassword if stream.is_secure() => plugin,
            _ => Plugin::NativePassword,
        };
        match self.plugin {
            Plugin::CachingSha2 => caching_sha2_response(self.password, &self.nonce).into(),
            Plugin::Sha256 => self.sha256_answer(stream),
            Plugin::ClearPassword => clear_password(self.password),
            _ => native_response(self.password, &self.nonce).into(),
        }
    }

    /// Answers until the server is content.
    pub(super) async fn run(&mut self, dialogue: &mut Dialogue<'_>) -> Result<OwnedOk, LoginError> {
        for _ in 0..MAX_STEPS {
            let step = dialogue.next().await?;
            if let Some(ok) = self.take(dialogue, step).await? {
                return Ok(ok);
            }
        }
        Err(LoginError::Nonsense(
            "the server's authentication does not end".to_owned(),
        ))
    }

    /// Answers one step; the OK if it was the last.
    pub(super) async fn take(
        &mut self,
        dialogue: &mut Dialogue<'_>,
        step: AuthStep,
    ) -> Result<Option<OwnedOk>, LoginError> {
        let stream = &*dialogue.stream;
        let answer = match step {
            AuthStep::Ok(ok) => return Ok(Some(ok)),
            AuthStep::Refused(error) => return Err(LoginError::Refused(error)),
            AuthStep::Switch { plugin, data } => self.switch(&plugin, &data, stream)?,
            AuthStep::MoreData(data) => match self.more_data(&data, stream)? {
                Some(answer) => answer,
                None => return Ok(None),
            },
        };
        dialogue.send(&answer).await?;
        Ok(None)
    }

    fn switch(
        &mut self,
        plugin: &[u8],
        data: &[u8],
        stream: &Stream,
    ) -> Result<Answer, LoginError> {
        let name = || String::from_utf8_lossy(plugin).into_owned();
        let nonce = AuthSwitchRequest { plugin, data }.nonce();
        let broken = || {
            LoginError::Nonsense(format!(
                "the server sent {} a nonce of {} bytes",
                name(),
                nonce.len()
            ))
        };
        self.plugin = Plugin::from_name(plugin);
        self.awaits_key = false;
        match self.plugin {
            Plugin::NativePassword | Plugin::CachingSha2 | Plugin::Sha256 => {
                self.nonce = nonce.try_into().map_err(|_| broken())?;
                Ok(self.first_answer(self.plugin, stream))
            }
            Plugin::Ed25519 => {
                let nonce = nonce.try_into().map_err(|_| broken())?;
                Ok(ed25519_response(self.password, nonce).to_vec().into())
            }
            Plugin::ClearPassword if stream.is_secure() => Ok(clear_password(self.password)),
            Plugin::ClearPassword => Err(LoginError::InsecurePlugin(name())),
            Plugin::Other => Err(LoginError::UnsupportedPlugin(name())),
        }
    }

    /// The answer to data of the current plugin; `None` if the server goes on without one.
    fn more_data(&mut self, data: &[u8], stream: &Stream) -> Result<Option<Answer>, LoginError> {
        match (self.plugin, data) {
            (Plugin::CachingSha2 | Plugin::Sha256, pem) if self.awaits_key => {
                self.awaits_key = false;
                rsa_encrypt_password(self.password, &self.nonce, pem)
                    .map(|encrypted| Some(encrypted.into()))
                    .map_err(LoginError::codec)
            }
            (Plugin::CachingSha2, [FAST_AUTH_SUCCESS]) => Ok(None),
            (Plugin::CachingSha2, [PERFORM_FULL_AUTH]) if stream.is_secure() => {
                Ok(Some(clear_password(self.password)))
            }
            (Plugin::CachingSha2, [PERFORM_FULL_AUTH]) => {
                self.awaits_key = true;
                Ok(Some(vec![REQUEST_PUBLIC_KEY].into()))
            }
            _ => Err(LoginError::Nonsense(format!(
                "the server sent {} unexpected data",
                self.plugin()
            ))),
        }
    }

    fn sha256_answer(&mut self, stream: &Stream) -> Answer {
        // An empty password is a single NUL, also in the clear. To this plugin a Unix socket is not secure: MySQL 9.7
        // decrypts what comes over one.
        if stream.is_tls() || self.password.is_empty() {
            return auth::clear_password(self.password);
        }
        self.awaits_key = true;
        vec![REQUEST_PUBLIC_KEY_SHA256].into()
    }
}
