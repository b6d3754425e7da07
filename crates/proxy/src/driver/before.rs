//! What goes before a command on its way to the server: deferred work, the statement prepared on this connection, its
//! time and its seeds, the guard, long data.

use std::io;

use steadfast_net::QueryError;
use steadfast_session::{End, Failure, FailureKind, Pins, Reason, use_schema};
use steadfast_wire::command::code;
use steadfast_wire::frame;
use steadfast_wire::walk::Expect;
use tokio::io::AsyncWriteExt;

use super::{Driver, Exit, end_of, end_of_io};
use crate::command::Stored;
use crate::prepared::{Prepared, There};
use crate::scratch;

/// A failure before the command was sent.
pub(super) enum Before {
    Lost(End),
    NotPrepared {
        code: u16,
        sqlstate: [u8; 5],
        message: Vec<u8>,
    },
    /// What is to be fetched from is gone, and with it the transaction that is open.
    CursorGone,
    Exit(Exit),
}

impl Before {
    /// As the servers say when a statement's tables have changed under it.
    fn needs_reprepare() -> Self {
        Self::NotPrepared {
            code: 1615,
            sqlstate: *b"HY000",
            message: b"Prepared statement needs to be re-prepared".to_vec(),
        }
    }
}

impl From<QueryError> for Before {
    fn from(error: QueryError) -> Self {
        Self::Lost(end_of(&error))
    }
}

impl Driver {
    /// Everything that goes before the command itself: deferred work, pins, the guard, the statement on this
    /// connection, its long data. Gives the payload for the server, to be given back to [`scratch`].
    pub(super) async fn prepare_to_send(
        &mut self,
        stored: &Stored,
        pins: Pins,
        guarded: bool,
    ) -> Result<Vec<u8>, Before> {
        if self.may_have_work(stored) {
            Box::pin(self.work_off(stored)).await?;
        }
        let there = match &stored.prepared {
            Some(prepared) => {
                self.find_cursor(stored, prepared)?;
                let number = self.link.as_ref().map(|link| link.number);
                Some(match number.and_then(|number| prepared.on(number)) {
                    Some(there) => there,
                    None => Box::pin(self.prepare_there(prepared)).await?,
                })
            }
            None => None,
        };
        if pins.before_first_run() {
            Box::pin(self.pin(pins)).await?;
        }
        if guarded {
            Box::pin(self.query(b"START TRANSACTION READ ONLY")).await?;
        }
        let Some(link) = &mut self.link else {
            return Err(Before::Lost(End::Fin));
        };
        let (Some(prepared), Some(there)) = (&stored.prepared, there) else {
            let mut payload = scratch::take();
            payload.extend_from_slice(&stored.payload);
            return Ok(payload);
        };
        for data in &stored.long_data {
            let mut payload = data.to_vec();
            if let Some(place) = payload.get_mut(1..5) {
                place.copy_from_slice(&there.id.to_le_bytes());
            }
            let mut bytes = Vec::with_capacity(payload.len() + 8);
            frame::write(&mut bytes, 0, &payload);
            if let Err(error) = link.connection.stream.write_all(&bytes).await {
                return Err(Before::Lost(end_of_io(&error)));
            }
            self.local.tally.server_sent.add(bytes.len() as u64);
        }
        let mut payload = scratch::take();
        let types = stored.types.as_ref();
        prepared
            .rewrite(
                &stored.payload,
                types,
                there,
                self.capabilities,
                &mut payload,
            )
            .map_err(|error| {
                Before::Exit(Exit::ClientGone(io::Error::new(
                    io::ErrorKind::InvalidData,
                    error,
                )))
            })?;
        Ok(payload)
    }

    /// A cursor lives on the connection that opened it: elsewhere there is nothing to fetch from.
    fn find_cursor(&self, stored: &Stored, prepared: &Prepared) -> Result<(), Before> {
        let fetches = stored.payload.first() == Some(&code::STMT_FETCH);
        let here = self
            .link
            .as_ref()
            .is_none_or(|link| prepared.on(link.number).is_some());
        if !fetches || here {
            return Ok(());
        }
        if self.core.transaction().is_open() {
            return Err(Before::CursorGone);
        }
        let failure = Failure::new(FailureKind::RolledBack, Reason::Cursor);
        let incident = self
            .outage
            .as_ref()
            .map(|outage| outage.incident)
            .or_else(|| self.last_outage.as_ref().map(|outage| outage.incident))
            .unwrap_or_else(|| self.shared.incidents.next_id());
        Err(Before::NotPrepared {
            code: failure.kind.code(),
            sqlstate: *failure.kind.sqlstate(),
            message: failure.message(incident, self.ledger.0).into_bytes(),
        })
    }

    /// Makes sure that the statement is prepared on this connection, as the client knows it.
    async fn prepare_there(&mut self, prepared: &Prepared) -> Result<There, Before> {
        let Some(link) = &self.link else {
            return Err(Before::Lost(End::Fin));
        };
        let connection = link.number;
        if let Some(there) = prepared.on(connection) {
            return Ok(there);
        }
        if prepared.dialect() != self.dialect {
            // It would be read by another sql_mode or character set than when the client prepared it.
            return Err(Before::needs_reprepare());
        }
        let elsewhere = prepared
            .schema()
            .filter(|schema| self.state.schema() != Some(*schema))
            .map(use_schema);
        if let Some(text) = &elsewhere {
            match self.query(text).await {
                Ok(_) => {}
                // The schema is gone, and the statement with it; the connection is in order.
                Err(QueryError::Server(error)) if !error.ends_connection() => {
                    return Err(Before::NotPrepared {
                        code: error.code,
                        sqlstate: error.sqlstate.unwrap_or(*b"HY000"),
                        message: error.message,
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut payload = vec![code::STMT_PREPARE];
        payload.extend_from_slice(prepared.text());
        let ended = self.converse_hidden(&payload, Expect::Prepare).await?;
        if elsewhere.is_some()
            && let Some(back) = self.state.schema().map(use_schema)
        {
            self.query(&back).await?;
        }
        match ended.prepared {
            Some(ok) if prepared.is_as_told(ended.digest) => {
                let there = There {
                    connection,
                    id: ok.statement_id,
                };
                prepared.prepared_on(there);
                Ok(there)
            }
            _ => Err(Before::needs_reprepare()),
        }
    }

    /// Gives the statement its time and its seeds.
    pub(super) async fn pin(&mut self, pins: Pins) -> Result<(), QueryError> {
        let time = pins
            .timestamp
            .map(|time| format!("timestamp={}.{:06}", time / 1_000_000, time % 1_000_000));
        let seeds = pins
            .seeds
            .map(|(first, second)| format!("rand_seed1={first}, rand_seed2={second}"));
        self.deferred.clock |= time.is_some();
        let text = match (&time, &seeds) {
            (Some(time), Some(seeds)) => format!("SET {time}, {seeds}"),
            (Some(one), None) | (None, Some(one)) => format!("SET {one}"),
            (None, None) => return Ok(()),
        };
        match self.query(text.as_bytes()).await {
            // A server that does not let the account set its time (MariaDB's secure_timestamp): without a pin the
            // replay may find other data, and says so.
            Err(QueryError::Server(error)) if !error.ends_connection() => {
                tracing::debug!(client = %self.peer, "a statement's time could not be set: {error}");
                self.deferred.clock = false;
                if let (Some(_), Some(seeds)) = (time, seeds) {
                    self.query(format!("SET {seeds}").as_bytes()).await?;
                }
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        Ok(())
    }
}
