//! The ledger's table and procedures, as SQL.
//!
//! Nobody but the procedures may write the table: who could write it could fence another's lane. They run with the
//! rights of a locked account of their own; whoever uses them needs EXECUTE on `steadfast.*` and nothing else.

/// The database.
pub const DATABASE: &str = "steadfast";

/// The account with whose rights the procedures run. It is locked: nobody can log in with it.
pub const DEFINER: &str = "'steadfast_ledger'@'localhost'";

/// Names of the procedures.
pub const PROCEDURES: &[&str] = &["open_lane", "commit", "fence", "close_lane"];

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
        // To see that the connection that used a lane is gone.
        format!("GRANT PROCESS ON *.* TO {DEFINER}"),
    ];
    for (name, body) in [
        ("open_lane", OPEN_LANE),
        ("commit", COMMIT),
        ("fence", FENCE),
        ("close_lane", CLOSE_LANE),
    ] {
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
  lane BIGINT UNSIGNED NOT NULL COMMENT 'one per session that writes',
  secret BIGINT UNSIGNED NOT NULL COMMENT 'who does not know it can neither record nor fence',
  sequence BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the last COMMIT that took effect',
  affected_rows BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'what its OK said',
  insert_id BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'what its OK said',
  fenced BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'no COMMIT takes effect any more',
  connection BIGINT UNSIGNED NOT NULL COMMENT 'that used it last',
  opened DATETIME NOT NULL,
  PRIMARY KEY (lane)
) ENGINE=InnoDB COMMENT='Steadfast: what became of each COMMIT. Written by the procedures only'";

/// SYSDATE(): NOW() is what the client's session has frozen it to, if it has. Each 64th lane sweeps: lanes that
/// were opened more than a day ago and whose connection is gone. A deleted lane refuses to record, as a fenced one
/// does, so that nothing of a connection that is still on its way can take effect.
const OPEN_LANE: &str = "(IN lane_ BIGINT UNSIGNED, IN secret_ BIGINT UNSIGNED)
  MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT 'Steadfast: a new lane'
BEGIN
  INSERT INTO steadfast.commit_ledger (lane, secret, connection, opened)
    VALUES (lane_, secret_, CONNECTION_ID(), SYSDATE());
  COMMIT AND NO CHAIN NO RELEASE;
  IF lane_ % 64 = 0 THEN
    DELETE FROM steadfast.commit_ledger
      WHERE opened < SYSDATE() - INTERVAL 1 DAY
        AND connection NOT IN (SELECT id FROM information_schema.PROCESSLIST);
    COMMIT AND NO CHAIN NO RELEASE;
  END IF;
END";

const COMMIT: &str = "(IN lane_ BIGINT UNSIGNED, IN secret_ BIGINT UNSIGNED, IN sequence_ BIGINT UNSIGNED,
   IN affected_rows_ BIGINT UNSIGNED, IN insert_id_ BIGINT UNSIGNED)
  MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT 'Steadfast: COMMIT, recorded'
BEGIN
  UPDATE steadfast.commit_ledger
    SET sequence = sequence_, affected_rows = affected_rows_, insert_id = insert_id_, connection = CONNECTION_ID()
    WHERE lane = lane_ AND secret = secret_ AND fenced = FALSE AND sequence < sequence_;
  IF ROW_COUNT() <> 1 THEN
    SIGNAL SQLSTATE 'SF001' SET MYSQL_ERRNO = 1644,
      MESSAGE_TEXT = 'Steadfast: this transaction was given up and cannot be committed any more';
  END IF;
  COMMIT AND NO CHAIN NO RELEASE;
END";

/// The read is a locking one: it sees what the transaction that it waited for has committed, whatever the isolation
/// level.
const FENCE: &str =
    "(IN lane_ BIGINT UNSIGNED, IN secret_ BIGINT UNSIGNED, OUT record_ VARCHAR(80))
  MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT 'Steadfast: what was the last COMMIT of a lane? There will be no other'
BEGIN
  DECLARE sequence_, affected_rows_, insert_id_ BIGINT UNSIGNED;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET record_ = '';
  START TRANSACTION;
  UPDATE steadfast.commit_ledger SET fenced = TRUE WHERE lane = lane_ AND secret = secret_;
  SELECT sequence, affected_rows, insert_id INTO sequence_, affected_rows_, insert_id_
    FROM steadfast.commit_ledger WHERE lane = lane_ AND secret = secret_ FOR UPDATE;
  COMMIT AND NO CHAIN NO RELEASE;
  SET record_ = CONCAT_WS(' ', sequence_, affected_rows_, insert_id_);
END";

const CLOSE_LANE: &str = "(IN lane_ BIGINT UNSIGNED, IN secret_ BIGINT UNSIGNED)
  MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT 'Steadfast: a lane that nobody uses any more'
BEGIN
  DELETE FROM steadfast.commit_ledger WHERE lane = lane_ AND secret = secret_;
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
