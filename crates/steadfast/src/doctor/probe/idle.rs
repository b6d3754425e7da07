//! For how long the path lets connections be silent: several of them are, for growing times, and then asked whether
//! they live.

use std::io::{self, ErrorKind};
use std::time::Duration;

use steadfast_diagnose::checks::facts::{Cut, CutHow, IdleProbe, Seen};
use steadfast_net::{ServerConnection, SocketOptions};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::announce;
use crate::access::Access;

/// How exactly the cut-off is found.
const EXACT: Duration = Duration::from_secs(2);

/// Times that the search is made finer.
const ROUNDS: usize = 3;

/// How long a connection may take to answer that it lives.
const ANSWER: Duration = Duration::from_secs(4);

/// Longer than any silence here: TCP_KEEPIDLE's largest value. There is no way to leave keepalive out of
/// [`SocketOptions`], and none is needed.
const NO_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// Of the connection that tries whether keepalive helps.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// What became of a silent connection.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Lives,
    Lost(CutHow),
}

/// Keeps connections silent for at most `longest`, `most` of them at the same time.
pub(super) async fn probe(access: &Access, longest: Duration, most: u64) -> Seen<IdleProbe> {
    let mut from = Duration::ZERO;
    let mut to = longest;
    let mut cut: Option<Cut> = None;
    let mut keepalive_helps = None;
    for round in 0..ROUNDS {
        let silences = silences(from, to, most);
        announce(&format!(
            "idle: {} connections are silent for {} s to {} s, then asked whether they live{}",
            silences.len(),
            silences.first().map_or(0, Duration::as_secs),
            to.as_secs(),
            if round == 0 {
                "; one more has keepalive"
            } else {
                ""
            }
        ));
        let keepalive = async {
            if round == 0 {
                Some(silent(access, longest, KEEPALIVE).await)
            } else {
                None
            }
        };
        let (fates, kept) = tokio::join!(all(access, &silences), keepalive);
        let mut fates = match fates {
            Ok(fates) => fates,
            Err(why) => return Seen::Unseen(why),
        };
        if let Some(Ok((_, fate))) = kept {
            keepalive_helps = Some(fate == Fate::Lives);
        }
        fates.sort_by_key(|(silence, _)| *silence);
        let Some((lost, how)) = fates.iter().find_map(|(silence, fate)| match fate {
            Fate::Lost(how) => Some((*silence, *how)),
            Fate::Lives => None,
        }) else {
            // In a later round: just above the last one that was tried.
            from = fates.last().map_or(from, |(silence, _)| *silence);
            if let Some(cut) = &mut cut {
                cut.survived = cut.survived.max(from);
            }
            break;
        };
        let lived = fates
            .iter()
            .take_while(|(_, fate)| *fate == Fate::Lives)
            .map(|(silence, _)| *silence)
            .last();
        from = lived.unwrap_or(from);
        to = lost;
        cut = Some(Cut {
            survived: from,
            lost,
            how,
            keepalive_helps,
        });
        if to.saturating_sub(from) <= EXACT + EXACT / 2 {
            break;
        }
    }
    Seen::Is(IdleProbe { longest, cut })
}

/// Silences between two, the last of them `to`: as many as there may be, but no finer than needed.
fn silences(from: Duration, to: Duration, most: u64) -> Vec<Duration> {
    let width = to.saturating_sub(from);
    let count = (width.as_secs_f64() / EXACT.as_secs_f64())
        .ceil()
        .clamp(1.0, most as f64) as u32;
    (1..=count)
        .map(|index| from + width * index / count)
        .collect()
}

async fn all(access: &Access, silences: &[Duration]) -> Result<Vec<(Duration, Fate)>, String> {
    let mut waiting = JoinSet::new();
    for silence in silences {
        let connection = open(access, NO_KEEPALIVE, *silence).await?;
        waiting.spawn(wait(connection, *silence));
    }
    Ok(waiting.join_all().await)
}

async fn silent(
    access: &Access,
    silence: Duration,
    keepalive: Duration,
) -> Result<(Duration, Fate), String> {
    let connection = open(access, keepalive, silence).await?;
    Ok(wait(connection, silence).await)
}

async fn open(
    access: &Access,
    keepalive: Duration,
    silence: Duration,
) -> Result<ServerConnection, String> {
    let options = SocketOptions {
        keepalive_idle: keepalive,
        keepalive_interval: KEEPALIVE,
        ..SocketOptions::default()
    };
    let mut connection = access
        .connect_with(&options)
        .await
        .map_err(|error| format!("{error:#}"))?;
    // What is looked for is the path's limit, not the server's.
    let own = format!("SET SESSION wait_timeout = {}", silence.as_secs() + 120);
    connection
        .query(own.as_bytes())
        .await
        .map_err(|error| error.to_string())?;
    Ok(connection)
}

/// Says and hears nothing for so long, then asks. Tells for how long it really was.
async fn wait(mut connection: ServerConnection, silence: Duration) -> (Duration, Fate) {
    let begun = Instant::now();
    let mut bytes = [0; 256];
    if let Ok(heard) = timeout(silence, connection.stream.read(&mut bytes)).await {
        let how = match heard {
            Ok(_) => CutHow::Closed,
            Err(error) => how(&error),
        };
        return (begun.elapsed(), Fate::Lost(how));
    }
    let fate = match timeout(ANSWER, connection.ping()).await {
        Ok(Ok(_)) => Fate::Lives,
        Ok(Err(steadfast_net::QueryError::Lost(_, error))) => Fate::Lost(how(&error)),
        Ok(Err(_)) => Fate::Lost(CutHow::Closed),
        Err(_) => Fate::Lost(CutHow::Silent),
    };
    if fate == Fate::Lives {
        connection.quit().await;
    }
    (silence, fate)
}

fn how(error: &io::Error) -> CutHow {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => CutHow::Closed,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            CutHow::Silent
        }
        _ => CutHow::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_are_as_fine_as_needed_and_no_more_than_allowed() {
        let seconds =
            |list: Vec<Duration>| list.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
        let at = Duration::from_secs;
        assert_eq!(seconds(silences(at(0), at(8), 16)), [2.0, 4.0, 6.0, 8.0]);
        assert_eq!(
            seconds(silences(at(300), at(400), 4)),
            [325.0, 350.0, 375.0, 400.0]
        );
        assert_eq!(seconds(silences(at(19), at(20), 16)), [20.0]);
    }
}
