//! Artifacts behind URLs, from a server in this process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::pod::Pod;
use crate::tls::Authority;

/// What was asked for, and what is there.
#[derive(Default)]
struct Store {
    files: HashMap<String, Vec<u8>>,
    asked: Vec<(Method, String, HeaderMap)>,
    /// How often it fails before it answers.
    failures: usize,
    /// Where it sends requests for a path, and with which status.
    redirects: HashMap<String, (u16, String)>,
    /// Whether a client that asks for a token is only known by the form.
    knows_forms: bool,
}

type Shared = Arc<Mutex<Store>>;

async fn answer(State(store): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut store = store.lock().unwrap();
    store.asked.push((method.clone(), uri.path().to_owned(), headers));
    if let Some((status, location)) = store.redirects.get(uri.path()) {
        let status = StatusCode::from_u16(*status).unwrap();
        return (status, [("location", location.clone())]).into_response();
    }
    answer_of(&mut store, &method, &uri, &body).into_response()
}

fn answer_of(store: &mut Store, method: &Method, uri: &Uri, body: &Bytes) -> (StatusCode, Vec<u8>) {
    if store.failures > 0 {
        store.failures -= 1;
        return (StatusCode::SERVICE_UNAVAILABLE, Vec::new());
    }
    match *method {
        Method::PUT => {
            store.files.insert(uri.path().to_owned(), body.to_vec());
            (StatusCode::CREATED, Vec::new())
        }
        Method::POST if store.knows_forms && !String::from_utf8_lossy(body).contains("client_secret=p%2B+") => {
            (StatusCode::UNAUTHORIZED, Vec::new())
        }
        Method::POST => (StatusCode::OK, br#"{"access_token":"granted","token_type":"bearer"}"#.to_vec()),
        _ => match store.files.get(uri.path()) {
            Some(file) => (StatusCode::OK, file.clone()),
            None => (StatusCode::NOT_FOUND, Vec::new()),
        },
    }
}

fn serve(store: Store) -> (SocketAddr, Shared) {
    let store: Shared = Arc::new(Mutex::new(store));
    (crate::server::serve(router(&store)), store)
}

fn router(store: &Shared) -> Router {
    Router::new().fallback(answer).with_state(Arc::clone(store))
}

fn tgz(name: &str, text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

fn input(artifact: Value) -> Value {
    json!({ "inputs": { "artifacts": [artifact] } })
}

#[test]
fn a_file_is_loaded_and_an_archive_unpacked() {
    let files = [("/plain".to_owned(), b"text".to_vec()), ("/tgz".to_owned(), tgz("only", "packed"))].into();
    let (address, _) = serve(Store { files, failures: 2, ..Store::default() });
    let cases = [
        ("plain", json!({}), "text".to_owned()),
        ("tgz", json!({}), "packed".to_owned()),
        ("tgz", json!({ "tar": {} }), "packed".to_owned()),
    ];
    for (name, archive, expected) in cases {
        let mut artifact = json!({ "name": "a", "path": "/a", "http": { "url": format!("http://{address}/{name}") } });
        if archive != json!({}) {
            artifact["archive"] = archive;
        }
        let pod = Pod::new(input(artifact));
        pod.run("init").is_fine();
        assert_eq!(pod.text("argo/inputs/artifacts/a"), expected);
    }
    let pod = Pod::new(input(json!({
        "name": "a", "path": "/a", "archive": { "none": {} }, "http": { "url": format!("http://{address}/tgz") },
    })));
    pod.run("init").is_fine();
    assert_eq!(std::fs::read(pod.path("argo/inputs/artifacts/a")).unwrap()[..2], [0x1f, 0x8b]);
}

#[test]
fn a_second_run_loads_anew_and_empties_nothing_of_the_users() {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for name in ["a", "b"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &b""[..]).unwrap();
    }
    let files = [("/tgz".to_owned(), builder.into_inner().unwrap().finish().unwrap())].into();
    let (address, _) = serve(Store { files, ..Store::default() });
    let artifact =
        |path: &str| json!({ "name": "a", "path": path, "http": { "url": format!("http://{address}/tgz") } });
    let pod = Pod::new(input(artifact("/a")));
    pod.run("init").is_fine();
    pod.write("argo/inputs/artifacts/a/left", "");
    pod.run("init").is_fine();
    assert!(pod.has("argo/inputs/artifacts/a/b") && !pod.has("argo/inputs/artifacts/a/left"));

    let mut template = input(artifact("/data/a"));
    template["container"] = json!({ "volumeMounts": [{ "mountPath": "/data" }] });
    let pod = Pod::new(template);
    pod.write("mainctrfs/data/a/theirs", "kept");
    let ended = pod.run("init");
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("not empty"), "{}", ended.last_words);
    assert_eq!(pod.text("mainctrfs/data/a/theirs"), "kept");
}

#[test]
fn not_found_is_final_and_may_be_optional() {
    let (address, store) = serve(Store::default());
    let artifact = |optional| {
        json!({
            "name": "a", "path": "/a", "optional": optional, "http": { "url": format!("http://u:hidden@{address}/none?sig=hidden") },
        })
    };
    Pod::new(input(artifact(true))).run("init").is_fine();
    let ended = Pod::new(input(artifact(false))).run("init");
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("/none is not there"), "{}", ended.last_words);
    assert!(!ended.stderr.contains("hidden"), "{}", ended.stderr);
    assert_eq!(store.lock().unwrap().asked.len(), 2);
}

#[test]
fn a_server_that_goes_on_failing_is_given_up() {
    let (address, store) = serve(Store { failures: 100, ..Store::default() });
    let pod = Pod::new(input(json!({ "name": "a", "path": "/a", "http": { "url": format!("http://{address}/x") } })))
        .with("EXECUTOR_RETRY_BACKOFF_STEPS", "3");
    let ended = pod.run("init");
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("503"), "{}", ended.last_words);
    assert_eq!(store.lock().unwrap().asked.len(), 3);
}

#[test]
fn who_asks_is_told_as_the_template_says() {
    let secret = |key: &str| json!({ "name": "s", "key": key });
    let (address, store) = serve(Store { files: [("/f".to_owned(), b"x".to_vec())].into(), ..Store::default() });
    let url = format!("http://{address}/f");
    let cases = [
        (json!({ "http": { "url": url, "headers": [{ "name": "X-A", "value": "b" }] } }), "x-a", "b"),
        (
            json!({ "http": { "url": url, "auth": { "basicAuth": {
                "usernameSecret": secret("user"), "passwordSecret": secret("password"),
            } } } }),
            "authorization",
            "Basic dTpw",
        ),
        (
            json!({ "artifactory": {
                "url": url, "usernameSecret": secret("user"), "passwordSecret": secret("password"),
            } }),
            "authorization",
            "Basic dTpw",
        ),
        (
            json!({ "http": { "url": url, "auth": { "oauth2": {
                "clientIDSecret": secret("user"), "clientSecretSecret": secret("password"), "tokenURLSecret": secret("url"),
            } } } }),
            "authorization",
            "Bearer granted",
        ),
    ];
    for (place, header, expected) in cases {
        let mut artifact = json!({ "name": "a", "path": "/a" });
        artifact.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
        let pod = Pod::new(input(artifact));
        for (key, text) in [("user", "u"), ("password", "p\n"), ("url", &format!("http://{address}/token"))] {
            pod.write(&format!("argo/secret/s/{key}"), text);
        }
        pod.run("init").is_fine();
        let asked = store.lock().unwrap();
        let (_, path, headers) = asked.asked.last().unwrap();
        assert_eq!((path.as_str(), headers[header].to_str().unwrap()), ("/f", expected), "{place}");
    }
}

#[test]
fn a_token_is_asked_for_in_either_way() {
    let files = [("/f".to_owned(), b"x".to_vec())].into();
    let (address, store) = serve(Store { files, knows_forms: true, ..Store::default() });
    let secret = |key: &str| json!({ "name": "s", "key": key });
    let pod =
        Pod::new(input(json!({ "name": "a", "path": "/a", "http": { "url": format!("http://{address}/f"), "auth": {
        "oauth2": {
            "clientIDSecret": secret("user"), "clientSecretSecret": secret("password"), "tokenURLSecret": secret("url"),
            "scopes": ["one", "two"], "endpointParams": [{ "key": "audience", "value": "x" }],
        },
    } } })));
    for (key, text) in [("user", "u"), ("password", "p+ p"), ("url", &format!("http://{address}/token"))] {
        pod.write(&format!("argo/secret/s/{key}"), text);
    }
    pod.run("init").is_fine();
    let asked = store.lock().unwrap();
    let told: Vec<_> =
        asked.asked.iter().map(|(_, path, headers)| (path.as_str(), headers.get("authorization"))).collect();
    // As a form has it: u and p%2B+p.
    let expected = [("/token", Some("Basic dTpwJTJCK3A=")), ("/token", None), ("/f", Some("Bearer granted"))];
    assert_eq!(told.len(), expected.len());
    for ((path, header), (expected_path, expected)) in told.into_iter().zip(expected) {
        assert_eq!((path, header.map(|header| header.to_str().unwrap())), (expected_path, expected));
    }
}

#[test]
fn who_is_redirected_to_learns_nothing() {
    let (there, elsewhere) = serve(Store::default());
    let (address, store) = serve(Store::default());
    {
        let mut elsewhere = elsewhere.lock().unwrap();
        elsewhere.files.insert("/f".to_owned(), b"x".to_vec());
        elsewhere.redirects.insert("/back".to_owned(), (302, format!("http://{address}/f")));
        let mut store = store.lock().unwrap();
        store.files.insert("/f".to_owned(), b"x".to_vec());
        store.redirects = [
            ("/here", (301, "/f".to_owned())),
            ("/away", (302, format!("http://{there}/f"))),
            ("/back", (307, format!("http://{there}/back"))),
            ("/circle", (308, "/circle".to_owned())),
            ("/file", (302, "file:///etc/passwd".to_owned())),
            ("/upload", (307, format!("http://{there}/uploaded"))),
            ("/lost", (302, format!("http://{there}/lost"))),
        ]
        .map(|(path, to)| (path.to_owned(), to))
        .into();
    }
    let secret = json!({ "name": "s", "key": "hidden" });
    let http = |path: &str| {
        json!({
            "url": format!("http://{address}{path}"), "headers": [{ "name": "Private-Token", "value": "hidden" }],
            "auth": { "basicAuth": { "usernameSecret": secret, "passwordSecret": secret } },
        })
    };
    let told = |store: &Shared| {
        let asked = std::mem::take(&mut store.lock().unwrap().asked);
        let known =
            |headers: &HeaderMap| headers.contains_key("authorization") || headers.contains_key("private-token");
        asked.iter().map(|(_, _, headers)| known(headers)).collect::<Vec<_>>()
    };
    let load = |path: &str| {
        let pod = Pod::new(input(json!({ "name": "a", "path": "/a", "http": http(path) })));
        pod.write("argo/secret/s/hidden", "hidden");
        (pod.run("init"), pod)
    };
    for (path, here, away) in [
        ("/here", vec![true, true], vec![]),
        ("/away", vec![true], vec![false]),
        // Who has sent it away does not choose what is asked with a password.
        ("/back", vec![true, false], vec![false]),
    ] {
        let (ended, pod) = load(path);
        ended.is_fine();
        assert_eq!(pod.text("argo/inputs/artifacts/a"), "x");
        assert_eq!((told(&store), told(&elsewhere)), (here, away), "{path}");
    }
    for (path, message) in [("/circle", "redirected more than"), ("/file", "redirected to no URL")] {
        let (ended, _) = load(path);
        assert_eq!(ended.code, 64);
        assert!(ended.last_words.contains(message), "{}", ended.last_words);
    }
    told(&store);
    let save = |path: &str| {
        let pod = Pod::new(json!({
            "container": { "volumeMounts": [{ "mountPath": "/data" }] },
            "outputs": { "artifacts": [{ "name": "a", "path": "/data/f", "archive": { "none": {} }, "http": http(path) }] },
        }));
        pod.write("argo/secret/s/hidden", "hidden");
        pod.write("mainctrfs/data/f", "kept");
        pod.wait()
    };
    save("/upload").is_fine();
    assert_eq!((told(&store), told(&elsewhere)), (vec![true], vec![false]));
    assert_eq!(elsewhere.lock().unwrap().files["/uploaded"], b"kept");
    let ended = save("/lost");
    assert!(ended.last_words.contains("a redirect of an upload is 307 or 308"), "{}", ended.last_words);
    assert!(elsewhere.lock().unwrap().asked.is_empty());
}

#[test]
fn a_client_shows_its_certificate() {
    let authority = Authority::new();
    let store = Store { files: [("/f".to_owned(), b"x".to_vec())].into(), ..Store::default() };
    let address = authority.serve(router(&Arc::new(Mutex::new(store))), true);
    let secret = |key: &str| json!({ "name": "s", "key": key });
    let load = |auth: Value, key: Option<&str>| {
        let url = format!("https://{address}/f");
        let pod = Pod::new(input(json!({ "name": "a", "path": "/a", "http": { "url": url, "auth": auth } })));
        let identity = authority.issue("client");
        pod.write("argo/secret/s/certificate", &identity.certificate);
        pod.write("argo/secret/s/key", key.unwrap_or(&identity.key));
        pod.write("authority", authority.pem());
        let authority = pod.path("authority").to_str().unwrap().to_owned();
        pod.with("SSL_CERT_FILE", authority).with("EXECUTOR_RETRY_BACKOFF_STEPS", "1").run("init")
    };
    let both = json!({ "clientCert": { "clientCertSecret": secret("certificate"), "clientKeySecret": secret("key") } });
    load(both.clone(), None).is_fine();
    assert_eq!(load(json!({}), None).code, 64);
    let ended = load(both, Some("hidden"));
    assert!(ended.last_words.contains("http.auth.clientCert"), "{}", ended.last_words);
    assert!(!ended.stderr.contains("hidden"), "{}", ended.stderr);
}

#[test]
fn an_output_is_put() {
    let (address, store) = serve(Store { failures: 1, ..Store::default() });
    let pod = Pod::new(json!({
        "container": { "volumeMounts": [{ "mountPath": "/data" }] },
        "outputs": { "artifacts": [
            { "name": "a", "path": "/data/f", "archive": { "none": {} }, "http": { "url": format!("http://{address}/put") } },
        ] },
    }));
    pod.write("mainctrfs/data/f", "kept");
    pod.wait().is_fine();
    assert_eq!(store.lock().unwrap().files["/put"], b"kept");
    assert_eq!(pod.reported()["outputs"]["artifacts"][0]["http"]["url"], format!("http://{address}/put"));
}
