//! The injections: each cause, with random numbers, and what looks like a loss and is none.

mod clients;
mod limits;
mod negatives;
mod network;
mod server_ends;
mod storage;
mod timeouts;

use anyhow::Result;
use steadfast_diagnose::Cause;
use steadfast_sandbox::Kind;

use super::stage::Stage;

/// What is no incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Negative {
    /// COM_QUIT.
    Goodbye,
    /// A statement that takes its time, and ends.
    SlowQuery,
    /// Idle for nearly as long as allowed, and used again.
    IdleInTime,
    /// A statement that is sent in pieces, each in time.
    SlowUpload,
    /// A result that is read in pieces, each in time.
    SlowRead,
}

impl Negative {
    pub(crate) const ALL: [Self; 5] = [
        Self::Goodbye,
        Self::SlowQuery,
        Self::IdleInTime,
        Self::SlowUpload,
        Self::SlowRead,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Goodbye => "negative: goodbye",
            Self::SlowQuery => "negative: slow query",
            Self::IdleInTime => "negative: idle in time",
            Self::SlowUpload => "negative: slow upload",
            Self::SlowRead => "negative: slow read",
        }
    }
}

/// What is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    Cause(Cause),
    Negative(Negative),
}

impl Subject {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let causes = Cause::ALL.into_iter().map(Self::Cause);
        causes.chain(Negative::ALL.into_iter().map(Self::Negative))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.name(),
            Self::Negative(negative) => negative.name(),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|subject| subject.name() == name)
    }

    /// Why it cannot happen on this server.
    pub(crate) fn missing_on(self, kind: Kind) -> Option<&'static str> {
        match (self, kind) {
            (Self::Cause(Cause::IdleTransactionTimeout), Kind::MySql) => {
                Some("MySQL has no limit to being idle in a transaction")
            }
            (Self::Cause(Cause::OfflineMode), Kind::MariaDb) => Some("MariaDB has no offline mode"),
            _ => None,
        }
    }

    /// Lets it happen.
    pub(crate) async fn inject(self, stage: &mut Stage<'_>) -> Result<()> {
        match self {
            Self::Cause(cause) => match cause {
                Cause::IdleTimeout => timeouts::idle(stage).await,
                Cause::IdleTransactionTimeout => timeouts::idle_in_transaction(stage).await,
                Cause::StalledUpload => timeouts::stalled_upload(stage).await,
                Cause::SlowReader => timeouts::slow_reader(stage).await,
                Cause::HandshakeTimeout => timeouts::handshake(stage).await,
                Cause::QueryTimeout => timeouts::query(stage).await,
                Cause::Killed => server_ends::killed(stage).await,
                Cause::Shutdown => server_ends::shutdown(stage).await,
                Cause::Crash => server_ends::crash(stage).await,
                Cause::ProcessKilled => server_ends::process_killed(stage).await,
                Cause::OutOfMemory => server_ends::out_of_memory(stage).await,
                Cause::Hang => server_ends::hang(stage).await,
                Cause::NotListening => network::not_listening(stage).await,
                Cause::NetworkDrop => network::drop_packets(stage).await,
                Cause::MiddleboxIdle => network::forget_idle(stage).await,
                Cause::ProxyTimeout => network::proxy_timeout(stage).await,
                Cause::ClientGone => clients::gone(stage).await,
                Cause::ClientTimeout => clients::gave_up(stage).await,
                Cause::ProtocolMisuse => clients::misuse(stage).await,
                Cause::PacketTooLarge => limits::packet(stage).await,
                Cause::TooManyConnections => limits::connections(stage).await,
                Cause::HostBlocked => limits::host(stage).await,
                Cause::OfflineMode => limits::offline(stage).await,
                Cause::Demoted => limits::read_only(stage).await,
                Cause::ServerMemoryLimit => limits::session_memory(stage).await,
                Cause::OpenFilesLimit => limits::open_files(stage).await,
                Cause::DiskFull => storage::full(stage).await,
                Cause::Corruption => storage::damaged(stage).await,
            },
            Self::Negative(negative) => match negative {
                Negative::Goodbye => negatives::goodbye(stage).await,
                Negative::SlowQuery => negatives::slow_query(stage).await,
                Negative::IdleInTime => negatives::idle_in_time(stage).await,
                Negative::SlowUpload => negatives::slow_upload(stage).await,
                Negative::SlowRead => negatives::slow_read(stage).await,
            },
        }
    }
}
