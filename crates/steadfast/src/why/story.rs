//! One incident for people: the whole story.

use std::io::{self, Write};

use steadfast_proxy::{Incident, Step};

use super::{list, text};

/// Writes it.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(out: &mut impl Write, incident: &Incident) -> io::Result<()> {
    writeln!(
        out,
        "Incident {}, {}: {}",
        incident.id,
        list::when(incident.at_ms),
        incident.why.answer
    )?;
    text::told(out, &incident.why)?;
    writeln!(out, "\n  Who")?;
    let server = incident
        .server_connection
        .map(|id| format!(", the server's connection {id}"))
        .unwrap_or_default();
    let schema = incident
        .schema
        .as_ref()
        .map(|schema| format!(", schema {schema}"))
        .unwrap_or_default();
    writeln!(
        out,
        "    {}@{}, connection {}{server}{schema}",
        incident.user, incident.client, incident.connection
    )?;
    if let Some(statement) = &incident.statement {
        text::wrapped(out, "    ", "      ", statement)?;
    }
    writeln!(out, "  What happened")?;
    for Step { ms, what } in &incident.story {
        text::wrapped(
            out,
            &format!("    {:>10}  ", offset(*ms)),
            "                ",
            what,
        )?;
    }
    Ok(())
}

/// Since the loss.
fn offset(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    match ms.unsigned_abs() {
        0 => "0".to_owned(),
        ms @ 1..1000 => format!("{sign}{ms} ms"),
        ms => format!("{sign}{:.1} s", ms as f64 / 1000.0),
    }
}
