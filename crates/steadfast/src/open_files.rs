//! The limit of open files: each client has one, and a server connection.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What is open beside the connections of clients: listeners, the health check, databases, logs.
const OTHERS: u64 = 64;

/// Raises the process's own limit (RLIMIT_NOFILE in getrlimit(2), often 1024) as far as the system lets it, and warns
/// where that is too little for so many clients.
pub(crate) fn raise(clients: u32) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("the limit of open files could not be raised: {error}");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if let Some(warning) = allowed.and_then(|allowed| too_few(allowed, clients)) {
        tracing::warn!("{warning}");
    }
}

fn too_few(allowed: u64, clients: u32) -> Option<String> {
    let needed = 2 * u64::from(clients) + OTHERS;
    (allowed < needed).then(|| {
        format!(
            "{allowed} files may be open, enough for {} clients and not for limits.clients = {clients}; raise the limit \
             of open files to {needed} (LimitNOFILE of the unit, ulimit -n), or lower limits.clients",
            allowed.saturating_sub(OTHERS) / 2
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_the_one_that_is_needed() {
        assert_eq!(too_few(20_064, 10_000), None);
        let told = too_few(1024, 10_000).unwrap();
        assert!(told.contains("enough for 480 clients"), "{told}");
        assert!(told.contains("to 20064"), "{told}");
        assert!(too_few(10, 1).is_some());
    }
}
