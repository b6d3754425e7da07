//! `mysql://USER[:PASSWORD]@HOST[:PORT]`: a server and an account on it, for a command.

use std::ffi::OsStr;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

use steadfast_proxy::config::Address;

/// MySQL's and MariaDB's port.
const DEFAULT_PORT: u16 = 3306;

/// A server and an account on it. Debug output leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// The account's user name.
    pub(crate) user: String,
    /// Its password, if the URL has one.
    pub(crate) password: Option<String>,
    /// Where the server listens.
    pub(crate) address: Address,
}

impl std::fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mysql://{}@{}", self.user, self.address)
    }
}

/// What is wrong with a URL. The URL itself is not in it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UrlError(String);

impl std::fmt::Display for UrlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}; it is written mysql://USER@HOST:PORT or mysql://USER@/path/to/socket",
            self.0
        )
    }
}

impl std::error::Error for UrlError {}

/// Reads a URL from the command line. clap's own parser would repeat what it cannot read, with the password.
#[derive(Clone)]
pub(crate) struct UrlParser;

impl TypedValueParser for UrlParser {
    type Value = ServerUrl;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<ServerUrl, clap::Error> {
        let wrong = |error: UrlError| command.clone().error(ErrorKind::ValueValidation, error);
        value
            .to_str()
            .ok_or_else(|| UrlError("the URL is not UTF-8".to_owned()))
            .and_then(str::parse)
            .map_err(wrong)
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let wrong = |what: &str| UrlError(what.to_owned());
        let rest = text
            .strip_prefix("mysql://")
            .or_else(|| text.strip_prefix("mariadb://"))
            .ok_or_else(|| wrong("the URL does not begin with mysql://"))?;
        // A password may have an @ that is not written as %40.
        let (account, place) = rest
            .rsplit_once('@')
            .ok_or_else(|| wrong("the URL names no user"))?;
        let (user, password) = match account.split_once(':') {
            Some((user, password)) => (decode(user)?, Some(decode(password)?)),
            None => (decode(account)?, None),
        };
        if user.is_empty() {
            return Err(wrong("the URL names no user"));
        }
        let place = if place.starts_with('/') {
            place.to_owned()
        } else {
            let host = place.trim_end_matches('/');
            if host.contains('/') {
                return Err(wrong("the URL names a database, which is not asked for"));
            }
            let has_port = host
                .rsplit_once(':')
                .is_some_and(|(before, _)| !host.starts_with('[') || before.ends_with(']'));
            if has_port {
                host.to_owned()
            } else {
                format!("{host}:{DEFAULT_PORT}")
            }
        };
        let address = place
            .parse()
            .map_err(|error| UrlError(format!("the address in the URL is wrong: {error}")))?;
        Ok(Self {
            user,
            password,
            address,
        })
    }
}

/// Takes %XX apart.
fn decode(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => bytes.push(byte),
            None => {
                return Err(UrlError(
                    "a % in the URL is not followed by two hexadecimal digits (a % itself is %25)"
                        .to_owned(),
                ));
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| UrlError("the URL is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Option<String>, String) {
        let url: ServerUrl = text.parse().unwrap();
        (url.user, url.password, url.address.to_string())
    }

    #[test]
    fn every_part_is_found() {
        let root = || "root".to_owned();
        let at = |text: &str| text.to_owned();
        assert_eq!(
            parsed("mysql://root@db:3307"),
            (root(), None, at("db:3307"))
        );
        assert_eq!(parsed("mysql://root@db"), (root(), None, at("db:3306")));
        assert_eq!(parsed("mysql://root@db/"), (root(), None, at("db:3306")));
        assert_eq!(
            parsed("mariadb://root@[::1]"),
            (root(), None, at("[::1]:3306"))
        );
        assert_eq!(
            parsed("mysql://root:a%40b@c@/run/mysqld.sock"),
            (root(), Some(at("a@b@c")), at("/run/mysqld.sock"))
        );
    }

    #[test]
    fn errors_tell_what_is_wrong_and_no_password() {
        for bad in [
            "db:3306",
            "mysql://db:3306",
            "mysql://:secret@db",
            "mysql://root:secret%4@db",
            "mysql://root:secret@db:99999",
            "mysql://root:secret@db:3306/app",
        ] {
            let error = bad.parse::<ServerUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains("mysql://USER@HOST:PORT"), "{error}");
        }
        let url: ServerUrl = "mysql://root:secret@db".parse().unwrap();
        assert!(!format!("{url:?}").contains("secret"));
    }
}
