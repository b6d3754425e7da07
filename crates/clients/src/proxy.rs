//! What stands between the clients and the server: Steadfast, something that already runs, or a plain forwarder
//! with which the harness checks itself.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long a proxy may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The address that stands for "through".
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    process: Option<Process>,
}

struct Process {
    child: Child,
    log: File,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Failing to kill means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// No proxy: the server itself, which shows what the comparison makes of two direct runs.
    pub(crate) fn none(server: SocketAddr) -> Proxy {
        Proxy {
            addr: server,
            process: None,
        }
    }

    /// A proxy that somebody else runs; waits until it answers.
    pub(crate) fn running(addr: SocketAddr) -> anyhow::Result<Proxy> {
        wait_until_open(addr, || Ok(()))?;
        Ok(Proxy {
            addr,
            process: None,
        })
    }

    /// Runs `BINARY serve` with its state in `directory`.
    pub(crate) fn serve(
        binary: &Path,
        server: SocketAddr,
        directory: &Path,
    ) -> anyhow::Result<Proxy> {
        Self::configured(binary, server, directory, None)
    }

    /// The same with a configuration file.
    pub(crate) fn configured(
        binary: &Path,
        server: SocketAddr,
        directory: &Path,
        configuration: Option<&Path>,
    ) -> anyhow::Result<Proxy> {
        let addr = free_address()?;
        let log = File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(directory.join("steadfast.log"))?;
        let mut command = Command::new(binary);
        command.arg("serve");
        if let Some(file) = configuration {
            command.arg("--config").arg(file);
        }
        let child = command
            .args(["--backend", &server.to_string()])
            .args(["--listen", &addr.to_string()])
            .args(["--admin", "127.0.0.1:0"])
            .env("XDG_STATE_HOME", directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut process = Process { child, log };
        wait_until_open(addr, || match process.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} serve ended ({status}):\n{}",
                binary.display(),
                tail(&mut process.log)?
            ),
        })?;
        Ok(Proxy {
            addr,
            process: Some(process),
        })
    }

    /// A TCP forwarder. With `plant`, every such sequence of bytes in what the server sends becomes the other one.
    pub(crate) fn forward(
        server: SocketAddr,
        plant: Option<(Vec<u8>, Vec<u8>)>,
    ) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        thread::spawn(move || {
            for client in listener.incoming() {
                let plant = plant.clone();
                let linked = client.and_then(|client| link(client, server, plant));
                if let Err(error) = linked {
                    eprintln!("clients: the forwarder lost a connection: {error}");
                }
            }
        });
        Ok(Proxy {
            addr,
            process: None,
        })
    }

    /// Why the proxy's process has ended, if it has; with the end of its log.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<String>> {
        let Some(process) = &mut self.process else {
            return Ok(None);
        };
        match process.child.try_wait()? {
            None => Ok(None),
            Some(status) => Ok(Some(format!(
                "the proxy ended ({status}):\n{}",
                tail(&mut process.log)?
            ))),
        }
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn wait_until_open(
    addr: SocketAddr,
    mut alive: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while TcpStream::connect(addr).is_err() {
        alive()?;
        if began.elapsed() > START_LIMIT {
            bail!(
                "nothing answers at {addr} after {} s",
                START_LIMIT.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The last lines of a log.
fn tail(log: &mut File) -> io::Result<String> {
    let mut text = String::new();
    log.rewind()?;
    log.read_to_string(&mut text)?;
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
}

fn link(
    client: TcpStream,
    server: SocketAddr,
    plant: Option<(Vec<u8>, Vec<u8>)>,
) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    let (client_end, server_end) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || pump(client, server, None));
    thread::spawn(move || pump(server_end, client_end, plant));
    Ok(())
}

/// Copies until a side ends; an end with an error is passed on as an end too.
fn pump(mut from: TcpStream, mut to: TcpStream, plant: Option<(Vec<u8>, Vec<u8>)>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if let Some((find, replace)) = &plant {
            let starts = 0..(length + 1).saturating_sub(find.len());
            for start in starts {
                if buffer[start..].starts_with(find) {
                    buffer[start..start + find.len()].copy_from_slice(replace);
                }
            }
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Already closed by the other side: nothing is left to do.
    let _ = to.shutdown(Shutdown::Write);
}
