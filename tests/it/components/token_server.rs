//! A token server (Docker Registry v2 authentication, "Token Authentication") that docker-registry trusts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, header};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use reqwest::Url;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::registry::AUTH;

/// Gives tokens for `open/…` to everybody and for the rest to "ci"; it ends with the value.
pub(crate) struct TokenServer {
    /// Where it runs.
    _runtime: Runtime,
    address: SocketAddr,
    signer: Arc<Signer>,
}

struct Signer {
    key: KeyPair,
    certificate: rcgen::Certificate,
    /// Asked of it so far: the query, and whether with credentials.
    asked: Mutex<Vec<(String, bool)>>,
}

impl TokenServer {
    pub(crate) const SERVICE: &str = "registry.tests";
    pub(crate) const ISSUER: &str = "issuer.tests";

    pub(crate) fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["issuer".to_owned()]).unwrap().self_signed(&key).unwrap();
        let signer = Arc::new(Signer { key, certificate, asked: Mutex::default() });
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let application = Router::new().route("/token", get(answer)).with_state(Arc::clone(&signer));
        runtime.spawn(async move { axum::serve(listener, application).await });
        Self { _runtime: runtime, address, signer }
    }

    /// As an image name would begin.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// PEM, of the key by which tokens are signed.
    pub(crate) fn certificate(&self) -> String {
        self.signer.certificate.pem()
    }

    /// What was asked of it since the last time: the query, and whether with credentials.
    pub(crate) fn take_asked(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut *self.signer.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(State(signer): State<Arc<Signer>>, request: Request) -> Response<Body> {
    let credentials = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    signer.asked.lock().unwrap_or_else(PoisonError::into_inner).push((query.clone(), credentials.is_some()));
    let is_known = credentials.as_deref() == Some(&format!("Basic {AUTH}"));
    if credentials.is_some() && !is_known {
        return Response::builder().status(StatusCode::UNAUTHORIZED).body(Body::empty()).unwrap();
    }
    let url = Url::parse(&format!("http://token/?{query}")).unwrap();
    let scopes = url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, scope)| scope.into_owned());
    let access = scopes.filter_map(|scope| {
        let mut parts = scope.splitn(3, ':');
        let (kind, name, actions) = (parts.next()?.to_owned(), parts.next()?.to_owned(), parts.next()?.to_owned());
        let is_open = name.starts_with("open/");
        let actions: Vec<&str> =
            actions.split(',').filter(|action| is_known || (is_open && *action == "pull")).collect();
        Some(json!({"type": kind, "name": name, "actions": actions}))
    });
    let token = signer.sign(&access.collect());
    let body = json!({"token": token, "expires_in": 300}).to_string();
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}

impl Signer {
    /// A JWT, signed by ES256 (RFC 7518, 3.4).
    fn sign(&self, access: &serde_json::Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let since = |time: Duration| time.as_secs();
        let head = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(self.certificate.der())]});
        let claims = json!({
            "iss": TokenServer::ISSUER,
            "sub": "",
            "aud": TokenServer::SERVICE,
            "exp": since(now) + 300,
            "nbf": since(now) - 10,
            "iat": since(now) - 10,
            "jti": "1",
            "access": access,
        });
        let text = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key.serialize_der(), &random);
        let signature = key.unwrap().sign(&random, text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
