//! `init`, as far as it needs no network.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::pod::{Ended, Pod};

fn init(pod: &Pod, template: &str) -> Ended {
    let mut command = pod.argoexec("init");
    command
        .args(["init", "--loglevel", "info", "--log-format", "text", "--gloglevel", "0"])
        .env("ARGO_TEMPLATE", template);
    pod.start("init", command).end()
}

fn mode(pod: &Pod, place: &str) -> u32 {
    fs::metadata(pod.path(place)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_volume_is_filled() {
    let pod = Pod::new(&json!({}));
    let template = r#"{"name":"t", "of-a-version-to-come": [1.50], "script":{"source":"print(1)\n"}}"#;
    // A second time as after a restart.
    for _ in 0..2 {
        let ended = init(&pod, template);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        assert_eq!(pod.text("var/run/argo/template"), template, "unknown fields and all");
        assert_eq!(pod.text("argo/staging/script"), "print(1)\n");
        assert_eq!(
            [
                mode(&pod, "var/run/argo/argoexec"),
                mode(&pod, "var/run/argo/template"),
                mode(&pod, "argo/staging/script")
            ],
            [0o555, 0o444, 0o755]
        );
    }
    let own = fs::read(env!("CARGO_BIN_EXE_argoexec")).unwrap();
    assert!(fs::read(pod.path("var/run/argo/argoexec")).unwrap() == own);
    let said = std::process::Command::new(pod.path("var/run/argo/argoexec")).arg("version").output().unwrap();
    assert!(said.status.success());
    let left: Vec<_> =
        fs::read_dir(pod.path("var/run/argo")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_manifest_is_staged() {
    let pod = Pod::new(&json!({}));
    assert_eq!(init(&pod, r#"{"resource":{"action":"create","manifest":"kind: Pod"}}"#).code, 0);
    assert_eq!((pod.text("tmp/manifest.yaml").as_str(), mode(&pod, "tmp/manifest.yaml")), ("kind: Pod", 0o644));
}

#[test]
fn a_template_that_was_too_long_is_found() {
    let pod = Pod::new(&json!({}));
    pod.write("argo/config/ARGO_TEMPLATE", r#"{"name":"long"}"#);
    assert_eq!(init(&pod, "offloaded").code, 0);
    assert_eq!(pod.text("var/run/argo/template"), r#"{"name":"long"}"#);
}

#[test]
fn what_has_to_be_got_is_the_siblings() {
    let artifact: Value = json!({"name": "a", "path": "/a", "raw": {"data": "x"}});
    for template in
        [json!({"inputs": {"artifacts": [artifact]}}), json!({"resource": {"manifestFrom": {"artifact": artifact}}})]
    {
        let pod = Pod::new(&json!({}));
        let ended = init(&pod, &template.to_string());
        assert_eq!(ended.code, 64);
        assert!(ended.last_words.contains("argoexec-tasks"), "{}", ended.last_words);
        assert_eq!(pod.text("var/run/argo/template"), template.to_string(), "and what is ours has been done");
    }
}

#[test]
fn what_is_no_template_is_said() {
    for (template, part) in
        [("", "ARGO_TEMPLATE is not set"), ("{", "is no template"), ("offloaded", "argo/config/ARGO_TEMPLATE")]
    {
        let pod = Pod::new(&json!({}));
        let ended = init(&pod, template);
        assert_eq!(ended.code, 64);
        assert!(ended.last_words.contains(part), "{template}: {}", ended.last_words);
    }
}
