//! The ways from clients to a server that are compared: direct, through Steadfast, and through other proxies.

use std::path::PathBuf;

use anyhow::Result;
use steadfast_sandbox::Peer;

use crate::peers::configuration::Certificate;
use crate::proxy::{Run, configuration};
use crate::rig::Front;

/// A way from the clients to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// No proxy.
    Direct,
    /// HAProxy in TCP mode.
    Haproxy,
    /// MySQL Router.
    MysqlRouter,
    /// ProxySQL.
    Proxysql,
    /// Steadfast without the commit ledger.
    Steadfast,
    /// Steadfast with it.
    SteadfastLedger,
}

impl Way {
    pub(crate) const ALL: [Way; 6] = [
        Way::Direct,
        Way::Haproxy,
        Way::MysqlRouter,
        Way::Proxysql,
        Way::Steadfast,
        Way::SteadfastLedger,
    ];

    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::MysqlRouter => "mysql-router",
            Self::Proxysql => "proxysql",
            Self::Steadfast => "steadfast-no-ledger",
            Self::SteadfastLedger => "steadfast-ledger",
        }
    }

    /// The name in tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Direct => "no proxy",
            Self::Haproxy => "HAProxy",
            Self::MysqlRouter => "MySQL Router",
            Self::Proxysql => "ProxySQL",
            Self::Steadfast => "Steadfast, no ledger",
            Self::SteadfastLedger => "Steadfast, ledger",
        }
    }

    pub(crate) fn peer(self) -> Option<Peer> {
        match self {
            Self::Haproxy => Some(Peer::HaProxy),
            Self::MysqlRouter => Some(Peer::MySqlRouter),
            Self::Proxysql => Some(Peer::ProxySql),
            Self::Direct | Self::Steadfast | Self::SteadfastLedger => None,
        }
    }

    pub(crate) fn is_steadfast(self) -> bool {
        matches!(self, Self::Steadfast | Self::SteadfastLedger)
    }
}

/// Where the proxies are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) steadfast: PathBuf,
    /// `None`: one that is installed, else one from packages.
    pub(crate) haproxy: Option<PathBuf>,
    pub(crate) mysql_router: Option<PathBuf>,
    pub(crate) proxysql: Option<PathBuf>,
}

impl Programs {
    fn given(&self, peer: Peer) -> Option<&PathBuf> {
        match peer {
            Peer::HaProxy => self.haproxy.as_ref(),
            Peer::MySqlRouter => self.mysql_router.as_ref(),
            Peer::ProxySql => self.proxysql.as_ref(),
        }
    }

    /// The front, and its version where it is another proxy. Steadfast encrypts both legs, and shows this certificate, or
    /// neither.
    pub(crate) async fn front(
        &self,
        way: Way,
        certificate: Option<&Certificate>,
    ) -> Result<(Front, Option<String>)> {
        if let Some(peer) = way.peer() {
            let given = self.given(peer).cloned();
            let program =
                tokio::task::spawn_blocking(move || peer.program(given.as_deref())).await??;
            let version = program.version().to_owned();
            return Ok((Front::Peer(program), Some(version)));
        }
        let steadfast = |ledger| {
            Front::Steadfast(Run {
                binary: self.steadfast.clone(),
                arguments: Vec::new(),
                ledger,
                configuration: Some(configuration(certificate, ledger)),
            })
        };
        Ok(match way {
            Way::Steadfast => (steadfast(false), None),
            Way::SteadfastLedger => (steadfast(true), None),
            _ => (Front::Direct, None),
        })
    }
}
