use super::candidate::text;
use super::doubt::{is_argos, wrapper};
use emissary_contract::volume;
use serde_json::Value;

/// Volumes that Argo brings for itself; `podmetadata` up to 3.1.
const VOLUMES: [&str; 6] =
    [volume::SHARED, volume::TMP, volume::DOCKER_SOCKET, volume::EXECUTOR_TOKEN, volume::EXECUTOR_IMAGE, "podmetadata"];

/// A pod of Argo's less what Argo put on: its containers, their volumes, and what stands before the user's command. What is
/// left is the template's own part, by which it is told whose doing a denial is.
pub(super) fn bare(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return pod };
    let is_own_volume = |entry: &Value| VOLUMES.contains(&text(entry, "/name"));
    for (list, is_own) in [
        ("initContainers", &is_argos as &dyn Fn(&Value) -> bool),
        ("containers", &is_argos),
        ("volumes", &is_own_volume),
    ] {
        if let Some(entries) = spec.get_mut(list).and_then(Value::as_array_mut) {
            entries.retain(|entry| !is_own(entry));
        }
    }
    for list in ["initContainers", "containers"] {
        let entries = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in entries.filter_map(Value::as_object_mut) {
            if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                mounts.retain(|mount| !is_own_volume(mount));
            }
            if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
                env.retain(|variable| !text(variable, "/name").starts_with("ARGO_"));
            }
            if let Some(Value::Array(words)) = container.get_mut("command") {
                let wrapper = wrapper(&Value::Array(words.clone())).len();
                words.drain(..wrapper.min(words.len()));
            }
        }
    }
    spec.remove("shareProcessNamespace");
    pod
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_argo_put_on_comes_off_and_the_rest_stays() {
        let mount = |name: &str| json!({"name": name, "mountPath": "/x"});
        let pod = json!({"spec": {
            "shareProcessNamespace": true,
            "initContainers": [
                {"name": "init", "command": ["argoexec", "init"]},
                {"name": "init", "command": ["/mine"], "volumeMounts": [mount("data"), mount("var-run-argo")]},
            ],
            "containers": [
                {"name": "main", "command": ["/var/run/argo/argoexec", "emissary", "--", "a", "--", "b"],
                 "env": [{"name": "ARGO_TEMPLATE"}, {"name": "HOME"}]},
                {"name": "wait", "command": ["argoexec", "wait"]},
            ],
            "volumes": [{"name": "docker-sock"}, {"name": "data"}],
        }});
        let expected = json!({"spec": {
            "initContainers": [{"name": "init", "command": ["/mine"], "volumeMounts": [mount("data")]}],
            "containers": [{"name": "main", "command": ["a", "--", "b"], "env": [{"name": "HOME"}]}],
            "volumes": [{"name": "data"}],
        }});
        assert_eq!(bare(&pod), expected);
    }
}
