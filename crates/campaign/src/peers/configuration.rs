//! The configurations of other proxies: one server, encryption on both legs or on neither, timeouts that do not end a
//! session by themselves, and else each one's defaults.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use steadfast_sandbox::Peer;

use crate::rig::{PASSWORD, USER};

/// What a proxy is for.
#[derive(Debug, Clone)]
pub(crate) struct Purpose {
    /// Where the server answers.
    pub(crate) backend: SocketAddr,
    /// As the server gives it.
    pub(crate) server_version: String,
    /// So many clients come at the same time, at most.
    pub(crate) clients: u32,
    /// What clients are shown by a proxy that ends their TLS. `None`: no TLS, on either leg.
    pub(crate) certificate: Option<Certificate>,
}

/// PEM files of a certificate and its private key.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

/// What a configuration is written for.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// For the proxy's own administration, where it cannot do without.
    pub(crate) admin: SocketAddr,
    /// For files of the proxy's own.
    pub(crate) directory: &'a Path,
    /// Where MySQL Router's plugins are, if it does not know.
    pub(crate) plugins: Option<PathBuf>,
    pub(crate) purpose: &'a Purpose,
}

/// The configuration file.
pub(crate) fn text(peer: Peer, place: &Place<'_>) -> String {
    match peer {
        Peer::HaProxy => haproxy(place),
        Peer::MySqlRouter => mysql_router(place),
        Peer::ProxySql => proxysql(place),
    }
}

/// The arguments with which the proxy stays in the foreground and reads `file`.
pub(crate) fn arguments(peer: Peer, place: &Place<'_>, file: &Path) -> Vec<OsString> {
    let file = file.as_os_str().to_owned();
    match peer {
        Peer::HaProxy => vec!["-db".into(), "-f".into(), file],
        Peer::MySqlRouter => vec!["-c".into(), file],
        Peer::ProxySql => vec![
            "--foreground".into(),
            "--initial".into(),
            // Which would ask a host on the network.
            "--no-version-check".into(),
            "-c".into(),
            file,
            "-D".into(),
            place.directory.as_os_str().to_owned(),
        ],
    }
}

/// TCP mode: TLS passes through. The timeouts would cut a session that is idle or waits for a long statement: an hour,
/// which no session of the workload reaches.
fn haproxy(place: &Place<'_>) -> String {
    let Place {
        listen, purpose, ..
    } = place;
    let Purpose {
        backend, clients, ..
    } = purpose;
    format!(
        "global
    maxconn {clients}
defaults
    mode tcp
    option clitcpka
    option srvtcpka
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen mysql
    bind {listen}
    server db {backend} check inter 1s fall 3 rise 1
"
    )
}

/// A static route for reading and writing, without metadata. A client host whose logins fail `max_connect_errors` times,
/// as they do while a server is down, would be locked out: it is the limit that is raised.
fn mysql_router(place: &Place<'_>) -> String {
    let Place {
        listen,
        directory,
        purpose,
        ..
    } = place;
    let Purpose {
        backend, clients, ..
    } = purpose;
    let tls = match &purpose.certificate {
        None => "client_ssl_mode = DISABLED\nserver_ssl_mode = DISABLED\n".to_owned(),
        Some(Certificate { chain, key }) => format!(
            "client_ssl_mode = REQUIRED\nclient_ssl_cert = {}\nclient_ssl_key = {}\nserver_ssl_mode = REQUIRED\n",
            chain.display(),
            key.display()
        ),
    };
    let directory = directory.display();
    let plugins = place
        .plugins
        .as_ref()
        .map(|path| format!("plugin_folder = {}\n", path.display()))
        .unwrap_or_default();
    format!(
        "[DEFAULT]
{plugins}logging_folder =
runtime_folder = {directory}
data_folder = {directory}
config_folder = {directory}
max_total_connections = {clients}
[logger]
level = WARNING
[routing:read_write]
bind_address = {}
bind_port = {}
destinations = {backend}
routing_strategy = first-available
protocol = classic
{tls}max_connections = {clients}
max_connect_errors = 1000000
",
        listen.ip(),
        listen.port()
    )
}

/// One host group, the workload's account, transactions on one server connection. The monitor is off: it would only take
/// the one server out. What listens for PostgreSQL's clients (since 3.0, on all addresses) is sent to sockets.
fn proxysql(place: &Place<'_>) -> String {
    let Place {
        listen,
        admin,
        directory,
        purpose,
        ..
    } = place;
    let Purpose {
        backend,
        server_version,
        clients,
        certificate,
    } = purpose;
    let directory = directory.display();
    // It makes a certificate of its own.
    let tls = certificate.is_some();
    let use_ssl = u8::from(tls);
    format!(
        "datadir = \"{directory}\"
errorlog = \"{directory}/proxysql.log\"
admin_variables =
{{
    admin_credentials = \"admin:admin\"
    mysql_ifaces = \"{admin}\"
    pgsql_ifaces = \"{directory}/admin-pgsql.sock\"
}}
pgsql_variables =
{{
    interfaces = \"{directory}/pgsql.sock\"
}}
mysql_variables =
{{
    threads = 2
    max_connections = {clients}
    interfaces = \"{listen}\"
    server_version = \"{server_version}\"
    monitor_enabled = false
    have_ssl = {tls}
}}
mysql_servers =
(
    {{ address = \"{}\", port = {}, hostgroup = 0, max_connections = {clients}, use_ssl = {use_ssl} }}
)
mysql_users =
(
    {{ username = \"{USER}\", password = \"{PASSWORD}\", default_hostgroup = 0, transaction_persistent = 1, active = 1 }}
)
",
        backend.ip(),
        backend.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose() -> Purpose {
        Purpose {
            backend: "127.0.0.1:10003".parse().unwrap(),
            server_version: "9.7.4".to_owned(),
            clients: 123,
            certificate: None,
        }
    }

    fn place(purpose: &Purpose, plugins: Option<PathBuf>) -> Place<'_> {
        Place {
            listen: "127.0.0.1:10001".parse().unwrap(),
            admin: "127.0.0.1:10002".parse().unwrap(),
            directory: Path::new("/scratch"),
            plugins,
            purpose,
        }
    }

    #[test]
    fn each_listens_where_clients_connect_and_has_the_one_server_behind_it() {
        let purpose = purpose();
        let place = place(&purpose, None);
        let has = |peer, parts: &[&str]| {
            let text = text(peer, &place);
            for part in parts {
                assert!(text.contains(part), "{peer} lacks {part:?}:\n{text}");
            }
        };
        has(
            Peer::HaProxy,
            &[
                "mode tcp",
                "maxconn 123\n",
                "bind 127.0.0.1:10001\n",
                "db 127.0.0.1:10003 check",
            ],
        );
        has(
            Peer::MySqlRouter,
            &["bind_port = 10001\n", "destinations = 127.0.0.1:10003\n"],
        );
        has(
            Peer::ProxySql,
            &[
                "interfaces = \"127.0.0.1:10001\"",
                "mysql_ifaces = \"127.0.0.1:10002\"",
                "address = \"127.0.0.1\", port = 10003",
                "server_version = \"9.7.4\"",
            ],
        );
    }

    #[test]
    fn the_link_behind_each_sees_what_is_said() {
        let purpose = purpose();
        let place = place(&purpose, None);
        let router = text(Peer::MySqlRouter, &place);
        assert!(router.contains("server_ssl_mode = DISABLED"));
        assert!(router.contains("client_ssl_mode = DISABLED"));
        let proxysql = text(Peer::ProxySql, &place);
        assert!(proxysql.contains("use_ssl = 0") && proxysql.contains("have_ssl = false"));
    }

    #[test]
    fn with_a_certificate_both_legs_are_encrypted() {
        let mut purpose = purpose();
        purpose.certificate = Some(Certificate {
            chain: "/tls/cert.pem".into(),
            key: "/tls/key.pem".into(),
        });
        let place = place(&purpose, None);
        let router = text(Peer::MySqlRouter, &place);
        assert!(router.contains("server_ssl_mode = REQUIRED"));
        assert!(router.contains("client_ssl_mode = REQUIRED\nclient_ssl_cert = /tls/cert.pem\n"));
        let proxysql = text(Peer::ProxySql, &place);
        assert!(proxysql.contains("use_ssl = 1") && proxysql.contains("have_ssl = true"));
    }

    #[test]
    fn a_fetched_router_is_told_where_its_plugins_are() {
        let purpose = purpose();
        let plugins = Some("/unpacked/plugin".into());
        let told = text(Peer::MySqlRouter, &place(&purpose, plugins));
        assert!(told.contains("plugin_folder = /unpacked/plugin\n"));
        assert!(!text(Peer::MySqlRouter, &place(&purpose, None)).contains("plugin_folder"));
    }

    #[test]
    fn all_stay_in_the_foreground_with_their_file() {
        let purpose = purpose();
        let place = place(&purpose, None);
        for peer in Peer::ALL {
            let arguments = arguments(peer, &place, Path::new("/scratch/peer.conf"));
            assert!(arguments.contains(&"/scratch/peer.conf".into()), "{peer}");
        }
    }
}
