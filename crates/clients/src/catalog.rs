//! The clients there are: two command line clients, mysql_async, and one per script in tests/clients.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// One client of the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its name in tables and for `--client`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// What a client needs to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    MariaDbCommandLine,
    MySqlCommandLine,
    MysqlAsync,
    Python(PathBuf),
    Node(PathBuf),
}

/// All clients, in the order of the table. A script `client_NAME.py` or `client_NAME.mjs` is a client.
pub(crate) fn clients(scripts: &Path) -> anyhow::Result<Vec<Client>> {
    let built_in = [
        ("mariadb", Kind::MariaDbCommandLine),
        ("mysql", Kind::MySqlCommandLine),
        ("mysql_async", Kind::MysqlAsync),
    ];
    let mut clients: Vec<_> = built_in
        .map(|(name, kind)| Client {
            name: name.to_owned(),
            kind,
        })
        .into_iter()
        .collect();
    let mut paths = Vec::new();
    for entry in
        fs::read_dir(scripts).with_context(|| format!("cannot list {}", scripts.display()))?
    {
        paths.push(entry?.path());
    }
    paths.sort();
    clients.extend(paths.into_iter().filter_map(from_script));
    Ok(clients)
}

fn from_script(path: PathBuf) -> Option<Client> {
    let name = path
        .file_stem()?
        .to_str()?
        .strip_prefix("client_")?
        .replace('_', "-");
    let kind = match path.extension().and_then(OsStr::to_str)? {
        "py" => Kind::Python(path),
        "mjs" => Kind::Node(path),
        _ => return None,
    };
    Some(Client { name, kind })
}

/// The directory tests/clients of this checkout.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_of_the_issue_is_there() {
        let names: Vec<_> = clients(&scripts())
            .unwrap()
            .into_iter()
            .map(|client| client.name)
            .collect();
        assert_eq!(
            names,
            [
                "mariadb",
                "mysql",
                "mysql_async",
                "connector-c",
                "connector-pure",
                "mysql2",
                "pymysql"
            ]
        );
    }

    #[test]
    fn other_files_are_not_clients() {
        assert_eq!(from_script("transcript.py".into()), None);
        assert_eq!(from_script("client_new.txt".into()), None);
    }
}
