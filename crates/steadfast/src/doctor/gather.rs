//! Facts about a server, with an ordinary account: what it may not see is noted with what it would need.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use steadfast_diagnose::checks::Facts;
use steadfast_diagnose::checks::facts::{
    Channel, Host, Later, MemoryLimit, Origin, Raised, Seen, Sessions, Transaction,
};
use steadfast_diagnose::{Product, Variables};

use super::machine;
use super::session::Session;
use super::state;
use crate::cli::DoctorArgs;

/// The errors that tell of lost connections: MySQL's error reference.
const ERRORS: &str = "1153, 1158, 1159, 1160, 1161, 1184, 4031, 4081, 4082";

/// What sees all sessions on both servers.
const NEEDS_PROCESS: &str = "only this account's sessions can be seen: GRANT PROCESS ON *.*";

/// Looks at everything but the path.
///
/// # Errors
/// The session is lost, or the server does not answer.
pub(super) async fn gather(session: &mut Session, args: &DoctorArgs) -> anyhow::Result<Facts> {
    let mut facts = Facts {
        server: Some(session.server),
        ..Facts::default()
    };
    variables(session, &mut facts).await?;
    facts.status = pairs(session, "SHOW GLOBAL STATUS").await?;
    // To this moment belongs the uptime.
    let (begun, looked_at) = (Instant::now(), SystemTime::now());
    facts.errors = errors(session, &facts).await?;
    facts.sessions = sessions(session, &facts).await?;
    facts.transactions = transactions(session, &facts).await?;
    facts.replication = replication(session).await?;
    facts.hosts = hosts(session, &facts).await?;
    facts.expiring = expiring(session).await?;
    facts.certificate = certificate(session, &facts).await?;
    facts.path.idle_limit = args.idle_limit;
    facts.path.pool_lifetime = args.pool_lifetime;
    facts.restarts = state::restarts(args, session, &facts, looked_at);
    let hostname = facts.text("hostname").unwrap_or_default().to_owned();
    if session.seems_local() {
        machine::look(&hostname, &mut facts);
    } else {
        machine::unseen("the server is on another machine", &mut facts);
    }
    if let Some(bytes) = args.memory {
        facts.memory = Seen::Is(MemoryLimit {
            bytes,
            what: "the machine, as --memory says,".to_owned(),
        });
    }
    if !args.sample.is_zero() {
        tokio::time::sleep(args.sample.saturating_sub(begun.elapsed())).await;
        facts.later = Seen::Is(Later {
            status: pairs(session, "SHOW GLOBAL STATUS").await?,
            after: begun.elapsed(),
        });
    }
    Ok(facts)
}

/// Variables, and where their values come from.
///
/// # Errors
/// The session is lost, or the server does not answer.
pub(super) async fn variables(session: &mut Session, facts: &mut Facts) -> anyhow::Result<()> {
    facts.variables = pairs(session, "SHOW GLOBAL VARIABLES").await?;
    facts.set_at.clear();
    facts.origins = match origins(session, facts).await? {
        Err(why) => Seen::Unseen(why),
        Ok(rows) => {
            let mut origins = BTreeMap::new();
            for (name, origin, set_at) in rows {
                facts
                    .set_at
                    .extend(set_at.map(|set_at| (name.clone(), set_at)));
                origins.insert(name, origin);
            }
            Seen::Is(origins)
        }
    };
    Ok(())
}

/// Two columns: names, in lower case, and values. Any account may see them: nothing can be judged without.
async fn pairs(session: &mut Session, query: &str) -> anyhow::Result<Variables> {
    let rows = session.rows(query).await?;
    Ok(Variables(
        rows.into_iter()
            .filter_map(|row| match <[String; 2]>::try_from(row) {
                Ok([name, value]) => Some((name.to_ascii_lowercase(), value)),
                Err(_) => None,
            })
            .collect(),
    ))
}

/// A variable, where its value comes from, and when it was set.
type Set = (String, Origin, Option<u64>);

/// The inner error: why it cannot be seen.
async fn origins(session: &mut Session, facts: &Facts) -> anyhow::Result<Result<Vec<Set>, String>> {
    let query = match session.server.product {
        Product::MariaDb => {
            "SELECT LOWER(VARIABLE_NAME), GLOBAL_VALUE_ORIGIN, '', '' FROM information_schema.SYSTEM_VARIABLES
             WHERE GLOBAL_VALUE_ORIGIN <> 'COMPILE-TIME'"
        }
        Product::MySql if !facts.is_mysql_since(80_000) => {
            return Ok(Err("MySQL before 8.0 does not tell where values come from".to_owned()));
        }
        Product::MySql if !facts.is_on("performance_schema").unwrap_or_default() => {
            return Ok(Err("performance_schema is OFF".to_owned()));
        }
        Product::MySql => {
            "SELECT i.VARIABLE_NAME, i.VARIABLE_SOURCE, IFNULL(p.VARIABLE_NAME, ''), FLOOR(UNIX_TIMESTAMP(i.SET_TIME))
             FROM performance_schema.variables_info i
             LEFT JOIN performance_schema.persisted_variables p ON p.VARIABLE_NAME = i.VARIABLE_NAME
             WHERE i.VARIABLE_SOURCE <> 'COMPILED'"
        }
    };
    Ok(session.ask(query).await?.map(|rows| {
        rows.into_iter()
            .filter_map(|row| {
                let [name, origin, persisted, set_at] = <[String; 4]>::try_from(row).ok()?;
                let origin = match origin.as_str() {
                    "DYNAMIC" if !persisted.is_empty() => Origin::Persisted,
                    "PERSISTED" => Origin::Persisted,
                    "DYNAMIC" | "SQL" => Origin::RunTime,
                    "AUTO" => Origin::Computed,
                    "COMMAND_LINE" | "COMMAND-LINE" => Origin::CommandLine,
                    _ => Origin::Options,
                };
                Some((name, origin, set_at.parse().ok()))
            })
            .collect()
    }))
}

async fn errors(
    session: &mut Session,
    facts: &Facts,
) -> anyhow::Result<Seen<BTreeMap<u16, Raised>>> {
    if session.server.product == Product::MariaDb {
        return Ok(Seen::Unseen("MariaDB does not count errors".to_owned()));
    }
    if !facts.is_on("performance_schema").unwrap_or_default() {
        return Ok(Seen::Unseen("performance_schema is OFF".to_owned()));
    }
    let counted = session
        .ask(&format!(
            "SELECT ERROR_NUMBER, SUM_ERROR_RAISED, TIMESTAMPDIFF(SECOND, LAST_SEEN, NOW()), UNIX_TIMESTAMP(LAST_SEEN)
             FROM performance_schema.events_errors_summary_global_by_error
             WHERE SUM_ERROR_RAISED > 0 AND ERROR_NUMBER IN ({ERRORS})"
        ))
        .await?;
    let by = session
        .ask(&format!(
            "SELECT ERROR_NUMBER, CONCAT(USER, '@', HOST) FROM performance_schema.events_errors_summary_by_account_by_error
             WHERE SUM_ERROR_RAISED > 0 AND USER IS NOT NULL AND ERROR_NUMBER IN ({ERRORS})
             ORDER BY SUM_ERROR_RAISED DESC LIMIT 100"
        ))
        .await?;
    let by = by.unwrap_or_default();
    Ok(seen(counted, |rows| {
        rows.into_iter()
            .filter_map(|row| {
                let [code, count, last, at] = <[String; 4]>::try_from(row).ok()?;
                let accounts = by
                    .iter()
                    .filter(|row| row.first() == Some(&code))
                    .filter_map(|row| row.get(1).cloned())
                    .take(3)
                    .collect();
                let raised = Raised {
                    count: count.parse().ok()?,
                    last: seconds(&last),
                    at: at.parse().ok(),
                    by: accounts,
                };
                Some((code.parse().ok()?, raised))
            })
            .collect()
    }))
}

/// The table of sessions: MySQL's newer one does not stop the server while it is read.
fn process_list(facts: &Facts) -> &'static str {
    if facts.is_mysql_since(80_022) && facts.is_on("performance_schema").unwrap_or_default() {
        "performance_schema.processlist"
    } else {
        "information_schema.PROCESSLIST"
    }
}

async fn sessions(session: &mut Session, facts: &Facts) -> anyhow::Result<Seen<Sessions>> {
    let table = process_list(facts);
    let counted = session
        .ask(&format!(
            "SELECT CONCAT(USER, '@', SUBSTRING_INDEX(HOST, ':', 1)), COUNT(*) FROM {table}
             WHERE USER NOT IN ('system user', 'event_scheduler') GROUP BY 1 ORDER BY 2 DESC, 1"
        ))
        .await?;
    let by_account: Vec<(String, u64)> = match counted {
        Err(why) => return Ok(Seen::Unseen(why)),
        Ok(rows) => rows
            .into_iter()
            .filter_map(|row| {
                let [account, count] = <[String; 2]>::try_from(row).ok()?;
                Some((account, count.parse().ok()?))
            })
            .collect(),
    };
    let counted: u64 = by_account.iter().map(|(_, count)| count).sum();
    if counted < facts.status.number("threads_connected").unwrap_or_default()
        && !sees_all(session).await?
    {
        return Ok(Seen::Unseen(NEEDS_PROCESS.to_owned()));
    }
    let waiting = session
        .ask(&format!(
            "SELECT STATE, CAST(TIME AS UNSIGNED) FROM {table} WHERE STATE LIKE 'Waiting for % metadata lock'
             OR STATE IN ('Waiting for global read lock', 'Waiting for commit lock', 'Waiting for backup lock')
             LIMIT 1000"
        ))
        .await?;
    Ok(seen(waiting, |rows| Sessions {
        by_account,
        waiting: rows
            .into_iter()
            .filter_map(|row| {
                let [state, time] = <[String; 2]>::try_from(row).ok()?;
                Some((state, seconds(&time)?))
            })
            .collect(),
    }))
}

/// Whether the account has a privilege that shows others' sessions.
async fn sees_all(session: &mut Session) -> anyhow::Result<bool> {
    let grants = session.ask("SHOW GRANTS").await?.unwrap_or_default();
    Ok(grants
        .iter()
        .flatten()
        .filter(|grant| grant.contains(" ON *.* "))
        .any(|grant| grant.contains("PROCESS") || grant.contains("ALL PRIVILEGES")))
}

async fn transactions(
    session: &mut Session,
    facts: &Facts,
) -> anyhow::Result<Seen<Vec<Transaction>>> {
    let query = format!(
        "SELECT t.trx_mysql_thread_id, IFNULL(CONCAT(p.USER, '@', SUBSTRING_INDEX(p.HOST, ':', 1)), 'nobody'),
                TIMESTAMPDIFF(SECOND, t.trx_started, NOW()),
                IF(p.COMMAND = 'Sleep', CAST(p.TIME AS UNSIGNED), NULL), t.trx_rows_locked
         FROM information_schema.INNODB_TRX t LEFT JOIN {} p ON p.ID = t.trx_mysql_thread_id
         WHERE TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) > 60 ORDER BY 3 DESC LIMIT 20",
        process_list(facts)
    );
    let rows = session.ask(&query).await?;
    Ok(match rows {
        Err(why) => Seen::Unseen(format!("{why}: GRANT PROCESS ON *.*")),
        Ok(rows) => Seen::Is(
            rows.into_iter()
                .filter_map(|row| {
                    let [connection, account, age, idle, locked] =
                        <[String; 5]>::try_from(row).ok()?;
                    Some(Transaction {
                        connection: connection.parse().ok()?,
                        account,
                        age: seconds(&age)?,
                        idle: seconds(&idle),
                        locked: locked.parse().unwrap_or_default(),
                    })
                })
                .collect(),
        ),
    })
}

async fn replication(session: &mut Session) -> anyhow::Result<Seen<Vec<Channel>>> {
    let query = match session.server.product {
        Product::MariaDb => "SHOW ALL SLAVES STATUS",
        Product::MySql if session.server.version >= 80_022 => "SHOW REPLICA STATUS",
        Product::MySql => "SHOW SLAVE STATUS",
    };
    let (names, rows) = match session.ask_named(query).await? {
        Ok(answer) => answer,
        Err(why) => {
            let needs = match session.server.product {
                Product::MariaDb if session.server.version >= 100_500 => "REPLICA MONITOR",
                _ => "REPLICATION CLIENT",
            };
            return Ok(Seen::Unseen(format!("{why}: GRANT {needs} ON *.*")));
        }
    };
    let channel = |row: Vec<String>| {
        let column = |wanted: &[&str]| {
            let index = names
                .iter()
                .position(|name| wanted.contains(&name.as_str()))?;
            row.get(index).cloned()
        };
        Some(Channel {
            name: column(&["Channel_Name", "Connection_name"]).unwrap_or_default(),
            receives: column(&["Replica_IO_Running", "Slave_IO_Running"])?,
            applies: column(&["Replica_SQL_Running", "Slave_SQL_Running"])?,
            behind: column(&["Seconds_Behind_Source", "Seconds_Behind_Master"])
                .and_then(|text| seconds(&text)),
        })
    };
    Ok(Seen::Is(rows.into_iter().filter_map(channel).collect()))
}

async fn hosts(session: &mut Session, facts: &Facts) -> anyhow::Result<Seen<Vec<Host>>> {
    if !facts.is_on("performance_schema").unwrap_or_default() {
        return Ok(Seen::Unseen("performance_schema is OFF".to_owned()));
    }
    let rows = session
        .ask(
            "SELECT IFNULL(HOST, IP), SUM_CONNECT_ERRORS FROM performance_schema.host_cache
             WHERE SUM_CONNECT_ERRORS > 0 ORDER BY 2 DESC LIMIT 20",
        )
        .await?;
    Ok(seen(rows, |rows| {
        rows.into_iter()
            .filter_map(|row| {
                let [name, errors] = <[String; 2]>::try_from(row).ok()?;
                Some(Host {
                    name,
                    errors: errors.parse().ok()?,
                })
            })
            .collect()
    }))
}

async fn expiring(session: &mut Session) -> anyhow::Result<Seen<Vec<(String, i64)>>> {
    let query = match session.server.product {
        // Its own plugins only: others have no password here. JSON as in its manual, Authentication: mysql.global_priv.
        Product::MariaDb => {
            "SELECT CONCAT(User, '@', Host), TIMESTAMPDIFF(DAY, NOW(), FROM_UNIXTIME(changed) + INTERVAL days DAY) FROM (
                SELECT User, Host, JSON_VALUE(Priv, '$.password_last_changed') AS changed,
                    IF(IFNULL(JSON_VALUE(Priv, '$.password_lifetime'), -1) < 0, @@GLOBAL.default_password_lifetime,
                       JSON_VALUE(Priv, '$.password_lifetime')) AS days
                FROM mysql.global_priv
                WHERE IFNULL(JSON_VALUE(Priv, '$.account_locked'), '') NOT IN ('1', 'true')
                  AND JSON_VALUE(Priv, '$.plugin') IN ('mysql_native_password', 'ed25519', 'parsec')) AS accounts
             WHERE days > 0 AND changed > 0"
        }
        Product::MySql => {
            "SELECT CONCAT(User, '@', Host), IF(password_expired = 'Y', -1, TIMESTAMPDIFF(DAY, NOW(),
                    password_last_changed + INTERVAL IFNULL(password_lifetime, @@GLOBAL.default_password_lifetime) DAY))
             FROM mysql.user WHERE account_locked = 'N' AND password_last_changed IS NOT NULL
               AND (password_expired = 'Y' OR IFNULL(password_lifetime, @@GLOBAL.default_password_lifetime) > 0)"
        }
    };
    Ok(seen(session.ask(query).await?, |rows| {
        rows.into_iter()
            .filter_map(|row| {
                let [account, days] = <[String; 2]>::try_from(row).ok()?;
                Some((account, days.parse().ok()?))
            })
            .collect()
    }))
}

/// MariaDB tells it only to a session with TLS; MySQL to any.
async fn certificate(session: &mut Session, facts: &Facts) -> anyhow::Result<Seen<Option<i64>>> {
    let rows = session
        .ask("SHOW STATUS LIKE 'Ssl_server_not_after'")
        .await?
        .unwrap_or_default();
    let text: String = rows.into_iter().flatten().nth(1).unwrap_or_default();
    if text.trim().is_empty() {
        let has_none = facts.text("have_ssl").is_ok_and(|value| value != "YES");
        return Ok(
            if has_none || session.is_tls() || session.server.product == Product::MySql {
                Seen::Is(None)
            } else {
                Seen::Unseen(
                    "MariaDB tells of its certificate only where TLS is used: connect over TCP"
                        .to_owned(),
                )
            },
        );
    }
    // `Nov  3 09:55:01 2036 GMT`; the server's clock is the one that counts.
    let words: Vec<&str> = text.split_whitespace().collect();
    let date = words.join(" ").replace(['\'', '\\'], "");
    let days = session
        .value(&format!(
            "SELECT TIMESTAMPDIFF(DAY, UTC_TIMESTAMP(), STR_TO_DATE('{date}', '%b %e %H:%i:%s %Y GMT'))"
        ))
        .await?;
    Ok(match days.parse() {
        Ok(days) => Seen::Is(Some(days)),
        Err(_) => Seen::Unseen(format!(
            "the end of the server's certificate cannot be read: {date}"
        )),
    })
}

fn seen<T>(
    rows: Result<Vec<Vec<String>>, String>,
    read: impl FnOnce(Vec<Vec<String>>) -> T,
) -> Seen<T> {
    match rows {
        Ok(rows) => Seen::Is(read(rows)),
        Err(why) => Seen::Unseen(why),
    }
}

/// A number of seconds; negative ones, which some servers give where clocks differ, are none.
fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_secs)
}
