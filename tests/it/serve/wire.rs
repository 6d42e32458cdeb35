//! What a client can send, well or ill formed: there is always an answer, and it says what is wrong.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::program::{Webhook, serve};
use super::reviews::{LEGACY, recorded, running, with_object};

const JSON: &str = "application/json";

#[tokio::test]
async fn only_a_post_of_json_to_the_path_is_an_admission() {
    let webhook = serve("").start().await;
    let review = recorded(LEGACY).review.to_string();
    for (method, path, content_type, status) in [
        (Method::GET, "/mutate", JSON, 405),
        (Method::PUT, "/mutate", JSON, 405),
        (Method::POST, "/", JSON, 404),
        (Method::POST, "/mutate/pods", JSON, 404),
        (Method::POST, "/metrics", JSON, 404),
        (Method::POST, "/mutate", "text/plain", 415),
        (Method::POST, "/mutate", "", 415),
        (Method::POST, "/mutate", "application/jsonp", 415),
        (Method::POST, "/mutate", JSON, 200),
        (Method::POST, "/mutate?timeout=nonsense", JSON, 200),
        (Method::POST, "/mutate", "Application/JSON; charset=utf-8", 200),
    ] {
        let request = webhook.client().request(method.clone(), webhook.url(path)).body(review.clone());
        let answer = webhook.send(request.header(CONTENT_TYPE, content_type)).await;
        assert_eq!(answer.status, status, "{method} {path} {content_type}: {}", answer.text);
        if status == 415 {
            assert_eq!(answer.text, "send an AdmissionReview as application/json\n");
        }
    }
}

/// An AdmissionReview around a request that is given as text, since no JSON library would write most of these.
fn review_text(request: &str) -> Vec<u8> {
    format!(r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {request}}}"#).into_bytes()
}

#[tokio::test]
async fn a_body_that_is_no_review_is_a_bad_request_that_says_why() {
    let webhook = serve("{mode: enforce}").start().await;
    let review = recorded(LEGACY).review;
    let without = |pointer: &str, key: &str| {
        let mut review = review.clone();
        review.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
        review.to_string().into_bytes()
    };
    let with = |pointer: &str, value: Value| {
        let mut review = review.clone();
        *review.pointer_mut(pointer).unwrap() = value;
        review.to_string().into_bytes()
    };
    let whole = review.to_string();
    let deep = "[".repeat(100_000);
    let bodies: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "the body is empty"),
        ("blank", b" \n ".to_vec(), "EOF while parsing"),
        ("text", b"hello".to_vec(), "expected value at line 1 column 1"),
        ("HTML", b"<html><body>login</body></html>".to_vec(), "expected value at line 1 column 1"),
        ("YAML", b"apiVersion: admission.k8s.io/v1\n".to_vec(), "expected value at line 1 column 1"),
        ("cut", whole[..whole.len() / 2].into(), "EOF while parsing"),
        ("two", format!("{whole}{whole}").into_bytes(), "trailing characters"),
        ("list", b"[1]".to_vec(), "not an AdmissionReview: "),
        ("null", b"null".to_vec(), "not an AdmissionReview: "),
        ("invalid UTF-8", b"{\"apiVersion\": \"\xff\xfe\"}".to_vec(), "line 1 column"),
        ("deep", deep.clone().into_bytes(), "not an AdmissionReview: "),
        ("deep unknown key", format!("{{\"x\": {deep}").into_bytes(), "not an AdmissionReview: "),
        ("v1beta1", with("/apiVersion", json!("admission.k8s.io/v1beta1")), "set admissionReviewVersions: [v1]"),
        ("a pod", with("/kind", json!("Pod")), "kind \"Pod\""),
        ("no version", without("", "apiVersion"), "apiVersion \"\""),
        ("no request", without("", "request"), "has no request"),
        ("request null", with("/request", Value::Null), "has no request"),
        ("request text", with("/request", json!("x")), "not an AdmissionReview: invalid type: string"),
        ("no uid", without("/request", "uid"), "has no uid"),
        ("empty uid", with("/request/uid", json!("")), "has no uid"),
        ("number as uid", with("/request/uid", json!(7)), "invalid type: integer `7`"),
        ("duplicate key", review_text(r#"{"uid": "a", "uid": "b"}"#), "duplicate field `uid`"),
        ("lone surrogate", review_text(r#"{"uid": "\ud800"}"#), "line 1 column"),
        ("number too big", review_text(r#"{"uid": "a", "dryRun": 1e999}"#), "not an AdmissionReview: "),
    ];
    let count = bodies.len();
    for (name, body, says) in bodies {
        let answer = webhook.post_bytes(body).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text);
        assert!(answer.text.contains(says), "{name}: {}", answer.text);
        assert!(answer.text.len() < 300 && answer.text.ends_with('\n'), "{name}: {}", answer.text);
    }
    assert_eq!(webhook.metric("emissary_webhook_admissions_unreadable_total").await, count as f64);
    assert_alive(&webhook).await;
}

async fn assert_alive(webhook: &Webhook) {
    let review = recorded("plain-plain").review;
    assert_eq!(webhook.post(&review).await.response()["allowed"], true);
    for panics in ["emissary_webhook_panics_total", "emissary_webhook_admission_panics_total"] {
        assert_eq!(webhook.metric(panics).await, 0.0, "{:#?}", webhook.log());
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let webhook = serve("").start().await;
    let answer = webhook.post_bytes(vec![b' '; 9 << 20]).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
    assert_eq!(answer.text, "the request's body is over 8388608 bytes");
    assert_alive(&webhook).await;
}

#[tokio::test]
async fn what_is_none_of_ours_is_admitted_without_a_word() {
    let webhook = serve("{mode: enforce}").start().await;
    let pod = running("example.com/app:1");
    let request = |changes: Value| {
        let mut review = pod.clone();
        review["request"].as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        review
    };
    let kind = |group: &str, kind: &str| json!({"group": group, "version": "v1", "kind": kind});
    for (name, review) in [
        ("DELETE", request(json!({"operation": "DELETE", "object": null}))),
        ("CONNECT", request(json!({"operation": "CONNECT", "object": null, "subResource": "exec"}))),
        ("UPDATE", request(json!({"operation": "UPDATE"}))),
        ("an operation to come", request(json!({"operation": "PATCH"}))),
        ("another kind", request(json!({"kind": kind("apps", "Deployment")}))),
        ("a Pod of others", request(json!({"kind": kind("example.com", "Pod")}))),
        ("a kind of Argo's", request(json!({"kind": kind("argoproj.io", "WorkflowTaskSet")}))),
        ("no kind", request(json!({"kind": null}))),
        ("an object that is no object", request(json!({"kind": kind("apps", "X"), "object": [1, "x"]}))),
        ("ephemeral containers", request(json!({"operation": "UPDATE", "subResource": "ephemeralcontainers"}))),
        ("status", request(json!({"subResource": "status"}))),
    ] {
        let response = webhook.post(&review).await.response();
        assert_eq!(response, json!({"uid": pod["request"]["uid"], "allowed": true}), "{name}");
    }
}

#[tokio::test]
async fn whatever_the_uid_it_comes_back() {
    let webhook = serve("").start().await;
    let mut review = recorded("plain-plain").review;
    for uid in ["a\"b\\c", "line\nbreak\u{0}", "ä€😀\u{202e}", "{{uid}}", &"x".repeat(10_000)] {
        review["request"]["uid"] = json!(uid);
        assert_eq!(webhook.post(&review).await.response()["uid"], uid);
    }
}

/// The same around a pod that is created.
fn admission(pod: &str) -> Vec<u8> {
    review_text(&format!(
        r#"{{"uid": "u", "kind": {{"group": "", "version": "v1", "kind": "Pod"}}, "operation": "CREATE", "namespace": "ci", "object": {pod}}}"#
    ))
}

fn labelled(spec: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "p", "labels": {{"workflows.argoproj.io/workflow": "w"}}}}, "spec": {spec}}}"#
    )
}

#[tokio::test]
async fn a_pod_that_cannot_be_read_is_denied_or_warned_of() {
    let (enforcing, dry) = (serve("{mode: enforce}").start().await, serve("").start().await);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (name, pod, says) in [
        ("text for containers", labelled(r#"{"containers": "main"}"#), "expected a sequence"),
        ("a number for a name", labelled(r#"{"containers": [{"name": 7}]}"#), "expected a string"),
        ("deep containers", labelled(&format!(r#"{{"containers": {deep}}}"#)), ""),
        ("duplicate key", labelled(r#"{"containers": [], "containers": []}"#), "duplicate field `containers`"),
        ("lone surrogate", labelled(r#"{"containers": [{"name": "\udfff"}]}"#), ""),
    ] {
        let (status, reason, message) = enforcing.post_bytes(admission(&pod)).await.denial();
        assert_eq!((status, reason.as_str()), (400, "BadRequest"), "{name}: {message}");
        assert!(message.starts_with("emissary-webhook: not a pod: "), "{name}: {message}");
        assert!(message.contains(says) && message.len() < 300, "{name}: {message}");

        let response = dry.post_bytes(admission(&pod)).await.response();
        assert_eq!(response["allowed"], true, "{name}: {response}");
        let warning = response["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("dry run, admitted: would deny: not a pod: "), "{warning}");
        assert_eq!(response["auditAnnotations"]["outcome"], "denial", "{response}");
    }
    assert_alive(&enforcing).await;
    assert_alive(&dry).await;
}

#[tokio::test]
async fn what_this_build_does_not_know_is_no_obstacle() {
    let webhook = serve("{mode: enforce}").start().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (name, unknown) in [
        ("deeply nested", deep.as_str()),
        ("a number too big", "1e999"),
        ("more digits than a double has", "123456789012345678901234567890.5"),
        ("escapes", r#""\u0000\u202e\ud83d\ude00""#),
    ] {
        let spec = r#"{"restartPolicy": "Never", "containers": [{"name": "main", "image": "a", "command": ["x"], "future": UNKNOWN}], "future": UNKNOWN}"#;
        let answer = webhook.post_bytes(admission(&labelled(&spec.replace("UNKNOWN", unknown)))).await;
        let response = answer.response();
        assert_eq!((&response["allowed"], response["patch"].is_string()), (&json!(true), true), "{name}: {response}");
    }
    assert_alive(&webhook).await;
}

/// As a reinvocation is, after another webhook has changed the pod.
#[tokio::test]
async fn another_object_under_the_same_uid_is_another_admission() {
    let webhook = serve("{mode: enforce, imageIndex: {files: [index.yaml]}}")
        .file("index.yaml", "{one: {cmd: [first]}, two: {cmd: [second]}}")
        .start()
        .await;
    let (one, two) = (running("one"), running("two"));
    let first = webhook.post(&one).await.response();
    let second = webhook.post(&with_object(&one, &two["request"]["object"])).await.response();
    assert_eq!(first["uid"], second["uid"]);
    assert_ne!(first["patch"], second["patch"]);
}
