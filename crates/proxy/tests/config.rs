//! Settings: what a file or a flag that is wrong is answered, and what is merged from where.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, time::Duration};

use steadfast_proxy::config::{
    AdminAddress, BackendTls, Certificate, ClientTls, Config, Limits, LogFormat, LogLevel,
    Overrides, Timeouts,
};

fn load(text: &str, overrides: Overrides) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("steadfast.toml");
    fs::write(&path, text).unwrap();
    let prefix = format!("{}/", dir.path().display());
    Config::load(Some(&path), overrides).map_err(|error| error.to_string().replace(&prefix, ""))
}

fn with_backend() -> Overrides {
    Overrides {
        backend: Some("db:3306".parse().unwrap()),
        ..Overrides::default()
    }
}

/// Each bad file, and the whole line that its author reads.
const BAD_FILES: &[(&str, &str)] = &[
    (
        "[timeouts]\nhodl = \"60s\"\n",
        "steadfast.toml:2: there is no setting \"hodl\" in [timeouts]; did you mean \"hold\"?",
    ),
    (
        "\n\nlisten_on = [\"127.0.0.1:1\"]\n",
        "steadfast.toml:3: there is no setting \"listen_on\" at the top level; did you mean \"listen\"?",
    ),
    (
        "[limit]\nclients = 1\n",
        "steadfast.toml:1: there is no setting \"limit\" at the top level; did you mean \"limits\"?",
    ),
    (
        "[limits]\nmax_journal_size = 1\n",
        "steadfast.toml:2: there is no setting \"max_journal_size\" in [limits]; the settings there are clients, pending_logins, pool, journal_bytes, journal_commands, replay_time, attempts, command_memory, packet",
    ),
    (
        "hold = \"60s\"\n",
        "steadfast.toml:1: there is no setting \"hold\" at the top level; it is in [timeouts]",
    ),
    (
        "[timeouts]\nhold = 60\n",
        "steadfast.toml:2: timeouts.hold: 60 has no unit; write \"60s\" for seconds, or use ms, m, h or d",
    ),
    (
        "[timeouts]\nhold = \"60\"\n",
        "steadfast.toml:2: timeouts.hold: \"60\" has no unit; write \"60s\" for seconds, or use ms, m, h or d",
    ),
    (
        "[timeouts]\n# how long\n\ndrain = \"30sec\"\n",
        "steadfast.toml:4: timeouts.drain: \"30sec\" has no unit that is known; write ms, s, m, h or d after the number, such as \"30s\"",
    ),
    (
        "[timeouts]\nhold = true\n",
        "steadfast.toml:2: timeouts.hold: true is not a length of time in quotes, such as \"60s\"",
    ),
    (
        "[timeouts]\nhold = 1.5\n",
        "steadfast.toml:2: timeouts.hold: 1.5 is not a length of time in quotes, such as \"60s\"",
    ),
    (
        "[timeouts]\nconnect = \"0s\"\n",
        "steadfast.toml:2: timeouts.connect: it must be more than nothing; write, for example, \"5s\"",
    ),
    (
        "[timeouts]\nkeepalive_idle = \"500ms\"\n",
        "steadfast.toml:2: timeouts.keepalive_idle: it must be whole seconds, from 1s to 32767s; write, for example, \"60s\"",
    ),
    (
        "[limits]\njournal_bytes = \"16MB\"\n",
        "steadfast.toml:2: limits.journal_bytes: \"16MB\" has no unit that is known; write B, KiB, MiB, GiB or TiB after the number, such as \"16MiB\"",
    ),
    (
        "[limits]\npacket = \"2GiB\"\n",
        "steadfast.toml:2: limits.packet: 2GiB is not from 16KiB to 1GiB",
    ),
    (
        "[limits]\nclients = 0\n",
        "steadfast.toml:2: limits.clients: 0 is not a whole number from 1 to 4294967295",
    ),
    (
        "[limits]\nclients = -5\n",
        "steadfast.toml:2: limits.clients: -5 is not a whole number from 1 to 4294967295",
    ),
    (
        "[limits]\nclients = \"many\"\n",
        "steadfast.toml:2: limits.clients: \"many\" is not a whole number from 1 to 4294967295",
    ),
    (
        "threads = 0\n",
        "steadfast.toml:1: threads: 0 is not a whole number from 1",
    ),
    (
        "state_dir = 7\n",
        "steadfast.toml:1: state_dir: 7 is not a path in quotes",
    ),
    (
        "limits = 7\n",
        "steadfast.toml:1: limits: 7 is not a section",
    ),
    (
        "listen = [\"127.0.0.1:1\", \"6033\"]\n",
        "steadfast.toml:1: listen: '6033' is no address: it has no port; write HOST:PORT, [IPV6]:PORT or /path/to/socket",
    ),
    (
        "admin = \"6080\"\n",
        "steadfast.toml:1: admin: '6080' is no address: it has no port; write HOST:PORT, [IPV6]:PORT or /path/to/socket, or off",
    ),
    (
        "admin = \"127.0.0.1:6033\"\n",
        "steadfast.toml:1: admin: clients connect there (listen); write another port, or \"off\"",
    ),
    (
        "threads = 5000\n",
        "steadfast.toml:1: threads: 5000 is too many; the most is 1024",
    ),
    (
        "listen = []\n",
        "steadfast.toml:1: listen: clients need at least one address; write listen = [\"127.0.0.1:6033\"]",
    ),
    (
        "listen = \"127.0.0.1:6033\"\n",
        "steadfast.toml:1: listen: \"127.0.0.1:6033\" is not a list, such as [\"127.0.0.1:6033\"]",
    ),
    (
        "listen = [\"db:3306\"]\n",
        "--backend: Steadfast itself listens there; write the server's address",
    ),
    (
        "[backend]\ntls = \"verify_ca\"\n",
        "steadfast.toml:2: backend.tls: \"verify_ca\" is not one of disabled, preferred, required, verify-ca, verify-identity",
    ),
    (
        "[backend]\ntls = \"verify-ca\"\n",
        "steadfast.toml:2: backend.tls: a certificate of any known authority would pass, whoever it is for; name the server's own with ca = \"FILE\", or write tls = \"verify-identity\"",
    ),
    (
        "[backend]\nca = \"ca.pem\"\n",
        "steadfast.toml:2: backend.ca: the server's certificate is not checked with this backend.tls; write tls = \"verify-identity\" (or \"verify-ca\"), or remove ca",
    ),
    (
        "[tls]\ncertificate = \"c.pem\"\n",
        "steadfast.toml:2: tls.certificate: its private key is missing; give tls.key (--tls-key) too",
    ),
    (
        "[tls]\nkey = \"k.pem\"\n",
        "steadfast.toml:2: tls.key: its certificate is missing; give tls.certificate (--tls-cert) too",
    ),
    (
        "[tls]\nclient = \"off\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n",
        "steadfast.toml:3: tls.certificate: it is never shown with tls.client = \"off\"; write client = \"optional\", or remove it",
    ),
    (
        "[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n",
        "steadfast.toml:2: tls.certificate: c.pem cannot be read: No such file or directory (os error 2)",
    ),
    (
        "[log]\nlevel = \"verbose\"\n",
        "steadfast.toml:2: log.level: \"verbose\" is not one of error, warn, info, debug, trace",
    ),
    (
        "[users]\nfile = \"nobody.toml\"\n",
        "nobody.toml cannot be read: No such file or directory (os error 2)",
    ),
    (
        "listen = [\"127.0.0.1:1\"\n",
        "steadfast.toml:1: not TOML: unclosed array, expected `]`",
    ),
    (
        "log.level = \"info\"\nlog.level = \"debug\"\n",
        "steadfast.toml:2: not TOML: duplicate key",
    ),
];

#[test]
fn each_bad_file_has_its_line() {
    let mut differing = String::new();
    for (text, expected) in BAD_FILES {
        let got = load(text, with_backend())
            .err()
            .unwrap_or_else(|| "accepted".to_owned());
        if got != *expected {
            differing.push_str(&format!(
                "\n{text}  got      {got}\n  expected {expected}\n"
            ));
        }
        assert_eq!(got.lines().count(), 1, "{got}");
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn a_missing_file_and_a_missing_server_say_what_to_write() {
    let error = Config::load(Some(Path::new("/nonexistent/s.toml")), with_backend()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/s.toml cannot be read: No such file or directory (os error 2)"
    );
    let error = Config::load(None, Overrides::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no server is given; write --backend HOST:3306, or address = \"HOST:3306\" under [backend] in the file"
    );
}

#[test]
fn an_error_that_a_flag_causes_names_the_flag() {
    let overrides = Overrides {
        tls_certificate: Some("/c.pem".into()),
        ..with_backend()
    };
    assert_eq!(
        load("", overrides).unwrap_err(),
        "--tls-cert: its private key is missing; give tls.key (--tls-key) too"
    );
}

#[test]
fn the_backend_alone_is_enough() {
    let config = Config::load(None, with_backend()).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:6033".parse().unwrap()]);
    assert_eq!(
        config.admin,
        AdminAddress::At("127.0.0.1:6080".parse().unwrap())
    );
    assert!(config.state_dir.ends_with("steadfast"));
    assert!(config.state_dir.is_absolute());
    assert_eq!(config.backend.tls, BackendTls::Preferred);
    assert_eq!(config.tls, ClientTls::Optional(Certificate::Generated));
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!(config.limits, Limits::default());
    assert!(config.users.is_empty());
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_defaults() {
    let file = "
        listen = [\"127.0.0.1:1\"]
        admin = \"127.0.0.1:2\"
        [backend]
        address = \"file:3306\"
        [timeouts]
        hold = \"5m\"
        drain = \"1s\"
        [log]
        level = \"warn\"
    ";
    let overrides = Overrides {
        admin: Some(AdminAddress::Off),
        hold: Some(Duration::from_secs(2)),
        log_format: Some(LogFormat::Json),
        ..Overrides::default()
    };
    let config = load(file, overrides).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(config.admin, AdminAddress::Off);
    assert_eq!(config.backend.address.to_string(), "file:3306");
    assert_eq!(config.timeouts.hold, Duration::from_secs(2));
    assert_eq!(config.timeouts.drain, Duration::from_secs(1));
    assert_eq!(config.timeouts.connect, Timeouts::default().connect);
    assert_eq!(config.log.level, LogLevel::Warn);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_relative_path_in_the_file_is_meant_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("steadfast.toml");
    fs::write(
        &path,
        "state_dir = \"state\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n",
    )
    .unwrap();
    for name in ["c.pem", "k.pem"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let config = Config::load(Some(&path), with_backend()).unwrap();
    assert_eq!(config.state_dir, dir.path().join("state"));
    let files = Certificate::Files {
        certificate: dir.path().join("c.pem"),
        key: dir.path().join("k.pem"),
    };
    assert_eq!(config.tls, ClientTls::Optional(files));
}
