//! Requests about pods.

use emissary_policy::{Kind, Namespace, Operation, Request, User};
use serde_json::{Map, Value, json};

/// That a pod is created, in the namespace `default`.
pub(crate) fn creation(pod: &Value) -> Request {
    Request {
        operation: Operation::Create,
        kind: Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() },
        resource: "pods".to_owned(),
        sub_resource: String::new(),
        name: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        namespace: "default".to_owned(),
        namespace_object: None,
        user: User::default(),
        object: pod.clone(),
        old_object: Value::Null,
        dry_run: false,
    }
}

/// A namespace with labels of Pod Security, without their prefix.
pub(crate) fn namespace(labels: &[(&str, &str)]) -> Namespace {
    let labels: Map<String, Value> =
        labels.iter().map(|(label, value)| (format!("pod-security.kubernetes.io/{label}"), json!(value))).collect();
    Namespace { object: json!({"metadata": {"name": "default", "labels": labels}}).as_object().unwrap().clone() }
}
