use super::configuration::Modes;
use super::level::{Level, Version};
use crate::quote::quoted;
use crate::request::Namespace;

const PREFIX: &str = "pod-security.kubernetes.io/";
const LEVELS: &str = "must be one of privileged, baseline, restricted";
const VERSIONS: &str = "must be \"latest\" or \"v1.x\"";

/// What a namespace's labels make of the defaults, and what is wrong with them, in the API server's words.
///
/// A level that does not exist enforces `restricted`, but neither warns nor audits; a version that does not exist is the latest.
pub(super) fn modes(namespace: &Namespace, defaults: Modes) -> (Modes, Vec<String>) {
    let mut modes = defaults;
    let mut errors = Vec::new();
    let mut is_enforced = false;
    for (mode, standard, fallback) in [
        ("enforce", &mut modes.enforce, Level::Restricted),
        ("audit", &mut modes.audit, Level::Privileged),
        ("warn", &mut modes.warn, Level::Privileged),
    ] {
        let level_label = format!("{PREFIX}{mode}");
        if let Some(text) = namespace.label(&level_label) {
            let level = Level::parse(text);
            is_enforced |= mode == "enforce" && level.is_some();
            standard.level = level.unwrap_or_else(|| {
                errors.push(invalid(&level_label, text, LEVELS));
                fallback
            });
        }
        let version_label = format!("{PREFIX}{mode}-version");
        if let Some(text) = namespace.label(&version_label) {
            standard.version = Version::parse(text).unwrap_or_else(|| {
                errors.push(invalid(&version_label, text, VERSIONS));
                Version::Latest
            });
        }
    }
    // Who asks for a strict level wants to be warned of it too, unless they say what to warn of.
    let has = |label: &str| namespace.label(&format!("{PREFIX}{label}")).is_some();
    if is_enforced && !has("warn") && modes.enforce.level > modes.warn.level {
        modes.warn.level = modes.enforce.level;
        if !has("warn-version") {
            modes.warn.version = modes.enforce.version;
        }
    }
    (modes, errors)
}

fn invalid(label: &str, value: &str, must: &str) -> String {
    format!("metadata.labels[{label}]: Invalid value: {}: {must}", quoted(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::level::Standard;
    use super::{Modes, Namespace, modes};

    /// Labels without their prefix, the three standards, how many errors.
    type Case = (&'static [(&'static str, &'static str)], [&'static str; 3], usize);

    #[test]
    fn labels_are_laid_over_the_defaults() {
        let cases: [Case; 12] = [
            (&[], ["privileged:latest", "privileged:latest", "privileged:latest"], 0),
            (&[("enforce", "baseline")], ["baseline:latest", "privileged:latest", "baseline:latest"], 0),
            (
                &[("enforce", "restricted"), ("enforce-version", "v1.24")],
                ["restricted:v1.24", "privileged:latest", "restricted:v1.24"],
                0,
            ),
            (
                &[("enforce", "restricted"), ("enforce-version", "v1.24"), ("warn-version", "v1.30")],
                ["restricted:v1.24", "privileged:latest", "restricted:v1.30"],
                0,
            ),
            (
                &[("enforce", "baseline"), ("warn", "privileged")],
                ["baseline:latest", "privileged:latest", "privileged:latest"],
                0,
            ),
            (
                &[("enforce", "baseline"), ("warn", "restricted"), ("audit", "restricted")],
                ["baseline:latest", "restricted:latest", "restricted:latest"],
                0,
            ),
            (&[("enforce", "bogus")], ["restricted:latest", "privileged:latest", "privileged:latest"], 1),
            (
                &[("enforce", "baseline"), ("warn", "bogus")],
                ["baseline:latest", "privileged:latest", "privileged:latest"],
                1,
            ),
            (&[("audit", "bogus")], ["privileged:latest", "privileged:latest", "privileged:latest"], 1),
            (
                &[("enforce", "baseline"), ("enforce-version", "1.24")],
                ["baseline:latest", "privileged:latest", "baseline:latest"],
                1,
            ),
            (&[("enforce-version", "v1.20")], ["privileged:v1.20", "privileged:latest", "privileged:latest"], 0),
            (&[("audit-version", ""), ("warn-version", "")], ["privileged:latest"; 3], 2),
        ];
        for (labels, expected, wrong) in cases {
            let labels: Map<_, _> = labels
                .iter()
                .map(|(label, value)| (format!("pod-security.kubernetes.io/{label}"), json!(value)))
                .collect();
            let object = json!({"metadata": {"labels": labels}}).as_object().unwrap().clone();
            let (modes, errors) = modes(&Namespace { object }, Modes::all(Standard::PRIVILEGED));
            let found = [modes.enforce, modes.audit, modes.warn].map(|standard| standard.to_string());
            assert_eq!(found, expected, "{labels:?}");
            assert_eq!(errors.len(), wrong, "{labels:?}: {errors:?}");
        }
    }
}
