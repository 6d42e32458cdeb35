//! The executor's container.

use crate::settings::values::ImageName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The executor that is injected where a pod has none yet to take things from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Executor {
    /// Image of the init and wait containers.
    pub image: ImageName,
    /// Image on Windows nodes. Unset: the same, as Argo's image is built for both.
    pub windows_image: Option<ImageName>,
    /// When the kubelet pulls it. Unset: what Kubernetes does by default.
    pub image_pull_policy: Option<PullPolicy>,
    /// Arguments after Argo's own.
    pub args: Vec<String>,
    /// Environment variables (Kubernetes `EnvVar`) besides Argo's own.
    #[schemars(with = "Vec<Map<String, Value>>")]
    pub env: Vec<Map<String, Value>>,
    /// Requests and limits (Kubernetes `ResourceRequirements`); each that is set goes before the profile's.
    pub resources: Map<String, Value>,
    /// Kubernetes `SecurityContext`; each field that is set goes before the profile's.
    pub security_context: Map<String, Value>,
    /// How much the executor logs.
    pub log_level: LogLevel,
    /// In which form.
    pub log_format: LogFormat,
    /// Whether it chooses a command by its node's platform. Ours does; with Argo's, a pod whose image runs something else on
    /// each platform that it may land on is denied.
    pub platform_commands: bool,
}

/// Kubernetes `Container.imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// Before each start.
    Always,
    /// Where the node has none.
    IfNotPresent,
    /// The node must have it.
    Never,
}

/// `argoexec --loglevel`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// `argoexec --log-format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Default for Executor {
    fn default() -> Self {
        Self {
            image: ImageName::argoexec(),
            windows_image: None,
            image_pull_policy: None,
            args: Vec::new(),
            env: Vec::new(),
            resources: Map::new(),
            security_context: Map::new(),
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            platform_commands: false,
        }
    }
}
