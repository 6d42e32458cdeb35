use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use super::reach::{Tried, judged};
use super::selector::selects;
use super::templates::Covered;
use super::{Finding, Status};
use crate::settings::{Mode, Sources, load, parse_index};

#[test]
fn a_selector_takes_what_kubernetes_takes() {
    let labels = BTreeMap::from([("a", "1"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())));
    let expression = |key, operator, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    for (selector, expected) in [
        (json!({}), true),
        (json!({"matchLabels": {"a": "1"}}), true),
        (json!({"matchLabels": {"a": "2"}}), false),
        (json!({"matchLabels": {"a": "1", "c": ""}}), false),
        (expression("a", "In", &["0", "1"]), true),
        (expression("c", "In", &["0"]), false),
        (expression("a", "NotIn", &["1"]), false),
        (expression("c", "NotIn", &["1"]), true),
        (expression("a", "Exists", &[]), true),
        (expression("c", "Exists", &[]), false),
        (expression("a", "DoesNotExist", &[]), false),
        (expression("c", "DoesNotExist", &[]), true),
    ] {
        let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
        assert_eq!(selects(Some(&parsed), &labels), expected, "{selector}");
    }
    assert!(selects(None, &labels));
}

#[test]
fn the_worst_is_the_summary_and_the_rest_keeps_its_order() {
    let mut finding = Finding::ok("x", "all is well").with("seen");
    finding.warn("odd", "do a");
    finding.fail("wrong", "do b");
    finding.warn("odd again", "do a");
    finding.fail("wrong again", "");
    assert_eq!((finding.status, finding.summary.as_str()), (Status::Problem, "wrong"));
    assert_eq!(finding.details, ["odd", "odd again", "wrong again", "seen"]);
    assert_eq!(finding.mend, ["do a", "do b"]);
}

#[test]
fn an_answer_shows_whether_we_were_asked() {
    let rewritten = json!({"metadata": {"annotations": {"emissary-webhook.io/rewritten": "v0 0"}}});
    let failed = json!({"message": "Internal error occurred: failed calling webhook \"a\": connection refused"});
    let denied = json!({"message": "admission webhook \"a\" denied the request: emissary-webhook: no image"});
    let quota = json!({"message": "pods \"x\" is forbidden: exceeded quota"});
    let dry = "299 - \"dry run, nothing changed: would make 3 edits\"";
    for (what, code, answer, warning, mode, expected) in [
        ("rewritten", 201, &rewritten, None, Mode::Enforce, Status::Ok),
        ("dry run", 201, &json!({}), Some(dry), Mode::DryRun, Status::Ok),
        ("denied by us", 422, &denied, None, Mode::Enforce, Status::Ok),
        ("silence", 201, &json!({}), None, Mode::DryRun, Status::Problem),
        ("another's warning", 201, &json!({}), Some("299 - \"deprecated\""), Mode::Enforce, Status::Problem),
        ("off", 201, &json!({}), None, Mode::Off, Status::Skipped),
        ("not reached", 500, &failed, None, Mode::Enforce, Status::Problem),
        ("refused before", 403, &quota, None, Mode::Enforce, Status::Skipped),
        ("no JSON", 502, &json!(null), None, Mode::Enforce, Status::Skipped),
    ] {
        let warnings = warning.map(str::to_owned).into_iter().collect();
        let tried = Tried { code, warnings, answer: answer.clone() };
        let finding = judged(Finding::ok("reachability", "answered"), &tried, mode, "argo");
        assert_eq!(finding.status, expected, "{what}: {finding:?}");
        assert_eq!(finding.mend.is_empty(), expected != Status::Problem, "{what}: {finding:?}");
    }
}

#[test]
fn containers_of_templates_are_counted_by_where_their_command_comes_from() {
    let (snapshot, _) = load(&Sources::default()).unwrap();
    let index = parse_index("busybox: {entrypoint: [sh]}", &Arc::from("index.yaml")).unwrap();
    let templates = json!([
        {"name": "steps", "steps": [[{"name": "a", "template": "a"}]]},
        {"container": {"image": "alpine", "command": ["ls"]}},
        {"container": {"image": "busybox"}},
        {"script": {"image": "python:3", "source": "print()", "command": ["python"]}},
        {"script": {"image": "python:3", "source": "print()"}},
        {"container": {"image": "python:3", "command": []}},
        {"container": {"image": "{{inputs.parameters.image}}"}},
        {"container": {"image": "Not An Image"}},
        {"container": {}},
        {"containerSet": {"containers": [{"image": "busybox", "command": ["a"]}, {"image": "busybox"}]}},
        "garbage",
    ]);
    let mut covered = Covered::default();
    covered.add(&templates, snapshot.pod(), &index);
    covered.add(&json!("garbage"), snapshot.pod(), &index);
    let expected = Covered {
        written: 3,
        indexed: 2,
        registry: vec!["python:3".to_owned()],
        parameter: 1,
        wrong: vec!["Not An Image".to_owned()],
    };
    assert_eq!(covered, expected);
}
