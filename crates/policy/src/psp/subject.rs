use serde_json::{Map, Value, json};

use crate::pod::{Capabilities, Pod, SeLinux, SecurityContext};

/// A pod that one policy changes and judges: what was read of it, and what has been changed since, to be written into the original.
#[derive(Clone)]
pub(super) struct Subject<'a> {
    pub(super) pod: Pod<'a>,
    changes: Vec<Change<'a>>,
}

#[derive(Clone)]
struct Change<'a> {
    place: Place,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum Place {
    Pod,
    /// Its number among all containers, in the order of [`crate::pod::Spec::containers`].
    Container(usize),
}

#[derive(Clone)]
enum What<'a> {
    Annotation(String, String),
    RuntimeClass(&'a str),
    /// A field of the security context.
    Security(&'static str, Value),
    Capabilities(Capabilities<'a>),
}

impl<'a> Subject<'a> {
    pub(super) fn new(pod: Pod<'a>) -> Self {
        Self { pod, changes: Vec::new() }
    }

    pub(super) fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// An annotation, empty if it is not there.
    pub(super) fn annotation(&self, key: &str) -> &str {
        self.annotation_if_set(key).unwrap_or_default()
    }

    pub(super) fn annotation_if_set(&self, key: &str) -> Option<&str> {
        let changed = self.changes.iter().rev().find_map(|change| match &change.what {
            What::Annotation(name, value) if name == key => Some(value.as_str()),
            _ => None,
        });
        changed.or_else(|| self.pod.annotations.get(key))
    }

    pub(super) fn annotate(&mut self, key: String, value: String) {
        if self.annotation(&key) != value {
            self.changes.push(Change { place: Place::Pod, what: What::Annotation(key, value) });
        }
    }

    pub(super) fn set_runtime_class(&mut self, name: &'a str) {
        self.pod.spec.runtime_class = Some(name);
        self.changes.push(Change { place: Place::Pod, what: What::RuntimeClass(name) });
    }

    /// The pod's own security context, for what a policy sets in it.
    pub(super) fn set_pod(&mut self, name: &'static str, value: Value) -> &mut SecurityContext<'a> {
        self.changes.push(Change { place: Place::Pod, what: What::Security(name, value) });
        self.pod.spec.security.get_or_insert_default()
    }

    /// A container's security context, likewise.
    pub(super) fn set_container(
        &mut self,
        index: usize,
        name: &'static str,
        value: impl Into<Value>,
    ) -> Option<&mut SecurityContext<'a>> {
        let container = self.pod.spec.containers.get_mut(index)?;
        self.changes.push(Change { place: Place::Container(index), what: What::Security(name, value.into()) });
        Some(container.security.get_or_insert_default())
    }

    pub(super) fn set_capabilities(&mut self, index: usize, capabilities: Capabilities<'a>) {
        if let Some(container) = self.pod.spec.containers.get_mut(index) {
            container.security.get_or_insert_default().capabilities = Some(capabilities.clone());
            self.changes.push(Change { place: Place::Container(index), what: What::Capabilities(capabilities) });
        }
    }

    /// The pod with all changes, and everything else as it was.
    pub(super) fn written_into(&self, original: &Value) -> Value {
        let mut pod = original.clone();
        for Change { place, what } in &self.changes {
            self.write(&mut pod, *place, what);
        }
        pod
    }

    fn write(&self, pod: &mut Value, place: Place, what: &What<'_>) {
        if let What::Annotation(key, value) = what {
            annotate(pod, key, value);
            return;
        }
        let spec = child(fields(pod), "spec");
        let Some(holder) = (match place {
            Place::Pod => Some(spec),
            Place::Container(number) => self.container(spec, number).map(fields),
        }) else {
            return;
        };
        match what {
            What::Annotation(..) => {}
            What::RuntimeClass(name) => {
                holder.insert("runtimeClassName".to_owned(), json!(name));
            }
            What::Security(name, value) => {
                child(holder, "securityContext").insert((*name).to_owned(), value.clone());
            }
            What::Capabilities(capabilities) => {
                let written = child(child(holder, "securityContext"), "capabilities");
                for (name, capabilities) in [("add", &capabilities.add), ("drop", &capabilities.drop)] {
                    if !capabilities.is_empty() {
                        written.insert(name.to_owned(), json!(capabilities));
                    }
                }
            }
        }
    }

    fn container<'v>(&self, spec: &'v mut Map<String, Value>, number: usize) -> Option<&'v mut Value> {
        let (init, main) = (self.pod.spec.init_count, self.pod.spec.main_count());
        let (list, index) = match number {
            number if number < init => ("initContainers", number),
            number if number < init + main => ("containers", number - init),
            number => ("ephemeralContainers", number - init - main),
        };
        spec.get_mut(list)?.get_mut(index)
    }
}

/// Sets an annotation of an object.
pub(super) fn annotate(object: &mut Value, key: &str, value: &str) {
    child(child(fields(object), "metadata"), "annotations").insert(key.to_owned(), json!(value));
}

/// The field as an object; what has been read as absent becomes one.
fn child<'v>(object: &'v mut Map<String, Value>, name: &str) -> &'v mut Map<String, Value> {
    fields(object.entry(name).or_insert(Value::Null))
}

#[expect(clippy::unwrap_used, reason = "it has just become an object")]
fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().unwrap()
}

/// SELinux options as the API writes them.
pub(super) fn se_linux(options: SeLinux<'_>) -> Value {
    let SeLinux { user, role, kind, level } = options;
    let fields = [("user", user), ("role", role), ("type", kind), ("level", level)];
    fields.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), json!(text))).collect()
}
