use super::resources::{Quantities, Resources, containers, quantities};
use super::{Misfit, name};
use crate::defaults::quantity::Quantity;
use serde_json::{Map, Value, json};

/// Where LimitRanger notes what it has filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The smallest unit of a request or a limit, in billionths.
const MILLI: i128 = 1_000_000;

/// A LimitRange, as the API server stores it.
#[derive(Debug, Clone)]
pub(super) struct LimitRange {
    name: String,
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
struct Item {
    kind: String,
    min: Quantities,
    max: Quantities,
    default: Quantities,
    default_request: Quantities,
    ratio: Quantities,
}

impl LimitRange {
    pub(super) fn parse(document: &Value) -> Result<Self, Misfit> {
        let document = &stored(document);
        let items = match document.pointer("/spec/limits") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(items)) => items,
            Some(_) => return Err(Misfit { path: "spec.limits".to_owned(), expected: "a list" }),
        };
        let items = items.iter().enumerate().map(|(at, item)| Item::parse(item, &format!("spec.limits[{at}]")));
        Ok(Self { name: name(document), items: items.collect::<Result<_, _>>()? })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Fills in what containers leave out.
    pub(super) fn fill(&self, pod: &mut Value) {
        let (mut limits, mut requests) = (Quantities::new(), Quantities::new());
        for item in self.items.iter().filter(|item| item.kind == "Container") {
            limits.extend(item.default.clone());
            requests.extend(item.default_request.clone());
        }
        let mut notes = Vec::new();
        for (list, word) in [("containers", "container"), ("initContainers", "init container")] {
            let entries = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)?.as_array_mut());
            for container in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
                let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                for (field, defaults, kind) in [("requests", &requests, "request"), ("limits", &limits, "limit")] {
                    let added = add(container, field, defaults);
                    if !added.is_empty() {
                        notes.push(format!("{} {kind} for {word} {name}", added.join(", ")));
                    }
                }
            }
        }
        let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !notes.is_empty());
        let annotations = metadata.map(|metadata| metadata.entry("annotations").or_insert_with(|| json!({})));
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.insert(ANNOTATION.to_owned(), json!(format!("LimitRanger plugin set: {}", notes.join("; "))));
        }
    }

    /// Why a pod is refused, in the plugin's words; of several reasons each once, in an order of ours: the plugin's own
    /// differs from call to call.
    pub(super) fn refusal(&self, pod: &Value) -> Option<String> {
        let mut reasons: Vec<String> = Vec::new();
        for item in &self.items {
            let all: Vec<Resources> = match item.kind.as_str() {
                "Container" => {
                    let lists = ["containers", "initContainers"].into_iter().flat_map(|list| containers(pod, list));
                    lists.map(Resources::of).collect()
                }
                "Pod" => vec![Resources::of_pod(pod)],
                _ => continue,
            };
            for reason in all.iter().flat_map(|resources| item.reasons(resources)) {
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
        }
        match &reasons[..] {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(format!("[{}]", several.join(", "))),
        }
    }
}

/// The document with the API's own defaults, as everybody reads it who watches the cluster: of containers the most is the limit where
/// none is given, the limit is the request, and else the least is.
pub(super) fn stored(document: &Value) -> Value {
    let mut stored = document.clone();
    let items = stored.pointer_mut("/spec/limits").and_then(Value::as_array_mut).into_iter().flatten();
    for item in items.filter(|item| item["type"] == "Container").filter_map(Value::as_object_mut) {
        for (field, others) in [("default", &["max"][..]), ("defaultRequest", &["default", "min"])] {
            for other in others {
                let Some(from) = item.get(*other).and_then(Value::as_object).cloned() else { continue };
                let into = item.entry(field).or_insert_with(|| json!({}));
                if into.is_null() {
                    *into = json!({});
                }
                let Some(into) = into.as_object_mut() else { continue };
                from.into_iter().for_each(|(resource, quantity)| _ = into.entry(resource).or_insert(quantity));
            }
        }
    }
    stored
}

/// Adds what is not there to requests or limits, and names it.
fn add<'d>(container: &mut Map<String, Value>, field: &str, defaults: &'d Quantities) -> Vec<&'d str> {
    let has = |container: &Map<String, Value>, resource: &str| {
        container.get("resources").is_some_and(|resources| !resources[field][resource].is_null())
    };
    let missing: Vec<_> = defaults.iter().filter(|(resource, _)| !has(container, resource)).collect();
    let object = || json!({});
    for (resource, quantity) in &missing {
        let resources = container.entry("resources").or_insert_with(object);
        if resources.is_null() {
            *resources = object();
        }
        let quantities = resources.as_object_mut().map(|resources| resources.entry(field).or_insert_with(object));
        let Some(quantities) = quantities else { continue };
        if quantities.is_null() {
            *quantities = object();
        }
        if let Some(quantities) = quantities.as_object_mut() {
            quantities.insert((*resource).clone(), json!(quantity.to_string()));
        }
    }
    missing.into_iter().map(|(resource, _)| resource.as_str()).collect()
}

impl Item {
    fn parse(item: &Value, path: &str) -> Result<Self, Misfit> {
        let read = |field: &str| quantities(item, field, path);
        Ok(Self {
            kind: item.get("type").and_then(Value::as_str).unwrap_or_default().to_owned(),
            min: read("min")?,
            max: read("max")?,
            default: read("default")?,
            default_request: read("defaultRequest")?,
            ratio: read("maxLimitRequestRatio")?,
        })
    }

    fn reasons(&self, resources: &Resources) -> Vec<String> {
        let kind = &self.kind;
        let mut reasons = Vec::new();
        for (resource, least) in &self.min {
            let (request, limit) = resources.both(resource);
            let too_little = |quantity: &Option<Quantity>| quantity.filter(|quantity| below(*quantity, *least));
            let why = match (request, too_little(&request), too_little(&limit)) {
                (None, ..) => ".  No request is specified".to_owned(),
                (_, Some(request), _) => format!(", but request is {request}"),
                (_, _, Some(limit)) => format!(", but limit is {limit}"),
                _ => continue,
            };
            reasons.push(format!("minimum {resource} usage per {kind} is {least}{why}"));
        }
        for (resource, most) in &self.max {
            let (request, limit) = resources.both(resource);
            let too_much = |quantity: &Option<Quantity>| quantity.filter(|quantity| below(*most, *quantity));
            let why = match (limit, too_much(&limit), too_much(&request)) {
                (None, ..) => ".  No limit is specified".to_owned(),
                (_, Some(limit), _) => format!(", but limit is {limit}"),
                (_, _, Some(request)) => format!(", but request is {request}"),
                _ => continue,
            };
            reasons.push(format!("maximum {resource} usage per {kind} is {most}{why}"));
        }
        for (resource, most) in &self.ratio {
            let (request, limit) = resources.both(resource);
            let why = match (some(request), some(limit)) {
                (None, _) => "no request is specified or request is 0".to_owned(),
                (_, None) => "no limit is specified or limit is 0".to_owned(),
                (Some(request), Some(limit)) => {
                    // In floating-point numbers, as the plugin has it.
                    let ratio = (limit.nanos() / MILLI) as f64 / (request.nanos() / MILLI) as f64;
                    if ratio * 1000.0 <= (most.nanos() / MILLI) as f64 {
                        continue;
                    }
                    format!("provided ratio is {ratio:.6}")
                }
            };
            reasons.push(format!("{resource} max limit to request ratio per {kind} is {most}, but {why}"));
        }
        reasons
    }
}

impl Resources {
    fn both(&self, resource: &str) -> (Option<Quantity>, Option<Quantity>) {
        (self.requests.get(resource).copied(), self.limits.get(resource).copied())
    }
}

fn below(quantity: Quantity, bound: Quantity) -> bool {
    quantity.nanos() < bound.nanos()
}

fn some(quantity: Option<Quantity>) -> Option<Quantity> {
    quantity.filter(|quantity| quantity.nanos() != 0)
}
