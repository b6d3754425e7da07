//! What of the ledger is on a server, compared with what this version installs.

use steadfast_session::ledger::schema::{self, Flavor, PROCEDURES};

use super::server::Admin;

/// Whether one part is as this version has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// It is not there.
    Missing,
    /// It is, in another form; in words.
    Other(String),
    /// It is.
    Current,
}

/// What is there.
#[derive(Debug)]
pub(super) struct Found {
    /// The table.
    pub(super) table: Part,
    /// The procedures, in the order of [`PROCEDURES`].
    pub(super) procedures: Vec<Part>,
    /// What else is in the database: somebody else's.
    pub(super) foreign: Vec<String>,
}

impl Found {
    /// Looks at everything. What the administrator's account may not see is missing.
    pub(super) async fn look(admin: &mut Admin) -> anyhow::Result<Self> {
        let table = table(admin).await?;
        let mut procedures = Vec::new();
        for procedure in PROCEDURES {
            procedures.push(compare(admin, procedure).await?);
        }
        Ok(Self {
            table,
            procedures,
            foreign: foreign(admin).await?,
        })
    }

    /// Nothing of it is there.
    pub(super) fn is_missing(&self) -> bool {
        self.table == Part::Missing && self.procedures.iter().all(|part| *part == Part::Missing)
    }

    /// All of it is there; nothing is missing, though something may be of another version.
    pub(super) fn is_complete(&self) -> bool {
        self.table != Part::Missing && self.procedures.iter().all(|part| *part != Part::Missing)
    }

    /// What is not as this version has it, in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let procedures = PROCEDURES
            .iter()
            .zip(&self.procedures)
            .map(|(procedure, part)| part.fault(&format!("the procedure {}", procedure.name)));
        [self.table.fault("the table commit_ledger")]
            .into_iter()
            .chain(procedures)
            .flatten()
            .collect()
    }
}

impl Part {
    /// What is wrong with the part of this name.
    pub(super) fn fault(&self, name: &str) -> Option<String> {
        match self {
            Self::Current => None,
            Self::Missing => Some(format!("{name} is missing")),
            Self::Other(how) => Some(format!("{name} {how}")),
        }
    }
}

async fn table(admin: &mut Admin) -> anyhow::Result<Part> {
    let engine = admin
        .value(
            "SELECT ENGINE FROM information_schema.TABLES
             WHERE TABLE_SCHEMA = 'steadfast' AND TABLE_NAME = 'commit_ledger'",
        )
        .await?;
    let columns = admin
        .rows(
            "SELECT COLUMN_NAME, COLUMN_TYPE, COLUMN_KEY FROM information_schema.COLUMNS
             WHERE TABLE_SCHEMA = 'steadfast' AND TABLE_NAME = 'commit_ledger' ORDER BY ORDINAL_POSITION",
        )
        .await?;
    if columns.is_empty() {
        return Ok(Part::Missing);
    }
    let same = columns.len() == schema::COLUMNS.len()
        && columns
            .iter()
            .zip(schema::COLUMNS)
            .all(|(row, (name, kind))| {
                let key = if *name == "lane" { "PRI" } else { "" };
                row[0] == *name && plain(&row[1]) == *kind && row[2] == key
            });
    Ok(match engine.as_deref() {
        Some("InnoDB") if same => Part::Current,
        Some("InnoDB") => Part::Other("has other columns".to_owned()),
        engine => Part::Other(format!(
            "is in {}, not in InnoDB",
            engine.unwrap_or("no engine")
        )),
    })
}

/// The lane from which the ledger's age is known.
pub(super) async fn birth(admin: &mut Admin) -> anyhow::Result<Part> {
    let query = format!(
        "SELECT 1 FROM steadfast.commit_ledger WHERE lane = {}",
        schema::BIRTH
    );
    Ok(match admin.value(&query).await? {
        Some(_) => Part::Current,
        None => Part::Missing,
    })
}

async fn compare(admin: &mut Admin, procedure: &schema::Procedure) -> anyhow::Result<Part> {
    let name = procedure.name;
    let rows = admin
        .rows(&format!(
            "SELECT IFNULL(ROUTINE_DEFINITION, ''), SECURITY_TYPE, DEFINER FROM information_schema.ROUTINES
             WHERE ROUTINE_SCHEMA = 'steadfast' AND ROUTINE_NAME = '{name}' AND ROUTINE_TYPE = 'PROCEDURE'"
        ))
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Part::Missing);
    };
    let parameters = admin
        .rows(&format!(
            "SELECT CONCAT(PARAMETER_MODE, ' ', PARAMETER_NAME, ' ', DTD_IDENTIFIER)
             FROM information_schema.PARAMETERS
             WHERE SPECIFIC_SCHEMA = 'steadfast' AND SPECIFIC_NAME = '{name}' ORDER BY ORDINAL_POSITION"
        ))
        .await?
        .concat()
        .join(", ");
    let definer = schema::DEFINER.replace('\'', "");
    let [body, security, whose] = row.as_slice() else {
        return Ok(Part::Missing);
    };
    Ok(if body.is_empty() {
        Part::Other("cannot be compared: that needs SHOW_ROUTINE, or SELECT, on *.*".to_owned())
    } else if security != "DEFINER" || *whose != definer {
        Part::Other("does not run with the rights of the ledger's own account".to_owned())
    } else if words(body) != words(procedure.body)
        || plain(&parameters) != plain(procedure.parameters)
    {
        Part::Other("is of another version than this program".to_owned())
    } else {
        Part::Current
    })
}

/// The account with whose rights the procedures run, and the grants to it that they do not need. Needs SELECT on the
/// database mysql.
pub(super) async fn definer(admin: &mut Admin) -> anyhow::Result<(Part, Vec<String>)> {
    let locked = match admin.flavor {
        Flavor::MariaDb => {
            "SELECT IFNULL(JSON_VALUE(Priv, '$.account_locked'), 0) IN ('1', 'true') FROM mysql.global_priv
             WHERE User = 'steadfast_ledger' AND Host = 'localhost'"
        }
        Flavor::MySql => {
            "SELECT account_locked = 'Y' FROM mysql.user
             WHERE User = 'steadfast_ledger' AND Host = 'localhost'"
        }
    };
    let part = match admin.value(locked).await?.as_deref() {
        None => return Ok((Part::Missing, Vec::new())),
        Some("1") => Part::Current,
        Some(_) => Part::Other("is not locked: somebody may log in with it".to_owned()),
    };
    let grants = admin
        .rows(&format!("SHOW GRANTS FOR {}", schema::DEFINER))
        .await?
        .concat();
    let known = [
        "GRANT USAGE ON *.* TO ",
        "GRANT EXECUTE ON `steadfast`.* TO ",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `steadfast`.`commit_ledger` TO ",
    ];
    let excess = grants
        .iter()
        .filter(|grant| {
            grant.ends_with("WITH GRANT OPTION")
                || !known.iter().any(|known| grant.starts_with(known))
        })
        // Up to the account: MariaDB shows the hash of a password behind it.
        .map(|grant| match grant.rsplit_once(" TO ") {
            Some((what, _)) => what.to_owned(),
            None => grant.clone(),
        })
        .collect();
    Ok((part, excess))
}

async fn foreign(admin: &mut Admin) -> anyhow::Result<Vec<String>> {
    let parts = admin
        .rows(
            "SELECT 'table', TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'steadfast'
             UNION SELECT LOWER(ROUTINE_TYPE), ROUTINE_NAME FROM information_schema.ROUTINES
               WHERE ROUTINE_SCHEMA = 'steadfast'
             UNION SELECT 'event', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'steadfast'
             UNION SELECT 'trigger', TRIGGER_NAME FROM information_schema.TRIGGERS
               WHERE TRIGGER_SCHEMA = 'steadfast' OR EVENT_OBJECT_SCHEMA = 'steadfast'",
        )
        .await?;
    let ours = |kind: &str, name: &str| match kind {
        "table" => name == "commit_ledger",
        "procedure" => PROCEDURES.iter().any(|procedure| procedure.name == name),
        _ => false,
    };
    Ok(parts
        .iter()
        .filter(|row| !ours(&row[0], &row[1]))
        .map(|row| format!("the {} {}", row[0], row[1]))
        .collect())
}

/// Without the difference that white space makes.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// A type, or several: MariaDB shows the width of integers, MySQL no longer.
fn plain(text: &str) -> String {
    words(&text.to_ascii_lowercase().replace("(20)", "")).join(" ")
}
