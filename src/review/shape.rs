use super::candidate::Candidate;
use super::wire::Ready;
use serde_json::{Value, json};

/// What two candidates have in common if they are judged alike: the whole request, less by which name the pod goes where no
/// policy can read it. Pods of other executors are made of it alone.
pub(super) fn shape(candidate: &Candidate, ready: Option<&Ready>) -> String {
    let Candidate {
        title: _,
        place: _,
        namespace,
        namespace_object,
        bounds,
        operation,
        sub_resource,
        object,
        old_object,
        user,
        dry_run,
        is_defaulted,
        rendered,
    } = candidate;
    let reads_identity =
        ready.is_none_or(|ready| ready.reads_identity || namespace_object.is_none() && ready.selects_namespaces);
    let bare = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !reads_identity) {
            for field in ["name", "generateName", "uid"] {
                metadata.remove(field);
            }
        }
        object
    };
    let namespace_object = namespace_object.as_ref().map(|namespace| &namespace.object);
    let pods = rendered.iter().flat_map(|rendered| &rendered.0).map(|(column, built)| match built {
        Ok(built) => {
            json!([column.name(), bare(&built.pod), built.doubts.iter().map(|doubt| &doubt.why).collect::<Vec<_>>()])
        }
        Err(why) => json!([column.name(), why]),
    });
    json!([
        namespace,
        namespace_object,
        bounds.as_ref().map(|bounds| &bounds.documents),
        operation.as_str(),
        sub_resource,
        bare(object),
        bare(old_object),
        user.name,
        user.uid,
        user.groups,
        dry_run,
        is_defaulted,
        pods.collect::<Vec<_>>(),
    ])
    .to_string()
}
