//! Commands: never a panic, and what was read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadfast_wire::Capabilities;
use steadfast_wire::command::Command;

fuzz_target!(|input: &[u8]| {
    let Some((head, payload)) = input.split_first_chunk::<6>() else {
        return;
    };
    let [a, b, c, d, count @ ..] = *head;
    let capabilities = Capabilities::from_bits_retain(u32::from_le_bytes([a, b, c, d]).into());
    let Ok(command) = Command::parse(payload, capabilities) else {
        return;
    };
    let mut written = Vec::new();
    if command.write(&mut written, capabilities).is_ok() {
        // A login that misses fields at its end is written with them.
        if !matches!(command, Command::ChangeUser(_)) {
            assert_eq!(Command::parse(&written, capabilities), Ok(command));
        }
    }
    let count = u16::from_le_bytes(count);
    match command {
        Command::StmtExecute(execute) => {
            if let Ok(parameters) = execute.parameters(count, capabilities) {
                let mut reissued = Vec::new();
                if execute
                    .write_after_prepare(&mut reissued, execute.statement_id, &parameters, None)
                    .is_ok()
                {
                    assert_eq!(
                        Command::parse(&reissued, capabilities).map(|command| match command {
                            Command::StmtExecute(again) => again.parameters(count, capabilities),
                            _ => panic!("an execution"),
                        }),
                        Ok(Ok(parameters))
                    );
                }
            }
        }
        Command::StmtBulkExecute(bulk) => {
            let _ = bulk.types(count);
        }
        Command::Query(query) => {
            assert_eq!(query.attributes.iter().count(), query.attributes.len())
        }
        _ => {}
    }
});
