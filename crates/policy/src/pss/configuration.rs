use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::level::{Level, Standard, Version};

/// What a namespace's pods are held to: three standards, each with another consequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// A pod that violates it is refused.
    pub enforce: Standard,
    /// A violation goes to the audit log.
    pub audit: Standard,
    /// A violation is told to who creates the pod.
    pub warn: Standard,
}

impl Modes {
    /// The same in all three.
    pub fn all(standard: Standard) -> Self {
        Self { enforce: standard, audit: standard, warn: standard }
    }
}

/// The API server's `PodSecurityConfiguration`: what holds where a namespace has no labels, and who is exempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// For what a namespace's labels leave open.
    pub defaults: Modes,
    /// User names.
    pub exempt_users: BTreeSet<String>,
    /// Namespaces.
    pub exempt_namespaces: BTreeSet<String>,
    /// Names of runtime classes.
    pub exempt_runtime_classes: BTreeSet<String>,
}

impl Default for Configuration {
    /// A cluster's where nobody has written one: everything is allowed but by labels.
    fn default() -> Self {
        Self {
            defaults: Modes::all(Standard::PRIVILEGED),
            exempt_users: BTreeSet::new(),
            exempt_namespaces: BTreeSet::new(),
            exempt_runtime_classes: BTreeSet::new(),
        }
    }
}

/// Why a `PodSecurityConfiguration` does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// Another kind of document.
    #[error("{found} is not a PodSecurityConfiguration of pod-security.admission.config.k8s.io")]
    Kind {
        /// Its version and kind.
        found: String,
    },
    /// Not of the documented shape.
    #[error("PodSecurityConfiguration: {0}")]
    Shape(#[source] serde_json::Error),
    /// A level or a version that does not exist.
    #[error("PodSecurityConfiguration: defaults.{field}: {value:?} is not {expected}")]
    Default {
        /// Such as `enforce-version`.
        field: &'static str,
        /// What it has.
        value: String,
        /// What it could have.
        expected: &'static str,
    },
    /// An exemption that is empty or there twice.
    #[error("PodSecurityConfiguration: exemptions.{field}[{index}]: {value:?} is empty or there twice")]
    Exemption {
        /// Such as `usernames`.
        field: &'static str,
        /// Its place in the list.
        index: usize,
        /// What it has.
        value: String,
    },
}

const LEVELS: &str = "one of privileged, baseline, restricted";
const VERSIONS: &str = "latest or v1.N";

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    defaults: Defaults,
    exemptions: Exemptions,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Defaults {
    enforce: String,
    enforce_version: String,
    audit: String,
    audit_version: String,
    warn: String,
    warn_version: String,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Exemptions {
    usernames: Vec<String>,
    namespaces: Vec<String>,
    runtime_classes: Vec<String>,
}

impl Configuration {
    /// Reads the document, by itself or in the `configuration` of an AdmissionConfiguration's plugin.
    ///
    /// # Errors
    /// It is another kind of document, or a field of it does not hold.
    pub fn parse(document: &Value) -> Result<Self, ConfigurationError> {
        let text = |field| document.get(field).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if kind != "PodSecurityConfiguration" || !version.starts_with("pod-security.admission.config.k8s.io/") {
            return Err(ConfigurationError::Kind { found: format!("{version} {kind}") });
        }
        let Document { defaults, exemptions, .. } =
            Document::deserialize(document).map_err(ConfigurationError::Shape)?;
        let Defaults { enforce, enforce_version, audit, audit_version, warn, warn_version } = defaults;
        let Exemptions { usernames, namespaces, runtime_classes } = exemptions;
        Ok(Self {
            defaults: Modes {
                enforce: standard(("enforce", enforce), ("enforce-version", enforce_version))?,
                audit: standard(("audit", audit), ("audit-version", audit_version))?,
                warn: standard(("warn", warn), ("warn-version", warn_version))?,
            },
            exempt_users: exempt("usernames", usernames)?,
            exempt_namespaces: exempt("namespaces", namespaces)?,
            exempt_runtime_classes: exempt("runtimeClasses", runtime_classes)?,
        })
    }
}

type Field = (&'static str, String);

fn standard((level_field, level): Field, (version_field, version): Field) -> Result<Standard, ConfigurationError> {
    let invalid = |field, value, expected| ConfigurationError::Default { field, value, expected };
    Ok(Standard {
        level: match level.as_str() {
            "" => Level::Privileged,
            text => Level::parse(text).ok_or_else(|| invalid(level_field, text.to_owned(), LEVELS))?,
        },
        version: match version.as_str() {
            "" => Version::Latest,
            text => Version::parse(text).ok_or_else(|| invalid(version_field, text.to_owned(), VERSIONS))?,
        },
    })
}

fn exempt(field: &'static str, names: Vec<String>) -> Result<BTreeSet<String>, ConfigurationError> {
    let mut exempt = BTreeSet::new();
    for (index, name) in names.into_iter().enumerate() {
        if name.is_empty() || exempt.contains(&name) {
            return Err(ConfigurationError::Exemption { field, index, value: name });
        }
        exempt.insert(name);
    }
    Ok(exempt)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Configuration, Level, Modes, Standard, Version};

    const API: &str = "pod-security.admission.config.k8s.io/v1";

    #[test]
    fn what_is_left_out_is_privileged_and_latest() {
        let document = json!({"apiVersion": API, "kind": "PodSecurityConfiguration"});
        assert_eq!(Configuration::parse(&document).unwrap(), Configuration::default());
    }

    #[test]
    fn every_field_is_read() {
        let document = json!({"apiVersion": API, "kind": "PodSecurityConfiguration",
            "defaults": {"enforce": "baseline", "enforce-version": "v1.24", "audit": "restricted", "audit-version": "latest",
                "warn": "restricted", "warn-version": "v1.30"},
            "exemptions": {"usernames": ["u"], "namespaces": ["n", "m"], "runtimeClasses": ["r"]}});
        let configuration = Configuration::parse(&document).unwrap();
        let defaults = Modes {
            enforce: Standard { level: Level::Baseline, version: Version::Minor(24) },
            audit: Standard { level: Level::Restricted, version: Version::Latest },
            warn: Standard { level: Level::Restricted, version: Version::Minor(30) },
        };
        assert_eq!(configuration.defaults, defaults);
        assert!(configuration.exempt_users.contains("u"));
        assert!(configuration.exempt_namespaces.contains("m"));
        assert!(configuration.exempt_runtime_classes.contains("r"));
    }

    #[test]
    fn what_does_not_hold_is_named() {
        let cases = [
            (json!({"apiVersion": "v1", "kind": "Pod"}), "v1 Pod is not a PodSecurityConfiguration"),
            (json!({"defaults": {"enforce": "Baseline"}}), "defaults.enforce: \"Baseline\" is not one of privileged"),
            (json!({"defaults": {"warn-version": "1.30"}}), "defaults.warn-version: \"1.30\" is not latest or v1.N"),
            (json!({"defaults": {"enforced": "baseline"}}), "unknown field `enforced`"),
            (
                json!({"exemptions": {"namespaces": ["a", "a"]}}),
                "exemptions.namespaces[1]: \"a\" is empty or there twice",
            ),
            (json!({"exemptions": {"usernames": [""]}}), "exemptions.usernames[0]: \"\" is empty or there twice"),
        ];
        for (mut document, expected) in cases {
            let fields = document.as_object_mut().unwrap();
            fields.entry("apiVersion").or_insert_with(|| API.into());
            fields.entry("kind").or_insert_with(|| "PodSecurityConfiguration".into());
            let error = Configuration::parse(&document).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
