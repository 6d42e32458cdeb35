use super::{Asking, Facts, Kind, Leave, Rules, Stored, Subject, mutate, wanted_ahead};
use emissary_core::image::{ImageIndex, ImageProcess, IndexEntry};
use emissary_core::lookup::Indexes;
use emissary_core::outcome::{Outcome, Skip};
use emissary_core::workflow::{Kind as WorkflowKind, WorkflowOptions};
use emissary_core::{object, pod};
use emissary_registry::{Keyring, Priority};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::Instant;

/// What becomes of an object without a registry, where the index knows `tool` and every workflow kind is filled.
async fn outcome(kind: Kind, operation: &str, object: &Value, old: Option<&Value>) -> Outcome {
    let mut index = ImageIndex::default();
    let process = ImageProcess { entrypoint: vec!["/tool".to_owned()], ..ImageProcess::default() };
    index.insert("tool", IndexEntry::from(process)).unwrap();
    let shipped = ImageIndex::default();
    let rules = Rules {
        pod: &pod::Options::default(),
        workflow: &WorkflowOptions { kinds: WorkflowKind::ALL.to_vec(), ..WorkflowOptions::default() },
        indexes: Indexes::new(&index, &shipped),
    };
    let keyring = Arc::new(Keyring::anonymous());
    let facts = Facts { keyring: Arc::clone(&keyring), ..Facts::default() };
    let (object, old) = (object.to_string(), old.map(ToString::to_string));
    let subject = Subject {
        kind,
        operation,
        sub_resource: None,
        name: None,
        namespace: None,
        object: &object,
        old_object: old.as_deref(),
    };
    let asking = Asking {
        resolver: None,
        keyring: &keyring,
        namespace: "",
        priority: Priority::Normal,
        deadline: Instant::now(),
        wait: &|_| Some(Leave::until_the_deadline(())),
    };
    mutate(&subject, rules, &facts, asking).await.unwrap().0
}

fn template(label: &str, image: &str) -> Value {
    let templates = json!([{"name": "a", "container": {"image": image}}]);
    json!({"metadata": {"name": "t", "labels": {"l": label}}, "spec": {"templates": templates}})
}

#[tokio::test]
async fn an_update_counts_where_a_long_lived_kind_has_another_spec() {
    let (workflow, stored) = (Kind::Workflow(WorkflowKind::Workflow), Kind::Workflow(WorkflowKind::WorkflowTemplate));
    let (before, relabelled, changed) = (template("x", "tool"), template("y", "tool"), template("x", "tool:latest"));
    let skip = |skip| Some(Outcome::Skip(skip));
    for (kind, operation, object, old, expected) in [
        (stored, "CREATE", &before, None, None),
        (stored, "UPDATE", &relabelled, Some(&before), skip(Skip::SpecUnchanged)),
        (stored, "UPDATE", &changed, Some(&before), None),
        (stored, "DELETE", &before, None, skip(Skip::Operation)),
        (workflow, "CREATE", &before, None, None),
        // Argo's controller writes whole Workflows all the time.
        (workflow, "UPDATE", &changed, Some(&before), skip(Skip::Operation)),
        (Kind::Pod, "UPDATE", &before, Some(&before), skip(Skip::Operation)),
        (Kind::Other, "CREATE", &before, None, skip(Skip::OtherKind)),
    ] {
        let outcome = outcome(kind, operation, object, old).await;
        match expected {
            Some(expected) => assert_eq!(outcome, expected, "{kind:?} {operation}"),
            None => assert!(matches!(outcome, Outcome::Rewrite(..)), "{kind:?} {operation}: {outcome:?}"),
        }
    }
}

#[test]
fn an_update_of_a_workflow_costs_no_look_at_its_spec() {
    // A megabyte of status and a spec that nobody could read: the operation is known before either is looked at.
    let object = format!(r#"{{"spec": {{"templates": 7}}, "status": "{}"}}"#, "x".repeat(1 << 20));
    let body = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": "argoproj.io", "version": "v1alpha1", "kind": "Workflow"},
            "operation": "UPDATE",
            "object": serde_json::from_str::<Value>(&object).unwrap(),
        },
    });
    let body = body.to_string();
    let request = object::AdmissionRequest::parse(body.as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let object: Value = serde_json::from_str(request.object().unwrap()).unwrap();
    let kind = Kind::of(&request.kind.group, &request.kind.kind);
    let outcome = runtime.block_on(outcome(kind, &request.operation, &object, None));
    assert_eq!(outcome, Outcome::Skip(Skip::Operation));
}

#[test]
fn what_stored_templates_name_is_wanted_ahead() {
    let (mut index, shipped) = (ImageIndex::default(), ImageIndex::default());
    index.insert("known", IndexEntry::from(ImageProcess::default())).unwrap();
    let rules = Rules {
        pod: &pod::Options::default(),
        // No kind is filled, and what runs is looked up all the same.
        workflow: &WorkflowOptions { kinds: Vec::new(), ..WorkflowOptions::default() },
        indexes: Indexes::new(&index, &shipped),
    };
    let container = |name: &str, image: &str| json!({"name": name, "container": {"image": image}});
    let spec = json!({"templates": [
        container("a", "tool:1"),
        container("again", "tool:1"),
        container("indexed", "known"),
        container("parameter", "tool:{{workflow.parameters.tag}}"),
        {"name": "set", "container": {"image": "other:1", "command": ["run"]}},
        {"name": "arm", "nodeSelector": {"kubernetes.io/arch": "arm64"}, "script": {"image": "tool:2", "source": "x"}},
        {"name": "steps", "steps": []},
    ]});
    let keyring = Arc::new(Keyring::anonymous());
    let named = |kind, object: Value, namespace| {
        let object = object.to_string();
        let stored = Stored { kind, object: &object, namespace, keyring: &keyring };
        let wanted = wanted_ahead(&stored, rules).unwrap();
        let show = |wanted: &emissary_registry::Wanted| {
            let question = &wanted.question;
            assert_eq!(&*question.namespace, namespace);
            format!("{} {}", question.reference.canonical(), wanted.stated)
        };
        wanted.iter().map(show).collect::<Vec<_>>()
    };
    let expected = ["docker.io/library/tool:1 false", "docker.io/library/tool:2 true"];
    assert_eq!(named(WorkflowKind::WorkflowTemplate, json!({"spec": spec}), "ci"), expected);
    assert_eq!(named(WorkflowKind::ClusterWorkflowTemplate, json!({"spec": spec}), ""), expected);
    assert_eq!(named(WorkflowKind::CronWorkflow, json!({"spec": {"workflowSpec": spec}}), "ci"), expected);
    assert_eq!(named(WorkflowKind::CronWorkflow, json!({"spec": {}}), "ci"), Vec::<String>::new());
}
