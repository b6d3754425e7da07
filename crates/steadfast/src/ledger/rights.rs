//! Which right an administrator's account lacks, and for what.

use steadfast_session::ledger::schema::Flavor;

/// In words, for a server's error in answer to a statement; `None`: it is about something else.
///
/// 1044, 1142, 1143, 1227, 1370, 1410 access denied, 1290, 1836 read-only (1290: or another option), 1133 no such
/// account. Both servers' manuals list them in their error references.
pub(super) fn missing(error: u16, statement: &str, flavor: Flavor) -> Option<String> {
    match error {
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 => {
            let (purpose, rights) = needs(statement, flavor);
            Some(format!("to {purpose} the account needs {rights}"))
        }
        1290 if statement.starts_with("CREATE USER") => Some(
            "the server wants a password that it can check, and the procedures' account is locked and has none: SET GLOBAL strict_password_validation = OFF while you install"
                .to_owned(),
        ),
        1290 | 1836 => Some(
            "the server takes no writes: do this on the primary, its replicas follow".to_owned(),
        ),
        1133 => Some("there is no such account, or this one may not make it".to_owned()),
        _ => None,
    }
}

/// What a statement is for, and the rights for it.
fn needs(statement: &str, flavor: Flavor) -> (&'static str, &'static str) {
    let begins = |text: &str| statement.trim_start().starts_with(text);
    if begins("CREATE DATABASE") || begins("CREATE TABLE") {
        ("make the table", "CREATE on steadfast.*")
    } else if begins("INSERT") {
        ("write the table", "INSERT on steadfast.*")
    } else if begins("CREATE USER") || begins("ALTER USER") || begins("DROP USER") {
        (
            "make, lock or drop the procedures' account",
            "CREATE USER on *.*",
        )
    } else if begins("GRANT") || begins("REVOKE") {
        (
            "grant or revoke the use of the ledger",
            "SELECT, INSERT, UPDATE, DELETE and EXECUTE on steadfast.* WITH GRANT OPTION",
        )
    } else if begins("CREATE") || begins("DROP PROCEDURE") {
        let rights = match flavor {
            Flavor::MariaDb => {
                "CREATE ROUTINE and ALTER ROUTINE on steadfast.*, and SET USER on *.*"
            }
            Flavor::MySql => {
                "CREATE ROUTINE and ALTER ROUTINE on steadfast.*, and SET_ANY_DEFINER on *.* (before MySQL 8.2: SET_USER_ID)"
            }
        };
        ("make or drop the procedures", rights)
    } else if begins("DROP") {
        ("drop the table", "DROP on steadfast.*")
    } else if statement.contains("mysql.") || begins("SHOW GRANTS") {
        (
            "see which accounts there are",
            "SELECT on mysql.* (install: or name them with --for)",
        )
    } else if statement.contains("steadfast.") {
        ("read the ledger", "SELECT on steadfast.*")
    } else {
        (
            "look at the binary log's filters",
            "REPLICATION CLIENT on *.*",
        )
    }
}

#[cfg(test)]
mod tests {
    use steadfast_session::ledger::schema;

    use super::*;

    #[test]
    fn every_statement_names_its_right() {
        for flavor in [Flavor::MariaDb, Flavor::MySql] {
            let all = schema::install(flavor).into_iter().chain(schema::remove());
            // Waiting needs none.
            for statement in &all
                .filter(|text| !text.starts_with("DO "))
                .collect::<Vec<_>>()
            {
                let said = missing(1227, statement, flavor).unwrap();
                assert!(!said.contains("REPLICATION"), "{statement}: {said}");
            }
        }
        assert_eq!(missing(1064, "SELECT 1", Flavor::MySql), None);
    }

    #[test]
    fn the_right_belongs_to_the_statement() {
        let needed = |statement| missing(1142, statement, Flavor::MariaDb).unwrap();
        assert!(needed("CREATE OR REPLACE DEFINER=x PROCEDURE p").contains("SET USER"));
        assert!(needed("DROP TABLE t").contains("DROP on"));
        assert!(needed("SELECT User FROM mysql.user").contains("--for"));
        assert!(needed("SHOW MASTER STATUS").contains("REPLICATION CLIENT"));
    }
}
