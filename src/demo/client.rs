//! The API server's part: one connection over TLS, HTTP/1.1, and a POST.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// No answer of a webhook is longer.
const LONGEST: usize = 16 << 20;

/// A connection that stays open.
pub(super) struct Client {
    requests: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Client {
    /// Connects, trusting one authority only.
    pub(super) async fn connect(address: SocketAddr, ca_pem: &str, tracker: &TaskTracker) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let tls = TlsConnector::from(Arc::new(config)).connect(ServerName::from(address.ip()), tcp).await?;
        let (requests, connection) = handshake(TokioIo::new(tls)).await?;
        // Its errors are those of the requests.
        tracker.spawn(async move { drop(connection.await) });
        Ok(Self { requests, authority: address.to_string() })
    }

    /// The body of the answer to a JSON body.
    pub(super) async fn post(&mut self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        self.requests.ready().await?;
        let response = self.requests.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes();
        if !status.is_success() {
            return Err(format!("HTTP {status}: {}", String::from_utf8_lossy(&body).trim()).into());
        }
        Ok(body)
    }
}
