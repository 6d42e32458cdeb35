//! ValidatingAdmissionPolicy (Kubernetes 1.30 and later; texts as 1.36): policies, their bindings and parameters, and what the API server
//! would say of a request.

mod binding;
pub(crate) mod matching;
mod policy;
pub(crate) mod rules;

use crate::cel::{Globals, Value as CelValue};
use crate::refusal::Refusal;
use crate::request::{Namespace, Operation, Request};
use crate::verdict::{Decision, Engine, Verdict};
use binding::{Binding, Params};
use policy::{ParamKind, Policy};
use rules::{Finding, Findings};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The policies of a cluster, compiled. Clones share them.
#[derive(Debug, Clone)]
pub struct Vap {
    bound: Arc<Vec<Arc<Bound>>>,
    params: Arc<Params>,
}

/// A policy with one of its bindings.
#[derive(Debug)]
struct Bound {
    policy: Arc<Policy>,
    binding: Binding,
    /// The policy's name, and the binding's where the policy has several.
    name: String,
}

/// What a policy says under one of its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The summary.
    pub verdict: Verdict,
    /// The binding.
    pub binding: String,
    /// The reason in the API server's answer, such as `Invalid`, where it rejects.
    pub reason: Option<String>,
    /// The code in the API server's answer.
    pub code: Option<u16>,
    /// What the user is told without being rejected.
    pub warnings: Vec<String>,
    /// What is written into the audit log, by key.
    pub audit: BTreeMap<String, String>,
}

const GROUP: &str = "admissionregistration.k8s.io";

/// What stands against a request.
struct Denial {
    message: String,
    reason: String,
}

impl Vap {
    /// Compiles policies and bindings; all other documents may be their parameters.
    ///
    /// What would be refused is left out and listed; so are the bindings of what is left out, without being listed.
    pub fn new<'d>(documents: impl IntoIterator<Item = &'d Value>) -> (Self, Vec<Refusal>) {
        let (mut policies, mut bindings, mut refusals) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut others = Vec::new();
        for document in documents {
            let text = |key| document.get(key).and_then(Value::as_str).unwrap_or_default();
            let is_ours = text("apiVersion").split('/').next() == Some(GROUP);
            match text("kind") {
                "ValidatingAdmissionPolicy" if is_ours => match Policy::read(document) {
                    Ok(policy) => _ = policies.insert(policy.name.clone(), Arc::new(policy)),
                    Err(error) => refusals.push(Refusal::new(document, error.to_string())),
                },
                "ValidatingAdmissionPolicyBinding" if is_ours => match Binding::read(document) {
                    Ok(binding) => bindings.push(binding),
                    Err(error) => refusals.push(Refusal::new(document, error.to_string())),
                },
                kind => others.push((text("apiVersion"), kind, document)),
            }
        }
        bindings.sort_by(|a: &Binding, b| (&a.policy, &a.name).cmp(&(&b.policy, &b.name)));
        let count = |name: &str| bindings.iter().filter(|binding| binding.policy == name).count();
        let names: Vec<String> = bindings
            .iter()
            .map(|binding| match count(&binding.policy) {
                1 => binding.policy.clone(),
                _ => format!("{}/{}", binding.policy, binding.name),
            })
            .collect();
        let bound = bindings.into_iter().zip(names).filter_map(|(binding, name)| {
            let policy = policies.get(&binding.policy)?.clone();
            Some(Arc::new(Bound { policy, binding, name }))
        });
        let mut params = Params::new();
        for (api_version, kind, document) in others {
            let kind = ParamKind { api_version: api_version.to_owned(), kind: kind.to_owned() };
            if policies.values().any(|policy| policy.param_kind.as_ref() == Some(&kind)) {
                params.entry(kind).or_default().push(integral(document.clone()));
            }
        }
        (Self { bound: Arc::new(bound.collect()), params: Arc::new(params) }, refusals)
    }

    /// How many pairs of a policy and a binding there are.
    pub fn len(&self) -> usize {
        self.bound.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bound.is_empty()
    }

    /// The pairs, as verdicts name them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.bound.iter().map(|bound| bound.name.as_str())
    }

    /// Keeps the pairs whose names are wanted; the others are not asked any more.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        let kept = self.bound.iter().filter(|bound| wanted(&bound.name)).cloned().collect();
        self.bound = Arc::new(kept);
    }

    /// What each policy that matches says, by its bindings.
    pub fn judge(&self, request: &Request) -> Vec<Verdict> {
        self.review(request).into_iter().map(|judgement| judgement.verdict).collect()
    }

    /// The same with what the API server does about it.
    pub fn review(&self, request: &Request) -> Vec<Judgement> {
        let json = request_json(request);
        let namespace = match &request.namespace_object {
            Some(namespace) => Some(namespace_json(namespace)),
            None if request.namespace.is_empty() => Some(Value::Null),
            None => None,
        };
        let globals = Globals {
            object: CelValue::from(&request.object),
            old_object: CelValue::from(&request.old_object),
            request: CelValue::from(&json),
            namespace_object: namespace.as_ref().map(CelValue::from),
            params: CelValue::Null,
        };
        self.bound.iter().filter_map(|bound| bound.judge(request, &globals, &self.params)).collect()
    }
}

impl Bound {
    /// `None` where the policy or the binding does not match.
    fn judge(&self, request: &Request, globals: &Globals<'_>, params: &Params) -> Option<Judgement> {
        let Self { policy, binding, .. } = self;
        let mut judged = Judged::new(self);
        let matches =
            policy.matching.matches(request).and_then(|policy| Ok(policy && binding.matching.matches(request)?));
        match matches {
            Ok(true) => {}
            Ok(false) => return None,
            Err(matching::NamespaceUnknown) => {
                judged.unknown.push("the labels of the request's namespace are not known".to_owned());
                return Some(judged.finish(request));
            }
        }
        match binding.params(policy, params, request) {
            Err(_) if policy.rules.ignores_failures => {}
            Err(message) => judged.denials.push(Denial { message, reason: String::new() }),
            Ok(all) => {
                for params in all {
                    let params = params.map_or(CelValue::Null, CelValue::from);
                    judged.take(policy.rules.evaluate(Globals { params, ..globals.clone() }));
                }
            }
        }
        Some(judged.finish(request))
    }
}

/// What a policy has said so far, under one binding.
struct Judged<'b> {
    bound: &'b Bound,
    denials: Vec<Denial>,
    unknown: Vec<String>,
    warnings: Vec<String>,
    audit: BTreeMap<String, Vec<String>>,
    failure: Option<String>,
}

impl<'b> Judged<'b> {
    fn new(bound: &'b Bound) -> Self {
        Self {
            bound,
            denials: Vec::new(),
            unknown: Vec::new(),
            warnings: Vec::new(),
            audit: BTreeMap::new(),
            failure: None,
        }
    }

    fn take(&mut self, findings: Findings) {
        let Bound { policy, binding, .. } = self.bound;
        for (n, finding) in findings.validations.into_iter().enumerate() {
            let (message, reason) = match finding {
                Finding::Nothing => continue,
                Finding::Unknown(why) => {
                    self.unknown.push(why);
                    continue;
                }
                Finding::Against { message, reason } => (message, reason),
            };
            if binding.has("Warn") {
                self.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                    policy.name, binding.name
                ));
            }
            if binding.has("Audit") && self.failure.is_none() {
                self.failure = Some(failure_annotation(policy, binding, n, &message));
            }
            if binding.has("Deny") {
                self.denials.push(Denial { message, reason });
            }
        }
        for (key, value) in findings.annotations {
            let values = self.audit.entry(key).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
        for finding in findings.failed_annotations {
            match finding {
                Finding::Nothing => {}
                Finding::Unknown(why) => self.unknown.push(why),
                // Whatever the binding's actions are.
                Finding::Against { message, reason } => self.denials.push(Denial { message, reason }),
            }
        }
    }

    fn finish(self, request: &Request) -> Judgement {
        let Bound { policy, binding, name } = self.bound;
        let mut audit: BTreeMap<String, String> =
            self.audit.into_iter().map(|(key, values)| (format!("{}/{key}", policy.name), values.join(", "))).collect();
        if let Some(failure) = self.failure {
            audit.insert("validation.policy.admission.k8s.io/validation_failure".to_owned(), failure);
        }
        let (decision, message) = match (self.denials.first(), self.unknown.first()) {
            (Some(denial), _) => (Decision::Denied, forbidden(request, policy, binding, &denial.message)),
            (None, Some(why)) => (Decision::Unknown, why.clone()),
            (None, None) if self.warnings.is_empty() => (Decision::Allowed, String::new()),
            (None, None) => (Decision::Warned, self.warnings.join("\n")),
        };
        let reason = self.denials.first().map(|denial| match denial.reason.as_str() {
            "" => "Invalid".to_owned(),
            reason => reason.to_owned(),
        });
        Judgement {
            verdict: Verdict { engine: Engine::Vap, policy: name.clone(), decision, message },
            binding: binding.name.clone(),
            code: reason.as_deref().map(code),
            reason,
            warnings: self.warnings,
            audit,
        }
    }
}

fn code(reason: &str) -> u16 {
    match reason {
        "Forbidden" => 403,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    }
}

/// The API server's whole message.
fn forbidden(request: &Request, policy: &Policy, binding: &Binding, message: &str) -> String {
    let metadata = |key: &str| {
        let objects = [&request.object, &request.old_object].into_iter();
        let mut texts = objects.filter_map(|object| object.get("metadata")?.get(key)?.as_str());
        texts.find(|text| !text.is_empty())
    };
    let name = Some(request.name.as_str()).filter(|name| !name.is_empty());
    let name = name.or_else(|| metadata("name")).or_else(|| metadata("generateName")).unwrap_or("Unknown");
    let resource = match request.kind.group.as_str() {
        "" => request.resource.clone(),
        group => format!("{}.{group}", request.resource),
    };
    format!(
        "{resource} \"{name}\" is forbidden: ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {message}",
        policy.name, binding.name
    )
}

/// The value of the audit annotation about a failure.
fn failure_annotation(policy: &Policy, binding: &Binding, n: usize, message: &str) -> String {
    let text = |text: &str| go_json(text);
    let actions: Vec<String> = binding.actions.iter().map(|action| text(action)).collect();
    format!(
        "[{{\"message\":{},\"policy\":{},\"binding\":{},\"expressionIndex\":{n},\"validationActions\":[{}]}}]",
        text(message),
        text(&policy.name),
        text(&binding.name),
        actions.join(",")
    )
}

/// A JSON string as Go writes it: what HTML would read is escaped.
fn go_json(text: &str) -> String {
    let plain = Value::from(text).to_string();
    let escapes =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    escapes.into_iter().fold(plain, |text, (c, escape)| text.replace(c, escape))
}

/// What is called `request`: without the objects.
pub(crate) fn request_json(request: &Request) -> Value {
    let mut json = request.to_json_without_objects();
    // A policy's request has none, and says so.
    json["uid"] = Value::from("");
    let kind = match request.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return json,
    };
    json["options"] = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    json
}

/// What is called `namespaceObject`: the API's type has these two even where they are empty.
pub(crate) fn namespace_json(namespace: &Namespace) -> Value {
    let mut object = namespace.object.clone();
    for part in ["spec", "status"] {
        object.entry(part).or_insert_with(|| json!({}));
    }
    Value::Object(object)
}

/// Numbers of a manifest: `2.0` is an integer by the time that it is stored.
fn integral(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => crate::cel::integral(float).map_or(Value::Number(number), Value::from),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(integral).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, integral(value))).collect(),
        other => other,
    }
}
