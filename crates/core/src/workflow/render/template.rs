//! A template with what it inherits, as the controller has it when it builds a pod.

use super::merge::merge;
use serde_json::{Map, Value, json};

/// What a template is (Argo, `Template`), as far as it makes a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Container,
    ContainerSet,
    Script,
    Resource,
    Data,
}

/// The fields that decide on a template's type, in the order in which the controller asks for them; `None` for what makes no
/// pod of its own.
const TYPES: [(&str, Option<Type>); 10] = [
    ("container", Some(Type::Container)),
    ("containerSet", Some(Type::ContainerSet)),
    ("steps", None),
    ("dag", None),
    ("script", Some(Type::Script)),
    ("resource", Some(Type::Resource)),
    ("data", Some(Type::Data)),
    ("suspend", None),
    ("http", None),
    ("plugin", None),
];

/// A template that makes a pod.
#[derive(Debug, Clone)]
pub(super) struct Template(pub(super) Value);

impl Template {
    /// The template over its defaults; `None` where it makes no pod.
    pub(super) fn new(template: &Value, defaults: &Value) -> Option<Self> {
        let (field, of) = TYPES.iter().find(|(field, _)| is_set(template, field))?;
        (*of)?;
        let mut merged = if defaults.is_object() { defaults.clone() } else { json!({}) };
        merge(&mut merged, template);
        let fields = merged.as_object_mut()?;
        // Defaults are there for templates of all types; what a template is, it says itself.
        for (other, _) in TYPES.iter().filter(|(other, _)| other != field) {
            fields.remove(*other);
        }
        fields.values_mut().for_each(prune);
        fields.retain(|_, value| !is_nothing(value));
        Some(Self(as_encoded(fields)))
    }

    pub(super) fn of(&self) -> Type {
        let found = TYPES.iter().find(|(field, _)| is_set(&self.0, field));
        found.and_then(|(_, of)| *of).unwrap_or(Type::Container)
    }

    /// Whether there is something for an init container to do under an executor of old.
    pub(super) fn needs_init(&self) -> bool {
        self.of() == Type::Script || !list(&self.0["inputs"]["artifacts"]).is_empty()
    }

    /// Whether the pod has a container that waits for main.
    pub(super) fn runs_itself(&self) -> bool {
        matches!(self.of(), Type::Resource | Type::Data)
    }

    /// The mounts that the template gives to what it runs.
    pub(super) fn mounts(&self) -> &[Value] {
        let holder = ["container", "script", "containerSet"].into_iter().find(|field| is_set(&self.0, field));
        holder.map(|field| list(&self.0[field]["volumeMounts"])).unwrap_or_default()
    }

    /// The mount in which a path of main lies.
    pub(super) fn mount_over(&self, path: &str) -> Option<&Value> {
        self.mounts().iter().find(|mount| {
            let over = mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/');
            path.strip_prefix(over).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// The entries of a list, none where it is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The fields of an object, none where it is no object.
pub(super) fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Takes out what the API's types do not tell from an absent field: null, and a list without entries.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, value| !is_nothing(value));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn is_set(template: &Value, field: &str) -> bool {
    // `suspend: {}` is one, `steps: []` is none.
    match &template[field] {
        Value::Null => false,
        Value::Array(entries) => !entries.is_empty(),
        _ => true,
    }
}

/// The template as the controller writes it: fields that its encoder never leaves out are there, empty ones that it always
/// leaves out are not.
fn as_encoded(fields: &mut Map<String, Value>) -> Value {
    let container = |container: &mut Value| {
        if let Some(container) = container.as_object_mut() {
            container.entry("name").or_insert_with(|| json!(""));
            container.entry("resources").or_insert_with(|| json!({}));
        }
    };
    for field in ["inputs", "outputs", "metadata"] {
        fields.entry(field).or_insert_with(|| json!({}));
    }
    for field in ["container", "script"] {
        fields.get_mut(field).map(container);
    }
    let set = fields.get_mut("containerSet").and_then(|set| set.get_mut("containers"));
    set.and_then(Value::as_array_mut).into_iter().flatten().for_each(container);
    for field in ["sidecars", "initContainers"] {
        fields.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().for_each(container);
    }
    if let Some(script) = fields.get_mut("script").and_then(Value::as_object_mut) {
        script.entry("source").or_insert_with(|| json!(""));
    }
    Value::Object(std::mem::take(fields))
}
