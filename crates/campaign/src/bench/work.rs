//! What is measured.

use serde::{Deserialize, Serialize};

use crate::way::Way;

/// A kind of work.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// sysbench's oltp_point_select in the text protocol.
    PointText,
    /// The same with prepared statements.
    PointPrepared,
    /// sysbench's oltp_read_only: transactions of 14 reads.
    ReadOnly,
    /// sysbench's oltp_read_write: transactions of 14 reads and 4 writes.
    ReadWrite,
    /// sysbench's oltp_update_index: one UPDATE each, without a transaction.
    Update,
    /// oltp_point_select in the text protocol over TLS.
    PointTls,
    /// Connect, one query, disconnect.
    Connect,
    /// The same over TLS.
    ConnectTls,
    /// A result of 100 MB in rows of 1 kB.
    LargeResult,
    /// Clients that have logged in and do nothing.
    Idle,
}

/// How sysbench does it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) prepared: bool,
}

impl Work {
    pub(super) const ALL: [Work; 10] = [
        Work::PointText,
        Work::PointPrepared,
        Work::ReadOnly,
        Work::ReadWrite,
        Work::Update,
        Work::PointTls,
        Work::Connect,
        Work::ConnectTls,
        Work::LargeResult,
        Work::Idle,
    ];

    /// The name in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::PointText => "point select, text",
            Self::PointPrepared => "point select, prepared",
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
            Self::Update => "update",
            Self::PointTls => "point select, TLS",
            Self::Connect => "connect, query, disconnect",
            Self::ConnectTls => "connect, query, disconnect, TLS",
            Self::LargeResult => "100 MB result",
            Self::Idle => "idle",
        }
    }

    /// `None`: our own clients do it.
    pub(super) fn script(self) -> Option<Script> {
        let (name, prepared) = match self {
            Self::PointText | Self::PointTls => ("oltp_point_select", false),
            Self::PointPrepared => ("oltp_point_select", true),
            Self::ReadOnly => ("oltp_read_only", true),
            Self::ReadWrite => ("oltp_read_write", true),
            Self::Update => ("oltp_update_index", true),
            Self::Connect | Self::ConnectTls | Self::LargeResult | Self::Idle => return None,
        };
        Some(Script { name, prepared })
    }

    /// Both legs are encrypted.
    pub(super) fn encrypted(self) -> bool {
        matches!(self, Self::PointTls | Self::ConnectTls)
    }

    /// The ledger is for what writes.
    pub(super) fn is_for(self, way: Way) -> bool {
        match way {
            Way::SteadfastLedger => matches!(self, Self::ReadWrite | Self::Update),
            // What it costs without a proxy nobody can see.
            Way::Direct => self != Self::Idle,
            _ => true,
        }
    }
}
