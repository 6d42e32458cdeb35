//! Artifacts in a server that speaks as Azure's store does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::components::{AZURITE, need};
use crate::pod::Pod;
use crate::server::Server;

const ACCOUNT: &str = "shop";
const KEY: &[u8] = b"thirty-two bytes make a good key";

struct Store {
    server: Server,
    _folder: TempDir,
}

impl Store {
    /// With one container, `box`.
    fn start() -> Option<Self> {
        let program = need(AZURITE)?;
        let folder = TempDir::new().unwrap();
        let server = Server::start(program, |command, address| {
            command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--blobHost", "127.0.0.1"]);
            command.args(["--blobPort", &address.port().to_string(), "--location"]).arg(folder.path());
            command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", BASE64.encode(KEY)));
        });
        let store = Self { server, _folder: folder };
        let created = store.ask("PUT", &format!("/{ACCOUNT}/box?restype=container&{}", signature()), "");
        assert!(created.starts_with("HTTP/1.1 201"), "{created}");
        Some(store)
    }

    /// One request, without a library.
    fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.server.address).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.server.address);
        write!(stream, "{head}Content-Length: 0\r\nx-ms-version: 2020-10-02\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn place(&self, blob: &str) -> Value {
        json!({
            "endpoint": format!("http://{}/{ACCOUNT}", self.server.address), "container": "box", "blob": blob,
            "accountKeySecret": { "name": "store", "key": "key" },
        })
    }

    fn pod(&self, secret: &str, mut template: Value) -> Pod {
        template["container"] = json!({ "volumeMounts": [{ "mountPath": "/data" }] });
        template["archiveLocation"]["azure"] = self.place("wf/pod");
        let pod = Pod::new(template);
        pod.write("argo/secret/store/key", secret);
        pod
    }
}

fn key() -> String {
    BASE64.encode(KEY)
}

/// A shared access signature for the account: all rights, for years.
fn signature() -> String {
    let (rights, services, kinds, end, version) = ("rwdlac", "b", "sco", "2099-01-01T00:00:00Z", "2020-10-02");
    let text = format!("{ACCOUNT}\n{rights}\n{services}\n{kinds}\n\n{end}\n\nhttps,http\n{version}\n");
    let signed = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, KEY), text.as_bytes());
    let signed = BASE64.encode(signed).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sv={version}&ss={services}&srt={kinds}&sp={rights}&se={end}&spr=https,http&sig={signed}")
}

#[test]
fn files_and_folders_are_kept_and_loaded_by_key_and_by_signature() {
    let Some(store) = Store::start() else { return };
    let none = json!({ "none": {} });
    let pod = store.pod(
        &key(),
        json!({ "outputs": { "artifacts": [
        { "name": "packed", "path": "/data/folder" },
        { "name": "folder", "path": "/data/folder", "archive": none },
        { "name": "empty", "path": "/data/empty", "archive": none },
        { "name": "large", "path": "/data/large", "archive": none },
    ] } }),
    );
    pod.write("mainctrfs/data/folder/a", "one");
    pod.write("mainctrfs/data/folder/deep/b c+d", "two");
    pod.write("mainctrfs/data/empty", "");
    // More than one part.
    let large: Vec<u8> = (0..20_u32 << 20).map(|place| (place % 251) as u8).collect();
    pod.write("mainctrfs/data/large", &large);
    pod.wait().is_fine();
    assert_eq!(pod.reported()["outputs"]["artifacts"][1]["azure"]["blob"], "wf/pod/folder");
    // What a folder is in an account with a hierarchical namespace.
    let path = format!("/{ACCOUNT}/box/wf/pod/folder?{}", signature());
    let put = store.ask("PUT", &path, "x-ms-blob-type: BlockBlob\r\n");
    assert!(put.starts_with("HTTP/1.1 201"), "{put}");
    for secret in [key(), signature(), format!("?{}", signature())] {
        let pod = store.pod(
            &secret,
            json!({ "inputs": { "artifacts": [
            { "name": "packed", "path": "/a", "azure": { "blob": "wf/pod/packed.tgz" } },
            { "name": "folder", "path": "/b", "azure": { "blob": "wf/pod/folder" } },
            { "name": "empty", "path": "/c", "azure": { "blob": "wf/pod/empty" } },
            { "name": "large", "path": "/d", "azure": store.place("wf/pod/large") },
            { "name": "none", "path": "/e", "azure": { "blob": "wf/pod/fold" }, "optional": true },
        ] } }),
        );
        pod.run("init").is_fine();
        let text = |name: &str| pod.text(&format!("argo/inputs/artifacts/{name}"));
        let names = ["packed/a", "packed/deep/b c+d", "folder/a", "folder/deep/b c+d", "empty"];
        assert_eq!(names.map(text), ["one", "two", "one", "two", ""]);
        assert!(std::fs::read(pod.path("argo/inputs/artifacts/large")).unwrap() == large);
        assert!(!pod.has("argo/inputs/artifacts/none"));
    }
}

#[test]
fn what_is_missing_or_wrong_is_told_without_the_key() {
    let input = |azure: Value| json!({ "inputs": { "artifacts": [{ "name": "a", "path": "/a", "azure": azure }] } });
    let place = json!({ "endpoint": "https://shop.blob.core.windows.net", "container": "c", "blob": "b" });
    let with = |name: &str, value: Value| {
        let mut place = place.clone();
        place[name] = value;
        place
    };
    let secret = json!({ "name": "store", "key": "key" });
    let mut unclear = with("accountKeySecret", secret.clone());
    unclear["endpoint"] = json!("http://localhost:1");
    let cases = [
        (place.clone(), "azure.accountKeySecret is not set"),
        (with("container", json!("")), "azure.accountKeySecret is not set"),
        (with("accountKeySecret", secret), "azure.accountKeySecret holds neither"),
        (unclear, "azure.endpoint"),
    ];
    for (azure, message) in cases {
        let pod = Pod::new(input(azure));
        pod.write("argo/secret/store/key", "not base64 and hidden");
        let ended = pod.run("init");
        assert_eq!(ended.code, 64);
        assert!(ended.last_words.contains(message), "{}", ended.last_words);
        assert!(!ended.stderr.contains("hidden"), "{}", ended.stderr);
    }
    let Some(store) = Store::start() else { return };
    let wrong = BASE64.encode(b"hidden");
    let ended = store.pod(&wrong, input(json!({ "blob": "a" }))).run("init");
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("403") || ended.last_words.contains("Forbidden"), "{}", ended.last_words);
    assert!(!ended.stderr.contains(&wrong), "{}", ended.stderr);
}
