//! Askers that each send the next review when the last is answered.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// What is sent, and how much of it at once.
pub(crate) struct Load<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) connections: usize,
    /// How many reviews are in flight on each connection; one on HTTP/1.1.
    pub(crate) open: usize,
    pub(crate) address: SocketAddr,
    pub(crate) tls: &'a TlsConnector,
    /// What is sent next; nothing: no more.
    pub(crate) body: Arc<dyn Fn() -> Option<Bytes> + Send + Sync>,
}

/// The same again and again.
pub(crate) fn always(body: Bytes) -> Arc<dyn Fn() -> Option<Bytes> + Send + Sync> {
    Arc::new(move || Some(body.clone()))
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Answered {
    /// From the request to the whole answer, for each.
    pub(crate) times: Vec<Duration>,
    /// How many were told to come again.
    pub(crate) refused: usize,
    /// From the first request to the last answer; connections are made before.
    pub(crate) took: Duration,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Load<'_> {
    /// Asks until `time` is over or there is no more to send; each asker at least once.
    pub(crate) async fn run(&self, time: Duration) -> Answered {
        let mut senders = Vec::with_capacity(self.connections * self.open);
        for _ in 0..self.connections {
            senders.extend(self.connect().await);
        }
        let started = Instant::now();
        let askers: Vec<_> = senders
            .into_iter()
            .map(|sender| tokio::spawn(ask(sender, self.address.to_string(), Arc::clone(&self.body), started + time)))
            .collect();
        let mut all = Answered::default();
        for asker in askers {
            let (times, refused) = asker.await.unwrap();
            all.times.extend(times);
            all.refused += refused;
        }
        all.took = started.elapsed();
        all
    }

    async fn connect(&self) -> Vec<Sender> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let http2 = self.protocol == Protocol::Http2;
        let alpn = if http2 { b"h2".as_slice() } else { b"http/1.1" };
        let mut config = (**self.tls.config()).clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        let tls = TokioIo::new(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap());
        if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), tls).await.unwrap();
            tokio::spawn(connection);
            (0..self.open).map(|_| Sender::Http2(sender.clone())).collect()
        } else {
            let (sender, connection) = http1::handshake(tls).await.unwrap();
            tokio::spawn(connection);
            vec![Sender::Http1(sender)]
        }
    }
}

impl Sender {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Self::Http2(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
        }
    }
}

async fn ask(
    mut sender: Sender,
    host: String,
    next: Arc<dyn Fn() -> Option<Bytes> + Send + Sync>,
    until: Instant,
) -> (Vec<Duration>, usize) {
    let (mut times, mut refused) = (Vec::new(), 0);
    while let Some(body) = next() {
        let request = match sender {
            Sender::Http1(_) => Request::post("/mutate?timeout=10s").header(HOST, &host),
            Sender::Http2(_) => Request::post(format!("https://{host}/mutate?timeout=10s")),
        };
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body)).unwrap();
        let asked = Instant::now();
        let answer = sender.send(request).await;
        assert_eq!(answer.status(), 200);
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        times.push(asked.elapsed());
        // The verdict stands near the beginning; to search the patch would cost the server's processor time.
        if !contains(&answer[..answer.len().min(200)], br#""allowed":true"#) {
            assert!(contains(&answer, br#""code":503"#), "{}", String::from_utf8_lossy(&answer));
            refused += 1;
        }
        if Instant::now() >= until {
            break;
        }
    }
    (times, refused)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
