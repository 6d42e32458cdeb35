//! What a namespace's LimitRanges allow, and how what we inject is brought within it.

use crate::object::Quantity;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Quantities = BTreeMap<String, Quantity>;

/// One item of `LimitRange.spec.limits` (Kubernetes API).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitRangeItem {
    /// `Container`, `Pod`, or what is of no interest here.
    #[serde(rename = "type")]
    pub kind: String,
    /// The least, of requests and limits.
    pub min: Quantities,
    /// The most, of requests and limits, which must then be there.
    pub max: Quantities,
    /// Limits where a container has none.
    pub default: Quantities,
    /// Requests where a container has none.
    pub default_request: Quantities,
    /// How many times its request a limit may be.
    pub max_limit_request_ratio: Quantities,
}

/// All LimitRanges of a namespace together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    container: BTreeMap<String, Bounds>,
    pod: BTreeMap<String, Bounds>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bounds {
    min: Option<Quantity>,
    max: Option<Quantity>,
    limit: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

/// What is wanted of one resource, and becomes what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    request: Option<Quantity>,
    limit: Option<Quantity>,
}

impl Limits {
    /// Of all items: the narrowest bounds hold, and of defaults the first.
    pub fn of<'i>(items: impl IntoIterator<Item = &'i LimitRangeItem>) -> Self {
        let mut limits = Self::default();
        for LimitRangeItem { kind, min, max, default, default_request, max_limit_request_ratio } in items {
            let bounds = match kind.as_str() {
                "Container" => &mut limits.container,
                "Pod" => &mut limits.pod,
                _ => continue,
            };
            let mut each = |quantities: &Quantities, put: fn(&mut Bounds, Quantity)| {
                for (resource, quantity) in quantities {
                    put(bounds.entry(resource.clone()).or_default(), *quantity);
                }
            };
            each(min, |bounds, q| bounds.min = Some(bounds.min.map_or(q, |least| least.max(q))));
            each(max, |bounds, q| bounds.max = Some(bounds.max.map_or(q, |most| most.min(q))));
            each(default, |bounds, q| bounds.limit = bounds.limit.or(Some(q)));
            each(default_request, |bounds, q| bounds.request = bounds.request.or(Some(q)));
            each(max_limit_request_ratio, |bounds, q| bounds.ratio = Some(bounds.ratio.map_or(q, |most| most.min(q))));
        }
        limits
    }

    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        self.container.is_empty() && self.pod.is_empty()
    }

    /// The resources of a container that is injected beside others, within these bounds. `others` are the `resources` of
    /// those that run at the same time and count with it against the pod's.
    pub(super) fn clamp<'o>(&self, resources: Option<Value>, others: impl Iterator<Item = &'o str>) -> Option<Value> {
        if self.is_empty() {
            return resources;
        }
        let mut resources = match resources {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let taken =
            if self.pod.values().any(|bounds| bounds.max.is_some()) { taken(others) } else { Quantities::new() };
        let mut named: Vec<&String> = self.container.keys().chain(self.pod.keys()).collect();
        named.sort();
        named.dedup();
        for resource in named {
            let mut bounds = self.container.get(resource).copied().unwrap_or_default();
            if let Some(pod) = self.pod.get(resource) {
                let taken = taken.get(resource).copied().unwrap_or(Quantity::ZERO);
                // A pod that is too large without us is so for the API server to say.
                let room = pod.max.map(|max| max.less(taken)).filter(|room| *room > Quantity::ZERO);
                bounds.max = bounds.max.into_iter().chain(room).min();
                bounds.ratio = bounds.ratio.into_iter().chain(pod.ratio).min();
            }
            let before =
                Wanted { request: read(&resources, "requests", resource), limit: read(&resources, "limits", resource) };
            let after = bounds.clamp(before);
            write(&mut resources, "requests", resource, before.request, after.request);
            write(&mut resources, "limits", resource, before.limit, after.limit);
        }
        (!resources.is_empty()).then_some(Value::Object(resources))
    }
}

impl Bounds {
    /// Within the bounds, as close to what is wanted as can be. A request is raised before a limit is lowered, since a low
    /// limit kills.
    fn clamp(self, wanted: Wanted) -> Wanted {
        let Self { min, max, limit: default_limit, request: default_request, ratio } = self;
        let mut limit = wanted.limit.or(default_limit);
        // A request that nobody states is what the limit is, as the API server has it.
        let mut request = wanted.request.or(default_request).or(limit);
        if let Some(max) = max {
            limit = Some(limit.map_or(max, |limit| limit.min(max)));
            request = request.map(|request| request.min(max));
        }
        if let Some(min) = min {
            request = Some(request.map_or(min, |request| request.max(min)));
            limit = limit.map(|limit| limit.max(min));
        }
        if let Some(ratio) = ratio {
            request = request.or(limit);
            if let Some(asked) = request {
                let most = limit.or_else(|| Some(asked.times(ratio)));
                limit = most;
                let least = most.and_then(|most| most.over(ratio));
                request = least.map(|least| asked.max(least)).or(request);
            }
        }
        // A request is never above its limit.
        if let (Some(asked), Some(most)) = (request, limit) {
            request = Some(asked.min(most));
        }
        Wanted { request, limit }
    }
}

fn read(resources: &Map<String, Value>, field: &str, resource: &str) -> Option<Quantity> {
    serde_json::from_value(resources.get(field)?.get(resource)?.clone()).ok()
}

fn write(
    resources: &mut Map<String, Value>,
    field: &str,
    resource: &str,
    before: Option<Quantity>,
    after: Option<Quantity>,
) {
    let Some(after) = after.filter(|_| before != after) else { return };
    let quantities = resources.entry(field.to_owned()).or_insert_with(|| json!({}));
    if let Value::Object(quantities) = quantities {
        quantities.insert(resource.to_owned(), json!(after.to_string()));
    }
}

/// The sums of the limits, or where there is none of the requests.
fn taken<'o>(containers: impl Iterator<Item = &'o str>) -> Quantities {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Resources {
        limits: Option<Quantities>,
        requests: Option<Quantities>,
    }
    let mut sums = Quantities::new();
    for text in containers {
        // What is no quantity is for the API server to refuse.
        let Resources { limits, requests } = serde_json::from_str(text).unwrap_or_default();
        let mut each = requests.unwrap_or_default();
        each.extend(limits.unwrap_or_default());
        for (resource, quantity) in each {
            let sum = sums.entry(resource).or_insert(Quantity::ZERO);
            *sum = sum.plus(quantity);
        }
    }
    sums
}
