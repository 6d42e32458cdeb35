//! The variables that the controller, the webhook or a person sets, as values.

use std::ffi::OsString;
use std::time::Duration;

use emissary_contract::variable;

/// How long a sidecar may take to end where the pod says nothing (Kubernetes' own default).
const GRACE: Duration = Duration::from_secs(30);

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The container's name; nothing where it is not set.
    pub(crate) container: Option<String>,
    /// The template or [`emissary_contract::OFFLOADED`].
    pub(crate) template: Option<String>,
    /// Whether standard output becomes the step's result.
    pub(crate) capture: bool,
    /// Where commands are looked for.
    pub(crate) path: Option<OsString>,
    /// Whether to wait for the supervisor.
    pub(crate) wait_for_ready: bool,
    /// A file of further arguments.
    pub(crate) arguments: Option<OsString>,
    /// What to run on each platform.
    pub(crate) platform_commands: Option<String>,
    /// Whether to pause before the process starts.
    pub(crate) pause_before: bool,
    /// Whether to pause after it has ended.
    pub(crate) pause_after: bool,
    /// How long a sidecar may take to end.
    pub(crate) grace: Duration,
    /// What the process inherits: everything but what is for us alone.
    pub(crate) inherited: Vec<(OsString, OsString)>,
}

impl Environment {
    /// Reads it from all variables. Of those that are there twice the last counts, as Argo appends its own.
    pub(crate) fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut inherited: Vec<(OsString, OsString)> = variables.collect();
        let get = |name: &str| inherited.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let text = |name: &str| get(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        let is_true = |name: &str| text(name).as_deref() == Some("true");
        // 3.3 pauses for any value, later versions for `true`.
        let pauses = |name: &str| text(name).is_some_and(|value| !matches!(value.as_str(), "false" | "0"));
        let mut environment = Self {
            container: text(variable::CONTAINER_NAME),
            template: text(variable::TEMPLATE),
            capture: is_true(variable::INCLUDE_SCRIPT_OUTPUT),
            path: get("PATH"),
            wait_for_ready: is_true(variable::WAIT_FOR_READY),
            arguments: get(variable::CONTAINER_ARGS_FILE).filter(|value| !value.is_empty()),
            platform_commands: text(variable::PLATFORM_COMMANDS),
            pause_before: pauses(variable::PAUSE_BEFORE),
            pause_after: pauses(variable::PAUSE_AFTER),
            grace: text(variable::GRACE_PERIOD)
                .and_then(|seconds| seconds.parse().ok())
                .map_or(GRACE, Duration::from_secs),
            inherited: Vec::new(),
        };
        inherited.retain(|(name, _)| name != variable::PLATFORM_COMMANDS);
        environment.inherited = inherited;
        environment
    }
}
