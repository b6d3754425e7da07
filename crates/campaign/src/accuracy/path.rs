//! The path between Steadfast and the server: what does not get through, by rules of the kernel's packet filter, in a
//! network namespace of this command's own.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::here::{NotHere, OTHER_HOST};

/// Tells the command that it runs in a namespace of its own.
const INSIDE: &str = "STEADFAST_ACCURACY_INSIDE";

/// Whether this is such a namespace.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this very command in a network namespace of its own, in which a second address of this machine has a name; `None`:
/// it does already, or it may not: then what needs one is not injected.
pub(crate) async fn in_own_namespace() -> Result<Option<bool>> {
    if is_inside() {
        return Ok(None);
    }
    let allowed = Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .stderr(Stdio::null())
        .status()
        .await;
    if !allowed.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    // Servers block hosts only where they can ask for their names.
    let hosts = tempfile::NamedTempFile::new()?;
    let mut names = std::fs::read_to_string("/etc/hosts")?;
    names.push_str(&format!("\n{OTHER_HOST} accuracy.test\n"));
    std::fs::write(hosts.path(), names)?;
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--kill-child", "--", "sh", "-c"])
        .args([
            "ip link set lo up && ip addr add \"$1\" dev lo && mount --bind \"$2\" /etc/hosts && shift 2 && exec \"$@\"",
            "sh",
        ])
        .arg(format!("{OTHER_HOST}/32"))
        .arg(hosts.path())
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .await?;
    match status.code() {
        Some(0) => Ok(Some(true)),
        Some(1) => Ok(Some(false)),
        _ => bail!("the command failed in its own network namespace ({status})"),
    }
}

/// What happens to packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are lost, in both directions.
    Lost,
    /// Those to the server are answered with a reset, and nothing comes from it.
    Reset,
}

/// Rules about packets, until this is dropped.
#[derive(Debug)]
pub(crate) struct Rules(String);

impl Rules {
    /// About connections to this port, all or those from this port.
    ///
    /// # Errors
    /// [`NotHere`]: it takes root and the program `nft`.
    pub(crate) async fn about(port: u16, from: Option<u16>, fate: Fate) -> Result<Self> {
        if !is_inside() {
            return Err(NotHere("needs root, for a network namespace".to_owned()).into());
        }
        let name = format!("steadfast_{port}");
        let (to, back) = match from {
            Some(from) => (format!("tcp sport {from} "), format!("tcp dport {from} ")),
            None => (String::new(), String::new()),
        };
        let what = match fate {
            Fate::Lost => "drop",
            Fate::Reset => "reject with tcp reset",
        };
        let rules = format!(
            "table inet {name} {{\n chain in {{\n type filter hook input priority 0;\n \
             {to}tcp dport {port} {what}\n {back}tcp sport {port} drop\n }}\n}}\n"
        );
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| NotHere(format!("needs nft, of the package nftables: {error}")))?;
        let mut input = nft.stdin.take().context("nft has an input")?;
        input.write_all(rules.as_bytes()).await?;
        drop(input);
        let output = nft.wait_with_output().await?;
        if !output.status.success() {
            bail!("nft failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Self(name))
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        let ended = std::process::Command::new("nft")
            .args(["delete", "table", "inet", &self.0])
            .status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("the rules {} could not be removed", self.0);
        }
    }
}
