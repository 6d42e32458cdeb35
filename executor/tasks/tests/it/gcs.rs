//! Artifacts in a server that speaks as Google's store does.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::components::{FAKE_GCS_SERVER, need};
use crate::pod::Pod;
use crate::server::Server;

struct Store {
    server: Server,
    folder: TempDir,
}

impl Store {
    fn start() -> Option<Self> {
        let program = need(FAKE_GCS_SERVER)?;
        // Next to the build: it keeps what objects are in extended attributes.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir_all(folder.path().join("bucket")).unwrap();
        let server = Server::start(program, |command, address| {
            command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", &address.port().to_string()]);
            command.args(["-public-host", &address.to_string(), "-backend", "filesystem", "-filesystem-root"]);
            command.arg(folder.path());
        });
        Some(Self { server, folder })
    }

    fn pod(&self, mut template: Value) -> Pod {
        template["container"] = json!({ "volumeMounts": [{ "mountPath": "/data" }] });
        template["archiveLocation"]["gcs"] = json!({ "bucket": "bucket", "key": "wf/pod" });
        Pod::new(template).with("STORAGE_EMULATOR_HOST", self.server.address.to_string())
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
        { "name": "own", "path": "/data/folder/a", "archive": none, "gcs": { "bucket": "bucket", "key": "own/key" } },
    ] } }));
    pod.write("mainctrfs/data/folder/a", "one");
    pod.write("mainctrfs/data/folder/deep/b c+d", "two");
    pod.write("mainctrfs/data/folder-beside", "no");
    pod.write("mainctrfs/data/empty", "");
    pod.wait().is_fine();
    let artifacts = pod.reported()["outputs"]["artifacts"].clone();
    let keys: Vec<_> =
        artifacts.as_array().unwrap().iter().map(|artifact| artifact["gcs"]["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["wf/pod/packed.tgz", "wf/pod/folder", "wf/pod/empty", "own/key"]);
    assert!(store.folder.path().join("bucket").read_dir().unwrap().count() > 0);

    let pod = store.pod(json!({ "inputs": { "artifacts": [
        { "name": "packed", "path": "/a", "gcs": { "key": "wf/pod/packed.tgz" } },
        { "name": "folder", "path": "/b", "gcs": { "key": "wf/pod/folder" } },
        { "name": "empty", "path": "/c", "gcs": { "key": "wf/pod/empty" } },
        // A key alone is one of the archive location, whatever kind it says.
        { "name": "own", "path": "/d", "s3": { "key": "own/key" } },
        { "name": "none", "path": "/e", "gcs": { "key": "wf/pod/fold" }, "optional": true },
    ] } }));
    pod.run("init").is_fine();
    let text = |name: &str| pod.text(&format!("argo/inputs/artifacts/{name}"));
    let names = ["packed/a", "packed/deep/b c+d", "folder/a", "folder/deep/b c+d", "empty", "own"];
    assert_eq!(names.map(text), ["one", "two", "one", "two", "", "one"]);
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
