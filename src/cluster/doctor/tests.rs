use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use super::needs::{Right, Weight, table};
use super::reach::{Tried, judged};
use super::selector::selects;
use super::templates::Covered;
use super::{DoctorOptions, Finding, Status};
use crate::certificate::Terms;
use crate::cluster::{CertificateOptions, ServiceName};
use crate::settings::{ConfigMap, Mode, ObjectName, Role, Sources, load_with};

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
    let missed = json!({"message": "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'emissary-webhook' with binding \
                     'emissary-webhook' denied request: emissary-webhook has not rewritten this workflow pod"});
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
        ("not reached, and kept out by the policy", 403, &missed, None, Mode::Enforce, Status::Problem),
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
    let object = ObjectName { namespace: "w".to_owned(), name: "image-index".to_owned() };
    let data = BTreeMap::from([("index.yaml".to_owned(), "busybox: {entrypoint: [sh]}".to_owned())]);
    let index = ConfigMap { data, ..ConfigMap::default() };
    let (snapshot, _) = load_with(&Sources::default(), [((Role::Index, object), index)]).unwrap();
    let templates = json!([
        {"name": "steps", "steps": [[{"name": "a", "template": "a"}]]},
        {"container": {"image": "alpine", "command": ["ls"]}},
        {"container": {"image": "busybox"}},
        {"script": {"image": "python:3", "source": "print()", "command": ["python"]}},
        {"script": {"image": "python:3", "source": "print()"}},
        {"container": {"image": "python:3", "command": []}},
        {"container": {"image": "alpine:3.20.3"}},
        {"container": {"image": "alpine:3.20.3"}},
        {"container": {"image": "{{inputs.parameters.image}}"}},
        {"container": {"image": "Not An Image"}},
        {"container": {}},
        {"containerSet": {"containers": [{"image": "busybox", "command": ["a"]}, {"image": "busybox"}]}},
        "garbage",
    ]);
    let mut covered = Covered::default();
    covered.add(&templates, snapshot.decisions("shop", || None));
    covered.add(&json!("garbage"), snapshot.decisions("shop", || None));
    let expected = Covered {
        written: 3,
        indexed: 2,
        registry: vec!["python:3".to_owned(), "alpine:3.20.3".to_owned()],
        shipped: 1,
        parameter: 1,
        wrong: vec!["Not An Image".to_owned()],
    };
    assert_eq!(covered, expected);
}

/// The rights that are needed under settings, and those that only help, in brackets.
fn needed(settings: &str) -> Vec<String> {
    let sources = Sources { text: Some(("s.yaml".into(), settings.to_owned())), ..Sources::default() };
    let (snapshot, _) = load_with(&sources, []).unwrap();
    let service = ServiceName { namespace: "hooks".to_owned(), name: "hook".to_owned() };
    let terms = Terms { names: Vec::new(), life: std::time::Duration::from_secs(1) };
    let installation =
        CertificateOptions { service, secret: "tls".to_owned(), registrations: vec!["hook".to_owned()], terms };
    let options = DoctorOptions {
        installation,
        lease: None,
        account: "hook".to_owned(),
        is_account: false,
        probe: "default".to_owned(),
    };
    let text = |right: Right| match right.weight {
        Weight::Needed(_) => Some(right.text()),
        Weight::Helpful(_) => Some(format!("({})", right.text())),
        Weight::Excess(_) => None,
    };
    table(&options, &snapshot).into_iter().filter_map(text).collect()
}

#[test]
fn rights_are_those_of_the_watches_that_the_settings_start() {
    const ALWAYS: [&str; 4] = [
        "(configmaps/image-index in hooks)",
        "(configmaps in hooks)",
        "(configmaps/image-index-defaults in hooks)",
        "(events.events.k8s.io in hooks)",
    ];
    const CLUSTER: [&str; 5] = [
        "(namespaces everywhere)",
        "(limitranges everywhere)",
        "(workflowtemplates.argoproj.io everywhere)",
        "(clusterworkflowtemplates.argoproj.io everywhere)",
        "(cronworkflows.argoproj.io everywhere)",
    ];
    let plain = "registry: {prefetch: {enabled: false}}\ncluster: {limitRanges: false, ";
    let labels = "(namespaces everywhere)";
    let table: [(String, Vec<&str>); 9] = [
        (String::new(), CLUSTER.to_vec()),
        (format!("{plain}}}"), vec![labels]),
        (
            format!("{plain}pullSecrets: every-secret-in-the-cluster}}"),
            vec![labels, "secrets everywhere", "(serviceaccounts everywhere)"],
        ),
        (
            format!("{plain}pullSecrets: named-namespaces, pullSecretNamespaces: [a], pullSecretNames: [x, z]}}"),
            vec![labels, "secrets/x in a", "secrets/z in a", "(serviceaccounts in a)"],
        ),
        (
            format!("{plain}pullSecrets: named-namespaces, pullSecretNamespaces: [a, b]}}"),
            vec![labels, "secrets in a", "secrets in b", "(serviceaccounts in a)", "(serviceaccounts in b)"],
        ),
        (
            format!("{plain}workflowLabels: always, nodePlatforms: true}}"),
            vec![labels, "workflows.argoproj.io everywhere", "(nodes everywhere)"],
        ),
        (
            format!("{plain}}}\ncontrollers: [{{namespace: argo}}]"),
            vec!["configmaps/workflow-controller-configmap in argo", labels],
        ),
        (
            format!("{plain}}}\nimageIndex: {{namespaces: {{add: [a], override: [b]}}}}"),
            vec!["(configmaps/image-index in a)", "(configmaps/image-index in b)", labels],
        ),
        // Without a ClusterRole there is nothing to ask of the cluster.
        (
            "cluster: {namespaces: [a]}".to_owned(),
            vec!["(limitranges in a)", "(workflowtemplates.argoproj.io in a)", "(cronworkflows.argoproj.io in a)"],
        ),
    ];
    for (settings, expected) in table {
        let mut expected: Vec<&str> = ALWAYS.into_iter().chain(expected).collect();
        let mut found = needed(&settings);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{settings}");
    }
}
