//! What a controller would have written into a pod and nobody knows yet: the fields, and other values that they may have.
//!
//! As with `{{…}}`, what a policy says of such a field is no verdict. So the pod is judged with other values too.

use super::candidate::text;
use emissary_contract::{container, path, verb};
use emissary_core::pod::executor;
use emissary_core::workflow::Note;
use serde_json::{Value, json};

/// Something in a pod that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// What, and why it is not known.
    pub(super) why: String,
    pub(super) open: Open,
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Open {
    /// A field of a container.
    Container { name: String, field: &'static str },
    /// A field of the pod's spec.
    Spec(&'static str),
    /// A volume that is mounted and is not there.
    Volume(String),
    /// The secret behind a volume.
    Secret(&'static str),
    /// Any field, or whether there is a pod at all.
    Everything,
}

impl Doubt {
    /// Of what another executor's pod does not tell.
    pub(super) fn of_unknown(unknown: executor::Unknown) -> Self {
        let executor::Unknown { container, field, why } = unknown;
        let why = format!("container {container}: {field} is not known: {why}");
        Self { why, open: Open::Container { name: container, field } }
    }

    /// Of what a template does not tell.
    pub(super) fn of_note(note: &Note) -> Self {
        let open = match note {
            Note::Command { container, .. } => Open::Container { name: container.clone(), field: "command" },
            Note::Volume(name) => Open::Volume(name.clone()),
            Note::Callers(field) => Open::Spec(field),
            Note::Token(_) => Open::Secret(emissary_contract::volume::EXECUTOR_TOKEN),
            Note::Timeout => Open::Spec("activeDeadlineSeconds"),
            Note::Patch(_) | Note::Refused(_) => Open::Everything,
        };
        Self { why: note.to_string(), open }
    }
}

impl Open {
    /// The pod with other values there; none where no number of values would do.
    pub(super) fn variants(&self, pod: &Value) -> Vec<Value> {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut other = pod.clone();
            change(&mut other);
            other
        };
        match self {
            Self::Everything => Vec::new(),
            Self::Container { name, field } => {
                let each = |value: Option<Value>| {
                    with(&|pod| {
                        for list in ["initContainers", "containers"] {
                            let named = entries(pod, list).filter(|entry| text(entry, "/name") == name);
                            named.for_each(|container| put(container, field, value.clone()));
                        }
                    })
                };
                container_values(field).into_iter().map(each).collect()
            }
            Self::Spec(field) => {
                let values = spec_values(field).into_iter();
                values.map(|value| with(&|pod| put(&mut pod["spec"], field, value.clone()))).collect()
            }
            Self::Volume(name) => {
                let sources =
                    [("emptyDir", json!({})), ("hostPath", json!({"path": "/"})), ("nfs", json!({"path": "/"}))];
                let each = |(source, value): (&str, Value)| {
                    let mut volume = json!({"name": name});
                    volume[source] = value;
                    with(&|pod| match pod["spec"].get_mut("volumes").and_then(Value::as_array_mut) {
                        Some(volumes) => volumes.push(volume.clone()),
                        None => put(&mut pod["spec"], "volumes", Some(json!([volume]))),
                    })
                };
                sources.into_iter().map(each).collect()
            }
            Self::Secret(volume) => vec![with(&|pod| {
                let named = entries(pod, "volumes").filter(|entry| text(entry, "/name") == *volume);
                named.for_each(|volume| put(volume, "secret", Some(json!({"secretName": "another"}))));
            })],
        }
    }
}

/// Values that policies would tell apart.
fn container_values(field: &str) -> Vec<Option<Value>> {
    match field {
        "securityContext" => vec![
            None,
            Some(json!({"privileged": true})),
            Some(json!({
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "runAsUser": emissary_contract::USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            })),
        ],
        "command" => vec![None, Some(json!(["/bin/sh", "-c", "true"])), Some(json!(["/another"]))],
        _ => vec![None],
    }
}

fn spec_values(field: &str) -> Vec<Option<Value>> {
    let some = match field {
        "nodeSelector" => json!({"kubernetes.io/os": "linux"}),
        "affinity" => json!({"podAntiAffinity": {}}),
        "tolerations" => json!([{"operator": "Exists"}]),
        "activeDeadlineSeconds" => json!(1),
        _ => return vec![None],
    };
    vec![None, Some(some)]
}

fn entries<'p>(pod: &'p mut Value, list: &str) -> impl Iterator<Item = &'p mut Value> {
    pod.get_mut("spec").and_then(|spec| spec.get_mut(list)?.as_array_mut()).into_iter().flatten()
}

/// Sets a field, or takes it away. A command that is wrapped stays so.
fn put(holder: &mut Value, field: &str, value: Option<Value>) {
    let Some(fields) = holder.as_object_mut() else { return };
    let wrapper = fields.get("command").map(wrapper).unwrap_or_default();
    match value {
        Some(Value::Array(words)) if field == "command" => {
            fields.insert(field.to_owned(), Value::Array([wrapper, words].concat()));
        }
        Some(value) => _ = fields.insert(field.to_owned(), value),
        None if field == "command" && !wrapper.is_empty() => _ = fields.insert(field.to_owned(), json!(wrapper)),
        None => _ = fields.remove(field),
    }
}

/// What stands before a user's own command: `/var/run/argo/argoexec emissary … --`; nothing where it is not wrapped.
pub(super) fn wrapper(command: &Value) -> Vec<Value> {
    let words = command.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_wrapped =
        words.first().is_some_and(|word| word == path::EXECUTOR) && words.get(1).is_some_and(|w| w == verb::EMISSARY);
    let end = words.iter().position(|word| word == "--").filter(|_| is_wrapped);
    end.and_then(|end| words.get(..=end)).unwrap_or_default().to_vec()
}

/// Whether a container is one that Argo puts beside the user's.
pub(super) fn is_argos(entry: &Value) -> bool {
    let name = text(entry, "/name");
    let is_named = [container::INIT, container::WAIT, container::SUPERVISOR].contains(&name);
    is_named && text(entry, "/command/0").rsplit('/').next() == Some(emissary_contract::PROGRAM)
}
