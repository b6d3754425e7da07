//! A point select takes no memory of its own: Steadfast runs in this process, where each allocation is counted. There is
//! one test here and no other, because they would count for each other.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;

use std::alloc::System;
use std::net::SocketAddr;
use std::path::Path;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use steadfast_proxy::config::{AdminAddress, Config, Overrides};
use steadfast_sandbox::{Kind, Server};
use tokio::sync::oneshot;

use client::{Client, run, server, settings};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The health check asks twice a second, and allocates: the bursts are so short that most are free of it.
const BURSTS: usize = 60;
const BURST: usize = 50;

/// Steadfast in this process, on threads of its own.
fn serve_here(server: &Server, state: &Path) -> SocketAddr {
    let overrides = Overrides {
        backend: Some(server.addr().into()),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        admin: Some(AdminAddress::Off),
        state_dir: Some(state.join("state")),
        ..Overrides::default()
    };
    let config = Config::load(Some(&settings(state)), overrides).unwrap();
    let (ready, listening) = oneshot::channel();
    std::thread::spawn(move || run(steadfast_proxy::serve(config, ready)));
    let listening = listening.blocking_recv().unwrap();
    let address = listening.clients.first().unwrap().to_string();
    address.parse().unwrap()
}

/// Allocations in each of many bursts of point selects, ascending.
fn bursts(server: &Server, prepared: bool) -> Vec<usize> {
    let state = tempfile::tempdir().unwrap();
    let address = serve_here(server, state.path());
    run(async {
        let mut client = Client::asking(address, prepared).await;
        let mut counts = Vec::with_capacity(BURSTS);
        for _ in 0..BURSTS {
            let region = Region::new(COUNTED);
            client.ask(BURST).await;
            let change = region.change();
            counts.push(change.allocations + change.reallocations);
        }
        counts.sort_unstable();
        counts
    })
}

#[test]
fn a_point_select_takes_no_memory() {
    let servers = Kind::ALL.map(server);
    for server in &servers {
        for prepared in [false, true] {
            let counts = bursts(server, prepared);
            let what = format!("{}, prepared: {prepared}, {counts:?}", server.kind());
            assert_eq!(counts[BURSTS / 2], 0, "{what}");
        }
    }
}
