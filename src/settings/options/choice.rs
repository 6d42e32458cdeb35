//! What others than the operator may choose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What annotations on pods and Workflows may decide.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Overrides {
    /// The annotations `emissary-webhook.io/…` that count; any other is ignored.
    pub allowed: Vec<Overridable>,
}

/// See [`Overrides::allowed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overridable {
    /// [`Settings::mode`](super::Settings::mode).
    Mode,
    /// Which of [`Executors::allowed`] the pod is for.
    Executor,
    /// [`Settings::platforms`](super::Settings::platforms).
    Platform,
    /// [`Rewrite::wrap`](super::Rewrite::wrap).
    Wrap,
}

/// Which executors there may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Executors {
    /// The executors that a pod's annotation, where `overrides.allowed` lists it, or Argo's configuration
    /// (`containerRuntimeExecutor`, `containerRuntimeExecutors`) may choose. A pod for another one than emissary is left
    /// alone; a choice that is not listed is as if it had not been made.
    pub allowed: Vec<ExecutorName>,
}

/// An executor of Argo's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ExecutorName {
    Docker,
    Kubelet,
    K8sApi,
    Pns,
    Emissary,
}

impl Default for Executors {
    fn default() -> Self {
        Self { allowed: vec![ExecutorName::Emissary] }
    }
}
