//! Servers that tasks speak to: one that answers requests, and plugins.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use serde_json::Value;

/// What a server has been asked.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What it answers: a status, headers, and a body.
#[derive(Clone, Default)]
pub(crate) struct Answer(pub(crate) u16, pub(crate) Vec<(&'static str, String)>, pub(crate) String);

#[derive(Default)]
pub(crate) struct Target {
    /// By path; of several each is given once, and the last for ever.
    answers: HashMap<String, Vec<Answer>>,
    pub(crate) asked: Vec<Asked>,
    now: usize,
    /// The most that were being answered at a time.
    pub(crate) most: usize,
}

#[derive(Clone)]
pub(crate) struct Server {
    target: Arc<Mutex<Target>>,
    address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self { target: Arc::default(), address: listener.local_addr().unwrap() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await })
        });
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn target(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap()
    }

    pub(crate) fn answer(&self, path: &str, status: u16, body: impl Into<String>) -> &Self {
        self.answer_with(path, Answer(status, Vec::new(), body.into()))
    }

    pub(crate) fn answer_with(&self, path: &str, answer: Answer) -> &Self {
        self.target().answers.entry(path.to_owned()).or_default().push(answer);
        self
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.target().asked.iter().filter(|asked| asked.path == path).count()
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().to_owned();
    let Answer(status, headers, body) = {
        let mut target = server.target();
        target.asked.push(Asked { method, path: path.clone(), headers, body: body.to_vec() });
        target.now += 1;
        target.most = target.most.max(target.now);
        match target.answers.get_mut(&path) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers.first().cloned().unwrap_or_default(),
            None => Answer(404, Vec::new(), "none".to_owned()),
        }
    };
    // `/slow…` takes its time.
    if path.starts_with("/slow") {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    if path.starts_with("/never") {
        std::future::pending::<()>().await;
    }
    server.target().now -= 1;
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}
