//! A small API server on loopback that lists and watches what a test puts into it, and misbehaves when told to.

use super::watch::{Dependencies, Watches};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kube::Client;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The server; dropping it ends it, and what was started with [`Fake::dependencies`].
pub(in crate::cluster) struct Fake {
    shared: Arc<Shared>,
    address: std::net::SocketAddr,
    cancel: CancellationToken,
    _end: DropGuard,
}

#[derive(Default)]
struct Shared {
    collections: Mutex<BTreeMap<String, Collection>>,
    changed: Arc<Notify>,
}

/// What is at one path.
#[derive(Default)]
struct Collection {
    objects: Vec<Value>,
    /// The version is how many there are.
    events: Vec<(&'static str, Value)>,
    /// Versions before are gone.
    oldest: usize,
    refused: Option<u16>,
    /// Watches opened before the latest of these end.
    hung_up: usize,
    requests: Vec<String>,
}

impl Fake {
    pub(in crate::cluster) async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let cancel = CancellationToken::new();
        let end = cancel.clone();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await });
        Self { shared, address, _end: cancel.clone().drop_guard(), cancel }
    }

    pub(in crate::cluster) async fn dependencies(&self, watches: &Watches) -> Dependencies {
        let config = kube::Config::new(format!("http://{}", self.address).parse().unwrap());
        Dependencies {
            client: Client::try_from(config).unwrap(),
            watches: watches.clone(),
            tracker: TaskTracker::new(),
            cancel: self.cancel.clone(),
        }
    }

    fn collections(&self) -> MutexGuard<'_, BTreeMap<String, Collection>> {
        self.shared.collections.lock().unwrap()
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Collection)) {
        change(self.collections().entry(path.to_owned()).or_default());
        self.shared.changed.notify_waiters();
    }

    /// Creates or replaces an object.
    pub(in crate::cluster) fn put(&self, path: &str, mut object: Value) {
        self.change(path, |collection| {
            if object["metadata"].is_object() {
                object["metadata"]["resourceVersion"] = json!((collection.events.len() + 1).to_string());
            }
            let before = collection.objects.iter().position(|other| same(other, &object));
            match before {
                Some(at) => collection.objects[at] = object.clone(),
                None => collection.objects.push(object.clone()),
            }
            collection.events.push((if before.is_some() { "MODIFIED" } else { "ADDED" }, object));
        });
    }

    pub(in crate::cluster) fn delete(&self, path: &str, namespace: &str, name: &str) {
        self.change(path, |collection| {
            let gone = json!({"metadata": {"namespace": namespace, "name": name}});
            collection.objects.retain(|other| !same(other, &gone));
            let version = (collection.events.len() + 1).to_string();
            let gone = json!({"metadata": {"namespace": namespace, "name": name, "resourceVersion": version}});
            collection.events.push(("DELETED", gone));
        });
    }

    /// Changes objects without an event, and forgets the versions before.
    pub(in crate::cluster) fn compact(&self, path: &str, change: impl FnOnce(&mut Vec<Value>)) {
        self.change(path, |collection| {
            change(&mut collection.objects);
            collection.events.push(("BOOKMARK", json!({"metadata": {}})));
            collection.oldest = collection.events.len();
        });
    }

    /// Ends the watches that are open.
    pub(in crate::cluster) fn hang_up(&self, path: &str) {
        self.change(path, |collection| collection.hung_up += 1);
    }

    /// Answers with this code from now on.
    pub(in crate::cluster) fn refuse(&self, path: &str, code: u16) {
        self.change(path, |collection| collection.refused = Some(code));
    }

    pub(in crate::cluster) fn allow(&self, path: &str) {
        self.change(path, |collection| collection.refused = None);
    }

    /// How many requests came to a path.
    pub(in crate::cluster) fn requests(&self, path: &str) -> usize {
        self.collections().get(path).map_or(0, |collection| collection.requests.len())
    }
}

fn same(a: &Value, b: &Value) -> bool {
    ["name", "namespace"].iter().all(|key| a["metadata"][key] == b["metadata"][key])
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "code": code, "message": message})
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let query: HashMap<&str, &str> =
        uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect();
    let path = uri.path().to_owned();
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
    // Such as type=kubernetes.io/dockercfg.
    let selector = query.get("fieldSelector").map(|text| text.replace("%3D", "=").replace("%2F", "/"));
    let selected = move |object: &Value| {
        let field = selector.as_deref().and_then(|selector| selector.split_once('='));
        field.is_none_or(|(key, value)| {
            object.pointer(&format!("/{}", key.replace('.', "/"))).is_some_and(|field| field == value)
        })
    };
    let hung_up = {
        let mut collections = shared.collections.lock().unwrap();
        let collection = collections.entry(path.clone()).or_default();
        collection.requests.push(uri.query().unwrap_or_default().to_owned());
        if let Some(code) = collection.refused {
            let body = status(code, "refused by the test").to_string();
            return (StatusCode::from_u16(code).unwrap(), body).into_response();
        }
        if !query.contains_key("watch") {
            let from = number("continue").unwrap_or(0);
            let limit = number("limit").unwrap_or(usize::MAX);
            let items: Vec<&Value> =
                collection.objects.iter().filter(|object| selected(object)).skip(from).take(limit).collect();
            let to = from + items.len();
            let more = if items.len() == limit { to.to_string() } else { String::new() };
            let version = collection.events.len().to_string();
            let list = json!({"metadata": {"resourceVersion": version, "continue": more}, "items": items});
            return list.to_string().into_response();
        }
        collection.hung_up
    };
    let from = number("resourceVersion").unwrap_or(0);
    let selected = Arc::new(selected);
    let lines = stream::unfold((shared, path, from), move |(shared, path, mut from)| {
        let selected = Arc::clone(&selected);
        async move {
            loop {
                let changed = Arc::clone(&shared.changed).notified_owned();
                let line = {
                    let collections = shared.collections.lock().unwrap();
                    let collection = &collections[&path];
                    if collection.hung_up > hung_up || from == usize::MAX {
                        return None;
                    }
                    if from < collection.oldest {
                        Some((json!({"type": "ERROR", "object": status(410, "too old")}), usize::MAX))
                    } else {
                        let ours = |(kind, object): &&(&str, Value)| *kind == "DELETED" || selected(object);
                        from += collection.events.iter().skip(from).take_while(|event| !ours(event)).count();
                        let event = collection.events.get(from);
                        event.map(|(kind, object)| (json!({"type": kind, "object": object}), from + 1))
                    }
                };
                match line {
                    Some((line, next)) => {
                        let line = Bytes::from(format!("{line}\n"));
                        return Some((Ok::<_, std::convert::Infallible>(line), (shared, path, next)));
                    }
                    None => changed.await,
                }
            }
        }
    });
    Body::from_stream(lines).into_response()
}
