use serde_json::{Map, Value, json};

/// What stands on `wait` in place of the configured security context.
///
/// It looks into other users' processes, so it is privileged where one of them is: the template's `container` or a sidecar,
/// no script and no container set.
pub(crate) fn security_context(template: &Value, always_privileged: bool) -> Value {
    let is_privileged = |container: &Value| container["securityContext"]["privileged"] == true;
    let sidecars = template["sidecars"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut context = json!({"capabilities": {"add": ["SYS_PTRACE", "SYS_CHROOT"]}});
    if always_privileged || is_privileged(&template["container"]) || sidecars.iter().any(is_privileged) {
        context["privileged"] = json!(true);
    }
    context
}

/// What the pns executor puts on `wait`, and nothing else: two capabilities, and privilege where a user's container has it.
///
/// The controller replaces the configured security context by this, so what stands beside it was added by somebody else.
/// Returns `None` where nothing remains.
pub(in crate::pod) fn take_off(security_context: &str) -> Result<Option<Value>, serde_json::Error> {
    let mut fields: Map<String, Value> = serde_json::from_str(security_context)?;
    if let Some(Value::Object(capabilities)) = fields.get_mut("capabilities") {
        if let Some(Value::Array(added)) = capabilities.get_mut("add") {
            added.retain(|name| !matches!(name.as_str(), Some("SYS_PTRACE" | "SYS_CHROOT")));
        }
        capabilities.retain(|_, names| names.as_array().is_none_or(|names| !names.is_empty()));
    }
    if fields.get("capabilities").and_then(Value::as_object).is_some_and(Map::is_empty) {
        fields.remove("capabilities");
    }
    fields.remove("privileged");
    Ok((!fields.is_empty()).then_some(Value::Object(fields)))
}

#[cfg(test)]
mod tests {
    use super::take_off;
    use serde_json::{Value, json};

    #[test]
    fn only_what_pns_added_goes() {
        let table: [(Value, Option<Value>); 4] = [
            (json!({"capabilities": {"add": ["SYS_PTRACE", "SYS_CHROOT"]}}), None),
            (json!({"capabilities": {"add": ["SYS_PTRACE", "SYS_CHROOT"]}, "privileged": true}), None),
            (
                json!({"capabilities": {"add": ["SYS_PTRACE", "SYS_CHROOT"], "drop": ["ALL"]}, "runAsUser": 7}),
                Some(json!({"capabilities": {"drop": ["ALL"]}, "runAsUser": 7})),
            ),
            (json!({"readOnlyRootFilesystem": true}), Some(json!({"readOnlyRootFilesystem": true}))),
        ];
        for (before, after) in table {
            assert_eq!(take_off(&before.to_string()).unwrap(), after, "{before}");
        }
    }
}
