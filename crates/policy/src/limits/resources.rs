use super::Misfit;
use crate::defaults::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// By resource, such as `cpu`.
pub(super) type Quantities = BTreeMap<String, Quantity>;

/// Reads a map of quantities; absent and null are none.
pub(super) fn quantities(holder: &Value, field: &str, path: &str) -> Result<Quantities, Misfit> {
    let fields = match holder.get(field) {
        None | Some(Value::Null) => return Ok(Quantities::new()),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(Misfit { path: format!("{path}.{field}"), expected: "a map of quantities" }),
    };
    let read = |(resource, value): (&String, &Value)| match Quantity::in_list(value) {
        Some(quantity) => Ok((resource.clone(), quantity)),
        None => Err(Misfit { path: format!("{path}.{field}.{resource}"), expected: "a quantity such as 500m or 64Mi" }),
    };
    fields.iter().map(read).collect()
}

/// What a container, or a pod as a whole, asks for and may use. What is no quantity is not there: the API server refuses it.
#[derive(Debug, Default)]
pub(super) struct Resources {
    pub(super) requests: Quantities,
    pub(super) limits: Quantities,
}

impl Resources {
    /// Of `resources` of a container, or of a pod's spec.
    pub(super) fn of(holder: &Value) -> Self {
        let read = |field: &str| {
            let fields = holder.get("resources").and_then(|resources| resources.get(field)?.as_object());
            let each = |(resource, value): (&String, &Value)| Some((resource.clone(), Quantity::in_list(value)?));
            fields.into_iter().flatten().filter_map(each).collect()
        };
        Self { requests: read("requests"), limits: read("limits") }
    }

    /// Of a pod: what runs at the same time is added up, and an init container counts by itself where it takes more.
    pub(super) fn of_pod(pod: &Value) -> Self {
        let (mut all, mut sidecars, mut inits) = (Self::default(), Self::default(), Self::default());
        for container in containers(pod, "containers") {
            all.add(&Self::of(container));
        }
        for container in containers(pod, "initContainers") {
            let mut own = Self::of(container);
            // One that is restarted runs on beside all that follow.
            if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
                all.add(&own);
                sidecars.add(&own);
                inits.raise(&sidecars);
            } else {
                own.add(&sidecars);
                inits.raise(&own);
            }
        }
        all.raise(&inits);
        let Some(spec) = pod.get("spec") else { return all };
        let Self { requests, limits } = Self::of(spec);
        let is_whole = |resource: &str| matches!(resource, "cpu" | "memory");
        all.requests.extend(requests.into_iter().filter(|(resource, _)| is_whole(resource)));
        all.limits.extend(limits.into_iter().filter(|(resource, _)| is_whole(resource)));
        all
    }

    fn add(&mut self, other: &Self) {
        self.each(other, |mine, other| mine.plus(other));
    }

    fn raise(&mut self, other: &Self) {
        self.each(other, |mine, other| if other.nanos() > mine.nanos() { other } else { mine });
    }

    fn each(&mut self, other: &Self, both: impl Fn(Quantity, Quantity) -> Quantity) {
        for (mine, others) in [(&mut self.requests, &other.requests), (&mut self.limits, &other.limits)] {
            for (resource, quantity) in others {
                let sum = mine.get(resource).map_or(*quantity, |mine| both(*mine, *quantity));
                mine.insert(resource.clone(), sum);
            }
        }
    }
}

/// The containers of one list.
pub(super) fn containers<'p>(pod: &'p Value, list: &str) -> impl Iterator<Item = &'p Value> {
    pod.get("spec").and_then(|spec| spec.get(list)?.as_array()).into_iter().flatten()
}
