//! How dry runs ask policies.

use crate::settings::values::{Period, Size, StandardName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What policies would say of the pods that dry runs see: as they are, and as enforcing would make them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Review {
    /// Whether they are asked at all. Without any of the keys below that is what the labels of Pod Security Admission on namespaces
    /// say, as far as namespaces are watched.
    #[schemars(extend("x-reload" = "restart"))]
    pub enabled: bool,
    /// Files with policies, and folders with all that is below them, as `review --policies` reads them (docs/review.md). Their
    /// content is followed: what cannot be loaded is told, and what was loaded before stays.
    #[schemars(extend("x-reload" = "restart", "x-is" = "list of paths"))]
    pub policies: Vec<PathBuf>,
    /// Pod Security Standards that every pod is held to, whatever labels say, such as `restricted` or `baseline:v1.30`.
    #[schemars(extend("x-reload" = "restart"))]
    pub pss: Vec<StandardName>,
    /// PodSecurityPolicies that everybody may use; `all` for every one. Empty: Roles and Bindings among the policies decide.
    #[schemars(extend("x-reload" = "restart"))]
    pub assume_use: Vec<String>,
    /// The largest AdmissionReview that is reviewed; larger ones are counted.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "4Ki", "x-maximum" = "8Mi"))]
    pub max_pod_size: Size,
    /// Pods that wait to be reviewed after they were answered; half of it for one namespace. Further ones are counted and not asked
    /// about beyond what was said at once.
    #[schemars(range(min = 1, max = 65536), extend("x-reload" = "restart"))]
    pub max_queued: u32,
    /// Memory for them.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "64Ki", "x-maximum" = "1Gi"))]
    pub max_queued_size: Size,
    /// Processes that judge by policies that are programs, at the same time.
    #[schemars(range(min = 1, max = 64), extend("x-reload" = "restart"))]
    pub processes: u32,
    /// Address space of each of them; while policies are loaded anew there is one more.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "128Mi", "x-maximum" = "64Gi"))]
    pub memory: Size,
    /// How much of a processor loading, and the judging of one pod, may take; twenty times that by the clock. A policy that takes
    /// more is stopped, and unknown until the policies change.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub deadline: Period,
    /// What is kept of the pods that were reviewed, for `review --replay`.
    pub record: Record,
}

/// What is kept of the pods that were reviewed, for `review --replay`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Record {
    /// The folder, one file for each template, outcome and set of verdicts. Values of variables and what looks like a credential
    /// is left out (docs/review.md). Unset: nothing is kept.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub folder: Option<PathBuf>,
    /// How many files there may be. The namespace with the most gives its oldest for a new one.
    #[schemars(range(min = 1, max = 100_000), extend("x-reload" = "restart"))]
    pub max_files: u32,
    /// How large they may be together.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "64Ki", "x-maximum" = "16Gi"))]
    pub max_size: Size,
}

impl Default for Review {
    fn default() -> Self {
        Self {
            enabled: true,
            policies: Vec::new(),
            pss: Vec::new(),
            assume_use: Vec::new(),
            max_pod_size: Size(256 << 10),
            max_queued: 256,
            max_queued_size: Size(8 << 20),
            processes: 1,
            memory: Size(256 << 20),
            deadline: Period(Duration::from_secs(5)),
            record: Record::default(),
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self { folder: None, max_files: 1000, max_size: Size(64 << 20) }
    }
}
