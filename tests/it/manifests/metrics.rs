//! Alerts and dashboard ask for metrics and labels that a running webhook exposes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{CHART, documents, list, read};
use crate::serve::program::{Webhook, eventually, serve};

/// The name of every series by the metrics' declarations, and the labels of those that have samples.
async fn exposed() -> BTreeMap<String, BTreeSet<String>> {
    let webhook = serve("{review: {pss: [restricted]}}").start().await;
    // A family is declared with its first sample: an admission, and a connection that is none.
    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": []}});
    let request =
        json!({"uid": "u", "operation": "CREATE", "kind": {"version": "v1", "kind": "Pod"}, "object": object});
    let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request});
    webhook.post(&review).await.response();
    // And a review of what a dry run saw.
    let container = json!({"name": "main", "image": "app", "command": ["/app"]});
    let labels = json!({"emissary-webhook.io/inject": "true"});
    let object = json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "labels": labels},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    });
    let mut reviewed = review.clone();
    reviewed["request"]["object"] = object;
    webhook.post(&reviewed).await.response();
    let judged = "emissary_webhook_review_duration_seconds_count";
    eventually("it is reviewed", async || webhook.metric(judged).await == 1.0).await;
    let mut stream = TcpStream::connect(webhook.https).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // Whatever comes back, a reset included: that it is counted is what is waited for.
    let _ = stream.read_to_end(&mut Vec::new());
    let rejected = r#"emissary_webhook_connections_rejected_total{reason="handshake"}"#;
    eventually("a handshake that failed", async || webhook.metric(rejected).await == 1.0).await;
    let in_cluster = following_nobody().await;
    let answers = [webhook.get("/metrics").await.1, in_cluster.get("/metrics").await.1];

    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in answers.iter().flat_map(|answer| answer.lines()) {
        if let Some((family, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            for suffix in suffixes {
                series.entry(format!("{family}{suffix}")).or_default();
            }
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels.split_once('}').unwrap().0.split(',').filter_map(|label| label.split_once('='));
            series.get_mut(name).unwrap().extend(labels.map(|(key, _)| key.to_owned()));
        }
    }
    series
}

/// One that follows a cluster and keeps its certificate there, as far as its metrics go: nobody answers it.
async fn following_nobody() -> Webhook {
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    });
    serve("server: {certificates: self-managed}")
        .file("kubeconfig", &kubeconfig.to_string())
        .flags(&["--kubeconfig", "kubeconfig"])
        .start()
        .await
}

/// The names of our series in a query, each with the labels that its braces ask for.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    query
        .match_indices("emissary_webhook_")
        .map(|(start, _)| {
            let rest = &query[start..];
            let (name, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
            let braces = rest.strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap());
            let labels = braces.split(',').filter_map(|one| one.split(['=', '!']).next()).filter(|key| !key.is_empty());
            (name.to_owned(), labels.map(str::to_owned).collect())
        })
        .collect()
}

fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read(&format!("{CHART}/files/dashboard.json"))).unwrap();
    let panels = list(&dashboard["panels"]).iter().flat_map(|panel| list(&panel["targets"]));
    let [alerts] = documents(&read(&format!("{CHART}/files/alerts.yaml"))).try_into().unwrap();
    let rules = list(&alerts["groups"]).iter().flat_map(|group| list(&group["rules"]));
    panels.chain(rules).map(|one| one["expr"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_asked_for_is_exposed() {
    let (series, queries) = (exposed().await, queries());
    assert!(queries.len() > 40, "{}", queries.len());
    for query in &queries {
        let asked = asked(query);
        assert!(!asked.is_empty(), "{query}");
        for (name, labels) in asked {
            let Some(there) = series.get(&name) else { panic!("{query}: nothing is called {name}: {series:#?}") };
            assert!(labels.iter().all(|label| there.contains(label)), "{query}: {there:?}");
        }
    }
}

#[test]
fn a_query_is_taken_apart() {
    assert_eq!(
        asked(r#"sum(rate(emissary_webhook_a_total{x="1",y!~"2"}[5m])) / emissary_webhook_b"#),
        [
            ("emissary_webhook_a_total".to_owned(), vec!["x".to_owned(), "y".to_owned()]),
            ("emissary_webhook_b".to_owned(), vec![])
        ]
    );
}
