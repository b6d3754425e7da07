//! The accounts with which the clients log in: one per authentication plugin that a server has.

use anyhow::{Context, bail};
use steadfast_sandbox::{Kind, Server};

use crate::operations::{CLEAR_PASSWORD, DATABASE, LOST_DATABASE, OTHER_DATABASE, STATIC_DATABASE};

/// An account for the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The plugin as the protocol names it, or `empty` for an account without a password.
    pub(crate) plugin: &'static str,
    pub(crate) user: String,
    pub(crate) password: &'static str,
    /// What follows the account's name in CREATE USER; `None`: what the server says for its clear password.
    identified: Option<&'static str>,
}

impl Account {
    /// Whether its server wants the password in the clear.
    pub(crate) fn is_clear(&self) -> bool {
        self.plugin == CLEAR_PASSWORD
    }
}

/// The password of all accounts but `empty`.
pub(crate) const PASSWORD: &str = "Right 1 #pass";
/// The password that is nobody's.
pub(crate) const WRONG_PASSWORD: &str = "wrong";
/// The account to which COM_CHANGE_USER changes; its plugin is that of the account that operates.
pub(crate) const SECOND_USER: &str = "matrix_second";

/// The accounts for a server; the first is the one that operates.
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
        identified: Some(identified),
    };
    let clear = Account {
        plugin: CLEAR_PASSWORD,
        user: format!("m_{CLEAR_PASSWORD}"),
        password: PASSWORD,
        identified: None,
    };
    plugins.iter().map(account).chain([clear]).collect()
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
    let clear = server.clear_password_clause();
    let second = accounts
        .first()
        .map(|first| (SECOND_USER, first.identified));
    let all = accounts
        .iter()
        .map(|account| (account.user.as_str(), account.identified))
        .chain(second);
    for (user, identified) in all {
        let identified = identified
            .or(clear.as_deref())
            .context("the server was started without clear passwords")?;
        sql.push_str(&format!("CREATE USER '{user}'@'%' {identified};\n"));
        for database in [DATABASE, OTHER_DATABASE, LOST_DATABASE, STATIC_DATABASE] {
            sql.push_str(&format!("GRANT ALL ON {database}.* TO '{user}'@'%';\n"));
        }
    }
    server.sql(&sql)?;
    Ok(())
}
