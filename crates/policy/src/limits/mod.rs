//! What bounds a pod's resources in a namespace: LimitRanges and ResourceQuotas, as the API server's plugins go by them
//! (Kubernetes 1.36, LimitRanger and ResourceQuota).
//!
//! LimitRanger fills in what containers leave out, before webhooks and after them, and then refuses what is out of bounds. Of a quota
//! only what it demands to be said is judged: how much is used already, only the cluster knows.

mod quota;
mod range;
mod resources;

use crate::refusal::Refusal;
use crate::request::{Operation, Request};
use crate::verdict::{Decision, Engine, Verdict};
use quota::ResourceQuota;
use range::LimitRange;
use serde_json::Value;

/// What bounds the pods of one namespace.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    ranges: Vec<LimitRange>,
    quotas: Vec<ResourceQuota>,
}

/// A field of a LimitRange or ResourceQuota that the API server would not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {expected} is expected")]
struct Misfit {
    path: String,
    expected: &'static str,
}

impl Limits {
    /// Of a namespace's LimitRanges and ResourceQuotas; other documents are left out. What the API server would not take is
    /// told, and bounds nothing.
    pub fn new<'d>(documents: impl IntoIterator<Item = &'d Value>) -> (Self, Vec<Refusal>) {
        let (mut limits, mut refusals) = (Self::default(), Vec::new());
        for document in documents {
            let read = match document.get("kind").and_then(Value::as_str) {
                Some("LimitRange") => LimitRange::parse(document).map(|range| limits.ranges.push(range)),
                Some("ResourceQuota") => ResourceQuota::parse(document).map(|quota| limits.quotas.push(quota)),
                _ => Ok(()),
            };
            refusals.extend(read.err().map(|misfit| Refusal::new(document, misfit.to_string())));
        }
        (limits, refusals)
    }

    /// The document as the API server stores it, with the API's own defaults; what is no LimitRange has none here.
    pub fn stored(document: &Value) -> Value {
        range::stored(document)
    }

    /// Whether a document is a LimitRange or a ResourceQuota.
    pub fn is_one(document: &Value) -> bool {
        let is_core = document.get("apiVersion").and_then(Value::as_str) == Some("v1");
        is_core && matches!(document.get("kind").and_then(Value::as_str), Some("LimitRange" | "ResourceQuota"))
    }

    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.quotas.is_empty()
    }

    /// Fills in what the containers of a pod that is created leave out, and notes it in an annotation.
    pub fn fill(&self, request: &mut Request) {
        if is_judged(request) {
            self.ranges.iter().for_each(|range| range.fill(&mut request.object));
        }
    }

    /// What LimitRanger says: the first of what mutating has left to be judged. It comes before all other validation.
    pub fn judge_ranges(&self, request: &Request) -> Vec<Verdict> {
        if !is_judged(request) {
            return Vec::new();
        }
        self.ranges
            .iter()
            .map(|range| verdict(Engine::LimitRange, range.name(), range.refusal(&request.object), ""))
            .collect()
    }

    /// What ResourceQuota demands to be said of the containers. It comes after all other validation.
    pub fn judge_quotas(&self, request: &Request) -> Vec<Verdict> {
        if !is_judged(request) {
            return Vec::new();
        }
        let quotas = self.quotas.iter().filter_map(|quota| {
            let refusal = match quota.missing(&request.object) {
                Ok(missing) => missing?,
                Err(scope) => {
                    let message = format!("whether its scope {scope} has the pod is not judged");
                    let (engine, policy) = (Engine::ResourceQuota, quota.name().to_owned());
                    return Some(Verdict { engine, policy, decision: Decision::Unknown, message });
                }
            };
            let refusal = (!refusal.is_empty()).then(|| format!("failed quota: {}: {refusal}", quota.name()));
            let calm = "it demands no more to be said; how much of it is used is not known";
            Some(verdict(Engine::ResourceQuota, quota.name(), refusal, calm))
        });
        quotas.collect()
    }
}

/// Only a pod that is created: what is bounded cannot be changed later, but by the subresource `resize`.
fn is_judged(request: &Request) -> bool {
    let is_pod = request.kind.group.is_empty() && request.kind.kind == "Pod";
    is_pod && request.operation == Operation::Create && request.sub_resource.is_empty()
}

fn verdict(engine: Engine, policy: &str, refusal: Option<String>, calm: &str) -> Verdict {
    let decision = if refusal.is_some() { Decision::Denied } else { Decision::Allowed };
    Verdict { engine, policy: policy.to_owned(), decision, message: refusal.unwrap_or_else(|| calm.to_owned()) }
}

/// The name of an object.
fn name(document: &Value) -> String {
    document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}
