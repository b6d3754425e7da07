//! The accounts with which the clients log in: one per authentication plugin that a server has.

use anyhow::bail;
use steadfast_sandbox::{Kind, Server};

use crate::operations::{DATABASE, LOST_DATABASE, OTHER_DATABASE, STATIC_DATABASE};

/// An account for the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The plugin as the protocol names it, or `empty` for an account without a password.
    pub(crate) plugin: &'static str,
    pub(crate) user: String,
    pub(crate) password: &'static str,
    /// What follows the account's name in CREATE USER.
    identified: &'static str,
}

const PASSWORD: &str = "Right 1 #pass";
/// The password that is nobody's.
pub(crate) const WRONG_PASSWORD: &str = "wrong";
/// The account to which COM_CHANGE_USER changes; its plugin is that of the account that operates.
pub(crate) const SECOND_USER: &str = "matrix_second";

/// The accounts for a server; the first is the one that operates.
///
/// `mysql_clear_password` is missing: on both servers it needs a PAM configuration of the system's
/// (MariaDB's auth_pam) or a commercial plugin (MySQL).
pub(crate) fn accounts(kind: Kind) -> Vec<Account> {
    let plugins: &[_] = match kind {
        Kind::MariaDb => &[
            (
                "mysql_native_password",
                "IDENTIFIED VIA mysql_native_password USING PASSWORD('Right 1 #pass')",
            ),
            (
                "client_ed25519",
                "IDENTIFIED VIA ed25519 USING PASSWORD('Right 1 #pass')",
            ),
            ("empty", "IDENTIFIED BY ''"),
        ],
        Kind::MySql => &[
            (
                "caching_sha2_password",
                "IDENTIFIED WITH caching_sha2_password BY 'Right 1 #pass'",
            ),
            (
                "sha256_password",
                "IDENTIFIED WITH sha256_password BY 'Right 1 #pass'",
            ),
            ("empty", "IDENTIFIED BY ''"),
        ],
    };
    let account = |&(plugin, identified): &(&'static str, &'static str)| Account {
        plugin,
        user: format!("m_{plugin}"),
        password: if plugin == "empty" { "" } else { PASSWORD },
        identified,
    };
    plugins.iter().map(account).collect()
}

/// The accounts with this plugin only, if one is given.
pub(crate) fn chosen(kind: Kind, plugin: Option<&str>) -> anyhow::Result<Vec<Account>> {
    let mut accounts = accounts(kind);
    let Some(plugin) = plugin else {
        return Ok(accounts);
    };
    let names: Vec<_> = accounts.iter().map(|account| account.plugin).collect();
    if !names.contains(&plugin) {
        bail!(
            "{kind} has no accounts with the plugin {plugin}: choose one of {}",
            names.join(", ")
        );
    }
    accounts.retain(|account| account.plugin == plugin);
    Ok(accounts)
}

/// Makes the accounts, and the one for COM_CHANGE_USER like the first of them.
pub(crate) fn create(server: &Server, accounts: &[Account]) -> anyhow::Result<()> {
    let mut sql = String::from("SET NAMES utf8mb4;\n");
    let second = accounts
        .first()
        .map(|first| (SECOND_USER, first.identified));
    let all = accounts
        .iter()
        .map(|account| (account.user.as_str(), account.identified))
        .chain(second);
    for (user, identified) in all {
        sql.push_str(&format!("CREATE USER '{user}'@'%' {identified};\n"));
        for database in [DATABASE, OTHER_DATABASE, LOST_DATABASE, STATIC_DATABASE] {
            sql.push_str(&format!("GRANT ALL ON {database}.* TO '{user}'@'%';\n"));
        }
    }
    server.sql(&sql)?;
    Ok(())
}
