use super::ExecutorSettings;
use emissary_contract::variable::KUBELET_PREFIX;
use serde_json::{Value, json};

/// Whether a variable is one that tells the executor where the kubelet is.
pub(in crate::pod) fn is_its_variable(name: &str) -> bool {
    name.starts_with(KUBELET_PREFIX)
}

/// The variables that the kubelet executor adds to every container that runs `argoexec` itself.
pub(crate) fn variables(settings: &ExecutorSettings) -> [Value; 3] {
    let name = |rest: &str| format!("{KUBELET_PREFIX}{rest}");
    [
        json!({"name": name("HOST"), "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.hostIP"}}}),
        json!({"name": name("PORT"), "value": settings.kubelet_port.to_string()}),
        json!({"name": name("INSECURE"), "value": settings.kubelet_insecure.to_string()}),
    ]
}
