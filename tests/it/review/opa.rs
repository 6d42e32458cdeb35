//! `--opa`: another OPA is asked for the same, and where it says something else is listed.

use super::Folder;
use axum::Router;
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use tokio::net::TcpListener;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec:\n  containers:\n  - {name: main, image: example.com/app:1, command: [/app]}\n";
const RULES: &str = "package main\n\nimport rego.v1\n\ndeny contains \"no team\" if not input.metadata.labels.team\n\nwarn contains \"no limits\" if not input.spec.containers[0].resources.limits\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.file("pod.yaml", POD).file("rules.rego", RULES);
    folder
}

/// An OPA that says the same of each rule, whatever it is asked; its address.
async fn opa_that_says(said: Value) -> String {
    let answer = json!({"result": [{"said": said}]}).to_string();
    let answers = Router::new()
        .route("/v1/query", post(move || async move { answer }))
        .route("/v1/data/kubernetes", put(async || ""))
        .route("/health", get(async || "{}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, answers).await.unwrap() });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_opa_says_differently_is_listed() {
    let folder = folder();
    let url = opa_that_says(json!(["no team"])).await;
    let arguments = ["pod.yaml", "--policies", "rules.rego", "--executor", "as-is", "--opa", &url];
    let reviewed = folder.review(&arguments);
    assert_eq!(reviewed.code, Some(1), "{}", reviewed.stderr);
    let told = "pod/a for as-is: main.warn is warned: no limits here, and warned: no team to OPA";
    assert!(reviewed.stderr.contains(told), "{}", reviewed.stderr);
    assert!(!reviewed.stderr.contains("main.deny"), "{}", reviewed.stderr);
    assert!(reviewed.stderr.contains("OPA was asked 2 times about 1 pods: 1 differences"), "{}", reviewed.stderr);
    let strict = folder.review(&[&arguments[..], &["--strict"]].concat());
    assert_eq!(strict.code, Some(3), "{}", strict.stderr);
}

#[test]
fn an_opa_that_cannot_be_asked_is_named() {
    let folder = folder();
    let table = [
        ("https://opa.example.com", "TLS is not spoken"),
        ("http://127.0.0.1:1", "OPA at 127.0.0.1:1"),
        ("/no/such/opa", "cannot be run; give OPA's program"),
        ("false", "it does not serve"),
    ];
    for (opa, said) in table {
        let reviewed = folder.review(&["pod.yaml", "--policies", "rules.rego", "--opa", opa]);
        assert_eq!(reviewed.code, Some(2), "{opa}: {}", reviewed.stderr);
        assert!(reviewed.stderr.contains(said), "{opa}: {}", reviewed.stderr);
    }
}
