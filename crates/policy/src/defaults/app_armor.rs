use serde_json::{Map, Value, json};

const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
/// Bytes of a profile's name that the API allows.
const LONGEST: usize = 4095;

/// Gives a container the profile of its annotation, unless it has one, or the pod has the same.
pub(super) fn copy_to_fields(pod: &mut Value) {
    let Some(annotations) = pod.pointer("/metadata/annotations").and_then(Value::as_object) else { return };
    let profiles: Map<String, Value> = annotations
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(ANNOTATION)?.to_owned(), field(value.as_str()?)?)))
        .collect();
    let is_windows = pod.pointer("/spec/os/name").is_some_and(|name| name == "windows");
    if profiles.is_empty() || is_windows {
        return;
    }
    let of_pod = pod.pointer("/spec/securityContext/appArmorProfile").cloned();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some(profile) = profiles.get(name).filter(|profile| Some(*profile) != of_pod.as_ref()) else {
                continue;
            };
            let security = container.entry("securityContext").or_insert_with(|| json!({}));
            if security.is_null() {
                *security = json!({});
            }
            if let Some(security) = security.as_object_mut() {
                let own = security.entry("appArmorProfile").or_insert(Value::Null);
                if own.is_null() {
                    *own = profile.clone();
                }
            }
        }
    }
}

/// The field that says the same as an annotation; none for what is no profile.
fn field(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        other => {
            let name = other.strip_prefix("localhost/")?;
            let is_valid = !name.is_empty() && name.trim() == name && name.len() <= LONGEST;
            is_valid.then(|| json!({"type": "Localhost", "localhostProfile": name}))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ANNOTATION, copy_to_fields};

    #[test]
    fn annotations_become_fields() {
        let runtime = json!({"type": "RuntimeDefault"});
        let local = json!({"type": "Localhost", "localhostProfile": "x"});
        let unconfined = json!({"type": "Unconfined"});
        // The annotation, the pod's profile, the container's, and what the container has then.
        let cases = [
            ("runtime/default", json!(null), json!(null), runtime.clone()),
            ("localhost/x", json!(null), json!(null), local.clone()),
            ("unconfined", runtime.clone(), json!(null), unconfined.clone()),
            ("runtime/default", runtime.clone(), json!(null), json!(null)),
            ("unconfined", json!(null), local.clone(), local),
            ("localhost/", json!(null), json!(null), json!(null)),
            ("localhost/ x", json!(null), json!(null), json!(null)),
            ("docker/default", json!(null), json!(null), json!(null)),
        ];
        for (annotation, of_pod, own, expected) in cases {
            let mut pod = json!({"metadata": {"annotations": {format!("{ANNOTATION}c"): annotation}},
                "spec": {"securityContext": {"appArmorProfile": of_pod},
                    "containers": [{"name": "c", "securityContext": {"appArmorProfile": own}}, {"name": "d"}]}});
            copy_to_fields(&mut pod);
            let found = &pod["spec"]["containers"][0]["securityContext"]["appArmorProfile"];
            assert_eq!(*found, expected, "{annotation} {of_pod}");
            assert_eq!(pod["spec"]["containers"][1], json!({"name": "d"}));
        }
    }

    #[test]
    fn windows_has_none() {
        let mut pod = json!({"metadata": {"annotations": {format!("{ANNOTATION}c"): "unconfined"}},
            "spec": {"os": {"name": "windows"}, "containers": [{"name": "c"}]}});
        let before = pod.clone();
        copy_to_fields(&mut pod);
        assert_eq!(pod, before);
    }
}
