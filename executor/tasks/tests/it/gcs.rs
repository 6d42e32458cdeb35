//! Artifacts in a server that speaks as Google's store does.
//!
//! Of the XML API, which the executor speaks, that server has reading and listing, and uploads only by URLs that are signed. In
//! front of it, in this process, uploads are made to look so, and those in parts are put together.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse as _, Response};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::components::{FAKE_GCS_SERVER, need};
use crate::pod::Pod;
use crate::server::{Server, serve};

struct Store {
    front: SocketAddr,
    front_of: Arc<Front>,
    folder: TempDir,
    _server: Server,
}

/// What stands before the server.
struct Front {
    server: SocketAddr,
    client: reqwest::Client,
    /// What has come of the upload that is under way.
    parts: Mutex<BTreeMap<u32, Bytes>>,
    /// How many parts there were in all.
    count: Mutex<usize>,
}

async fn pass(
    State(front): State<Arc<Front>>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    let mut body = body;
    let path = uri.path();
    if query.contains_key("uploads") {
        return "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>".into_response();
    }
    if let Some(number) = query.get("partNumber") {
        front.parts.lock().unwrap().insert(number.parse().unwrap(), body);
        return [("etag", number.clone())].into_response();
    }
    let is_end = query.contains_key("uploadId");
    if is_end {
        let parts = std::mem::take(&mut *front.parts.lock().unwrap());
        *front.count.lock().unwrap() += parts.len();
        body = parts.into_values().collect::<Vec<_>>().concat().into();
    }
    let (method, query) = match method {
        Method::PUT | Method::POST => (Method::PUT, "X-Goog-Algorithm=any"),
        method => (method, uri.query().unwrap_or_default()),
    };
    let url = format!("http://{}{path}?{query}", front.server);
    let host = front.server.to_string();
    let answer = front.client.request(method, url).header("host", host).body(body).send().await.unwrap();
    let status = answer.status();
    let etag = answer.headers().get("etag").map_or("\"any\"", |etag| etag.to_str().unwrap()).to_owned();
    let modified = answer.headers().get("last-modified").cloned();
    let text = answer.bytes().await.unwrap();
    if is_end && status.is_success() {
        return "<CompleteMultipartUploadResult><ETag>any</ETag></CompleteMultipartUploadResult>".into_response();
    }
    let mut response = (status, [("etag", etag)], text).into_response();
    response.headers_mut().extend(modified.map(|modified| (axum::http::header::LAST_MODIFIED, modified)));
    response
}

impl Store {
    fn start() -> Option<Self> {
        let program = need(FAKE_GCS_SERVER)?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Next to the build: it keeps what objects are in extended attributes.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir_all(folder.path().join("bucket")).unwrap();
        let server = Server::start(program, |command, address| {
            command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", &address.port().to_string()]);
            command.args(["-public-host", &address.to_string(), "-backend", "filesystem", "-filesystem-root"]);
            command.arg(folder.path());
        });
        let (client, server_address) = (reqwest::Client::new(), server.address);
        let front_of =
            Arc::new(Front { server: server_address, client, parts: Mutex::default(), count: Mutex::default() });
        let front =
            serve(Router::new().fallback(pass).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&front_of)));
        Some(Self { front, front_of, folder, _server: server })
    }

    fn pod(&self, mut template: Value) -> Pod {
        template["container"] = json!({ "volumeMounts": [{ "mountPath": "/data" }] });
        template["archiveLocation"]["gcs"] = json!({ "bucket": "bucket", "key": "wf/pod" });
        Pod::new(template).with("STORAGE_EMULATOR_HOST", self.front.to_string())
    }
}

#[test]
fn files_and_folders_are_kept_and_loaded() {
    let Some(store) = Store::start() else { return };
    let none = json!({ "none": {} });
    let pod = store.pod(json!({ "outputs": { "artifacts": [
        { "name": "packed", "path": "/data/folder" },
        { "name": "folder", "path": "/data/folder", "archive": none },
        { "name": "empty", "path": "/data/empty", "archive": none },
        { "name": "large", "path": "/data/large", "archive": none },
        { "name": "own", "path": "/data/folder/a", "archive": none, "gcs": { "bucket": "bucket", "key": "own/key" } },
    ] } }));
    pod.write("mainctrfs/data/folder/a", "one");
    pod.write("mainctrfs/data/folder/deep/b c+d", "two");
    pod.write("mainctrfs/data/folder-beside", "no");
    pod.write("mainctrfs/data/empty", "");
    let large: Vec<u8> = (0..20_u32 << 20).map(|place| (place % 251) as u8).collect();
    pod.write("mainctrfs/data/large", &large);
    pod.wait().is_fine();
    let artifacts = pod.reported()["outputs"]["artifacts"].clone();
    let keys: Vec<_> =
        artifacts.as_array().unwrap().iter().map(|artifact| artifact["gcs"]["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["wf/pod/packed.tgz", "wf/pod/folder", "wf/pod/empty", "wf/pod/large", "own/key"]);
    assert_eq!(*store.front_of.count.lock().unwrap(), 3);
    assert!(store.folder.path().join("bucket").read_dir().unwrap().count() > 0);

    let pod = store.pod(json!({ "inputs": { "artifacts": [
        { "name": "packed", "path": "/a", "gcs": { "key": "wf/pod/packed.tgz" } },
        { "name": "folder", "path": "/b", "gcs": { "key": "wf/pod/folder" } },
        { "name": "empty", "path": "/c", "gcs": { "key": "wf/pod/empty" } },
        { "name": "large", "path": "/l", "gcs": { "key": "wf/pod/large" } },
        // A key alone is one of the archive location, whatever kind it says.
        { "name": "own", "path": "/d", "s3": { "key": "own/key" } },
        { "name": "none", "path": "/e", "gcs": { "key": "wf/pod/fold" }, "optional": true },
    ] } }));
    pod.run("init").is_fine();
    let text = |name: &str| pod.text(&format!("argo/inputs/artifacts/{name}"));
    let names = ["packed/a", "packed/deep/b c+d", "folder/a", "folder/deep/b c+d", "empty", "own"];
    assert_eq!(names.map(text), ["one", "two", "one", "two", "", "one"]);
    assert!(fs::read(pod.path("argo/inputs/artifacts/large")).unwrap() == large);
    assert!(!pod.has("argo/inputs/artifacts/none"));
}

#[test]
fn what_is_missing_or_no_key_is_told_without_it() {
    let input = |gcs: Value| json!({ "inputs": { "artifacts": [{ "name": "a", "path": "/a", "gcs": gcs }] } });
    let key = json!({ "name": "store", "key": "json" });
    for text in
        ["\"hidden\"", "hidden", "{\"private_key\": 5}", "{\"private_key\": \"hidden\", \"client_email\": \"hidden\"}"]
    {
        let pod = Pod::new(input(json!({ "bucket": "b", "key": "k", "serviceAccountKeySecret": key })));
        pod.write("argo/secret/store/json", text);
        let ended = pod.run("init");
        assert_eq!(ended.code, 64);
        assert!(ended.last_words.contains("gcs.serviceAccountKeySecret"), "{}", ended.last_words);
        assert!(!ended.stderr.contains("hidden"), "{}", ended.stderr);
    }
    let ended = Pod::new(input(json!({ "key": "k" }))).run("init");
    assert!(ended.last_words.contains("gcs.bucket is not set"), "{}", ended.last_words);
    let Some(store) = Store::start() else { return };
    let ended = store.pod(input(json!({ "key": "none" }))).run("init");
    assert!(ended.last_words.contains("none in bucket bucket is not there"), "{}", ended.last_words);
}
