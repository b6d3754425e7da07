//! Re-runs of results that were cut.

use super::*;
use steadfast_wire::frame;

const CAPABILITIES: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::DEPRECATE_EOF);

/// A result of one column with these rows, as a server sends it.
fn result(rows: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sequence = frame::write(&mut bytes, 1, &[1]);
    let column = b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\xfd\0\0\0\0\0";
    sequence = frame::write(&mut bytes, sequence, column);
    for row in rows {
        sequence = frame::write(&mut bytes, sequence, row);
    }
    frame::write(&mut bytes, sequence, b"\xfe\0\0\x02\0\0\0");
    bytes
}

fn order(delivered: Option<Mark>) -> Order {
    Order {
        expect: Expect::Query,
        client_sequence: 1,
        server_sequence: 1,
        hidden: false,
        guarded: false,
        within: false,
        commits: false,
        statement_id: 0,
        delivered,
    }
}

/// Feeds a first run cut after `cut` bytes, then a second run; gives all that the client got, and the end.
fn rerun(first: &[u8], cut: usize, second: &[u8]) -> (Vec<u8>, Fed) {
    let mut relay = Relay::new(CAPABILITIES, CAPABILITIES);
    let tracking = Tracking::default();
    let mut out = Vec::new();
    relay.begin(order(None), StatusFlags::AUTOCOMMIT);
    relay.feed(&first[..cut], &mut out, &tracking).unwrap();
    let mark = relay.mark();
    relay.begin(order(mark), StatusFlags::AUTOCOMMIT);
    let (_, fed) = relay.feed(second, &mut out, &tracking).unwrap();
    (out, fed)
}

#[test]
fn a_result_goes_on_where_it_was_cut() {
    let whole = result(&[b"\x011", b"\x0222", b"\x03333"]);
    for cut in 1..whole.len() {
        let (got, fed) = rerun(&whole, cut, &whole);
        assert_eq!(got, whole, "cut at {cut}");
        assert!(matches!(fed, Fed::Ended(_)));
    }
}

#[test]
fn a_long_row_goes_on_where_it_was_cut() {
    let row = [&[0xfc, 0xff, 0xff][..], &vec![b'x'; 0xffff]].concat();
    let whole = result(&[&row, b"\x011"]);
    for cut in [60, 100, 70_000, whole.len() - 20] {
        let cut = cut.min(whole.len() - 1);
        assert_eq!(rerun(&whole, cut, &whole).0, whole, "cut at {cut}");
    }
}

#[test]
fn another_result_is_found_out_whatever_its_length() {
    let first = result(&[b"\x011", b"\x0222", b"\x03333"]);
    // All rows were delivered, the end was not.
    let cut = first.len() - 11;
    let others = [
        result(&[b"\x011", b"\x0222", b"\x03334"]),
        result(&[b"\x011", b"\x0222", b"\x0a3333333333"]),
        result(&[b"\x011", b"\x0222"]),
        result(&[]),
    ];
    for other in &others {
        let (got, fed) = rerun(&first, cut, other);
        assert_eq!(fed, Fed::PartDiffers);
        assert_eq!(
            got,
            first[..cut],
            "nothing of the other result reaches the client"
        );
    }
}

/// As on a server, where an ERR voids the rows before it.
#[test]
fn an_error_of_the_second_run_follows_what_the_first_has_delivered() {
    let first = result(&[b"\x011", b"\x0222", b"\x03333"]);
    let cut = first.len() - 11;
    let error = b"\xff\x25\x05#70100Query execution was interrupted";
    for rows in [
        None,
        Some(&[][..]),
        Some(&[&b"\x011"[..]]),
        Some(&[b"\x019"]),
    ] {
        // At once, among rows that are the same, and among others.
        let mut second = rows.map(result).unwrap_or_default();
        second.truncate(second.len().saturating_sub(11));
        let sequence = rows.map_or(1, |rows| 3 + rows.len());
        frame::write(&mut second, u8::try_from(sequence).unwrap(), error);
        let (got, fed) = rerun(&first, cut, &second);
        let mut expected = first[..cut].to_vec();
        frame::write(&mut expected, 6, error);
        assert_eq!(got, expected, "{rows:?}");
        assert!(matches!(fed, Fed::Ended(ended) if ended.error == 1317));
    }
}

/// Wherever a packet of the second run ends, or its header: nothing of it may stand in the rest of the first run's.
#[test]
fn no_row_is_put_together_from_two_executions() {
    let long = [&[0xfd, 0x40, 0x0d, 0x03][..], &vec![b'L'; 200_000]].concat();
    let whole = result(&[&long, b"\x01s"]);
    let second = result(&vec![&b"\x01s"[..]; 40_000]);
    for cut in 100_000..100_012 {
        let mut relay = Relay::new(CAPABILITIES, CAPABILITIES);
        let tracking = Tracking::default();
        let mut out = Vec::new();
        relay.begin(order(None), StatusFlags::AUTOCOMMIT);
        relay.feed(&whole[..cut], &mut out, &tracking).unwrap();
        relay.begin(order(relay.mark()), StatusFlags::AUTOCOMMIT);
        let (_, fed) = relay.feed(&second, &mut out, &tracking).unwrap();
        assert_eq!(fed, Fed::PartDiffers, "cut at {cut}");
        assert_eq!(out, whole[..cut], "cut at {cut}");
    }
}

/// A server that shuts down ends the results that it is sending with 1053.
#[test]
fn a_goodbye_between_rows_is_no_part_of_the_result() {
    let rows: [&[u8]; 3] = [b"\x011", b"\x0222", b"\x03333"];
    let whole = result(&rows);
    for delivered in 0..=rows.len() {
        let mut cut_short = result(&rows[..delivered]);
        cut_short.truncate(cut_short.len() - 11);
        let sequence = u8::try_from(3 + delivered).unwrap();
        frame::write(&mut cut_short, sequence, b"\xff\x1d\x04#08S01Shutdown");
        let mut relay = Relay::new(CAPABILITIES, CAPABILITIES);
        let tracking = Tracking::default();
        let mut out = Vec::new();
        // Lost in the first run, and once more in the second.
        for _ in 0..2 {
            relay.begin(order(relay.mark()), StatusFlags::AUTOCOMMIT);
            let (_, fed) = relay.feed(&cut_short, &mut out, &tracking).unwrap();
            assert_eq!(fed, Fed::Goodbye(1053), "after {delivered} rows");
        }
        relay.begin(order(relay.mark()), StatusFlags::AUTOCOMMIT);
        let (_, fed) = relay.feed(&whole, &mut out, &tracking).unwrap();
        assert!(matches!(fed, Fed::Ended(_)), "{fed:?}");
        assert_eq!(out, whole, "after {delivered} rows");
    }
}

#[test]
fn rows_are_added_before_those_of_the_server() {
    let mut relay = Relay::new(CAPABILITIES, CAPABILITIES);
    let tracking = Tracking::default();
    for (rows, added) in [(&[][..], &[b"\x01a"][..]), (&[b"\x01b"], &[b"\x01a"])] {
        let mut out = Vec::new();
        relay.add_rows(added.iter().map(|row| row.to_vec()).collect());
        relay.begin(order(None), StatusFlags::AUTOCOMMIT);
        let server: Vec<&[u8]> = rows.iter().map(|row: &&[u8; 2]| &row[..]).collect();
        let (_, fed) = relay.feed(&result(&server), &mut out, &tracking).unwrap();
        let all: Vec<&[u8]> = added.iter().chain(rows).map(|row| &row[..]).collect();
        assert_eq!(out, result(&all));
        assert!(matches!(fed, Fed::Ended(ended) if ended.rows == Some(all.len() as u64)));
    }
}

/// The same result, in a transaction, for a client that expects EOF packets.
fn with_eof(rows: &[&[u8]]) -> Vec<u8> {
    let eof = |status: u8| [0xfe, 0, 0, status, 0];
    let mut bytes = Vec::new();
    let column = b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\xfd\0\0\0\0\0";
    let mut sequence = 1;
    for packet in [&[1][..], column, &eof(1)] {
        sequence = frame::write(&mut bytes, sequence, packet);
    }
    for row in rows {
        sequence = frame::write(&mut bytes, sequence, row);
    }
    frame::write(&mut bytes, sequence, &eof(2));
    bytes
}

/// Reads are cut anywhere; sequence ids begin anew after 255, and are others for a client that expects EOF packets.
#[test]
fn reads_cut_anywhere_give_the_same_bytes_and_the_same_digest() {
    let long = [&[0xfd, 0x40, 0x0d, 0x03][..], &vec![b'L'; 200_000]].concat();
    let mut rows: Vec<&[u8]> = [&b"\x011"[..], b"\x0222", b"\x00"].repeat(100);
    rows.push(&long);
    rows.extend([&b"\x011"[..]; 3]);
    let server = result(&rows);
    let tracking = Tracking::default();
    for (client, expected) in [
        (CAPABILITIES, server.clone()),
        (Capabilities::PROTOCOL_41, with_eof(&rows)),
    ] {
        let mut ends = Vec::new();
        for size in [1, 2, 3, 5, 7, 64, 1000, 70_000, 150_000, server.len()] {
            let mut relay = Relay::new(client, CAPABILITIES);
            let (mut out, mut input) = (Vec::new(), Vec::new());
            // A transaction is open: all of it is digested.
            relay.begin(order(None), StatusFlags::IN_TRANS);
            let mut end = None;
            for chunk in server.chunks(size) {
                input.extend_from_slice(chunk);
                let (taken, fed) = relay.feed(&input, &mut out, &tracking).unwrap();
                input.drain(..taken);
                match fed {
                    Fed::More => assert_eq!(end, None),
                    Fed::Ended(ended) => end = Some(ended),
                    _ => panic!("{fed:?}"),
                }
            }
            assert!(out == expected, "reads of {size} bytes, {client:?}");
            let end = end.expect("it ends");
            assert_eq!(end.rows, Some(rows.len() as u64));
            assert_ne!(end.digest, 0);
            ends.push(end);
        }
        assert!(ends.windows(2).all(|two| two[0] == two[1]), "{ends:?}");
    }
}

#[test]
fn a_row_with_a_wrong_sequence_id_ends_the_response_behind_those_before_it() {
    let mut bytes = result(&[b"\x011", b"\x0222", b"\x03333"]);
    let third = bytes.len() - 11 - 8 + 3;
    bytes[third] += 1;
    let mut relay = Relay::new(CAPABILITIES, CAPABILITIES);
    relay.begin(order(None), StatusFlags::IN_TRANS);
    let mut out = Vec::new();
    let error = relay
        .feed(&bytes, &mut out, &Tracking::default())
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::OutOfOrder {
                expected: 5,
                got: 6,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(out, bytes[..third - 3]);
}
