//! Says what takes long: fetching packages and the first initialisation.

use std::sync::Arc;

/// Where progress messages go.
#[derive(Clone)]
pub(crate) struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    pub(crate) fn new(say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Progress(Arc::new(say))
    }

    pub(crate) fn say(&self, message: &str) {
        (self.0)(message);
    }
}

impl Default for Progress {
    /// Standard error: only steps that take more than a second or two are reported.
    fn default() -> Self {
        Progress::new(|message| eprintln!("steadfast: {message}"))
    }
}
