//! Real sockets on loopback, real TLS, and limits short enough to wait for.

mod clients;
mod drain;
mod http;
mod limits;
mod plain;
mod reload;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{any, get, post};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{CertificateSource, Dependencies, Drain, Limits, Metrics, Options, Readiness, Server, start};
use crate::certificate::{Generated, Pair, generate};

/// Far longer than anything should take; a test that gets here has failed.
const FOREVER: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits {
    connections: 16,
    handshake: Duration::from_millis(200),
    first_request: Duration::from_millis(200),
    head: Duration::from_millis(200),
    idle: Duration::from_millis(400),
    request: Duration::from_millis(400),
    answer: Duration::from_millis(100),
    body: 64 << 10,
    bodies: 96 << 10,
    streams: 8,
};

struct Fixture {
    server: Server,
    certificate: Generated,
    readiness: Readiness,
    registry: Arc<Registry>,
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

fn options() -> Options {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Options {
        listen: loopback,
        plain: Some(loopback),
        limits: LIMITS,
        drain: Drain { lame_duck: Duration::ZERO, timeout: FOREVER },
        clients: None,
    }
}

fn certificate() -> Generated {
    generate(&["localhost".to_owned()], SystemTime::now(), Duration::from_secs(3600)).unwrap()
}

fn pair(made: &Generated) -> Pair {
    Pair::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap()
}

async fn serve(options: Options) -> Fixture {
    let certificate = certificate();
    let source = CertificateSource::Fixed(pair(&certificate));
    serve_with(options, certificate, source).await
}

async fn serve_with(options: Options, certificate: Generated, source: CertificateSource) -> Fixture {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let registry = Arc::new(registry);
    let (readiness, shutdown, tracker) = (Readiness::default(), CancellationToken::new(), TaskTracker::new());
    let dependencies = Dependencies {
        application: application(),
        plain: Router::new(),
        certificate: source,
        readiness: readiness.clone(),
        metrics,
        registry: Arc::clone(&registry),
        shutdown: shutdown.clone(),
        tracker: tracker.clone(),
    };
    let server = start(options, dependencies).await.unwrap();
    Fixture { server, certificate, readiness, registry, shutdown, tracker }
}

fn application() -> Router {
    Router::new()
        .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/slow",
            get(|| async {
                sleep(Duration::from_millis(250)).await;
                "done"
            }),
        )
        .route("/stuck", any(std::future::pending::<()>))
        .route("/panic", get(panics))
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

impl Fixture {
    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.address().port())
    }

    fn plain_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.plain_address().unwrap())
    }

    fn client_config(&self, protocol: &str) -> ClientConfig {
        client_config(&[&self.certificate], protocol)
    }

    fn client(&self, protocol: &str) -> reqwest::Client {
        client(self.client_config(protocol))
    }

    async fn tls(&self, protocol: &str) -> TlsStream<TcpStream> {
        tls(self.server.address(), self.client_config(protocol)).await.unwrap()
    }

    fn metric(&self, series: &str) -> f64 {
        metric(&self.registry, series)
    }

    fn rejected(&self, reason: &str) -> f64 {
        self.metric(&format!("connections_rejected_total{{reason=\"{reason}\"}}"))
    }

    /// Ends the server; every task it ever spawned must be gone afterwards.
    async fn stop(self) {
        self.shutdown.cancel();
        timeout(FOREVER, self.server.stopped()).await.expect("the server stops");
        self.tracker.close();
        timeout(FOREVER, self.tracker.wait()).await.expect("no task is left");
    }
}

/// The value of the metric whose line begins with `series`; 0 for one that was never touched.
fn metric(registry: &Registry, series: &str) -> f64 {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// A client that trusts the authorities of `certificates` and offers one ALPN protocol.
fn client_config(certificates: &[&Generated], protocol: &str) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(certificates))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config
}

fn roots(certificates: &[&Generated]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(CertificateDer::from_pem_slice(certificate.ca_pem.as_bytes()).unwrap()).unwrap();
    }
    roots
}

fn client(config: ClientConfig) -> reqwest::Client {
    let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .resolve("localhost", localhost)
        .no_proxy()
        .timeout(FOREVER)
        .build()
        .unwrap()
}

async fn tls(address: SocketAddr, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Everything the peer says until it closes the connection, and how long that took.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, Duration) {
    let began = Instant::now();
    let mut said = Vec::new();
    // How a peer closes (with or without close_notify, in order or by reset) is not the question here.
    let _ = timeout(FOREVER, stream.read_to_end(&mut said)).await.expect("the server closes the connection");
    (said, began.elapsed())
}

/// One HTTP/1.1 answer, as far as it comes in one piece, which ours do.
async fn one_answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut buffer = vec![0; 4096];
    let read = timeout(FOREVER, stream.read(&mut buffer)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// Waits until `condition` holds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < FOREVER, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// What an HTTP/2 client says first: the preface, and its settings (RFC 9113 §3.4).
fn preface(settings: &[u8]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, 0, settings)].concat()
}

/// One HTTP/2 frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

async fn say(stream: &mut TlsStream<TcpStream>, words: impl AsRef<[u8]>) {
    stream.write_all(words.as_ref()).await.unwrap();
    stream.flush().await.unwrap();
}
