//! The ledger's table and procedures, as SQL.
//!
//! Nobody but the procedures may write the table: who could write it could fence another's lane. They run with the
//! rights of a locked account of their own; whoever uses them needs EXECUTE on `steadfast.*` and nothing else.

/// The database.
pub const DATABASE: &str = "steadfast";

/// The account with whose rights the procedures run. It is locked: nobody can log in with it.
pub const DEFINER: &str = "'steadfast_ledger'@'localhost'";

/// The lane that no COMMIT uses: its `opened` is when the ledger was made.
///
/// A lane without a row is one whose first COMMIT has not taken effect, but only if the table is older than the lane, by
/// a clock of seconds, and its row cannot have been swept. Else a ledger that was emptied would say of a COMMIT that took effect that
/// it never will.
pub const BIRTH: u64 = 0;

/// A stored procedure of the ledger.
#[derive(Debug)]
pub struct Procedure {
    /// Its name in [`DATABASE`].
    pub name: &'static str,
    /// Its parameters, as CREATE PROCEDURE has them between the parentheses.
    pub parameters: &'static str,
    /// What it is for; without quotes.
    pub comment: &'static str,
    /// From BEGIN to END, as `information_schema.ROUTINES.ROUTINE_DEFINITION` shows it.
    pub body: &'static str,
}

/// The procedures.
pub const PROCEDURES: &[Procedure] = &[COMMIT, FENCE, SWEEP];

/// The table's columns, in order, and their types, as `information_schema.COLUMNS` shows them, without the width of
/// integers other than 1.
pub const COLUMNS: &[(&str, &str)] = &[
    ("lane", "bigint unsigned"),
    ("secret", "bigint unsigned"),
    ("sequence", "bigint unsigned"),
    ("fenced", "tinyint(1)"),
    ("opened", "bigint"),
];

/// What differs between the servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavor {
    /// MariaDB 10.5 and later.
    MariaDb,
    /// MySQL 8.0.18 and later.
    MySql,
}

/// What a session that installs or removes the ledger runs first, whatever the server's defaults are.
///
/// Without NO_AUTO_CREATE_USER, a GRANT to a misspelt account makes it on MariaDB, without a password. MySQL 8 has no
/// such mode and never does that. A statement that waits for others' locks gives up after 30 s.
pub fn prepare(flavor: Flavor) -> Vec<String> {
    let mode = match flavor {
        Flavor::MariaDb => "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_CREATE_USER",
        Flavor::MySql => "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
    };
    vec![
        format!("SET SESSION sql_mode='{mode}'"),
        "SET SESSION autocommit=1, lock_wait_timeout=30".to_owned(),
    ]
}

/// What to run after [`prepare`] to install the ledger, in order; each may run again where it is installed already.
pub fn install(flavor: Flavor) -> Vec<String> {
    let mut statements = install_table(flavor);
    for procedure in PROCEDURES {
        statements.extend(install_procedure(flavor, procedure));
    }
    statements
}

/// The part of [`install`] that makes the table and the account.
pub fn install_table(flavor: Flavor) -> Vec<String> {
    vec![
        format!("CREATE DATABASE IF NOT EXISTS {DATABASE} DEFAULT CHARACTER SET utf8mb4"),
        TABLE.to_owned(),
        // IGNORE: the ledger's birth stays what it was.
        format!(
            "INSERT IGNORE INTO {DATABASE}.commit_ledger (lane, secret, sequence, fenced, opened)
  VALUES ({BIRTH}, 0, 0, TRUE, UNIX_TIMESTAMP())"
        ),
        // So that no lane of those to come is of the second of its birth.
        "DO SLEEP(1)".to_owned(),
        match flavor {
            Flavor::MariaDb => format!(
                "CREATE USER IF NOT EXISTS {DEFINER} IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK"
            ),
            Flavor::MySql => format!(
                "CREATE USER IF NOT EXISTS {DEFINER} IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK"
            ),
        },
        // Where somebody had made it before.
        format!("ALTER USER {DEFINER} ACCOUNT LOCK"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {DATABASE}.commit_ledger TO {DEFINER}"),
        // A procedure with its definer's rights runs only if the definer may execute it as well.
        format!("GRANT EXECUTE ON {DATABASE}.* TO {DEFINER}"),
    ]
}

/// The part of [`install`] that makes or replaces one procedure. On MariaDB it is there all the time; MySQL cannot
/// replace one, and what calls it meanwhile finds it missing (1305).
pub fn install_procedure(flavor: Flavor, procedure: &Procedure) -> Vec<String> {
    let Procedure {
        name,
        parameters,
        comment,
        body,
    } = procedure;
    let rest = format!(
        "DEFINER={DEFINER} PROCEDURE {DATABASE}.{name}({parameters})
  MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT '{comment}'
{body}"
    );
    match flavor {
        Flavor::MariaDb => vec![format!("CREATE OR REPLACE {rest}")],
        Flavor::MySql => vec![
            format!("DROP PROCEDURE IF EXISTS {DATABASE}.{name}"),
            format!("CREATE {rest}"),
        ],
    }
}

/// What to run to remove it. Grants of EXECUTE are revoked apart ([`revoke`]).
pub fn remove() -> Vec<String> {
    let mut statements: Vec<String> = PROCEDURES
        .iter()
        .map(|procedure| format!("DROP PROCEDURE IF EXISTS {DATABASE}.{}", procedure.name))
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
/// A later COMMIT is an INSERT that finds its row, and not an UPDATE: an UPDATE that finds none locks the gap where the
/// row would be (REPEATABLE READ, InnoDB), so that an account could keep others from opening lanes. An INSERT locks one
/// row, of its own lane. What it inserts where there is none is fenced, and is rolled back. MySQL's UPDATE would
/// move the client's FOUND_ROWS() as well (9.7.4).
///
/// SF001: the transaction is rolled back, and with it its locks.
const COMMIT: Procedure = Procedure {
    name: "commit",
    parameters: "IN lane_ BIGINT UNSIGNED, IN secret_ BIGINT UNSIGNED, IN sequence_ BIGINT UNSIGNED,
  IN made_ BIGINT, IN chain_ TINYINT(1)",
    comment: "Steadfast: COMMIT, recorded",
    body: "BEGIN
  DECLARE now_ BIGINT;
  IF sequence_ = 1 THEN
    SET now_ = UNIX_TIMESTAMP(SYSDATE());
    IF ABS(now_ - made_) > 43200 THEN
      ROLLBACK AND NO CHAIN NO RELEASE;
      SIGNAL SQLSTATE 'SF001' SET MYSQL_ERRNO = 1644,
        MESSAGE_TEXT = 'Steadfast: this COMMIT is half a day old, or the clock of the server has moved as far';
    END IF;
    INSERT INTO steadfast.commit_ledger (lane, secret, sequence, fenced, opened)
      VALUES (lane_, secret_, 1, FALSE, now_);
  ELSE
    INSERT INTO steadfast.commit_ledger (lane, secret, sequence, fenced, opened)
      VALUES (lane_, secret_, 0, TRUE, made_)
      ON DUPLICATE KEY UPDATE
        sequence = IF(secret = secret_ AND fenced = FALSE AND sequence < sequence_, sequence_, sequence);
    IF ROW_COUNT() <> 2 THEN
      ROLLBACK AND NO CHAIN NO RELEASE;
      SIGNAL SQLSTATE 'SF001' SET MYSQL_ERRNO = 1644,
        MESSAGE_TEXT = 'Steadfast: this transaction was given up and cannot be committed any more';
    END IF;
  END IF;
  IF chain_ THEN
    COMMIT AND CHAIN NO RELEASE;
  ELSE
    COMMIT AND NO CHAIN NO RELEASE;
  END IF;
END",
};

/// The read of the lane is a locking one: it sees what the transaction that it waited for has committed, whatever the
/// isolation level. A lane without a row is one whose first COMMIT has not taken effect: the fence makes the row, and
/// the answer is 0, unless the row may have been lost ([`BIRTH`]): then it is NULL, for whoever asks.
///
/// Two that wait for the same COMMIT deadlock when it is rolled back, at any isolation level: each inherits a lock on
/// the gap. One of them is told (1213; 1020 with MariaDB's `innodb_snapshot_isolation`), and tries again.
const FENCE: Procedure = Procedure {
    name: "fence",
    parameters: "IN lane_ BIGINT UNSIGNED, IN secret_ BIGINT UNSIGNED, IN made_ BIGINT, OUT record_ VARCHAR(80)",
    comment: "Steadfast: what was the last COMMIT of a lane? There will be no other",
    body: "BEGIN
  DECLARE found_ BIGINT UNSIGNED;
  DECLARE born_ BIGINT;
  DECLARE now_ BIGINT DEFAULT UNIX_TIMESTAMP(SYSDATE());
  DECLARE tries_ INT DEFAULT 10;
  DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
  WHILE tries_ > 0 DO
    BEGIN
      DECLARE EXIT HANDLER FOR 1020, 1213
        BEGIN
          SET tries_ = tries_ - 1;
          IF tries_ = 0 THEN
            RESIGNAL;
          END IF;
        END;
      SET found_ = NULL;
      START TRANSACTION READ WRITE;
      INSERT INTO steadfast.commit_ledger (lane, secret, sequence, fenced, opened)
        VALUES (lane_, secret_, 0, TRUE, now_)
        ON DUPLICATE KEY UPDATE fenced = (fenced OR secret = secret_);
      SELECT sequence INTO found_ FROM steadfast.commit_ledger
        WHERE lane = lane_ AND secret = secret_ AND fenced FOR UPDATE;
      SELECT opened INTO born_ FROM steadfast.commit_ledger WHERE lane = 0;
      COMMIT AND NO CHAIN NO RELEASE;
      SET tries_ = 0;
    END;
  END WHILE;
  IF found_ = 0 AND (born_ IS NULL OR made_ <= born_ OR ABS(now_ - made_) > 43200) THEN
    SET found_ = NULL;
  END IF;
  SET record_ = found_;
END",
};

/// Lanes are used for half a day and asked about for minutes after. The rows are looked for without locks, because the
/// locks of others are those of COMMITs on their way: also in a session whose isolation level is SERIALIZABLE, where
/// every read locks.
const SWEEP: Procedure = Procedure {
    name: "sweep",
    parameters: "",
    comment: "Steadfast: forgets lanes that were opened more than a day ago",
    body: "BEGIN
  DECLARE before_ BIGINT DEFAULT UNIX_TIMESTAMP(SYSDATE()) - 86400;
  DECLARE lane_ BIGINT UNSIGNED DEFAULT 0;
  DECLARE left_ INT DEFAULT 1000;
  WHILE lane_ IS NOT NULL AND left_ > 0 DO
    COMMIT AND NO CHAIN NO RELEASE;
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    START TRANSACTION READ WRITE;
    SELECT MIN(lane) INTO lane_ FROM steadfast.commit_ledger WHERE lane > lane_ AND opened < before_;
    IF lane_ IS NOT NULL THEN
      DELETE FROM steadfast.commit_ledger WHERE lane = lane_ AND opened < before_;
    END IF;
    SET left_ = left_ - 1;
  END WHILE;
  COMMIT AND NO CHAIN NO RELEASE;
END",
};

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
            for Procedure { name, .. } in PROCEDURES {
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
