//! Accounts as SQL writes them.

use std::fmt;

/// Whom a grant is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Account {
    /// Everybody, also accounts to come: MariaDB 10.11 and later.
    Public,
    /// A role of MariaDB. MySQL's roles are accounts.
    Role(String),
    /// `'user'@'host'`. An empty user is the anonymous one.
    Named {
        /// Its name.
        user: String,
        /// From where it logs in; `%` stands for everything.
        host: String,
    },
}

/// Quoted for SQL, under every `sql_mode` without NO_BACKSLASH_ESCAPES.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "''");
        match self {
            Self::Public => f.write_str("PUBLIC"),
            Self::Role(name) => write!(f, "'{}'", quoted(name)),
            Self::Named { user, host } => write!(f, "'{}'@'{}'", quoted(user), quoted(host)),
        }
    }
}

impl Account {
    /// As the tables of privileges have it. MariaDB keeps PUBLIC and roles without a host.
    pub(super) fn stored(user: &str, host: &str, is_role: bool) -> Self {
        match (user, host) {
            ("PUBLIC", "") => Self::Public,
            (name, "") if is_role => Self::Role(name.to_owned()),
            _ => Self::Named {
                user: user.to_owned(),
                host: host.to_owned(),
            },
        }
    }
}

/// For a sentence: a few by name, many by number.
pub(super) fn list(accounts: &[Account]) -> String {
    match accounts {
        [] => "no account".to_owned(),
        all if all.contains(&Account::Public) => "every account".to_owned(),
        few if few.len() <= 6 => few
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        many => format!("{} accounts", many.len()),
    }
}

/// Reads `user@host`, `user`, or the same with quotes of SQL around its parts. Without a host every host is meant.
///
/// # Errors
/// A line for people.
pub(crate) fn account(text: &str) -> Result<Account, String> {
    let (user, host) = match quoted(text)? {
        Some((user, "")) => (user, None),
        Some((user, rest)) => (
            user,
            Some(
                rest.strip_prefix('@')
                    .ok_or("after the quoted user name comes @HOST")?,
            ),
        ),
        None => match text.rsplit_once('@') {
            Some((user, host)) => (user.to_owned(), Some(host)),
            None => (text.to_owned(), None),
        },
    };
    if user.is_empty() && !text.starts_with(['\'', '"', '`']) {
        return Err(
            "it has no user name; write USER@HOST, or ''@HOST for the anonymous account".to_owned(),
        );
    }
    let host = match host {
        None => "%".to_owned(),
        Some(host) => match quoted(host)? {
            Some((host, "")) => host,
            Some(_) => return Err("nothing comes after the quoted host".to_owned()),
            None if host.is_empty() => {
                return Err("it has no host after the @; write USER@HOST".to_owned());
            }
            None => host.to_owned(),
        },
    };
    Ok(Account::Named { user, host })
}

/// What stands between the quotes that the text begins with, and what follows them; `None`: it begins with none.
fn quoted(text: &str) -> Result<Option<(String, &str)>, String> {
    let Some(quote) = text
        .chars()
        .next()
        .filter(|c| matches!(c, '\'' | '"' | '`'))
    else {
        return Ok(None);
    };
    let mut inside = String::new();
    let mut rest = text[1..].chars();
    while let Some(c) = rest.next() {
        if c != quote {
            inside.push(c);
        } else if rest.as_str().starts_with(quote) {
            rest.next();
            inside.push(quote);
        } else {
            return Ok(Some((inside, rest.as_str())));
        }
    }
    Err(format!("a closing {quote} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_quoted() {
        for (text, sql) in [
            ("app", "'app'@'%'"),
            ("app@10.%", "'app'@'10.%'"),
            ("'app'@'localhost'", "'app'@'localhost'"),
            ("`app`@localhost", "'app'@'localhost'"),
            ("'app'", "'app'@'%'"),
            ("me@home@localhost", "'me@home'@'localhost'"),
            ("''@localhost", "''@'localhost'"),
            ("'O''Hara'@'%'", "'O''Hara'@'%'"),
            ("O'Hara", "'O''Hara'@'%'"),
            ("a\\b@c", "'a\\\\b'@'c'"),
            (
                "a'; DROP DATABASE app; --@b",
                "'a''; DROP DATABASE app; --'@'b'",
            ),
        ] {
            assert_eq!(account(text).unwrap().to_string(), sql, "{text}");
        }
        for bad in [
            "",
            "@localhost",
            "app@",
            "'app",
            "'app'localhost",
            "'a'@'b'c",
        ] {
            assert!(account(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn many_are_told_by_number() {
        let some = |n| vec![account("app").unwrap(); n];
        assert_eq!(list(&some(0)), "no account");
        assert_eq!(list(&some(2)), "'app'@'%', 'app'@'%'");
        assert_eq!(list(&some(7)), "7 accounts");
        let mut with_public = some(7);
        with_public.push(Account::stored("PUBLIC", "", true));
        assert_eq!(list(&with_public), "every account");
    }
}
