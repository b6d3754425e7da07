//! Which server it is, so that what was found on one is not mended on another, and not undone there.

use serde::{Deserialize, Serialize};
use steadfast_diagnose::Variables;

use super::session::Session;

/// What MariaDB says where it has no network interface to make its id from.
const NO_ID: &str = "unknown";

/// The most of a file's name that one part of it takes.
const LONGEST: usize = 80;

/// What tells a server apart from others.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    /// MySQL's server_uuid; MariaDB's server_uid, which is made from its port and its network interface, and which older
    /// versions do not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// Its machine, as it says.
    pub(super) hostname: String,
    /// Its port, as it says.
    pub(super) port: String,
    /// Where its data are.
    pub(super) datadir: String,
    /// Its version.
    pub(super) version: String,
    /// Where it was reached.
    pub(super) address: String,
}

impl Identity {
    /// Of the server that this session is on, by its variables.
    pub(super) fn of(session: &Session, variables: &Variables) -> Self {
        Self::new(session.address.clone(), variables)
    }

    fn new(address: String, variables: &Variables) -> Self {
        let text = |name| variables.text(name).unwrap_or_default().to_owned();
        let id = variables
            .text("server_uuid")
            .or_else(|| variables.text("server_uid"))
            .filter(|id| !id.is_empty() && *id != NO_ID);
        Self {
            id: id.map(str::to_owned),
            hostname: text("hostname"),
            port: text("port"),
            datadir: text("datadir"),
            version: text("version"),
            address,
        }
    }

    /// How this server is named in the names of files. Names that are equal are not always the same server.
    pub(super) fn file_name(&self) -> String {
        let parts = match &self.id {
            // MySQL's is its own; MariaDB's is that of its machine.
            Some(id) if is_uuid(id) => vec![id],
            _ => vec![&self.hostname, &self.port, &self.datadir],
        };
        let safe: Vec<String> = parts.into_iter().map(|part| safe(part)).collect();
        safe.join("-")
    }

    /// In what another server differs from this one; `None`: it is the same. It may be reached at several addresses, which
    /// count only where there is no id.
    pub(super) fn differs(&self, now: &Self) -> Option<String> {
        let has_id = self.id.is_some() && now.id.is_some();
        let id = |one: &Self| one.id.clone().unwrap_or_default();
        let parts = [
            ("hostname", self.hostname.clone(), now.hostname.clone()),
            ("port", self.port.clone(), now.port.clone()),
            ("datadir", self.datadir.clone(), now.datadir.clone()),
            ("version", self.version.clone(), now.version.clone()),
            if has_id {
                ("id", id(self), id(now))
            } else {
                ("address", self.address.clone(), now.address.clone())
            },
        ];
        let told: Vec<String> = parts
            .into_iter()
            .filter(|(_, before, now)| before != now)
            .map(|(what, before, now)| format!("{what} {before}, now {now}"))
            .collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// Whether it looks like `3e11fa47-71ca-11e1-9e33-c80aa9429562`.
fn is_uuid(id: &str) -> bool {
    id.len() == 36 && id.split('-').count() == 5
}

/// The end of it, which tells more than the beginning, in letters that every file system takes.
fn safe(part: &str) -> String {
    let letters: Vec<char> = part
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || letter == '-' {
                letter
            } else {
                '_'
            }
        })
        .collect();
    let begin = letters.len().saturating_sub(LONGEST);
    letters.into_iter().skip(begin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(address: &str, variables: &[(&str, &str)]) -> Identity {
        let all = [("hostname", "db"), ("version", "10.11.19-MariaDB")];
        let variables = all.iter().chain(variables);
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Identity::new(address.to_owned(), &Variables(variables.collect()))
    }

    /// MariaDB makes its id from its port and its interface: containers and servers without a network have the same.
    #[test]
    fn servers_with_the_same_id_have_files_of_their_own() {
        let of = |datadir| {
            let place = [("port", "3306"), ("datadir", datadir)];
            identity("db:3306", &[&place[..], &[("server_uid", NO_ID)]].concat())
        };
        let (one, other) = (of("/var/lib/mysql/"), of("/srv/mysql/"));
        assert_ne!(one.file_name(), other.file_name());
        assert_eq!(one.file_name(), "db-3306-_var_lib_mysql_");
        assert!(one.differs(&other).is_some());
        // However long the path is.
        let long = of(&format!("/{}/", "a/".repeat(1_000)));
        assert!(long.file_name().len() < 200);
    }

    #[test]
    fn a_server_with_an_id_may_have_several_addresses() {
        let uuid = [("server_uuid", "3e11fa47-71ca-11e1-9e33-c80aa9429562")];
        let one = identity("db:3306", &uuid);
        assert_eq!(one.file_name(), "3e11fa47-71ca-11e1-9e33-c80aa9429562");
        assert_eq!(one.differs(&identity("10.0.0.7:3306", &uuid)), None);
        let uid = [("server_uid", "/jLe9FFEch/8s10Xu/g+TuERTJ4=")];
        let one = identity("db:3306", &uid);
        assert_eq!(one.differs(&identity("10.0.0.7:3306", &uid)), None);
        let none = identity("db:3306", &[("server_uid", NO_ID)]);
        assert_eq!(
            none.differs(&identity("10.0.0.7:3306", &[])).unwrap(),
            "address db:3306, now 10.0.0.7:3306"
        );
    }

    #[test]
    fn another_machine_or_version_is_another_server() {
        let one = identity("db:3306", &[]);
        let other = identity("db:3306", &[("hostname", "db2"), ("version", "11.8.2")]);
        assert_eq!(
            one.differs(&other).unwrap(),
            "hostname db, now db2; version 10.11.19-MariaDB, now 11.8.2"
        );
    }
}
