//! A session on a server, independent of the crates under test.

use std::time::{SystemTime, UNIX_EPOCH};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use steadfast_sandbox::Server;
use tokio::runtime::{Builder, Runtime};

/// A blocking session of an account without a password.
pub(crate) struct Session {
    runtime: Runtime,
    connection: Option<Conn>,
}

impl Session {
    pub(crate) fn new(server: &Server, user: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let options = OptsBuilder::default()
            .ip_or_hostname(server.host())
            .tcp_port(server.port())
            .user(Some(user))
            .prefer_socket(false);
        let connection = runtime.block_on(Conn::new(options)).unwrap();
        Self {
            runtime,
            connection: Some(connection),
        }
    }

    /// The first value of the first row, or the code of the error.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<Option<String>, u16> {
        let connection = self.connection.as_mut().unwrap();
        let answer = self
            .runtime
            .block_on(connection.query_first::<Option<String>, _>(sql));
        match answer {
            Ok(value) => Ok(value.flatten()),
            Err(mysql_async::Error::Server(error)) => Err(error.code),
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// Runs a statement that succeeds.
    #[track_caller]
    pub(crate) fn run(&mut self, sql: &str) {
        assert_eq!(self.ask(sql).err(), None, "{sql}");
    }

    /// Fences a lane that was opened now; gives its record.
    #[track_caller]
    pub(crate) fn fence(&mut self, lane: u64, secret: u64) -> Option<String> {
        self.fence_made(lane, secret, now())
    }

    /// Fences a lane that was opened then.
    #[track_caller]
    pub(crate) fn fence_made(&mut self, lane: u64, secret: u64, made: u64) -> Option<String> {
        self.run(&format!(
            "CALL steadfast.fence({lane},{secret},{made},@steadfast_record)"
        ));
        self.ask("SELECT @steadfast_record LIMIT 1").unwrap()
    }

    /// The recorded COMMIT.
    pub(crate) fn commit(&mut self, lane: u64, secret: u64, sequence: u64) -> Result<(), u16> {
        let made = now();
        let call = format!("CALL steadfast.commit({lane},{secret},{sequence},{made},0)");
        self.ask(&call).map(|_| ())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Its socket belongs to the runtime.
        let _inside = self.runtime.enter();
        self.connection = None;
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
