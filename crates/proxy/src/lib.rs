//! Listener, session driver, servers' health, drain, metrics and the admin address.
