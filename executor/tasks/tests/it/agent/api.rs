//! An API server of one task set: it lists, watches and patches, over TLS, and misbehaves where a test wants it to.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use axum::serve::Listener;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use crate::pod::Pod;

const SETS: &str = "/apis/argoproj.io/v1alpha1/namespaces/tests/workflowtasksets";
const SECRETS: &str = "/api/v1/namespaces/tests/secrets/";

#[derive(Default)]
pub(crate) struct Api {
    set: Option<Value>,
    version: u64,
    /// Lines of watches, by the version that they led to.
    events: Vec<(u64, Value)>,
    /// Watches from before this version are answered 410.
    pub(crate) forgotten: u64,
    /// Watches that are open end when it grows.
    generation: u64,
    pub(crate) may_not_list: bool,
    pub(crate) may_not_watch: bool,
    pub(crate) may_not_patch: bool,
    /// What patches are answered with before they are done.
    pub(crate) troubles: VecDeque<u16>,
    /// A node that no patch may have in any other phase than Error.
    pub(crate) refused: Option<String>,
    pub(crate) secrets: BTreeMap<String, Value>,
    /// Patches, in the order in which they came.
    pub(crate) patches: Vec<Value>,
    /// What was asked for, without patches.
    pub(crate) asked: Vec<String>,
}

/// The server, as long as the test's process is there.
#[derive(Clone)]
pub(crate) struct Server {
    api: Arc<Mutex<Api>>,
    changed: Arc<Notify>,
    address: SocketAddr,
    authority: String,
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self {
            api: Arc::default(),
            changed: Arc::default(),
            address: listener.local_addr().unwrap(),
            authority: certificate.pem(),
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let acceptor = TlsAcceptor::from(Arc::new(config));
                axum::serve(Tls { listener, acceptor }, router).await.unwrap();
            });
        });
        server
    }

    /// An agent's pod, of the workflow `w`.
    pub(crate) fn pod(&self) -> Pod {
        let pod = Pod::new(json!({}))
            .with("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .with("KUBERNETES_SERVICE_PORT", self.address.port().to_string())
            .with("ARGO_WORKFLOW_NAME", "w")
            .with("ARGO_WORKFLOW_UID", "u")
            .with("ARGO_AGENT_PATCH_RATE", "10ms");
        let folder = "var/run/secrets/kubernetes.io/serviceaccount";
        pod.write(&format!("{folder}/token"), "t");
        pod.write(&format!("{folder}/namespace"), "tests");
        pod.write(&format!("{folder}/ca.crt"), &self.authority);
        pod
    }

    /// A URL of this server, whose certificate nobody knows.
    pub(crate) fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    /// Its certificate, PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap()
    }

    /// Makes the set, or changes it by a merge patch.
    pub(crate) fn put(&self, patch: &Value) {
        self.api().apply(patch);
        self.changed.notify_waiters();
    }

    /// Adds tasks, by the names of their nodes.
    pub(crate) fn tasks(&self, tasks: &Value) {
        self.put(&json!({ "spec": { "tasks": tasks } }));
    }

    /// Says that the workflow has ended.
    pub(crate) fn complete(&self) {
        self.put(&json!({ "metadata": { "labels": { "workflows.argoproj.io/completed": "true" } } }));
    }

    pub(crate) fn remove(&self) {
        let mut api = self.api();
        api.version += 1;
        let (version, object) = (api.version, api.set.take().unwrap());
        api.events.push((version, json!({ "type": "DELETED", "object": object })));
        drop(api);
        self.changed.notify_waiters();
    }

    /// Writes a line into watches.
    pub(crate) fn say(&self, line: Value) {
        let mut api = self.api();
        api.version += 1;
        let version = api.version;
        api.events.push((version, line));
        drop(api);
        self.changed.notify_waiters();
    }

    /// Ends the watches that are open.
    pub(crate) fn hang_up(&self) {
        self.api().generation += 1;
        self.changed.notify_waiters();
    }

    /// What has been told of a node.
    pub(crate) fn node(&self, node: &str) -> Option<Value> {
        self.api().set.as_ref()?.pointer(&format!("/status/nodes/{node}")).cloned()
    }

    pub(crate) fn phase(&self, node: &str) -> String {
        self.node(node).and_then(|node| Some(node["phase"].as_str()?.to_owned())).unwrap_or_default()
    }

    pub(crate) fn watches(&self) -> usize {
        self.api().asked.iter().filter(|asked| asked.contains("watch=true")).count()
    }
}

impl Api {
    fn apply(&mut self, patch: &Value) {
        self.version += 1;
        let kind = if self.set.is_some() { "MODIFIED" } else { "ADDED" };
        let set = self.set.get_or_insert_with(|| {
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTaskSet", "spec": { "tasks": {} },
                "metadata": { "name": "w", "ownerReferences": [{ "kind": "Workflow", "name": "w", "uid": "u" }] },
            })
        });
        merge(set, patch);
        set["metadata"]["resourceVersion"] = self.version.to_string().into();
        let event = json!({ "type": kind, "object": set });
        self.events.push((self.version, event));
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().remove(name)),
            value => merge(&mut target[name], value),
        }
    }
}

fn status(code: u16) -> Response<Body> {
    let body = json!({ "kind": "Status", "status": "Failure", "code": code, "message": format!("it is {code}") });
    Response::builder().status(StatusCode::from_u16(code).unwrap()).body(Body::from(body.to_string())).unwrap()
}

fn object(object: &Value) -> Response<Body> {
    Response::new(Body::from(object.to_string()))
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if headers.get("authorization").is_none_or(|token| token != "Bearer t") {
        return status(401);
    }
    let query = uri.query().unwrap_or_default();
    let mut api = server.api();
    if method == Method::PATCH {
        assert_eq!(uri.path(), format!("{SETS}/w/status"));
        assert_eq!(headers["content-type"], "application/merge-patch+json");
        return api.patch(&server, serde_json::from_slice(&body).unwrap());
    }
    api.asked.push(uri.to_string());
    if let Some(name) = uri.path().strip_prefix(SECRETS) {
        return api.secrets.get(name).map_or_else(|| status(404), object);
    }
    assert_eq!((uri.path(), query.contains("fieldSelector=metadata.name%3Dw")), (SETS, true), "{uri}");
    if !query.contains("watch=true") {
        if api.may_not_list {
            return status(403);
        }
        let items: Vec<_> = api.set.iter().cloned().collect();
        return object(&json!({ "metadata": { "resourceVersion": api.version.to_string() }, "items": items }));
    }
    if api.may_not_watch {
        return status(403);
    }
    let since = query.split('&').find_map(|part| part.strip_prefix("resourceVersion="));
    let since = since.map(|version| version.parse::<u64>().unwrap());
    if since.is_some_and(|since| since < api.forgotten) {
        return status(410);
    }
    let first = api.set.clone().filter(|_| since.is_none());
    let first = first.map(|object| format!("{}\n", json!({ "type": "ADDED", "object": object })));
    let watch = (server.clone(), since.unwrap_or(api.version), api.generation, first);
    Response::new(Body::from_stream(futures_util::stream::unfold(watch, lines)))
}

type Watch = (Server, u64, u64, Option<String>);

/// The next lines of a watch.
async fn lines((server, since, generation, first): Watch) -> Option<(Result<String, std::io::Error>, Watch)> {
    if let Some(first) = first {
        return Some((Ok(first), (server, since, generation, None)));
    }
    loop {
        let changed = Arc::clone(&server.changed);
        let mut changed = std::pin::pin!(changed.notified());
        changed.as_mut().enable();
        let (text, version) = {
            let api = server.api();
            if api.generation != generation {
                return None;
            }
            let new = api.events.iter().filter(|(version, _)| *version > since);
            (new.map(|(_, event)| format!("{event}\n")).collect::<String>(), api.version)
        };
        if !text.is_empty() {
            return Some((Ok(text), (server, version, generation, None)));
        }
        changed.await;
    }
}

impl Api {
    fn patch(&mut self, server: &Server, patch: Value) -> Response<Body> {
        if let Some(trouble) = self.troubles.pop_front() {
            return status(trouble);
        }
        if self.may_not_patch {
            return status(403);
        }
        let Some(set) = self.set.clone() else { return status(404) };
        if patch == json!({}) {
            return object(&set);
        }
        let refused = self.refused.as_ref().and_then(|node| patch.pointer(&format!("/status/nodes/{node}/phase")));
        let refused = refused.is_some_and(|phase| phase != "Error");
        self.patches.push(patch.clone());
        if refused {
            return status(422);
        }
        self.apply(&patch);
        server.changed.notify_waiters();
        object(self.set.as_ref().unwrap())
    }
}
