//! Other proxies: found or fetched, and they run.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Stdio;

use steadfast_sandbox::Peer;

#[test]
fn haproxy_and_mysql_router_are_had_on_this_system_and_run() {
    for peer in [Peer::HaProxy, Peer::MySqlRouter] {
        let program = peer.program(None).unwrap();
        assert!(
            program
                .version()
                .starts_with(|first: char| first.is_ascii_digit())
        );
        let status = program
            .command()
            .arg(if peer == Peer::HaProxy {
                "-v"
            } else {
                "--version"
            })
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{peer}: {status}");
    }
}

#[test]
fn a_program_given_by_its_path_is_taken_as_it_is() {
    let found = Peer::HaProxy.program(None).unwrap();
    if found.command().get_args().next().is_some() {
        // A fetched one does not run by its path alone.
        return;
    }
    let path = found.command().get_program().to_owned();
    let given = Peer::HaProxy.program(Some(path.as_ref())).unwrap();
    assert_eq!(given, found);
}
