//! Limits to sizes and numbers, and states in which the server refuses.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::accuracy::bench::system;
use crate::accuracy::here::{NotHere, OTHER_HOST, PASSWORD, millis};
use crate::accuracy::path;
use crate::accuracy::session::{Saw, Session, query_packet};
use crate::accuracy::stage::Stage;

const NO_HOST: &str = "the server blocked no host";
const SOON: Duration = Duration::from_secs(10);

/// `max_allowed_packet`.
pub(super) async fn packet(stage: &mut Stage<'_>) -> Result<()> {
    let limit = stage.rng.between(1, 5) << 20;
    let size = limit + stage.rng.between(1, (15 << 20) - limit);
    stage
        .bench
        .set(&[("max_allowed_packet", limit.to_string())])
        .await?;
    let mut client = stage.client().await?;
    stage.does(format!(
        "max_allowed_packet={limit}, a statement of {size} bytes"
    ));
    stage.watch(false).await?;
    let statement = format!("SELECT LENGTH('{}')", "x".repeat(size as usize));
    let saw = match client.send(&query_packet(&statement, 0)).await {
        Ok(()) => stage.outcome(&mut client, SOON).await?,
        Err(saw) => saw,
    };
    stage.saw(&saw);
    client.leave().await;
    stage.probe().await?;
    stage.look(true).await
}

/// `max_connections`, or the account's own limit.
pub(super) async fn connections(stage: &mut Stage<'_>) -> Result<()> {
    let mut held: Vec<Session> = Vec::new();
    let mut door = stage.door();
    if stage.rng.one_in(2) {
        let limit = stage.rng.between(1, 4);
        let user = "accuracy_few";
        stage
            .bench
            .sql(format!(
                "DROP USER IF EXISTS '{user}'@'%'; \
                 CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS {limit};"
            ))
            .await?;
        door.user = user.to_owned();
        stage.does(format!("MAX_USER_CONNECTIONS {limit}, and one more"));
    } else {
        let limit = stage.rng.between(10, 15);
        stage
            .bench
            .set(&[("max_connections", limit.to_string())])
            .await?;
        stage.does(format!("max_connections={limit}, and one more"));
    }
    loop {
        match door.enter().await? {
            Ok(session) => held.push(session),
            Err(Saw::Said { .. }) => break,
            Err(saw) => bail!("not refused: {}", saw.message()),
        }
        if held.len() > 40 {
            bail!("no connection was refused");
        }
    }
    stage.watch(false).await?;
    match door.enter().await? {
        Ok(_) => bail!("a connection too many was taken"),
        Err(saw) => stage.saw(&saw),
    }
    stage.probe().await?;
    for session in held {
        session.quit().await;
    }
    millis(200).await;
    Ok(())
}

/// `max_connect_errors`.
pub(super) async fn host(stage: &mut Stage<'_>) -> Result<()> {
    let most = stage.rng.between(1, 6);
    stage
        .bench
        .set(&[("max_connect_errors", most.to_string())])
        .await?;
    stage.does(format!(
        "max_connect_errors={most}, and as many handshakes that were broken off"
    ));
    let mut greeting = vec![0; 4096];
    for _ in 0..most + 5 {
        let mut broken = from_other_host(stage).await?;
        let length = timeout(SOON, broken.read(&mut greeting)).await??;
        if length > 4 && greeting[4] == 0xFF {
            break;
        }
        drop(broken);
        millis(100).await;
    }
    millis(300).await;
    stage.watch(false).await?;
    if stage.is_through() {
        match stage.door().enter().await? {
            Ok(_) => return Err(NotHere(NO_HOST.to_owned()).into()),
            Err(saw) => stage.saw(&saw),
        }
        return Ok(());
    }
    let mut refused = from_other_host(stage).await?;
    let length = timeout(SOON, refused.read(&mut greeting)).await??;
    if length < 7 || greeting[4] != 0xFF {
        return Err(NotHere(NO_HOST.to_owned()).into());
    }
    let text = greeting.get(7..length).unwrap_or_default();
    stage.saw(&Saw::Said {
        code: u16::from_le_bytes([greeting[5], greeting[6]]),
        text: String::from_utf8_lossy(text).into_owned(),
    });
    stage.probe().await
}

async fn from_other_host(stage: &Stage<'_>) -> Result<TcpStream> {
    if !path::is_inside() {
        return Err(NotHere("needs root, for an address of its own".to_owned()).into());
    }
    let socket = TcpSocket::new_v4()?;
    socket.bind((OTHER_HOST, 0).into())?;
    Ok(socket.connect(stage.bench.server.addr()).await?)
}

/// `offline_mode` of MySQL.
pub(super) async fn offline(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let busy = stage.rng.one_in(2);
    let seconds = if stage.is_through() { 2 } else { 20 };
    let statement = format!("SELECT SLEEP({seconds})");
    if busy && client.ask(&statement).await.is_err() {
        bail!("the statement could not be sent");
    }
    let later = stage.rng.between(0, 500);
    millis(later).await;
    stage.does(format!(
        "offline_mode while a client was {}",
        if busy { "in a statement" } else { "idle" }
    ));
    stage
        .bench
        .set(&[("offline_mode", "ON".to_owned())])
        .await?;
    millis(100).await;
    if !busy && client.ask("SELECT 1").await.is_err() {
        stage.saw(&Saw::NotSent);
    } else if stage.is_through() {
        // It waits until the server takes it again.
        millis(3_000).await;
        let off = ("offline_mode", "OFF".to_owned());
        stage.bench.set(&[off]).await?;
        let saw = stage.outcome(&mut client, SOON).await?;
        stage.saw(&saw);
        return Ok(());
    } else {
        let saw = client.lost(SOON).await?;
        stage.saw(&saw);
    }
    stage.probe().await?;
    stage.look(true).await
}

/// `read_only`, as a failover sets it.
pub(super) async fn read_only(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    let in_transaction = stage.rng.one_in(2);
    let name = if !stage.bench.is_mariadb() && stage.rng.one_in(2) {
        "super_read_only"
    } else {
        "read_only"
    };
    if in_transaction {
        client.run("BEGIN").await?;
        client.run("SELECT * FROM bench.t").await?;
    }
    stage.watch(false).await?;
    stage.does(format!(
        "{name}, then a write {} a transaction",
        if in_transaction { "in" } else { "outside" }
    ));
    stage.bench.set(&[(name, "ON".to_owned())]).await?;
    let saw = client
        .lose("UPDATE bench.t SET v = CONCAT('v', RAND()) WHERE id = 1")
        .await?;
    stage.saw(&saw);
    stage.probe().await?;
    stage.look(false).await?;
    client.quit().await;
    Ok(())
}

/// `connection_memory_limit` of MySQL, `max_session_mem_used` of MariaDB.
pub(super) async fn session_memory(stage: &mut Stage<'_>) -> Result<()> {
    if stage.bench.is_mariadb() {
        // Its own: a global one would keep administrators from looking.
        let limit = stage.rng.between(64, 512) << 10;
        let mut client = stage.client().await?;
        client
            .run(&format!("SET SESSION max_session_mem_used = {limit}"))
            .await?;
        stage.session_has("max_session_mem_used", limit);
        stage.does(format!(
            "max_session_mem_used={limit}, a large GROUP_CONCAT"
        ));
        stage.watch(false).await?;
        let saw = client
            .lose("SELECT GROUP_CONCAT(REPEAT(a.COLLATION_NAME, 500) ORDER BY 1) FROM information_schema.COLLATIONS a")
            .await?;
        stage.saw(&saw);
        stage.probe().await?;
        stage.look(false).await?;
        client.quit().await;
        return Ok(());
    }
    let limit = stage.rng.between(2, 6) << 20;
    stage
        .bench
        .set(&[
            ("global_connection_memory_tracking", "ON".to_owned()),
            ("connection_memory_limit", limit.to_string()),
        ])
        .await?;
    let mut client = stage.client().await?;
    client
        .run("SET SESSION sort_buffer_size = 100000000")
        .await?;
    stage.does(format!("connection_memory_limit={limit}, a large sort"));
    stage.watch(false).await?;
    let saw = client
        .lose(
            "SELECT COUNT(*) FROM (SELECT REPEAT('x', 2000) r FROM information_schema.COLLATIONS a, \
             information_schema.COLLATIONS b ORDER BY a.COLLATION_NAME, r LIMIT 20000) q",
        )
        .await?;
    stage.saw(&saw);
    drop(client);
    stage.probe().await?;
    stage.look(true).await
}

/// As many files as the process may have.
pub(super) async fn open_files(stage: &mut Stage<'_>) -> Result<()> {
    let pid = stage
        .bench
        .server
        .pid()
        .context("the server does not run")?;
    stage.watch(true).await?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    let room = stage.rng.between(0, 3);
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let before = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next())
        .context("/proc has no limit to open files")?
        .to_owned();
    let set = |soft: String| {
        system(
            "prlimit",
            vec!["--pid".into(), pid.to_string(), format!("--nofile={soft}:")],
        )
    };
    set((open + room).to_string())
        .await
        .map_err(|error| NotHere(error.to_string()))?;
    stage.does(format!(
        "{open} files open, {room} more allowed, new connections"
    ));
    let mut door = stage.door();
    // Steadfast greets its clients when the server has greeted it, and tries for 2 s.
    door.patience = Duration::from_millis(if stage.is_through() { 4_000 } else { 1_500 });
    let mut held = Vec::new();
    let refused = loop {
        match door.enter().await {
            // InnoDB closes files that it has open to open others.
            Ok(Ok(session)) if held.len() < 30 => held.push(session),
            other => break other,
        }
    };
    let probed = stage.probe_only().await;
    drop(held);
    millis(500).await;
    if stage.bench.server.is_running() {
        set(before).await?;
    } else {
        // MySQL's InnoDB ends the server where it cannot open its log.
        stage.bench.on_server(|server| server.start_again()).await?;
    }
    probed?;
    match refused? {
        Ok(_) => bail!("connections were taken all the same"),
        Err(saw) => stage.saw(&saw),
    }
    Ok(())
}
