//! Where image indexes come from, and the configuration of workflow controllers.

use crate::settings::values::NamePattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What images run, as the operator says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ImageIndexFiles {
    /// Files with image index entries: YAML as in Argo's `images`, bare, under a key `images`, or in a ConfigMap.
    /// Merged in this order; what an earlier file has goes first. A relative path starts from the working directory.
    #[schemars(extend("x-is" = "list of paths"))]
    pub files: Vec<PathBuf>,
    /// Whether a namespace's own ConfigMap `image-index` counts for its workflows. Empty: nobody's does.
    pub namespaces: OwnIndexes,
}

/// Whose own ConfigMap `image-index` counts, and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OwnIndexes {
    /// The namespaces, as globs, whose own index answers for images that no index of the cluster knows.
    pub add: Vec<NamePattern>,
    /// The namespaces, as globs, whose own index goes before everything. Whoever may edit ConfigMaps there decides what the
    /// namespace's workflow pods run.
    #[serde(rename = "override")]
    pub overriding: Vec<NamePattern>,
}

/// One workflow controller (Argo).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Controller {
    /// The namespace that it runs in.
    pub namespace: String,
    /// Its ConfigMap there.
    #[serde(default = "Controller::config_map")]
    pub config_map: String,
    /// Its `instanceID`: Workflows and pods with this value in the label `workflows.argoproj.io/controller-instanceid` are its
    /// own, with an empty one those without the label. Unset: what the ConfigMap says.
    #[serde(rename = "instanceID", default)]
    pub instance_id: Option<String>,
    /// The namespaces that it looks at (`--managed-namespace`), as globs. Empty: all.
    #[serde(default)]
    pub managed_namespaces: Vec<NamePattern>,
}

impl Controller {
    /// What Argo's manifests call it.
    fn config_map() -> String {
        "workflow-controller-configmap".to_owned()
    }
}
