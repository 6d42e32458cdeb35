//! The plain port: probes and metrics.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::program::serve;
use super::reviews::{recorded, running};

#[tokio::test]
async fn probes_are_answered() {
    let webhook = serve("").start().await;
    assert_eq!(webhook.get("/livez").await, (200, "ok".to_owned()));
    assert_eq!(webhook.get("/readyz").await, (200, "ok".to_owned()));
    let (status, report) = webhook.get("/readyz?verbose").await;
    assert_eq!(status, 200);
    let lines: Vec<&str> = report.lines().collect();
    let [certificate, settings, end] = lines[..] else { panic!("{report}") };
    assert!(certificate.starts_with("[+]certificate ok: expires in "), "{report}");
    assert_eq!((settings, end), ("[+]settings ok: all in effect", "readyz check passed"));
}

/// The samples of an OpenMetrics text by name and labels; the test fails where a line is none of the format's.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, family, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(["HELP", "TYPE", "UNIT"].contains(&kind) && !rest.is_empty(), "{line}");
            assert!(family.starts_with("emissary_webhook_"), "{line}");
            assert!(kind != "UNIT" || family.ends_with(rest), "{line}");
            families.insert(family.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let name = series.split('{').next().unwrap();
        assert!(families.iter().any(|family| name.starts_with(family.as_str())), "{line}: no family was declared");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{line}");
        if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            let labels = labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}')).expect(line);
            for label in labels.split(',') {
                let (key, value) = label.split_once('=').expect(line);
                assert!(key.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
                assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'), "{line}");
            }
        }
        assert!(samples.insert(series.to_owned(), value.parse().expect(line)).is_none(), "{line}: twice");
    }
    samples
}

#[tokio::test]
async fn metrics_count_what_was_answered_in_a_bounded_number_of_series() {
    let webhook = serve("{mode: enforce, imageIndex: {files: [index.yaml]}}")
        .file("index.yaml", "app: {cmd: [/app]}")
        .start()
        .await;
    let of_others = recorded("plain-plain").review;
    webhook.post(&running("app")).await.patched(&running("app")["request"]["object"]).expect("a patch");
    webhook.post(&running("no/IMAGE")).await.denial();
    webhook.post(&of_others).await.response();
    webhook.post_bytes("nonsense").await;
    let (_, text) = webhook.get("/metrics").await;
    let before = samples(&text);
    let labels = |kind: &str, outcome: &str, reason: &str| {
        format!(
            r#"emissary_webhook_admissions_total{{kind="{kind}",mode="enforce",outcome="{outcome}",reason="{reason}"}}"#
        )
    };
    for (series, expected) in [
        (labels("Pod", "rewrite", ""), 1.0),
        (labels("Pod", "denial", "Invalid"), 1.0),
        (labels("Pod", "skip", "not-a-workflow-pod"), 1.0),
        ("emissary_webhook_admissions_unreadable_total".to_owned(), 1.0),
        ("emissary_webhook_admission_duration_seconds_count".to_owned(), 3.0),
        (r#"emissary_webhook_requests_total{code="2xx"}"#.to_owned(), 3.0),
        (r#"emissary_webhook_requests_total{code="4xx"}"#.to_owned(), 1.0),
        ("emissary_webhook_connections_accepted_total".to_owned(), 1.0),
        ("emissary_webhook_connections_open".to_owned(), 1.0),
    ] {
        assert_eq!(before.get(&series), Some(&expected), "{series}\n{text}");
    }

    // What a client writes is no label: whatever it writes, there are no more series than words of ours.
    for n in 0..30 {
        let mut review = of_others.clone();
        let request = &mut review["request"];
        request["kind"] = json!({"group": format!("g{n}"), "version": "v1", "kind": format!("K{n}")});
        request["operation"] = json!(format!("O{n}"));
        request["namespace"] = json!(format!("n{n}"));
        webhook.post(&review).await.response();
    }
    let after = samples(&webhook.get("/metrics").await.1);
    let new: Vec<&String> = after.keys().filter(|series| !before.contains_key(*series)).collect();
    assert_eq!(new, [&labels("other", "skip", "other-kind")]);
    assert_eq!(after[new[0]], 30.0);
}

#[tokio::test]
async fn dry_runs_are_told_by_template_and_what_the_api_server_tries_out_is_not() {
    let webhook =
        serve("{imageIndex: {files: [index.yaml]}}").file("index.yaml", "app: {entrypoint: [/app]}").start().await;
    assert_eq!(webhook.get("/dryrun").await, (200, String::new()));
    let mut tried_out = running("app");
    tried_out["request"]["dryRun"] = json!(true);
    webhook.post(&tried_out).await.response();
    webhook.post(&recorded("plain-plain").review).await.response();
    assert_eq!(webhook.get("/dryrun").await, (200, String::new()));

    for _ in 0..3 {
        assert_eq!(webhook.post(&running("app")).await.response()["patch"], json!(null));
    }
    webhook.post(&running("no/IMAGE")).await.response();
    let (status, text) = webhook.get("/dryrun").await;
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary: Vec<_> = lines.iter().map(|line| (line["outcome"].as_str().unwrap(), &line["count"])).collect();
    assert_eq!((status, summary), (200, vec![("denial", &json!(1)), ("rewrite", &json!(3))]));
    let [denial, rewrite] = &lines[..] else { unreachable!() };
    let request = &running("app")["request"];
    assert_eq!(rewrite["namespace"], request["namespace"]);
    let template = request["object"]["spec"]["containers"][0]["env"]
        .as_array()
        .and_then(|env| env.iter().find(|variable| variable["name"] == "ARGO_TEMPLATE"))
        .map(|variable| serde_json::from_str::<serde_json::Value>(variable["value"].as_str().unwrap()).unwrap());
    assert_eq!(rewrite["template"], template.unwrap()["name"]);
    assert!(rewrite["edits"].as_u64().unwrap() > 3, "{rewrite}");
    assert_eq!(rewrite["commands"], json!([r#"main: app runs ["/app","echo","hello argo"] (image index, key app)"#]));
    assert!(denial["reason"].as_str().unwrap().contains("no/IMAGE"), "{denial}");
}

#[tokio::test]
async fn dry_runs_are_shown_to_nobody_where_the_settings_say_so() {
    let webhook = serve("{server: {dryRunReport: off}}").start().await;
    assert_eq!(webhook.get("/dryrun").await.0, 404);
}
