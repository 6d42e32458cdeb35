use std::path::Path;

use serde_json::{Value, json};

/// A kubeconfig, as JSON, which is YAML: one cluster, one user, one context.
pub(crate) fn kubeconfig(server: &str, authority: &Path, user: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user", "namespace": "default"}}],
    })
}

/// A user who is known by a certificate.
pub(crate) fn by_certificate(certificate: &Path, key: &Path) -> Value {
    json!({"client-certificate": certificate, "client-key": key})
}
