//! Limits to time that the server keeps.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::accuracy::here::millis;
use crate::accuracy::session::{Saw, header, query_packet};
use crate::accuracy::stage::Stage;

/// The server's own end of something may take this much longer than its limit.
const LATE: Duration = Duration::from_secs(6);

/// Rows of 1 MiB, enough to fill all buffers on the way many times.
pub(super) const LARGE_RESULT: &str = "SELECT REPEAT('x', 1048576) FROM information_schema.COLLATIONS a, \
                                       information_schema.COLLATIONS b LIMIT 200";

/// `wait_timeout`, or `interactive_timeout` for an interactive client.
pub(super) async fn idle(stage: &mut Stage<'_>) -> Result<()> {
    // Not less: one looks at the server before it strikes.
    let seconds = stage.rng.between(2, 5);
    let interactive = stage.rng.one_in(3);
    let name = if interactive {
        "interactive_timeout"
    } else {
        "wait_timeout"
    };
    stage.bench.set(&[(name, seconds.to_string())]).await?;
    let mut door = stage.door();
    door.interactive = interactive;
    let mut client = stage.client_at(&door).await?;
    let busy_before = stage.rng.between(0, 700);
    client
        .run(&format!("SELECT SLEEP({})", busy_before as f64 / 1000.0))
        .await?;
    stage.does(format!("{name}={seconds}, idle"));
    stage.watch(false).await?;
    // MySQL's 4031 lies in the socket; the client reads it when it asks for something.
    millis(seconds * 1000).await;
    if stage.is_through() {
        stage.is_prevented();
        millis(1_500).await;
        let saw = stage.next_outcome(&mut client, LATE).await?;
        stage.saw(&saw);
        client.leave().await;
        return Ok(());
    }
    stage.look(true).await?;
    stage.probe().await?;
    let later = stage.rng.between(0, 500);
    millis(later).await;
    let saw = match client.ask("SELECT 1").await {
        Ok(()) => client.lost(LATE).await?,
        Err(Saw::NotSent) => client.lost(LATE).await.unwrap_or(Saw::NotSent),
        Err(saw) => saw,
    };
    stage.saw(&saw);
    Ok(())
}

/// MariaDB's limits to being idle in a transaction.
pub(super) async fn idle_in_transaction(stage: &mut Stage<'_>) -> Result<()> {
    // Not less: one looks at the server before it strikes.
    let seconds = stage.rng.between(2, 5);
    let (name, statement) = match stage.rng.between(0, 3) {
        0 => ("idle_transaction_timeout", "SELECT * FROM bench.t"),
        1 => ("idle_readonly_transaction_timeout", "SELECT * FROM bench.t"),
        _ => (
            "idle_write_transaction_timeout",
            "UPDATE bench.t SET v = CONCAT('v', RAND()) WHERE id = 1",
        ),
    };
    stage.bench.set(&[(name, seconds.to_string())]).await?;
    let mut client = stage.client().await?;
    let begin = if name.contains("readonly") {
        "START TRANSACTION READ ONLY"
    } else {
        "BEGIN"
    };
    client.run(begin).await?;
    client.run(statement).await?;
    stage.does(format!("{name}={seconds}, idle in a transaction"));
    stage.watch(false).await?;
    millis(seconds * 1000).await;
    stage.look(true).await?;
    stage.probe().await?;
    let saw = match client.ask("COMMIT").await {
        Ok(()) => stage.outcome(&mut client, LATE).await?,
        Err(saw) => saw,
    };
    stage.saw(&saw);
    Ok(())
}

/// Half of a statement at `wait_timeout`, or half of a file at `net_read_timeout`.
pub(super) async fn stalled_upload(stage: &mut Stage<'_>) -> Result<()> {
    let seconds = stage.rng.between(1, 4);
    let file = stage.rng.one_in(2);
    let name = if file {
        "net_read_timeout"
    } else {
        "wait_timeout"
    };
    stage.bench.set(&[(name, seconds.to_string())]).await?;
    let mut client = stage.client().await?;
    let size = stage.rng.between(10, 200_000) as usize;
    let sent = stage.rng.between(5, size as u64) as usize;
    if file {
        client
            .run("CREATE TABLE IF NOT EXISTS bench.loaded (v TEXT)")
            .await?;
        stage.does(format!(
            "{name}={seconds}, LOAD DATA LOCAL that stops after {sent} bytes"
        ));
        stage.watch(false).await?;
        let statement = "LOAD DATA LOCAL INFILE 'x' INTO TABLE bench.loaded";
        let Ok(()) = client.ask(statement).await else {
            bail!("LOAD DATA could not be sent");
        };
        match client.packet().await {
            Ok(payload) if payload.first() == Some(&0xFB) => {}
            other => bail!("the server did not ask for the file: {other:?}"),
        }
        // Of a packet, or behind a whole one.
        let promised = if stage.rng.one_in(2) { sent } else { size };
        let mut bytes = header(promised, 2).to_vec();
        bytes.resize(bytes.len() + sent, b'a');
        let Ok(()) = client.send(&bytes).await else {
            bail!("the file could not be sent");
        };
        if stage.is_through() {
            stage.is_prevented();
            millis(seconds * 1000 + 1_500).await;
            let mut rest = vec![b'a'; promised - sent];
            rest.extend(header(0, 3));
            let Ok(()) = client.send(&rest).await else {
                bail!("the rest of the file could not be sent");
            };
            let saw = stage.outcome(&mut client, LATE).await?;
            stage.saw(&saw);
            client.leave().await;
            return Ok(());
        }
    } else {
        stage.does(format!(
            "{name}={seconds}, {sent} of {size} bytes of a statement"
        ));
        stage.watch(false).await?;
        let mut bytes = query_packet(&format!("SELECT '{}'", "x".repeat(size)), 0);
        let rest = bytes.split_off(sent);
        let Ok(()) = client.send(&bytes).await else {
            bail!("half a statement could not be sent");
        };
        if stage.is_through() {
            stage.is_prevented();
            millis(seconds * 1000 + 1_500).await;
            let Ok(()) = client.send(&rest).await else {
                bail!("the rest of the statement could not be sent");
            };
            let saw = stage.outcome(&mut client, LATE).await?;
            stage.saw(&saw);
            client.leave().await;
            return Ok(());
        }
    }
    let saw = client.lost(Duration::from_secs(seconds) + LATE).await?;
    stage.saw(&saw);
    stage.probe().await?;
    stage.look(true).await
}

/// `net_write_timeout`.
pub(super) async fn slow_reader(stage: &mut Stage<'_>) -> Result<()> {
    let seconds = stage.rng.between(1, 4);
    stage
        .bench
        .set(&[("net_write_timeout", seconds.to_string())])
        .await?;
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let Ok(()) = client.ask(LARGE_RESULT).await else {
        bail!("the statement could not be sent");
    };
    let first = stage.rng.between(1, 3_000_000) as usize;
    let mut taken = 0;
    while taken < first {
        taken += client.take(65_536).await;
    }
    stage.does(format!(
        "net_write_timeout={seconds}, a large result of which {taken} bytes were read"
    ));
    if stage.is_through() {
        stage.is_prevented();
        millis(seconds * 1000 + 1_500).await;
        client.take_all().await;
        stage.saw(&Saw::Answered);
        client.leave().await;
        return Ok(());
    }
    stage.look(true).await?;
    stage.probe().await?;
    let mut last = 1;
    while last > 0 {
        last = client.take(1 << 20).await;
    }
    stage.saw(&Saw::NoAnswer);
    Ok(())
}

/// `connect_timeout`.
pub(super) async fn handshake(stage: &mut Stage<'_>) -> Result<()> {
    // MySQL takes no less than 2 s.
    let seconds = stage.rng.between(2, 4);
    stage
        .bench
        .set(&[("connect_timeout", seconds.to_string())])
        .await?;
    let part = stage.rng.between(0, 3) * 9;
    stage.does(format!(
        "connect_timeout={seconds}, {part} bytes of the login, then nothing"
    ));
    stage.watch(false).await?;
    let mut stream = TcpStream::connect(stage.login_addr()).await?;
    let mut greeting = vec![0; 4096];
    let length = stream.read(&mut greeting).await?;
    if let Some(id) = connection_id(greeting.get(..length).unwrap_or_default())
        && !stage.is_through()
    {
        stage.is_of(id);
    }
    let mut answer = header(80, 1).to_vec();
    answer.resize(part as usize, 0);
    stream.write_all(&answer).await?;
    let end = async {
        loop {
            match stream.read(&mut greeting).await {
                Ok(0) => return Saw::NoLogin(0),
                Ok(length) if greeting.get(4) == Some(&0xFF) => {
                    let text = greeting.get(13..length).unwrap_or_default();
                    return Saw::Said {
                        code: u16::from_le_bytes([greeting[5], greeting[6]]),
                        text: String::from_utf8_lossy(text).into_owned(),
                    };
                }
                Ok(_) => {}
                Err(error) => return Saw::NoLogin(error.raw_os_error().unwrap_or(0)),
            }
        }
    };
    let saw = timeout(Duration::from_secs(seconds) + LATE, end).await?;
    stage.saw(&saw);
    stage.probe().await?;
    stage.look(true).await
}

/// The id behind the version in a greeting.
fn connection_id(greeting: &[u8]) -> Option<u64> {
    let version = greeting.get(5..)?;
    let end = version.iter().position(|byte| *byte == 0)?;
    let id = version.get(end + 1..end + 5)?;
    Some(u64::from(u32::from_le_bytes(id.try_into().ok()?)))
}

/// `max_execution_time`, `max_statement_time`.
pub(super) async fn query(stage: &mut Stage<'_>) -> Result<()> {
    let seconds = stage.rng.between(300, 2_500) as f64 / 1000.0;
    let limit = if stage.bench.is_mariadb() {
        ("max_statement_time", seconds.to_string())
    } else {
        ("max_execution_time", format!("{:.0}", seconds * 1000.0))
    };
    stage.does(format!("{}={}, a long SELECT", limit.0, limit.1));
    stage.bench.set(&[limit]).await?;
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let long = "SELECT COUNT(*) FROM information_schema.COLLATIONS a, information_schema.COLLATIONS b, \
                information_schema.COLLATIONS c, information_schema.COLLATIONS d";
    let saw = client.lose(long).await?;
    stage.saw(&saw);
    stage.probe().await?;
    client.quit().await;
    stage.look(true).await
}
