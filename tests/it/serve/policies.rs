//! What policies say of the pods that dry runs see.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::program::{FOREVER, Serve, Webhook, eventually, serve};
use super::reviews::{recorded, running};

/// Denies every pod whose main container is wrapped.
const NO_WRAPPER: &str = r#"
package workflows

deny contains "no executor here" if {
    some container in input.request.object.spec.containers
    container.name == "main"
    container.command[1] == "emissary"
}
"#;

/// Never ends.
const LOOP: &str = r#"
package endless

deny contains msg if {
    some a in numbers.range(1, 100000)
    some b in numbers.range(1, 100000)
    some c in numbers.range(1, 100000)
    a * b * c == -1
    msg := "never"
}
"#;

/// A dry run under these settings of `review`, with an index of one image.
fn dry_run(review: &str) -> Serve {
    let settings = format!("{{imageIndex: {{files: [index.yaml]}}, review: {review}}}");
    serve(&settings).file("index.yaml", "app: {entrypoint: [/app]}")
}

/// The verdicts of the only row of the table of dry runs, as `executor engine policy verdict`.
async fn verdicts(webhook: &Webhook) -> Vec<String> {
    let (_, text) = webhook.get("/dryrun").await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [line] = &lines[..] else { panic!("{text}") };
    let words = ["executor", "engine", "policy", "verdict"];
    let word = |said: &Value| words.map(|key| said[key].as_str().unwrap().to_owned()).join(" ");
    line["verdicts"].as_array().unwrap().iter().map(word).collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join("being-written"), text).unwrap();
    fs::rename(folder.join("being-written"), folder.join(name)).unwrap();
}

#[tokio::test]
async fn standards_are_told_in_the_answer_and_wherever_dry_runs_are() {
    let webhook = dry_run("{pss: [restricted]}").start().await;
    let mut tried_out = running("app");
    tried_out["request"]["dryRun"] = json!(true);
    let response = webhook.post(&tried_out).await.response();
    assert_eq!(response["auditAnnotations"].get("review"), None, "it is only tried out");
    webhook.post(&recorded("plain-plain").review).await.response();

    let response = webhook.post(&running("app")).await.response();
    let text = response["auditAnnotations"]["review"].as_str().unwrap();
    assert!(text.contains("as-is: pss restricted:latest: denied: violates PodSecurity"), "{text}");
    assert!(text.contains("emissary: pss restricted:latest: denied"), "{text}");
    let warnings: Vec<&str> =
        response["warnings"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(
        warnings.iter().any(|warning| warning.starts_with("dry run: a policy denies it either way: pss")),
        "{warnings:?}"
    );

    let expected = ["as-is pss restricted:latest denied", "emissary pss restricted:latest denied"];
    eventually("the table has them", async || verdicts(&webhook).await == expected).await;
    for executor in ["as-is", "emissary"] {
        let series =
            format!(r#"emissary_webhook_review_verdicts_total{{executor="{executor}",engine="pss",verdict="denied"}}"#);
        assert_eq!(webhook.metric(&series).await, 1.0, "{series}");
    }
    assert_eq!(webhook.metric("emissary_webhook_review_duration_seconds_count").await, 1.0);
}

#[tokio::test]
async fn programs_are_followed_and_an_invalid_one_changes_nothing() {
    let serve = dry_run("{policies: [policies]}");
    fs::create_dir(serve.path("policies")).unwrap();
    write(&serve.path("policies"), "policy.rego", NO_WRAPPER);
    let mut webhook = serve.start().await;
    webhook.logged("policies are loaded", |line| line["message"] == "policies loaded").await;
    webhook.post(&running("app")).await.response();
    let denied = ["emissary rego workflows.deny denied"];
    eventually("it is denied", async || verdicts(&webhook).await == denied).await;

    write(&webhook.path("policies"), "policy.rego", "package workflows\n\ndeny contains");
    let invalid = |line: &Value| line["message"] == "policies not in effect; those before stay";
    webhook.logged("the edit is not valid", invalid).await;
    assert_eq!(webhook.metric(r#"emissary_webhook_review_policies{state="invalid"}"#).await, 1.0);
    webhook.post(&running("app")).await.response();
    let judged = "emissary_webhook_review_duration_seconds_count";
    eventually("it is judged again", async || webhook.metric(judged).await == 2.0).await;
    assert_eq!(verdicts(&webhook).await, denied);

    write(&webhook.path("policies"), "policy.rego", &NO_WRAPPER.replace("emissary", "other"));
    eventually("the next edit is", async || {
        webhook.metric(r#"emissary_webhook_review_policies{state="invalid"}"#).await == 0.0
    })
    .await;
    eventually("nothing is said any more", async || {
        webhook.post(&running("app")).await.response();
        verdicts(&webhook).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_runs_away_costs_no_admission() {
    let serve = dry_run("{policies: [policies], pss: [baseline], deadline: 1s, memory: 512Mi}");
    fs::create_dir(serve.path("policies")).unwrap();
    write(&serve.path("policies"), "endless.rego", LOOP);
    write(&serve.path("policies"), "policy.rego", NO_WRAPPER);
    let mut webhook = serve.start().await;
    webhook.logged("policies are loaded", |line| line["message"] == "policies loaded").await;
    let before = webhook.resident();
    for _ in 0..20 {
        let answer = webhook.post(&running("app")).await;
        answer.response();
        // The API server would wait for seven.
        assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);
    }
    // It has a second of the processor's time, and on a busy machine that is long in coming.
    let (began, judged) = (Instant::now(), "emissary_webhook_review_duration_seconds_count");
    while webhook.metric(judged).await != 20.0 {
        assert!(began.elapsed() < 6 * FOREVER, "not all are judged: {:#?}", webhook.log());
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(webhook.metric(r#"emissary_webhook_review_policies{state="stopped"}"#).await, 1.0);
    let said = verdicts(&webhook).await;
    assert!(said.contains(&"emissary rego endless.deny unknown".to_owned()), "{said:?}");
    assert!(said.contains(&"emissary rego workflows.deny denied".to_owned()), "{said:?}");
    assert!(webhook.resident() < before + (64 << 20), "the server itself does not grow");
}

#[tokio::test]
async fn what_waits_is_bounded_and_drops_are_counted() {
    let serve = dry_run("{policies: [policies], deadline: 5s, memory: 512Mi, maxQueued: 2}");
    fs::create_dir(serve.path("policies")).unwrap();
    write(&serve.path("policies"), "endless.rego", LOOP);
    let mut webhook = serve.start().await;
    webhook.logged("policies are loaded", |line| line["message"] == "policies loaded").await;
    for _ in 0..6 {
        webhook.post(&running("app")).await.response();
    }
    let dropped = webhook.metric(r#"emissary_webhook_review_dropped_total{reason="namespace-full"}"#).await;
    assert!((4.0..=5.0).contains(&dropped), "{dropped}");
}

#[tokio::test]
async fn what_is_recorded_is_judged_again_the_same_and_has_no_secrets() {
    let policies = "{policies: [policies], pss: [restricted], record: {folder: records}}";
    let serve = dry_run(policies);
    fs::create_dir(serve.path("policies")).unwrap();
    write(&serve.path("policies"), "policy.rego", NO_WRAPPER);
    // Of what the record leaves out this one says something else.
    let reads = NO_WRAPPER
        .replace("workflows", "variables")
        .replace("command[1] == \"emissary\"", "env[_].value == \"hunter2\"");
    write(&serve.path("policies"), "variables.rego", &reads);
    let mut webhook = serve.start().await;
    webhook.logged("policies are loaded", |line| line["message"] == "policies loaded").await;
    for image in ["app", "no/IMAGE"] {
        let mut review = running(image);
        let containers = review["request"]["object"]["spec"]["containers"].as_array_mut().unwrap();
        let main = containers.iter_mut().find(|container| container["name"] == "main").unwrap();
        main["env"].as_array_mut().unwrap().push(json!({"name": "PASSWORD", "value": "hunter2"}));
        webhook.post(&review).await.response();
    }
    let recorded = "emissary_webhook_review_recorded_total";
    eventually("both are recorded", async || webhook.metric(recorded).await == 2.0).await;
    let (status, text) = webhook.get("/recorded").await;
    assert_eq!((status, text.lines().count(), text.contains("hunter2")), (200, 2, false), "{text}");

    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected: Vec<&Value> = records.iter().flat_map(|record| record["verdicts"].as_array().unwrap()).collect();
    let of = |policy: &str, executor: &str| {
        let is_it = |line: &&&Value| line["policy"] == policy && line["executor"] == executor;
        expected.iter().find(is_it).map(|line| line["verdict"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("workflows.deny", "emissary").as_deref(), Some("denied"));
    assert_eq!(of("variables.deny", "as-is").as_deref(), Some("unknown"), "{expected:#?}");
    assert!(expected.iter().any(|line| line["stage"] == "rewrite" && line["verdict"] == "denied"), "{expected:#?}");
    fs::write(webhook.path("records.jsonl"), &text).unwrap();
    for replayed in ["records", "records.jsonl"] {
        let output = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"))
            .env_clear()
            .args(["review", "--policies", "policies", "--pss", "restricted", "-o", "jsonl", "--replay", replayed])
            .current_dir(webhook.path(""))
            .output()
            .unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().collect::<Vec<_>>(), expected, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "something is denied");
    }
}
