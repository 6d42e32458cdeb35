//! Files that are edited while it serves.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::program::{Webhook, eventually, serve};
use super::reviews::{running, wrapped};

/// From an edit to its effect: the files are read once a second.
const EFFECT: Duration = Duration::from_secs(2);

async fn is_patched(webhook: &Webhook, review: &Value) -> bool {
    webhook.post(review).await.response().get("patch").is_some()
}

async fn readiness(webhook: &Webhook) -> String {
    let (status, text) = webhook.get("/readyz?verbose").await;
    assert_eq!(status, 200, "what is in effect is good: {text}");
    text
}

#[tokio::test]
async fn an_edit_takes_effect_and_an_invalid_one_says_where_it_is_wrong() {
    let index = "example.com/app:1: {cmd: [/first]}";
    let mut webhook =
        serve("mode: dry-run\nimageIndex: {files: [index.yaml]}\n").file("index.yaml", index).start().await;
    let review = running("example.com/app:1");
    assert!(!is_patched(&webhook, &review).await);
    assert!(readiness(&webhook).await.contains("[+]settings ok: all in effect\n"));

    let began = Instant::now();
    webhook.write("settings.yaml", "mode: enforce\nimageIndex: {files: [index.yaml]}\n");
    eventually("the edit", async || is_patched(&webhook, &review).await).await;
    assert!(began.elapsed() < EFFECT, "{:?}", began.elapsed());

    webhook.write("settings.yaml", "mode: enforce\nimageIndex: {files: [index.yaml]}\nrewrite:\n  profil: none\n");
    let warning = webhook.logged("the invalid edit", |line| line["level"] == "WARN").await;
    assert_eq!(warning["place"], "settings.yaml:4:3", "{warning}");
    let message = warning["message"].as_str().unwrap();
    assert!(message.starts_with("settings not in effect: ") && message.contains("profile"), "{message}");
    eventually("in the report", async || {
        readiness(&webhook).await.contains("[+]settings ok: not in effect: settings.yaml:4:3: ")
    })
    .await;
    assert!(is_patched(&webhook, &review).await, "the last good settings");

    fs::remove_file(webhook.path("settings.yaml")).unwrap();
    eventually("the loss", async || readiness(&webhook).await.contains("settings.yaml: cannot be read")).await;
    assert!(is_patched(&webhook, &review).await, "a file that is gone is no empty file");

    webhook.write("settings.yaml", "mode: off\n");
    eventually("the mend", async || !is_patched(&webhook, &review).await).await;
    assert!(readiness(&webhook).await.contains("[+]settings ok: all in effect\n"));
    let response = webhook.post(&review).await.response();
    assert_eq!(response, json!({"uid": review["request"]["uid"], "allowed": true}), "off says nothing");
}

#[tokio::test]
async fn an_index_that_is_edited_goes_before_what_it_said() {
    let webhook = serve("{mode: enforce, imageIndex: {files: [index.yaml]}}")
        .file("index.yaml", "example.com/app:1: {cmd: [/first]}")
        .start()
        .await;
    let review = running("example.com/app:1");
    let runs = async || {
        let patched = webhook.post(&review).await.patched(&review["request"]["object"]).expect("a patch");
        wrapped(&patched, "main").remove(0)
    };
    assert_eq!(runs().await, "echo", "the pod's args replace CMD");

    let began = Instant::now();
    webhook.write("index.yaml", "example.com/app:1: {entrypoint: [/second]}");
    eventually("the edit", async || runs().await == "/second").await;
    assert!(began.elapsed() < EFFECT, "{:?}", began.elapsed());

    webhook.write("index.yaml", "example.com/app:1: {entrypoint: /third}");
    eventually("the problem", async || {
        readiness(&webhook).await.contains("[+]settings ok: not in effect: index.yaml:1:33: ")
    })
    .await;
    assert_eq!(runs().await, "/second", "the last good index");
}

#[tokio::test]
async fn what_needs_a_restart_says_so() {
    let mut webhook = serve("mode: enforce").start().await;
    webhook.write("settings.yaml", "mode: off\nadmission:\n  maxWaiting: 7\n");
    let warning = webhook.logged("the restart key", |line| line["level"] == "WARN").await;
    assert_eq!(warning["place"], "settings.yaml:3:15", "{warning}");
    let message = warning["message"].as_str().unwrap();
    assert!(message.starts_with("settings changed that need a restart: admission.maxWaiting"), "{message}");
    eventually("in the report", async || readiness(&webhook).await.contains("needs a restart: settings.yaml:3:15: "))
        .await;
    assert_eq!(webhook.post(&running("a")).await.response().get("warnings"), None, "the live key is in effect: off");
}
