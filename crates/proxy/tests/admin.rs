//! The admin HTTP on a port that the kernel picks, asked over a socket.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use steadfast_proxy::{
    admin::AdminServer,
    config::{Address, Config, Overrides},
    metrics::Metrics,
    readiness::Readiness,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

struct Admin {
    address: Address,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Admin {
    async fn start(lately: Duration) -> Self {
        let overrides = Overrides {
            backend: Some("db:3306".parse().unwrap()),
            state_dir: Some("/nowhere".into()),
            ..Overrides::default()
        };
        let config = Config::load(None, overrides).unwrap();
        let readiness = Arc::new(Readiness::new(lately));
        let metrics = Arc::new(Metrics::new(&config, Arc::clone(&readiness)));
        let server = AdminServer::bind(&"127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = server.address().clone();
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(
            server.run(Arc::clone(&metrics), Arc::clone(&readiness), async {
                ended.await.unwrap_or(());
            }),
        );
        Self {
            address,
            readiness,
            metrics,
            end,
            task,
        }
    }

    /// The status and the body of `path`.
    async fn ask(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address.to_string()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// The status of `/ready`, and its reason.
    async fn ready(&self) -> (u16, String) {
        let (status, body) = self.ask("/ready").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["ready"], status == 200);
        (
            status,
            body["reason"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

#[tokio::test]
async fn health_is_200_while_the_process_serves() {
    let admin = Admin::start(Duration::from_secs(30)).await;
    let (status, body) = admin.ask("/health").await;
    assert_eq!(status, 200);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], "ok");
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    assert!(body["uptime_seconds"].is_u64());
}

#[tokio::test]
async fn ready_follows_the_listeners_and_the_server() {
    let admin = Admin::start(Duration::from_secs(30)).await;
    let starts = |(status, reason): (u16, String), with: &str| {
        assert_eq!((status, reason.starts_with(with)), (503, true), "{reason}");
    };
    starts(admin.ready().await, "starting");
    admin.readiness.accepting();
    starts(admin.ready().await, "no server: it has not been reached");
    admin.readiness.server_reached();
    assert_eq!(admin.ready().await, (200, String::new()));
    admin.readiness.server_lost();
    starts(
        admin.ready().await,
        "no server: it cannot be reached for 0s",
    );
    admin.readiness.server_reached();
    assert_eq!(admin.ready().await.0, 200);
    admin.readiness.draining();
    starts(admin.ready().await, "draining");
}

#[tokio::test]
async fn a_server_that_nobody_asked_lately_is_not_ready() {
    let admin = Admin::start(Duration::ZERO).await;
    admin.readiness.accepting();
    admin.readiness.server_reached();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (status, reason) = admin.ready().await;
    assert_eq!(status, 503);
    assert!(reason.starts_with("no recent health check"), "{reason}");
}

#[tokio::test]
async fn metrics_show_what_was_counted() {
    let admin = Admin::start(Duration::from_secs(30)).await;
    admin.metrics.tally().commands.add(3);
    admin.readiness.server_reached();
    let (status, body) = admin.ask("/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("\nsteadfast_commands_total 3\n"), "{body}");
    assert!(body.contains("\nsteadfast_server_up 1"), "{body}");
    assert!(
        body.contains("\nsteadfast_health_check_age_seconds "),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn the_index_names_the_pages_and_others_are_404() {
    let admin = Admin::start(Duration::from_secs(30)).await;
    let (status, body) = admin.ask("/").await;
    assert_eq!(status, 200);
    for page in ["/metrics", "/health", "/ready"] {
        assert!(body.contains(page), "{body}");
    }
    assert_eq!(admin.ask("/nothing").await.0, 404);
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_cure() {
    let admin = Admin::start(Duration::from_secs(30)).await;
    let error = AdminServer::bind(&admin.address)
        .await
        .unwrap_err()
        .to_string();
    let start = format!("the admin address {} cannot be opened: ", admin.address);
    assert!(error.starts_with(&start), "{error}");
    assert!(
        error.ends_with("give another with --admin, or --admin off"),
        "{error}"
    );
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let admin = Admin::start(Duration::from_secs(30)).await;
    admin.end.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), admin.task)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(admin.address.to_string()).await.is_err());
}

#[tokio::test]
async fn a_socket_path_serves_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let address: Address = path.to_str().unwrap().parse().unwrap();
    let server = AdminServer::bind(&address).await.unwrap();
    assert_eq!(server.address(), &address);
}
