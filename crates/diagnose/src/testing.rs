//! Evidence for the rules' tests.

use core::time::Duration;

use crate::{
    Answer, Aside, Boot, Cause, Certainty, End, Evidence, Moment, Product, Server, Side, Wire,
    diagnose,
};

pub(crate) fn mariadb() -> Server {
    Server {
        product: Product::MariaDb,
        version: 101_119,
    }
}

pub(crate) fn mysql() -> Server {
    Server {
        product: Product::MySql,
        version: 90_704,
    }
}

/// A connection whose server's side ended it at this moment; nothing else is remarkable.
pub(crate) fn wire(moment: Moment, end: End) -> Wire {
    Wire {
        side: Side::Server,
        moment,
        end,
        quiet: Duration::from_secs(3),
        quiet_before: Duration::ZERO,
        waited: Duration::from_secs(3),
        sent: 0,
        received: 0,
        stalled: Duration::ZERO,
        in_transaction: false,
    }
}

/// Of a server that runs on.
pub(crate) fn of_server(server: Server, wire: Wire) -> Evidence {
    Evidence {
        server: Some(server),
        wire: Some(wire),
        aside: Aside {
            boot: Some(Boot::Same(Duration::from_secs(86_400))),
            ..Aside::default()
        },
        ..Evidence::default()
    }
}

/// The verdict is this cause, proved.
#[track_caller]
pub(crate) fn certain(evidence: &Evidence, cause: Cause) {
    let verdict = diagnose(evidence);
    assert_eq!(
        verdict.answer,
        Answer::Cause(cause, Certainty::Proved),
        "{verdict:#?}"
    );
}
