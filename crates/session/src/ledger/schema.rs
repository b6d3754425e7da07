//! The ledger's table and procedures, as SQL.
//!
//! Nobody but the procedures may write the table: who could write it could fence another's lane. They run with the
//! rights of a locked account of their own; whoever uses them needs EXECUTE on `steadfast.*` and nothing else.

/// The database.
pub const DATABASE: &str = "steadfast";

/// The account with whose rights the procedures run. It is locked: nobody can log in with it.
pub const DEFINER: &str = "'steadfast_ledger'@'localhost'";

/// Names of the procedures.
pub const PROCEDURES: &[&str] = &["commit", "fence", "sweep"];

/// What differs between the servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavor {
    /// MariaDB 10.5 and later.
    MariaDb,
    /// MySQL 8.0 and later.
    MySql,
}

/// What to run to install the ledger, in order; each may run again where it is installed already. To be run with
/// `NO_BACKSLASH_ESCAPES` and `ANSI_QUOTES` off.
pub fn install(flavor: Flavor) -> Vec<String> {
    let mut statements = vec![
        format!("CREATE DATABASE IF NOT EXISTS {DATABASE} DEFAULT CHARACTER SET utf8mb4"),
        TABLE.to_owned(),
        match flavor {
            Flavor::MariaDb => format!(
                "CREATE USER IF NOT EXISTS {DEFINER} IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK"
            ),
            Flavor::MySql => format!(
                "CREATE USER IF NOT EXISTS {DEFINER} IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK"
            ),
        },
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {DATABASE}.commit_ledger TO {DEFINER}"),
        format!("GRANT EXECUTE ON {DATABASE}.* TO {DEFINER}"),
    ];
    for (name, body) in [("commit", COMMIT), ("fence", FENCE), ("sweep", SWEEP)] {
        statements.push(format!("DROP PROCEDURE IF EXISTS {DATABASE}.{name}"));
        statements.push(format!(
            "CREATE DEFINER={DEFINER} PROCEDURE {DATABASE}.{name}{body}"
        ));
    }
    statements
}

/// What to run to remove it. Grants of EXECUTE are revoked apart ([`revoke`]).
pub fn remove() -> Vec<String> {
    let mut statements: Vec<String> = PROCEDURES
        .iter()
        .map(|name| format!("DROP PROCEDURE IF EXISTS {DATABASE}.{name}"))
        .collect();
    statements.push(format!("DROP TABLE IF EXISTS {DATABASE}.commit_ledger"));
    statements.push(format!("DROP USER IF EXISTS {DEFINER}"));
    statements
}

/// Lets an account use the ledger; `account` as in `'user'@'host'`, or PUBLIC on MariaDB 10.11 and later.
pub fn grant(account: &str) -> String {
    format!("GRANT EXECUTE ON {DATABASE}.* TO {account}")
}

/// Takes that back.
pub fn revoke(account: &str) -> String {
    format!("REVOKE EXECUTE ON {DATABASE}.* FROM {account}")
}

/// All columns have a fixed width and no index but the key: an update is in place.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS steadfast.commit_ledger (
  lane BIGINT UNSIGNED NOT NULL COMMENT 'random: used by one COMMIT at a time, and never again after one in doubt',
  secret BIGINT UNSIGNED NOT NULL COMMENT 'who does not know it can neither record nor fence',
  sequence BIGINT UNSIGNED NOT NULL COMMENT 'of the last COMMIT that took effect; 0: none',
  fenced BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'no COMMIT takes effect any more',
  opened BIGINT NOT NULL COMMENT 'when it was first used: seconds since 1970',
  PRIMARY KEY (lane)
) ENGINE=InnoDB COMMENT='Steadfast: what became of each COMMIT. Written by the procedures only'";

/// The first COMMIT of a lane makes its row, so that no lane must be opened before. A fence that came first has made it
/// already, and the INSERT fails; a row that was swept cannot come again, because what would make it is refused when it
/// is half a day old. SYSDATE(): NOW() is what the client's session has frozen it to, if it has. The client's
/// `completion_type` does not reach it.
///
/// Later ones update the row by ON DUPLICATE KEY, because MySQL's UPDATE moves the client's FOUND_ROWS() (9.7.4). The
/// row count is 2 for a row that was changed, also under CLIENT_FOUND_ROWS; 1 for a row that was swept, and under
/// CLIENT_FOUND_ROWS for one that was left as it was. An error leaves the transaction to be rolled back.
const COMMIT: &str = "(IN lane_ BIGINT UNSIGNED, IN secret_ BIGINT UNSIGNED, IN sequence_ BIGINT UNSIGNED,
   IN made_ BIGINT, IN chain_ BOOLEAN)
  MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT 'Steadfast: COMMIT, recorded'
BEGIN
  DECLARE now_ BIGINT;
  IF sequence_ = 1 THEN
    SET now_ = UNIX_TIMESTAMP(SYSDATE());
    IF ABS(now_ - made_) > 43200 THEN
      SIGNAL SQLSTATE 'SF001' SET MYSQL_ERRNO = 1644,
        MESSAGE_TEXT = 'Steadfast: this COMMIT is half a day old, or the clock of the server has moved as far';
    END IF;
    INSERT INTO steadfast.commit_ledger (lane, secret, sequence, opened) VALUES (lane_, secret_, 1, now_);
  ELSE
    INSERT INTO steadfast.commit_ledger (lane, secret, sequence, opened) VALUES (lane_, secret_, sequence_, 0)
      ON DUPLICATE KEY UPDATE
        sequence = IF(secret = secret_ AND NOT fenced AND sequence < sequence_, sequence_, sequence);
    IF ROW_COUNT() <> 2 THEN
      SIGNAL SQLSTATE 'SF001' SET MYSQL_ERRNO = 1644,
        MESSAGE_TEXT = 'Steadfast: this transaction was given up and cannot be committed any more';
    END IF;
  END IF;
  IF chain_ THEN
    COMMIT AND CHAIN NO RELEASE;
  ELSE
    COMMIT AND NO CHAIN NO RELEASE;
  END IF;
END";

/// The read is a locking one: it sees what the transaction that it waited for has committed, whatever the isolation
/// level. A lane without a row is one whose first COMMIT has not taken effect: the fence makes the row.
const FENCE: &str =
    "(IN lane_ BIGINT UNSIGNED, IN secret_ BIGINT UNSIGNED, OUT record_ VARCHAR(80))
  MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT 'Steadfast: what was the last COMMIT of a lane? There will be no other'
BEGIN
  DECLARE found_ BIGINT UNSIGNED;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET found_ = NULL;
  START TRANSACTION;
  INSERT INTO steadfast.commit_ledger (lane, secret, sequence, fenced, opened)
    VALUES (lane_, secret_, 0, TRUE, UNIX_TIMESTAMP(SYSDATE()))
    ON DUPLICATE KEY UPDATE fenced = (fenced OR secret = secret_);
  SELECT sequence INTO found_ FROM steadfast.commit_ledger
    WHERE lane = lane_ AND secret = secret_ AND fenced FOR UPDATE;
  COMMIT AND NO CHAIN NO RELEASE;
  SET record_ = found_;
END";

/// Lanes are used for half a day and asked about for minutes after. The rows are looked for without locks, because the
/// locks of others are those of COMMITs on their way.
const SWEEP: &str = "()
  MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT 'Steadfast: forgets lanes that were opened more than a day ago'
BEGIN
  DECLARE before_ BIGINT DEFAULT UNIX_TIMESTAMP(SYSDATE()) - 86400;
  DECLARE lane_ BIGINT UNSIGNED;
  DECLARE left_ INT DEFAULT 1000;
  SELECT MIN(lane) INTO lane_ FROM steadfast.commit_ledger WHERE opened < before_;
  WHILE lane_ IS NOT NULL AND left_ > 0 DO
    DELETE FROM steadfast.commit_ledger WHERE lane = lane_ AND opened < before_;
    COMMIT AND NO CHAIN NO RELEASE;
    SELECT MIN(lane) INTO lane_ FROM steadfast.commit_ledger WHERE lane > lane_ AND opened < before_;
    SET left_ = left_ - 1;
  END WHILE;
  COMMIT AND NO CHAIN NO RELEASE;
END";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_but_execute() {
        assert_eq!(
            grant("'app'@'%'"),
            "GRANT EXECUTE ON steadfast.* TO 'app'@'%'"
        );
    }

    #[test]
    fn every_procedure_is_installed_and_removed() {
        for flavor in [Flavor::MariaDb, Flavor::MySql] {
            let texts = install(flavor).join(";");
            for name in PROCEDURES {
                assert!(texts.contains(&format!("PROCEDURE {DATABASE}.{name}(")));
                assert!(
                    remove()
                        .iter()
                        .any(|text| text.ends_with(&format!("{DATABASE}.{name}")))
                );
            }
        }
    }
}
