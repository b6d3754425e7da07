//! The log: lines for people, or JSON for machines, on the standard error stream.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{Log, LogFormat, LogLevel};

/// Sends the process's log to the standard error stream; once per process.
///
/// # Errors
/// Somebody did so already.
pub fn init(log: Log) -> Result<(), TryInitError> {
    let colour =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    subscriber(log, colour, io::stderr).try_init()
}

fn subscriber<W>(log: Log, colour: bool, writer: W) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false);
    let registry = tracing_subscriber::registry().with(level(log.level));
    match log.format {
        LogFormat::Text => Box::new(registry.with(layer.with_ansi(colour))),
        LogFormat::Json => Box::new(registry.with(layer.json().flatten_event(true))),
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: Log, colour: bool, write: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(log, colour, move || writer.clone()), write);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_one_line_with_level_message_and_fields() {
        let text = logged(Log::default(), false, || {
            tracing::info!(client = 7, "a client has connected");
            tracing::debug!("not shown");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.trim_end()
                .ends_with("INFO a client has connected client=7"),
            "{text}"
        );
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn a_value_cannot_forge_a_line_or_a_colour() {
        let text = logged(Log::default(), false, || {
            tracing::info!(user = "x\n2026 ERROR forged \x1b[31m", "refused");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let log = Log {
            level: LogLevel::Debug,
            format: LogFormat::Json,
        };
        let text = logged(log, true, || {
            tracing::debug!(client = 7, "a client has connected")
        });
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["message"], "a client has connected");
        assert_eq!(object["level"], "DEBUG");
        assert_eq!(object["client"], 7);
    }
}
