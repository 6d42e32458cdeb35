//! `CredentialProviderConfig`.

use crate::keyring::Pattern;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::HashSet, time::Duration};

/// Why a `CredentialProviderConfig` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProvidersError {
    /// No YAML or JSON, a missing or unknown key, a value of another type.
    #[error("the file is no CredentialProviderConfig")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another kind of document, or another version.
    #[error(
        "the file is of apiVersion {api_version:?} and kind {kind:?}; write kubelet.config.k8s.io/v1 and CredentialProviderConfig"
    )]
    Kind {
        /// As it stands there.
        api_version: String,
        /// As it stands there.
        kind: String,
    },
    /// One provider.
    #[error("provider {name:?}: {fault}")]
    Provider {
        /// Its name, as it stands there.
        name: String,
        /// What is wrong with it, and what a right one is.
        fault: String,
    },
}

/// A provider as configured.
pub(super) struct Configured {
    /// The file name of its program.
    pub(super) name: String,
    pub(super) match_images: Vec<Pattern>,
    pub(super) default_cache_duration: Duration,
    pub(super) api_version: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    providers: Vec<RawProvider>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawProvider {
    #[serde(default)]
    name: String,
    #[serde(default)]
    match_images: Vec<String>,
    default_cache_duration: Option<String>,
    #[serde(default)]
    api_version: String,
    args: Option<Vec<String>>,
    env: Option<Vec<RawVariable>>,
    token_attributes: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariable {
    name: String,
    #[serde(default)]
    value: String,
}

/// The versions of the configuration and of the protocol, which differ in nothing that is used here.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

pub(super) fn parse(text: &str) -> Result<Vec<Configured>, ProvidersError> {
    let raw: RawConfig =
        serde_saphyr::from_str(text).map_err(|error| ProvidersError::Malformed(error.to_string().into()))?;
    let RawConfig { api_version, kind, providers } = raw;
    if kind != "CredentialProviderConfig" || !is_version(&api_version, "kubelet.config.k8s.io") {
        return Err(ProvidersError::Kind { api_version, kind });
    }
    let mut names = HashSet::new();
    let mut configured = Vec::with_capacity(providers.len());
    for raw in providers {
        let name = raw.name.clone();
        let fault = |fault| ProvidersError::Provider { name: name.clone(), fault };
        if !names.insert(name.clone()) {
            return Err(fault("two providers have this name".to_owned()));
        }
        configured.push(raw.check().map_err(fault)?);
    }
    Ok(configured)
}

impl RawProvider {
    /// The kubelet's own rules (`pkg/credentialprovider/plugin/config.go`).
    fn check(self) -> Result<Configured, String> {
        let Self { name, match_images, default_cache_duration, api_version, args, env, token_attributes } = self;
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', ' ']) {
            return Err("name is the name of a file in the folder of providers, without spaces and slashes".to_owned());
        }
        if !is_version(&api_version, "credentialprovider.kubelet.k8s.io") {
            return Err(format!("apiVersion {api_version:?} is unknown; write credentialprovider.kubelet.k8s.io/v1"));
        }
        if token_attributes.is_some() {
            return Err("tokenAttributes cannot be used: only the kubelet can make tokens of a pod's".to_owned());
        }
        if match_images.is_empty() {
            return Err("matchImages is empty; list images such as *.dkr.ecr.*.amazonaws.com".to_owned());
        }
        let pattern = |text: &String| {
            Pattern::parse(text).ok_or_else(|| format!("matchImages has {text:?}; write HOST[:PORT][/PATH]"))
        };
        let duration = default_cache_duration.ok_or("defaultCacheDuration is missing; write such as 12h")?;
        let default_cache_duration = super::exec::duration(&duration)
            .ok_or_else(|| format!("defaultCacheDuration {duration:?} is no duration; write such as 12h or 1h30m"))?;
        Ok(Configured {
            match_images: match_images.iter().map(pattern).collect::<Result<_, _>>()?,
            name,
            default_cache_duration,
            api_version,
            args: args.unwrap_or_default(),
            env: env.unwrap_or_default().into_iter().map(|RawVariable { name, value }| (name, value)).collect(),
        })
    }
}

fn is_version(api_version: &str, group: &str) -> bool {
    api_version.split_once('/').is_some_and(|(of, version)| of == group && VERSIONS.contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: ecr
  matchImages: ['*.dkr.ecr.*.amazonaws.com', 'quay.io/team']
  defaultCacheDuration: 12h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [get]
  env: [{name: A, value: b}]
";

    #[test]
    fn reads_the_kubelets_file() {
        let [provider] = <[_; 1]>::try_from(parse(GOOD).unwrap()).ok().unwrap();
        assert_eq!((provider.name.as_str(), provider.default_cache_duration.as_secs()), ("ecr", 12 * 3600));
        assert_eq!((provider.args, provider.env), (vec!["get".to_owned()], vec![("A".to_owned(), "b".to_owned())]));
        let table = [
            ("1.dkr.ecr.eu.amazonaws.com", "a", true),
            ("1.x.dkr.ecr.eu.amazonaws.com", "a", false),
            ("quay.io", "team/app", true),
            ("quay.io", "other/app", false),
            ("quay.io:443", "team/app", false),
        ];
        for (registry, repository, expected) in table {
            let matches = provider.match_images.iter().any(|pattern| pattern.matches(registry, repository));
            assert_eq!(matches, expected, "{registry}/{repository}");
        }
    }

    #[test]
    fn refuses_what_the_kubelet_would() {
        let table = [
            ("name: ecr", "name: ../ecr", "file"),
            ("name: ecr", "name: ..", "file"),
            ("name: ecr", "nom: ecr", "no CredentialProviderConfig"),
            ("kind: CredentialProviderConfig", "kind: Pod", "Pod"),
            ("kubelet.config.k8s.io/v1", "v1", "kubelet.config.k8s.io/v1"),
            ("credentialprovider.kubelet.k8s.io/v1", "v2", "apiVersion"),
            ("12h", "soon", "12h"),
            ("  defaultCacheDuration: 12h\n", "", "missing"),
            ("['*.dkr.ecr.*.amazonaws.com', 'quay.io/team']", "[]", "matchImages"),
            ("'quay.io/team'", "''", "HOST"),
            ("  args: [get]", "  tokenAttributes: {requireServiceAccount: true}", "tokenAttributes"),
            (
                "providers:",
                "providers:\n- {name: ecr, matchImages: [a], defaultCacheDuration: 0s, apiVersion: credentialprovider.kubelet.k8s.io/v1}",
                "two",
            ),
        ];
        for (from, to, expected) in table {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            let error = parse(&text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
