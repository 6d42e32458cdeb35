use super::resources::{Resources, containers, quantities};
use super::{Misfit, name};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A ResourceQuota, as far as it demands that containers say something.
#[derive(Debug, Clone)]
pub(super) struct ResourceQuota {
    name: String,
    /// Of the resources that it counts those that each container has to name: the plugin asks it of these alone.
    demanded: Vec<Demand>,
    scopes: Vec<Scope>,
}

/// A resource of a quota, and where a container has to name it.
type Demand = (&'static str, Field, &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Requests,
    Limits,
}

const DEMANDS: [Demand; 6] = [
    ("cpu", Field::Requests, "cpu"),
    ("limits.cpu", Field::Limits, "cpu"),
    ("limits.memory", Field::Limits, "memory"),
    ("memory", Field::Requests, "memory"),
    ("requests.cpu", Field::Requests, "cpu"),
    ("requests.memory", Field::Requests, "memory"),
];

/// Which pods count against a quota (Kubernetes API, `ScopedResourceSelectorRequirement`).
#[derive(Debug, Clone)]
struct Scope {
    name: String,
    operator: String,
    values: Vec<String>,
}

impl ResourceQuota {
    pub(super) fn parse(document: &Value) -> Result<Self, Misfit> {
        let spec = document.get("spec").unwrap_or(&Value::Null);
        let hard = quantities(spec, "hard", "spec")?;
        let texts = |value: Option<&Value>| -> Vec<String> {
            let list = value.and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let plain = texts(spec.get("scopes")).into_iter();
        let plain = plain.map(|name| Scope { name, operator: "Exists".to_owned(), values: Vec::new() });
        let selected = spec.pointer("/scopeSelector/matchExpressions").and_then(Value::as_array).into_iter().flatten();
        let selected = selected.map(|expression| {
            let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            Scope { name: text("scopeName"), operator: text("operator"), values: texts(expression.get("values")) }
        });
        Ok(Self {
            name: name(document),
            demanded: DEMANDS.into_iter().filter(|(resource, ..)| hard.contains_key(*resource)).collect(),
            scopes: plain.chain(selected).collect(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What a pod has to say and does not, in the plugin's words; empty where it says all, `None` where it is not asked. An
    /// error is the scope of which nothing is known here.
    pub(super) fn missing(&self, pod: &Value) -> Result<Option<String>, &str> {
        for scope in &self.scopes {
            match scope.has(pod) {
                None => return Err(&scope.name),
                Some(false) => return Ok(None),
                Some(true) => {}
            }
        }
        if self.demanded.is_empty() {
            return Ok(None);
        }
        let of_pod = pod.get("spec").map(Resources::of).unwrap_or_default();
        if !of_pod.requests.is_empty() || !of_pod.limits.is_empty() {
            return Ok(Some(String::new()));
        }
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for container in ["containers", "initContainers"].into_iter().flat_map(|list| containers(pod, list)) {
            let Resources { requests, limits } = Resources::of(container);
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            for (resource, field, key) in &self.demanded {
                let said = if *field == Field::Requests { &requests } else { &limits };
                if !said.contains_key(*key) {
                    missing.entry(*resource).or_default().insert(name);
                }
            }
        }
        let told = missing.into_iter().map(|(resource, names)| {
            let names: Vec<&str> = names.into_iter().collect();
            format!("{resource} for: {}", names.join(","))
        });
        let told: Vec<String> = told.collect();
        Ok(Some(if told.is_empty() { String::new() } else { format!("must specify {}", told.join("; ")) }))
    }
}

impl Scope {
    /// Whether a pod is of the scope; `None` for one that is not known.
    fn has(&self, pod: &Value) -> Option<bool> {
        let of_spec = |field: &str| pod.get("spec").and_then(|spec| spec.get(field));
        let is_terminating = || of_spec("activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|s| s >= 0);
        match self.name.as_str() {
            "Terminating" => Some(is_terminating()),
            "NotTerminating" => Some(!is_terminating()),
            "BestEffort" => Some(is_best_effort(pod)),
            "NotBestEffort" => Some(!is_best_effort(pod)),
            "PriorityClass" => {
                let class = of_spec("priorityClassName").and_then(Value::as_str).filter(|class| !class.is_empty());
                let is_named = class.is_some_and(|class| self.values.iter().any(|value| value == class));
                match self.operator.as_str() {
                    "Exists" => Some(class.is_some()),
                    "DoesNotExist" => Some(class.is_none()),
                    "In" => Some(is_named),
                    "NotIn" => Some(!is_named),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Whether nothing is asked for and nothing bounded, so that the node promises nothing.
fn is_best_effort(pod: &Value) -> bool {
    let lists = ["containers", "initContainers"].into_iter().flat_map(|list| containers(pod, list));
    let all = lists.chain(pod.get("spec")).map(Resources::of);
    let counts = |resource: &str| matches!(resource, "cpu" | "memory");
    !all.flat_map(|resources| resources.requests.into_iter().chain(resources.limits))
        .any(|(resource, quantity)| counts(&resource) && quantity.nanos() > 0)
}
