//! What the controller tells an agent by variables.

use std::time::Duration;

use emissary_contract::go_duration;

/// How many tasks run at a time where nothing is said (Argo's own).
const WORKERS: usize = 16;
/// The most that run at a time, whatever is said.
const MOST_WORKERS: usize = 1024;
/// How often results are told at most, where nothing is said (Argo's own).
const RATE: Duration = Duration::from_secs(10);

/// The variables of an agent.
#[derive(Debug)]
pub(crate) struct Settings {
    /// How many tasks run at a time.
    pub(super) workers: usize,
    /// How long between two patches, at least.
    pub(super) rate: Duration,
    /// The plugins' containers, as JSON.
    pub(super) names: Option<String>,
    /// Where the plugins are, as JSON, in the order of the names.
    pub(super) addresses: Option<String>,
}

impl Settings {
    /// Reads them. What is no number or duration is Argo's own.
    pub(crate) fn read(text: impl Fn(&str) -> Option<String>) -> Self {
        let workers = text("ARGO_AGENT_TASK_WORKERS").and_then(|text| text.parse().ok());
        Self {
            workers: workers.filter(|workers| *workers > 0).unwrap_or(WORKERS).min(MOST_WORKERS),
            rate: text("ARGO_AGENT_PATCH_RATE").and_then(|text| go_duration(&text)).unwrap_or(RATE),
            names: text("ARGO_PLUGIN_NAMES"),
            addresses: text("ARGO_PLUGIN_ADDRESSES"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_argos_own() {
        let cases = [
            ("", "", 16, 10_000),
            ("4", "2s", 4, 2000),
            ("0", "0s", 16, 0),
            ("-1", "soon", 16, 10_000),
            ("1000000", "100ms", 1024, 100),
        ];
        for (workers, rate, expected, milliseconds) in cases {
            let read = Settings::read(|name| match name {
                "ARGO_AGENT_TASK_WORKERS" => Some(workers.to_owned()),
                "ARGO_AGENT_PATCH_RATE" => Some(rate.to_owned()),
                _ => None,
            });
            assert_eq!((read.workers, read.rate.as_millis()), (expected, milliseconds), "{workers} {rate}");
        }
    }
}
