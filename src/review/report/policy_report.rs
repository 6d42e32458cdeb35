use super::model::Report;
use crate::manifest::to_yaml;
use emissary_core::workflow::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A PolicyReport (wgpolicyk8s.io/v1alpha2, Kubernetes policy working group) for each namespace, as YAML documents.
pub fn policy_reports(report: &Report) -> String {
    let mut namespaces: BTreeMap<&str, (BTreeMap<&str, usize>, Vec<Value>)> = BTreeMap::new();
    for (row, pod, cell, one) in report.judgements() {
        let (summary, results) = namespaces.entry(&row.namespace).or_default();
        let result = match one.verdict.as_str() {
            "allowed" => "pass",
            "warned" => "warn",
            "unknown" => "error",
            _ => "fail",
        };
        *summary.entry(result).or_default() += 1;
        let resource = resource(&pod.pod, &row.namespace);
        let mut properties = json!({"executor": cell.executor, "stage": one.stage, "verdict": one.verdict});
        if let Some(blame) = &one.blame {
            properties["blame"] = json!(blame);
        }
        if !one.causes.is_empty() {
            properties["causes"] = json!(one.causes.join("; "));
        }
        results.push(json!({
            "source": format!("emissary-webhook/{}", one.engine),
            "policy": one.policy,
            "result": result,
            "message": one.message,
            "resources": [resource],
            "properties": properties,
        }));
    }
    let document = |(namespace, (summary, results)): (&str, (BTreeMap<&str, usize>, Vec<Value>))| {
        let count = |result| summary.get(result).copied().unwrap_or_default();
        to_yaml(&json!({
            "apiVersion": "wgpolicyk8s.io/v1alpha2",
            "kind": "PolicyReport",
            "metadata": {"name": "emissary-webhook-review", "namespace": namespace},
            "summary": {
                "pass": count("pass"), "fail": count("fail"), "warn": count("warn"), "error": count("error"), "skip": 0,
            },
            "results": results,
        }))
    };
    namespaces.into_iter().map(document).collect::<Vec<_>>().join("---\n")
}

/// The pod, or the object whose template it comes from.
fn resource(title: &str, namespace: &str) -> Value {
    let (kind, name) = title.split_once('/').unwrap_or(("pod", title));
    let of_argo = Kind::ALL.into_iter().find(|of_argo| of_argo.name().eq_ignore_ascii_case(kind));
    let Some(kind) = of_argo else {
        return json!({"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": namespace});
    };
    let name = name.split('/').next().unwrap_or_default();
    let mut resource = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind.name(), "name": name});
    if kind != Kind::ClusterWorkflowTemplate {
        resource["namespace"] = json!(namespace);
    }
    resource
}
