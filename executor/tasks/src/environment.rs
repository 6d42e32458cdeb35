//! The variables that the controller sets, as values.

use std::collections::HashMap;
use std::time::Duration;

use emissary_contract::{NO_DEADLINE, go_duration, variable};
use jiff::Timestamp;

use crate::agent;
use crate::retry::Backoff;

/// How long a container may take to end where the pod says nothing (Kubernetes' own default).
const GRACE: Duration = Duration::from_secs(30);

/// How often a resource is looked at where nothing else is said (Argo's own).
const RESOURCE_TICK: Duration = Duration::from_secs(5);

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The container's name.
    pub(crate) container: Option<String>,
    /// Whether this container does init's work too: 4.1, init-less layout.
    pub(crate) initless: bool,
    /// The template or [`emissary_contract::OFFLOADED`].
    pub(crate) template: Option<String>,
    /// The pod's name and uid; empty where they are not set.
    pub(crate) pod: (String, String),
    /// The Workflow's name and uid; nothing where the pod has none.
    pub(crate) workflow: Option<(String, String)>,
    /// The node's identifier: the result's name.
    pub(crate) node: Option<String>,
    /// The controller's, where several share a cluster.
    pub(crate) instance: Option<String>,
    /// When the step must have ended.
    pub(crate) deadline: Option<Timestamp>,
    /// Whether standard output becomes the step's result.
    pub(crate) result: bool,
    /// How long containers may take to end.
    pub(crate) grace: Duration,
    /// How often progress is reported; nothing where it is not.
    pub(crate) progress_tick: Option<Duration>,
    /// How often a resource is looked at.
    pub(crate) resource_tick: Duration,
    /// Where the API server is, as `host:port`.
    pub(crate) api: Option<String>,
    /// Where an emulator of Google's store is, as `host:port` or a URL.
    pub(crate) gcs_emulator: Option<String>,
    /// How stores are asked again.
    pub(crate) backoff: Backoff,
    /// What only an agent is told.
    pub(crate) agent: agent::Settings,
}

impl Environment {
    /// Reads it from all variables. Of those that are there twice the last counts, as Argo appends its own.
    pub(crate) fn read(variables: impl Iterator<Item = (String, String)>) -> Self {
        let all: HashMap<String, String> = variables.filter(|(_, value)| !value.is_empty()).collect();
        let text = |name: &str| all.get(name).cloned();
        let ticks = |name: &str| text(name).and_then(|text| go_duration(&text)).filter(|tick| !tick.is_zero());
        // Either tick of zero turns progress off.
        let progress_tick = ticks(variable::PROGRESS_FILE_TICK).and(ticks(variable::PROGRESS_PATCH_TICK));
        let host =
            text("KUBERNETES_SERVICE_HOST").map(|host| if host.contains(':') { format!("[{host}]") } else { host });
        let port = text("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        Self {
            container: text(variable::CONTAINER_NAME),
            initless: text(variable::INITLESS).as_deref() == Some("true"),
            template: text(variable::TEMPLATE),
            pod: (text(variable::POD_NAME).unwrap_or_default(), text(variable::POD_UID).unwrap_or_default()),
            workflow: text(variable::WORKFLOW_NAME)
                .map(|name| (name, text(variable::WORKFLOW_UID).unwrap_or_default())),
            node: text(variable::NODE_ID),
            instance: text("ARGO_INSTANCE_ID"),
            deadline: text(variable::DEADLINE)
                .filter(|deadline| deadline != NO_DEADLINE)
                .and_then(|deadline| deadline.parse().ok()),
            result: text(variable::INCLUDE_SCRIPT_OUTPUT).as_deref() == Some("true"),
            grace: text(variable::GRACE_PERIOD)
                .and_then(|seconds| seconds.parse().ok())
                .map_or(GRACE, Duration::from_secs),
            progress_tick,
            resource_tick: ticks("RESOURCE_STATE_CHECK_INTERVAL").unwrap_or(RESOURCE_TICK),
            api: host.map(|host| format!("{host}:{port}")),
            gcs_emulator: text("STORAGE_EMULATOR_HOST"),
            backoff: Backoff::read(text),
            agent: agent::Settings::read(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let read = read(&[("ARGO_NODE_ID", "a"), ("ARGO_NODE_ID", "b")]);
        assert_eq!(read.node.as_deref(), Some("b"));
    }

    #[test]
    fn gos_zero_time_is_no_deadline() {
        let cases = [
            ("0001-01-01T00:00:00Z", false),
            ("2030-01-01T00:00:00Z", true),
            ("2030-01-01T02:00:00+02:00", true),
            ("soon", false),
        ];
        for (text, some) in cases {
            assert_eq!(read(&[("ARGO_DEADLINE", text)]).deadline.is_some(), some, "{text}");
        }
    }

    #[test]
    fn either_tick_of_zero_is_no_progress() {
        for (file, patch, tick) in [("3s", "1m0s", Some(60)), ("0s", "1m0s", None), ("3s", "0s", None), ("", "", None)]
        {
            let variables = [("ARGO_PROGRESS_FILE_TICK_DURATION", file), ("ARGO_PROGRESS_PATCH_TICK_DURATION", patch)];
            assert_eq!(read(&variables).progress_tick, tick.map(Duration::from_secs), "{file} {patch}");
        }
    }

    #[test]
    fn an_address_of_version_6_stands_in_brackets() {
        let variables = [("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT", "6443")];
        assert_eq!(read(&variables).api.as_deref(), Some("[fd00::1]:6443"));
    }
}
