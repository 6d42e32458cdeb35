//! What a node would not start although it was admitted.

use super::verdict::{Judgement, Stage, Verdict};
use crate::settings::Snapshot;
use emissary_core::image::ImageProcess;
use emissary_core::lookup::Answers;
use serde_json::Value;

/// Who says it.
const ENGINE: &str = "kubelet";

/// What the kubelet would refuse of a pod, a judgement a container and reason. `process` says what an image is; of an image that
/// it does not know nothing is said.
pub(super) fn refusals(pod: &Value, process: impl Fn(&str) -> Option<ImageProcess>) -> Vec<Judgement> {
    let of_pod = pod.pointer("/spec/securityContext");
    let mut found = Vec::new();
    for container in containers(pod) {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let own = container.get("securityContext");
        let effective =
            |field: &str| [own, of_pod].into_iter().flatten().find_map(|at| at.get(field).filter(|v| !v.is_null()));
        let mut refuse = |policy: &str, message: String| {
            let policy = format!("{policy}/{name}");
            found.push(Judgement::new(Stage::Start, ENGINE, policy, Verdict::WontStart, message));
        };
        if effective("runAsNonRoot") == Some(&Value::Bool(true)) {
            match effective("runAsUser").and_then(Value::as_i64) {
                Some(0) => refuse(
                    "runAsNonRoot",
                    format!("container {name}: runAsNonRoot is true and runAsUser is 0; set another user"),
                ),
                Some(_) => {}
                None => {
                    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
                    if let Some(why) = process(image).and_then(|process| root(process.user.as_deref())) {
                        refuse(
                            "runAsNonRoot",
                            format!("container {name}: runAsNonRoot is true, and image {image} {why}; set runAsUser"),
                        );
                    }
                }
            }
        }
        let is_executor = matches!(name, "wait" | "supervisor");
        let read_only = own.and_then(|own| own.get("readOnlyRootFilesystem")) == Some(&Value::Bool(true));
        if is_executor && read_only && !mounts(container, "/tmp") {
            refuse(
                "readOnlyRootFilesystem",
                format!(
                    "container {name}: its root is read-only, and it writes outputs below /tmp; mount an emptyDir there"
                ),
            );
        }
    }
    found
}

/// The images whose users matter: of containers that may not be root, and say no user.
pub(super) fn images(pod: &Value) -> Vec<&str> {
    let of_pod = pod.pointer("/spec/securityContext");
    let matters = |container: &&Value| {
        let own = container.get("securityContext");
        let effective =
            |field: &str| [own, of_pod].into_iter().flatten().find_map(|at| at.get(field).filter(|v| !v.is_null()));
        effective("runAsNonRoot") == Some(&Value::Bool(true)) && effective("runAsUser").is_none()
    };
    containers(pod).filter(matters).filter_map(|container| container.get("image")?.as_str()).collect()
}

/// What an image runs and as whom, as far as an index or a registry has said it.
pub fn process(snapshot: &Snapshot, answers: &Answers, image: &str) -> Option<ImageProcess> {
    let reference = snapshot.pod().reference(image).ok()?;
    if let Some(hit) = snapshot.indexes().operator.find(&reference) {
        // An entry that names no user says nothing of it.
        let process = hit.entry.process_for(snapshot.pod().platforms.first());
        return process.filter(|process| process.user.is_some()).cloned();
    }
    let found = answers.iter().find(|(look_up, answer)| look_up.reference == reference && answer.is_ok());
    found.and_then(|(_, answer)| answer.as_ref().ok()?.processes.first().map(|(_, process)| process.clone()))
}

/// Containers that are started, the first to be so first.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |pointer| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    of("/spec/initContainers").chain(of("/spec/containers"))
}

/// Why the kubelet takes an image's user for root, or cannot tell (its `verifyRunAsNonRoot`).
fn root(user: Option<&str>) -> Option<String> {
    let user = user.unwrap_or_default();
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    match user.parse::<i64>() {
        Ok(0) => Some("runs as root".to_owned()),
        Ok(_) => None,
        Err(_) if user.is_empty() => Some("runs as root, since it names no user".to_owned()),
        Err(_) => Some(format!("names its user {user:?} and gives no number, so that nobody can tell")),
    }
}

fn mounts(container: &Value, path: &str) -> bool {
    let mounts = container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
    mounts.filter_map(|mount| mount.get("mountPath")?.as_str()).any(|at| at.trim_end_matches('/') == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_kubelet_refuses() {
        let image = |user: Option<&str>| ImageProcess { user: user.map(str::to_owned), ..ImageProcess::default() };
        let table = [
            (json!({"runAsNonRoot": true}), Some(None), 1),
            (json!({"runAsNonRoot": true}), Some(Some("root")), 1),
            (json!({"runAsNonRoot": true}), Some(Some("0:5")), 1),
            (json!({"runAsNonRoot": true}), Some(Some("app")), 1),
            (json!({"runAsNonRoot": true}), Some(Some("1000:1000")), 0),
            (json!({"runAsNonRoot": true}), None, 0),
            (json!({"runAsNonRoot": true, "runAsUser": 7}), Some(None), 0),
            (json!({"runAsNonRoot": true, "runAsUser": 0}), Some(Some("7")), 1),
            (json!({"runAsNonRoot": false}), Some(None), 0),
            (json!({"readOnlyRootFilesystem": true}), None, 1),
        ];
        for (context, user, expected) in table {
            let pod = json!({"spec": {"containers": [{"name": "wait", "image": "i", "securityContext": context}]}});
            let found = refusals(&pod, |_| user.map(image));
            assert_eq!(found.len(), expected, "{context} {user:?}: {found:?}");
        }
    }
}
