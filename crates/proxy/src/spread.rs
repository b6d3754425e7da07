//! Clients are spread evenly over the threads.
//!
//! The system spreads new connections over the threads' listeners by a hash (SO_REUSEPORT): of 16 clients, one of two
//! threads has 11 or more in one case of five, and both the clients there and the machine's other cores wait. So a thread
//! that has more clients than another passes the next one on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use steadfast_net::{Detached, Peer};
use tokio::sync::mpsc;

/// A thread passes a client on to one that has at least so many fewer.
const FEWER: usize = 2;

/// A client that comes from another thread, and its place.
pub(crate) type Arrival = (Detached, Peer, Place);

/// Of all threads.
#[derive(Debug)]
pub(crate) struct Spread {
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    clients: AtomicUsize,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

/// A client's place on a thread, as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    spread: Arc<Spread>,
    thread: usize,
}

impl Spread {
    /// Over so many threads; each gets its arrivals.
    pub(crate) fn new(threads: usize) -> (Arc<Self>, Vec<mpsc::UnboundedReceiver<Arrival>>) {
        let (threads, arrivals) = (0..threads)
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded_channel();
                let thread = Thread {
                    clients: AtomicUsize::new(0),
                    arrivals: sender,
                };
                (thread, receiver)
            })
            .unzip();
        (Arc::new(Self { threads }), arrivals)
    }

    /// The place of a client that has come to this thread. Several threads that look at the same moment may all choose
    /// the same one; that evens out with the next clients.
    pub(crate) fn place(self: &Arc<Self>, here: usize) -> Place {
        let clients = |thread: &Thread| thread.clients.load(Ordering::Relaxed);
        let own = self.threads.get(here).map_or(0, clients);
        let least = self
            .threads
            .iter()
            .enumerate()
            .min_by_key(|(_, thread)| clients(thread));
        let thread = match least {
            Some((thread, least)) if clients(least) + FEWER <= own => thread,
            _ => here,
        };
        if let Some(thread) = self.threads.get(thread) {
            thread.clients.fetch_add(1, Ordering::Relaxed);
        }
        Place {
            spread: Arc::clone(self),
            thread,
        }
    }
}

impl Place {
    /// The thread that it is on.
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    /// Passes a client on to its thread. False: that has ended.
    pub(crate) fn pass_on(self, stream: Detached, peer: Peer) -> bool {
        let spread = Arc::clone(&self.spread);
        match spread.threads.get(self.thread) {
            Some(thread) => thread.arrivals.send((stream, peer, self)).is_ok(),
            None => false,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(thread) = self.spread.threads.get(self.thread) {
            thread.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_thread_they_come_to_they_are_spread_evenly() {
        let (spread, _arrivals) = Spread::new(4);
        let mut places: Vec<Place> = (0..40).map(|_| spread.place(2)).collect();
        let on = |places: &[Place]| {
            let mut count = [0; 4];
            for place in places {
                count[place.thread()] += 1;
            }
            count
        };
        let count = on(&places);
        assert!(count.iter().all(|on| (9..=12).contains(on)), "{count:?}");
        // Those that stay where they came to do so while it is not too many.
        places.retain(|place| place.thread() == 0);
        assert_eq!(spread.place(0).thread(), 1);
        assert_eq!(spread.place(3).thread(), 3);
        drop(places);
        assert_eq!(spread.place(1).thread(), 1);
    }
}
