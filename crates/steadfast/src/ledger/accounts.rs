//! Accounts as SQL writes them.

use std::fmt;

/// Whom a grant is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Account {
    /// Everybody, also accounts to come.
    Public,
    /// `'user'@'host'`, quoted for SQL.
    Named(String),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("PUBLIC"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// For a sentence: a few by name, many by number.
pub(super) fn list(accounts: &[Account]) -> String {
    match accounts {
        [] => "no account".to_owned(),
        [Account::Public] => "every account".to_owned(),
        few if few.len() <= 6 => few
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        many => format!("{} accounts", many.len()),
    }
}

/// Quotes `user@host`, `user`, or what is quoted already, for SQL. Without a host every host is meant.
///
/// # Errors
/// A line for people.
pub(crate) fn account(text: &str) -> Result<String, String> {
    let (user, host) = text.rsplit_once('@').unwrap_or((text, "%"));
    let bare = |part: &str| part.trim_matches(['\'', '`', '"']).to_owned();
    let (user, host) = (bare(user), bare(host));
    if user.is_empty() {
        return Err("it has no user name; write USER@HOST".to_owned());
    }
    if user.contains(['\'', '\\']) || host.contains(['\'', '\\']) {
        return Err(
            "quotes and backslashes in names are not taken here; grant with --dry-run's SQL"
                .to_owned(),
        );
    }
    Ok(format!("'{user}'@'{host}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_quoted() {
        assert_eq!(account("app").as_deref(), Ok("'app'@'%'"));
        assert_eq!(account("app@10.%").as_deref(), Ok("'app'@'10.%'"));
        assert_eq!(
            account("'app'@'localhost'").as_deref(),
            Ok("'app'@'localhost'")
        );
        assert!(account("@localhost").is_err());
        assert!(account("a'; DROP DATABASE app; --@b").is_err());
    }
}
