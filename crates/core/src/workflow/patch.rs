use serde::Deserialize;
use serde_json::Value;

/// Whether a `podSpecPatch` may decide on a container's image, command or args.
///
/// A patch is JSON or YAML, with parameters in it that are known only later. JSON is read; of anything else it is asked
/// only whether it speaks of containers at all, or may once its parameters are known.
pub(super) fn may_touch(patch: &str, container: &str) -> bool {
    #[derive(Deserialize)]
    struct Patch {
        #[serde(default)]
        containers: Option<Vec<Value>>,
    }
    let Ok(Patch { containers }) = serde_json::from_str(patch) else {
        return patch.contains("containers") || patch.contains("{{");
    };
    containers.unwrap_or_default().iter().any(|patched| {
        let name = patched.get("name").and_then(Value::as_str).unwrap_or_default();
        let touches = ["image", "command", "args"].iter().any(|field| patched.get(field).is_some());
        touches && (name == container || name.is_empty() || name.contains("{{"))
    })
}

#[cfg(test)]
mod tests {
    use super::may_touch;

    #[test]
    fn a_patch_counts_only_for_what_it_names() {
        for (patch, expected) in [
            (r#"{"containers":[{"name":"main","image":"b"}]}"#, true),
            (r#"{"containers":[{"name":"main","command":["x"]}]}"#, true),
            (r#"{"containers":[{"name":"main","resources":{}}]}"#, false),
            (r#"{"containers":[{"name":"other","image":"b"}]}"#, false),
            (r#"{"containers":[{"name":"{{x}}","image":"b"}]}"#, true),
            (r#"{"initContainers":[{"name":"main","image":"b"}]}"#, false),
            (r#"{"terminationGracePeriodSeconds":3}"#, false),
            ("containers:\n- name: main\n  image: b\n", true),
            ("containers:\n- name: main\n  resources: {}\n", true),
            ("terminationGracePeriodSeconds: 3", false),
            ("initContainers: []", false),
            ("{{workflow.parameters.patch}}", true),
            ("terminationGracePeriodSeconds: {{inputs.parameters.grace}}", true),
            ("", false),
        ] {
            assert_eq!(may_touch(patch, "main"), expected, "{patch}");
        }
    }
}
