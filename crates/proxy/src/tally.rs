//! What every query touches is counted by each thread for itself: a place in which several threads count goes to and fro
//! between the processors. Who asks gets the sum.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;

/// A number that only goes up. One thread counts in it.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// So many more.
    pub fn add(&self, more: u64) {
        // Nobody else writes here.
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(more);
        self.0.store(sum, Ordering::Relaxed);
    }
}

/// The counts of a thread. Bytes are those of commands and responses, frames included, without TLS's own: logins are not
/// counted, nor, on the server's leg, what Steadfast asks and sets for itself; what is run again after a loss is counted
/// again.
// Two cache lines, which processors fetch together.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Counts {
    /// Commands taken from clients.
    pub commands: Count,
    /// Bytes from clients.
    pub client_received: Count,
    /// Bytes to clients.
    pub client_sent: Count,
    /// Bytes from the server.
    pub server_received: Count,
    /// Bytes to the server.
    pub server_sent: Count,
}

/// Where one thread counts. It can be given to another thread, but two cannot have it.
#[derive(Debug)]
pub struct Tally {
    counts: Arc<Counts>,
    of_one_thread: PhantomData<Cell<()>>,
}

impl std::ops::Deref for Tally {
    type Target = Counts;

    fn deref(&self) -> &Counts {
        &self.counts
    }
}

/// Those of all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies(Arc<Mutex<Vec<Arc<Counts>>>>);

impl Tallies {
    /// For another thread. It counts for as long as the process runs.
    pub(crate) fn another(&self) -> Tally {
        let counts = Arc::<Counts>::default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&counts));
        Tally {
            counts,
            of_one_thread: PhantomData,
        }
    }
}

/// Name, what it is, and where it is counted.
type Series = (&'static str, &'static str, fn(&Counts) -> &Count);

const SERIES: [Series; 5] = [
    ("commands", "Commands taken from clients.", |counts| {
        &counts.commands
    }),
    (
        "client_received_bytes",
        "Bytes of commands and responses received on the leg to the client.",
        |counts| &counts.client_received,
    ),
    (
        "client_sent_bytes",
        "Bytes of commands and responses sent on the leg to the client.",
        |counts| &counts.client_sent,
    ),
    (
        "server_received_bytes",
        "Bytes of commands and responses received on the leg to the server.",
        |counts| &counts.server_received,
    ),
    (
        "server_sent_bytes",
        "Bytes of commands and responses sent on the leg to the server.",
        |counts| &counts.server_sent,
    ),
];

impl Collector for Tallies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, what, count) in SERIES {
            let number = |counts: &Arc<Counts>| count(counts).0.load(Ordering::Relaxed);
            let sum = ConstCounter::new(all.iter().map(number).fold(0, u64::wrapping_add));
            sum.encode(encoder.encode_descriptor(name, what, None, sum.metric_type())?)?;
        }
        Ok(())
    }
}
