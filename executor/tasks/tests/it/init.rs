//! Input artifacts that need no server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::pod::Pod;

fn inputs(artifacts: Value) -> Value {
    json!({ "name": "t", "container": { "volumeMounts": [{ "mountPath": "/data" }] }, "inputs": { "artifacts": artifacts } })
}

#[test]
fn a_raw_artifact_is_a_file() {
    let pod = Pod::new(inputs(json!([
        { "name": "a", "path": "/tmp/a", "raw": { "data": "text" }, "mode": 0o640 },
        { "name": "b", "path": "/data/deep/b", "raw": { "data": "" } },
    ])));
    pod.run("init").is_fine();
    assert_eq!(pod.text("argo/inputs/artifacts/a"), "text");
    let mode = fs::metadata(pod.path("argo/inputs/artifacts/a")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    // Under a volume of the user's, into that.
    assert_eq!(pod.text("mainctrfs/data/deep/b"), "");
    // Once more, as after a restart.
    pod.run("init").is_fine();
}

#[test]
fn what_is_missing_is_an_error_unless_it_is_optional() {
    let pod = Pod::new(inputs(json!([{ "name": "a", "path": "/a", "optional": true }])));
    pod.run("init").is_fine();
    let pod = Pod::new(inputs(json!([{ "name": "a", "path": "/a" }])));
    let ended = pod.run("init");
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("input artifact a"), "{}", ended.last_words);
}

#[test]
fn no_name_leaves_the_volume() {
    let pod = Pod::new(inputs(json!([
        { "name": "../../../out", "path": "/a", "raw": { "data": "x" } },
        { "name": "b", "path": "/data/../../../out", "raw": { "data": "x" } },
    ])));
    pod.run("init").is_fine();
    assert!(!pod.has("out") && !pod.has("argo/out"));
    assert_eq!(pod.text("argo/inputs/artifacts/out"), "x");
}

#[test]
fn what_to_write_for_a_kind_that_is_not_there_is_told() {
    for (kind, instead) in [("oss", "write s3 with endpoint"), ("hdfs", "write http with url")] {
        let place = json!({ "key": "k", "path": "k", "bucket": "b", "endpoint": "e", "addresses": ["a"] });
        let pod = Pod::new(inputs(json!([{ "name": "a", "path": "/a", kind: place }])));
        let ended = pod.run("init");
        assert_eq!(ended.code, 64, "{kind}");
        let words = [format!("artifacts in {kind} are not supported"), instead.to_owned()];
        assert!(words.iter().all(|words| ended.last_words.contains(words)), "{}", ended.last_words);
    }
}

#[test]
fn a_field_that_a_place_needs_is_named() {
    let cases = [
        ("s3", json!({ "endpoint": "e", "key": "k" }), "s3.bucket is not set"),
        ("gcs", json!({ "bucket": "b" }), "is not there"),
        ("azure", json!({ "blob": "b", "useSDKCreds": true }), "azure.endpoint is not set"),
        ("http", json!({ "url": "not a url" }), "http.url: "),
        ("artifactory", json!({ "url": "nor this" }), "artifactory.url: "),
        ("git", json!({ "repo": "git@github.com:group/repo" }), "write https://HOST/PATH"),
    ];
    for (kind, place, message) in cases {
        let ended = Pod::new(inputs(json!([{ "name": "a", "path": "/a", kind: place }]))).run("init");
        assert_eq!(ended.code, 64, "{kind}");
        assert!(ended.last_words.contains(message), "{}", ended.last_words);
    }
}

#[test]
fn a_secret_that_is_not_mounted_is_named_and_none_is_shown() {
    let secret = |key: &str| json!({ "name": "store", "key": key });
    let pod = Pod::new(inputs(json!([{ "name": "a", "path": "/a", "s3": {
        "endpoint": "127.0.0.1:1", "bucket": "b", "key": "k", "accessKeySecret": secret("id"), "secretKeySecret": secret("none"),
    } }])));
    pod.write("argo/secret/store/id", "open-sesame");
    let ended = pod.run("init");
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("key none of secret store"), "{}", ended.last_words);
    assert!(!ended.stderr.contains("open-sesame"));
}

#[test]
fn a_secret_is_not_read_from_elsewhere() {
    let secret = json!({ "name": "..", "key": "../../passwd" });
    let pod = Pod::new(inputs(json!([{ "name": "a", "path": "/a", "artifactory": {
        "url": "http://127.0.0.1:1/", "usernameSecret": secret,
    } }])));
    pod.write("passwd", "x");
    let ended = pod.run("init");
    assert!(ended.last_words.contains("cannot read key"), "{}", ended.last_words);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever the template is, it ends by itself, with a code of the contract.
    #[test]
    fn any_template_is_read_or_refused(text in "[\\[\\]{}\":,a-z0-9 ]{0,40}|[^\u{0}]{0,40}") {
        let pod = Pod::new(Value::Null).with("ARGO_TEMPLATE", text);
        let ended = pod.run("init");
        prop_assert!(matches!(ended.code, 0 | 64), "{}: {}", ended.code, ended.stderr);
    }

    /// Known fields that hold something else.
    #[test]
    fn any_artifact_is_read_or_refused(
        kind in "(s3|http|raw|git|plugin|archive|mode|name|path)",
        value in "(null|1|-1|\"\"|\"x\"|\\[\\]|\\{\\}|\\{\"key\":1\\}|\\{\"url\":\"x\"\\}|\\{\"data\":null\\}|true)",
    ) {
        let text = format!(r#"{{"inputs":{{"artifacts":[{{"raw":{{"data":"x"}},"name":"a","path":"/a","{kind}":{value}}}]}}}}"#);
        let pod = Pod::new(Value::Null).with("ARGO_TEMPLATE", text);
        let ended = pod.run("init");
        prop_assert!(matches!(ended.code, 0 | 64), "{}: {}", ended.code, ended.stderr);
    }
}
