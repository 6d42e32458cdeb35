//! What of the cluster is watched.

use crate::settings::values::{NamespaceName, SecretName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is watched in the cluster. No admission waits for the API server: what it needs is known before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cluster {
    /// Whether the API server is talked to: `always`, `never`, or `auto`: where `kubeconfig` is set or the process runs in
    /// a pod with a service account's token. Without it nothing is known of namespaces, pull secrets and LimitRanges.
    #[schemars(extend("x-reload" = "restart"))]
    pub enabled: ClusterEnabled,
    /// The kubeconfig that says which API server, and as whom. Unset: the pod's own service account.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub kubeconfig: Option<PathBuf>,
    /// The webhook's own namespace, where its image indexes are. Unset: that of its service account, or of the kubeconfig.
    #[schemars(extend("x-reload" = "restart"))]
    pub namespace: Option<NamespaceName>,
    /// The only namespaces in which pull secrets, ServiceAccounts, LimitRanges, Workflows and image indexes are watched, for an
    /// installation without a ClusterRole; then labels of namespaces are not known. Empty: the whole cluster.
    #[schemars(extend("x-reload" = "restart"))]
    pub namespaces: Vec<NamespaceName>,
    /// Which image pull secrets are read: `none`; those of `pullSecretNamespaces` (`named-namespaces`), by a Role in each;
    /// or `every-secret-in-the-cluster`, which is what the ClusterRole for it lets this process read, of whatever type.
    #[schemars(extend("x-reload" = "restart"))]
    pub pull_secrets: PullSecrets,
    /// See `pullSecrets`.
    #[schemars(extend("x-reload" = "restart"))]
    pub pull_secret_namespaces: Vec<NamespaceName>,
    /// The only pull secrets that are read there, as a Role may grant them by `resourceNames`. Empty: all.
    #[schemars(extend("x-reload" = "restart"))]
    pub pull_secret_names: Vec<SecretName>,
    /// Whether LimitRanges are watched, so that what is injected keeps within them.
    #[schemars(extend("x-reload" = "restart"))]
    pub limit_ranges: bool,
    /// Whether labels of Workflows are watched: `always`, `never`, or `auto`: from when they decide by which executor pods are
    /// run. They do where `containerRuntimeExecutors` of a controller selects by labels and `executors.allowed` lists another
    /// executor than emissary.
    #[schemars(extend("x-reload" = "restart"))]
    pub workflow_labels: WorkflowLabels,
    /// Whether platforms of the cluster's nodes stand in for `platforms` where that is empty. Nothing is denied for them,
    /// since other nodes may come.
    #[schemars(extend("x-reload" = "restart"))]
    pub node_platforms: bool,
}

/// See [`Cluster::enabled`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterEnabled {
    /// Where there is one to talk to.
    #[default]
    Auto,
    /// Nothing starts without.
    Always,
    /// Not at all.
    Never,
}

/// See [`Cluster::workflow_labels`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkflowLabels {
    /// From when they decide anything.
    #[default]
    Auto,
    /// From the start.
    Always,
    /// Not at all.
    Never,
}

/// See [`Cluster::pull_secrets`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PullSecrets {
    /// No secret is read.
    #[default]
    None,
    /// Those of some namespaces.
    NamedNamespaces,
    /// All.
    EverySecretInTheCluster,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            enabled: ClusterEnabled::default(),
            kubeconfig: None,
            namespace: None,
            namespaces: Vec::new(),
            pull_secrets: PullSecrets::default(),
            pull_secret_namespaces: Vec::new(),
            pull_secret_names: Vec::new(),
            limit_ranges: true,
            workflow_labels: WorkflowLabels::default(),
            node_platforms: false,
        }
    }
}
