//! Artifacts in a real S3 server, which checks signatures and keeps objects as files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::components::{VERSITYGW, need};
use crate::pod::Pod;
use crate::server::Server;

struct Store {
    server: Server,
    folder: TempDir,
}

impl Store {
    fn start() -> Option<Self> {
        let program = need(VERSITYGW)?;
        // Next to the build: it keeps what objects are in extended attributes, which a file system in memory may not have.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir_all(folder.path().join("store/bucket")).unwrap();
        let server = Server::start(program, |command, address| {
            command.env("ROOT_ACCESS_KEY", "open").env("ROOT_SECRET_KEY", "sesame");
            command.args(["--port", &address.to_string(), "posix"]).arg(folder.path().join("store"));
        });
        Some(Self { server, folder })
    }

    fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join("store/bucket").join(key)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        fs::create_dir_all(self.object(key).parent().unwrap()).unwrap();
        fs::write(self.object(key), bytes).unwrap();
    }

    /// A pod of which the archive location is this server.
    fn pod(&self, secret: &str, mut template: Value) -> Pod {
        template["container"] = json!({ "volumeMounts": [{ "mountPath": "/data" }] });
        template["archiveLocation"]["s3"] = json!({
            "endpoint": self.server.address.to_string(), "insecure": true, "bucket": "bucket", "key": "wf/pod",
            "accessKeySecret": { "name": "store", "key": "id" }, "secretKeySecret": { "name": "store", "key": "key" },
        });
        let pod = Pod::new(template);
        pod.write("argo/secret/store/id", "open\n");
        pod.write("argo/secret/store/key", secret);
        pod
    }
}

#[test]
fn objects_are_loaded_by_key_and_by_what_a_key_begins_with() {
    let Some(store) = Store::start() else { return };
    store.put("in/one", b"text");
    store.put("in/folder/a", b"1");
    store.put("in/folder/deep/b c+d", b"2");
    let pod = store.pod(
        "sesame",
        json!({ "inputs": { "artifacts": [
        { "name": "one", "path": "/a", "s3": { "key": "in/one" } },
        { "name": "folder", "path": "/b", "s3": { "key": "in/folder" } },
        { "name": "slash", "path": "/c", "s3": { "key": "in/folder/" } },
        { "name": "mounted", "path": "/data/d", "s3": { "key": "in/one" } },
        { "name": "none", "path": "/e", "s3": { "key": "none" }, "optional": true },
    ] } }),
    );
    pod.run("init").is_fine();
    let inputs = "argo/inputs/artifacts";
    assert_eq!(pod.text(&format!("{inputs}/one")), "text");
    assert_eq!(pod.text(&format!("{inputs}/folder/a")), "1");
    assert_eq!(pod.text(&format!("{inputs}/folder/deep/b c+d")), "2");
    assert_eq!(pod.text(&format!("{inputs}/slash/a")), "1");
    assert_eq!(pod.text("mainctrfs/data/d"), "text");
    assert!(!pod.has(&format!("{inputs}/none")));
}

#[test]
fn a_wrong_key_is_told_without_it() {
    let Some(store) = Store::start() else { return };
    store.put("one", b"text");
    let pod = store.pod(
        "wrong-and-secret",
        json!({ "inputs": { "artifacts": [{ "name": "a", "path": "/a", "s3": { "key": "one" } }] } }),
    );
    let ended = pod.run("init");
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("input artifact a"), "{}", ended.last_words);
    assert!(!ended.stderr.contains("wrong-and-secret"), "{}", ended.stderr);
}

#[test]
fn outputs_are_stored_in_every_form_and_come_back() {
    let Some(store) = Store::start() else { return };
    let artifact = |name: &str, path: &str, archive: Value| json!({ "name": name, "path": path, "archive": archive });
    let pod = store.pod(
        "sesame",
        json!({
            "archiveLocation": { "archiveLogs": true },
            "outputs": { "artifacts": [
                { "name": "tgz", "path": "/data/folder" },
                artifact("plain", "/data/folder", json!({ "none": {} })),
                artifact("zip", "/data/folder", json!({ "zip": {} })),
                artifact("level", "/data/folder", json!({ "tar": { "compressionLevel": 0 } })),
                { "name": "own", "path": "/data/folder/a", "archive": { "none": {} }, "s3": { "key": "own/key" } },
                { "name": "layer", "path": "/layer/f" },
                artifact("layer-plain", "/layer/f", json!({ "none": {} })),
                { "name": "gone", "path": "/data/gone", "optional": true },
                { "name": "lost", "path": "/data/lost" },
                artifact("last", "/data/folder/a", json!({ "none": {} })),
            ] },
        }),
    );
    pod.write("mainctrfs/data/folder/a", "one");
    pod.write("mainctrfs/data/folder/deep/b", "two");
    symlink("/etc/passwd", pod.path("mainctrfs/data/folder/link")).unwrap();
    pod.write("var/run/argo/ctr/main/combined", "log\n");
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    builder.append_data(&mut header, "f", &b"layer"[..]).unwrap();
    pod.write("var/run/argo/outputs/artifacts/layer/f.tgz", builder.into_inner().unwrap().finish().unwrap());
    let ended = pod.wait();
    assert_eq!(ended.code, 64);
    assert_eq!(ended.last_words, "cannot save output artifact lost: /data/lost is not there");
    let reported = pod.reported();
    let keys: Vec<_> = reported["outputs"]["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| (artifact["name"].as_str().unwrap(), artifact["s3"]["key"].as_str().unwrap()))
        .collect();
    assert_eq!(
        keys,
        [
            ("tgz", "wf/pod/tgz.tgz"),
            ("plain", "wf/pod/folder"),
            ("zip", "wf/pod/zip.zip"),
            ("level", "wf/pod/level.tgz"),
            ("own", "own/key"),
            ("layer", "wf/pod/layer.tgz"),
            ("layer-plain", "wf/pod/f"),
            ("last", "wf/pod/a"),
            ("main-logs", "wf/pod/main.log"),
        ]
    );
    let stored = |key: &str| fs::read_to_string(store.object(key)).unwrap();
    let texts = ["wf/pod/folder/a", "wf/pod/folder/deep/b", "own/key", "wf/pod/f", "wf/pod/main.log"].map(stored);
    assert_eq!(texts, ["one", "two", "one", "layer", "log\n"]);
    // A link is stored as one, or not at all.
    assert!(!store.object("wf/pod/folder/link").exists());
    let listed = Command::new("tar").arg("-tvzf").arg(store.object("wf/pod/tgz.tgz")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("folder/link -> /etc/passwd") && listed.contains("folder/deep/b"), "{listed}");

    // The next step loads what this one has left, as long as nothing in it leads out.
    let pod = store.pod(
        "sesame",
        json!({ "inputs": { "artifacts": [
        { "name": "f", "path": "/f", "s3": { "key": "wf/pod/layer.tgz" } },
        { "name": "out", "path": "/o", "s3": { "key": "wf/pod/tgz.tgz" } },
    ] } }),
    );
    let ended = pod.run("init");
    assert_eq!(pod.text("argo/inputs/artifacts/f"), "layer");
    assert!(ended.last_words.contains("link to /etc/passwd leaves the archive"), "{}", ended.last_words);
}

#[test]
fn a_data_template_lists_and_transforms() {
    let Some(store) = Store::start() else { return };
    for key in ["in/a.pdf", "in/b.txt", "in/deep/c d.pdf", "other"] {
        store.put(key, b"x");
    }
    store.put("in/deep/none", b"");
    let cases = [
        (json!({ "key": "in" }), json!([]), json!(["in/a.pdf", "in/b.txt", "in/deep/c d.pdf", "in/deep/none"])),
        (
            json!({ "bucket": "bucket" }),
            json!([{ "expression": "filter(data, {# endsWith \".pdf\"})" }, { "expression": "map(data, {# + \".ready\"})" }]),
            json!(["in/a.pdf.ready", "in/deep/c d.pdf.ready"]),
        ),
        (json!({ "key": "none" }), json!([{ "expression": "len(data)" }]), json!(0)),
    ];
    for (s3, transformation, expected) in cases {
        let source = json!({ "artifactPaths": { "name": "x", "s3": s3 } });
        let pod = store.pod("sesame", json!({ "data": { "source": source, "transformation": transformation } }));
        pod.run("data").is_fine();
        let result = pod.reported()["outputs"]["result"].as_str().unwrap().to_owned();
        let mut result: Value = serde_json::from_str(&result).unwrap();
        if let Some(list) = result.as_array_mut() {
            list.sort_by_key(Value::to_string);
        }
        assert_eq!(result, expected);
    }
}

#[test]
fn what_is_wrong_with_a_data_template_is_named() {
    let paths = json!({ "artifactPaths": { "name": "x", "s3": { "endpoint": "127.0.0.1:1", "bucket": "b" } } });
    let cases = [
        (json!({}), json!([]), "data.source.artifactPaths is not set"),
        (
            json!({ "artifactPaths": { "git": { "repo": "https://127.0.0.1:1/x" } } }),
            json!([]),
            "only s3, gcs and azure",
        ),
        (paths, json!([{}, { "expression": "filter(data, {" }]), "data.transformation[1].expression: byte"),
    ];
    for (source, transformation, message) in cases {
        let ended = Pod::new(json!({ "data": { "source": source, "transformation": transformation } })).run("data");
        assert_eq!(ended.code, 64);
        assert!(ended.last_words.contains(message), "{}", ended.last_words);
    }
}

#[test]
fn a_large_file_goes_in_parts() {
    let Some(store) = Store::start() else { return };
    let pod = store.pod(
        "sesame",
        json!({ "outputs": { "artifacts": [
        { "name": "large", "path": "/data/large", "archive": { "none": {} } },
    ] } }),
    );
    let large: Vec<u8> = (0..20u32 << 20).map(|place| (place % 251) as u8).collect();
    pod.write("mainctrfs/data/large", &large);
    pod.wait().is_fine();
    assert!(fs::read(store.object("wf/pod/large")).unwrap() == large);
    let pod = store.pod(
        "sesame",
        json!({ "inputs": { "artifacts": [{ "name": "a", "path": "/a", "s3": { "key": "wf/pod/large" } }] } }),
    );
    pod.run("init").is_fine();
    assert!(fs::read(pod.path("argo/inputs/artifacts/a")).unwrap() == large);
}

#[test]
fn a_bucket_is_made_where_that_is_asked_for() {
    let Some(store) = Store::start() else { return };
    let output = |bucket: &str, creates: Value| {
        let artifact = json!({
            "name": "a", "path": "/data/a", "archive": { "none": {} }, "s3": {
                "endpoint": store.server.address.to_string(), "insecure": true, "bucket": bucket, "key": "k", "createBucketIfNotPresent": creates,
                "accessKeySecret": { "name": "store", "key": "id" }, "secretKeySecret": { "name": "store", "key": "key" },
            },
        });
        let pod = store.pod("sesame", json!({ "outputs": { "artifacts": [artifact] } }));
        pod.write("mainctrfs/data/a", "text");
        pod.wait()
    };
    let folder = store.folder.path().join("store");
    assert_eq!(output("made", Value::Null).code, 64);
    // Once it is made, and once it is there.
    for _ in 0..2 {
        output("made", json!({})).is_fine();
        assert_eq!(fs::read_to_string(folder.join("made/k")).unwrap(), "text");
    }
    let ended = output("No Bucket", json!({}));
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("cannot create bucket No Bucket: no bucket has"), "{}", ended.last_words);
    let ended = output("No-Bucket", json!({}));
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("leave out s3.createBucketIfNotPresent"), "{}", ended.last_words);
}

#[test]
fn encryption_that_is_not_there_is_named() {
    let secret = json!({ "name": "store", "key": "key" });
    let cases = [
        (json!({ "kmsEncryptionContext": "{}" }), "kmsEncryptionContext is not supported"),
        (json!({ "kmsKeyId": "k", "serverSideCustomerKeySecret": secret }), "exclude each other"),
    ];
    for (mut options, message) in cases {
        options["enableEncryption"] = json!(true);
        let place = json!({ "endpoint": "127.0.0.1:1", "bucket": "b", "key": "k", "encryptionOptions": options });
        let pod = Pod::new(json!({ "inputs": { "artifacts": [{ "name": "a", "path": "/a", "s3": place }] } }));
        pod.write("argo/secret/store/key", "x");
        let ended = pod.run("init");
        assert_eq!(ended.code, 64);
        assert!(ended.last_words.contains(message), "{}", ended.last_words);
    }
}
