//! Disks: full ones, and what is damaged on them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::accuracy::bench::system;
use crate::accuracy::here::{NotHere, millis};
use crate::accuracy::session::Saw;
use crate::accuracy::stage::Stage;

/// A small disk over a directory. Dropping it takes it away: what was there before is there again.
struct SmallDisk(PathBuf);

impl SmallDisk {
    async fn over(path: &Path, bytes: u64) -> Result<Self> {
        let mount = vec![
            "-t".into(),
            "tmpfs".into(),
            "-o".into(),
            format!("size={bytes},mode=0700"),
            "steadfast-accuracy".into(),
            path.display().to_string(),
        ];
        system("mount", mount)
            .await
            .map_err(|error| NotHere(format!("needs root, and mount: {error}")))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let ended = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be unmounted", self.0.display());
        }
    }
}

/// The data directory's disk.
pub(super) async fn full(stage: &mut Stage<'_>) -> Result<()> {
    let data = stage.bench.server.data_dir();
    stage.bench.on_server(|server| server.stop()).await?;
    let copied = over_small_disk(stage, &data).await;
    let outcome = match copied {
        Ok(disk) => {
            let outcome = fill(stage).await;
            if stage.bench.server.is_running() {
                stage.bench.on_server(|server| server.kill()).await?;
            }
            drop(disk);
            outcome
        }
        Err(error) => Err(error),
    };
    stage.bench.on_server(|server| server.start_again()).await?;
    outcome
}

async fn over_small_disk(stage: &mut Stage<'_>, data: &Path) -> Result<SmallDisk> {
    let room = stage.rng.between(8, 30) << 20;
    let size: u64 = used(data)?;
    let aside = data.with_extension("aside");
    system("cp", vec!["-a".into(), path(data), path(&aside)]).await?;
    // The temporary tablespace is made anew at the start.
    let disk = SmallDisk::over(data, size + (16 << 20) + room).await;
    let copied = match disk {
        Ok(disk) => system(
            "cp",
            vec!["-a".into(), format!("{}/.", path(&aside)), path(data)],
        )
        .await
        .map(|()| disk),
        Err(error) => Err(error),
    };
    system("rm", vec!["-rf".into(), path(&aside)]).await?;
    stage.does(format!("{} MiB free on the disk of the data", room >> 20));
    copied
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Bytes below a directory, as a disk counts them.
fn used(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() {
            4096 + used(&entry.path())?
        } else {
            metadata.len().div_ceil(4096) * 4096
        };
    }
    Ok(sum)
}

/// Writes until the server says no, or ends.
async fn fill(stage: &mut Stage<'_>) -> Result<()> {
    stage.bench.on_server(|server| server.start_again()).await?;
    stage.set_logging_again().await?;
    let mut client = stage.client().await?;
    client
        .run("CREATE TABLE bench.filling (id INT AUTO_INCREMENT PRIMARY KEY, v MEDIUMTEXT)")
        .await?;
    stage.watch(true).await?;
    let kilobytes = stage.rng.between(100, 900);
    let insert = format!("INSERT INTO bench.filling (v) VALUES (REPEAT('x', {kilobytes} * 1024))");
    let mut saw = None;
    for _ in 0..2_000 {
        let answered =
            tokio::time::timeout(std::time::Duration::from_secs(12), client.query(&insert)).await;
        match answered {
            Ok(answer) => match answer? {
                Ok(_) => {}
                Err(what) => {
                    saw = Some(what);
                    break;
                }
            },
            Err(_) => {
                saw = Some(Saw::GaveUp);
                break;
            }
        }
    }
    let Some(saw) = saw else {
        bail!("the disk was to be full, and was not");
    };
    stage.saw(&saw);
    millis(300).await;
    stage.probe_only().await?;
    // Its end, below, is no part of it.
    if stage.bench.server.is_running() {
        stage.gather().await?;
    }
    Ok(())
}

/// A table whose pages or index are damaged.
pub(super) async fn damaged(stage: &mut Stage<'_>) -> Result<()> {
    let myisam = stage.rng.one_in(2);
    let engine = if myisam { "MyISAM" } else { "InnoDB" };
    let rows = stage.rng.between(2_000, 6_000);
    let recursion = if stage.bench.is_mariadb() {
        "max_recursive_iterations"
    } else {
        "cte_max_recursion_depth"
    };
    stage
        .bench
        .sql(format!(
            "DROP TABLE IF EXISTS bench.damaged;
             CREATE TABLE bench.damaged (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE={engine};
             SET SESSION {recursion} = 100000;
             INSERT INTO bench.damaged WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             SELECT i, REPEAT('v', 150) FROM n;
             FLUSH TABLES;"
        ))
        .await?;
    let directory = stage.bench.server.data_dir().join("bench");
    let mut whole = None;
    stage.does(format!("a damaged {engine} table of {rows} rows"));
    if myisam {
        stage.watch(true).await?;
        let file = directory.join("damaged.MYI");
        let length = std::fs::metadata(&file)?.len();
        let at = 1024 + stage.rng.between(0, length.saturating_sub(2048)) / 1024 * 1024;
        overwrite(&file, at, length - at)?;
    } else {
        stage.bench.on_server(|server| server.stop()).await?;
        let file = directory.join("damaged.ibd");
        let bytes = std::fs::read(&file)?;
        let pages = bytes.len() as u64 / 16_384;
        whole = Some((file.clone(), bytes));
        // From the first leaves on; the root of the index is page 3 or 4, and the last pages are not used yet.
        let first = stage.rng.between(6, 12).min(pages - 1);
        overwrite(&file, first * 16_384, (pages - first) * 16_384)?;
        // What the server had in memory it reads at its start.
        let warm = stage.bench.server.data_dir().join("ib_buffer_pool");
        if warm.exists() {
            std::fs::remove_file(warm)?;
        }
        stage.bench.on_server(|server| server.start_again()).await?;
        stage.set_logging_again().await?;
        stage.watch(true).await?;
    }
    let mut client = stage.client().await?;
    let statement = if myisam {
        "SELECT * FROM bench.damaged FORCE INDEX (PRIMARY) WHERE id > 5 ORDER BY id"
    } else {
        "SELECT COUNT(*) FROM bench.damaged WHERE v <> 'x'"
    };
    let saw = client.lose(statement).await?;
    stage.saw(&saw);
    millis(1_000).await;
    stage.probe_only().await?;
    if stage.bench.server.is_running() {
        stage.look(false).await?;
        client.quit().await;
    } else {
        // A server that has met a damaged page may read it again at its start.
        if let Some((file, bytes)) = whole {
            std::fs::write(file, bytes)?;
        }
        stage.bench.on_server(|server| server.start_again()).await?;
    }
    stage.gather().await?;
    stage.bench.sql("DROP TABLE bench.damaged").await?;
    Ok(())
}

fn overwrite(file: &Path, at: u64, length: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(file)
        .with_context(|| format!("could not open {}", file.display()))?;
    let garbage = vec![0xA5; usize::try_from(length)?];
    file.write_all_at(&garbage, at)?;
    Ok(())
}
