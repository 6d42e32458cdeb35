//! What `serve` does for look-ups beside answering: the operator's credentials, the hosts folder, what is kept on disk.

use super::look_ups::keyring;
use crate::settings::{self, CredentialProviders};
use anyhow::{Context, bail};
use emissary_registry::{Granted, Hosts, Keyring, ProviderOptions, Providers, Resolver};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the hosts folder is read.
const FOLLOW: Duration = Duration::from_secs(2);
/// How often what is remembered is written to disk.
const KEEP: Duration = Duration::from_secs(300);

/// The operator's own credentials, each with the namespaces that it serves.
#[derive(Debug, Clone, Default)]
pub(super) struct OperatorCredentials {
    config: Granted,
    providers: Granted,
}

impl OperatorCredentials {
    /// Reads what the settings name. What names nobody that it serves is said, since that is rarely meant; but a docker
    /// config that was `typed` on the command line serves everybody then, as whoever types it sees.
    pub(super) fn read(registry: &settings::Registry, typed: bool) -> anyhow::Result<Self> {
        let globs = |namespaces: &[settings::NamePattern]| -> Vec<String> {
            namespaces.iter().map(|namespace| namespace.as_str().to_owned()).collect()
        };
        let config = match &registry.docker_config {
            None => Granted::default(),
            Some(file) => {
                let named = &registry.docker_config_namespaces;
                let namespaces = if typed && named.is_empty() { vec!["*".to_owned()] } else { globs(named) };
                if namespaces.is_empty() {
                    warn_of_nobody("registry.dockerConfig serves", "registry.dockerConfigNamespaces");
                }
                Granted::new(keyring(Some(file))?, None, namespaces)
            }
        };
        let namespaces = &registry.credential_providers.namespaces;
        let providers = match providers(&registry.credential_providers)? {
            None => Granted::default(),
            Some(providers) => {
                if namespaces.is_empty() {
                    warn_of_nobody("registry.credentialProviders serve", "registry.credentialProviders.namespaces");
                }
                Granted::new(Keyring::anonymous(), Some(providers), globs(namespaces))
            }
        };
        Ok(Self { config, providers })
    }

    /// What pods of a namespace may use of it.
    pub(super) fn to_namespace(&self, namespace: &str) -> Keyring {
        Keyring::union([self.config.to_namespace(namespace), self.providers.to_namespace(namespace)])
    }
}

/// The exec credential providers that the settings name.
pub(super) fn providers(settings: &CredentialProviders) -> anyhow::Result<Option<Providers>> {
    let CredentialProviders { config, bin_dir, namespaces: _ } = settings;
    let (file, bin_dir) = match (config, bin_dir) {
        (None, None) => return Ok(None),
        (Some(file), Some(bin_dir)) => (file, bin_dir),
        _ => bail!("registry.credentialProviders needs both config and binDir"),
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("registry.credentialProviders.config: {} cannot be read", file.display()))?;
    let environment = std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME").collect();
    let options = ProviderOptions { environment, ..ProviderOptions::new(bin_dir) };
    Providers::from_config(&text, &options).map(Some).with_context(|| file.display().to_string())
}

fn warn_of_nobody(what: &str, key: &str) {
    tracing::warn!("{what} no namespace: list those that may use it, or \"*\" for all, in {key}");
}

/// Reads the hosts folder for the first time.
pub(super) fn hosts(folder: Option<&Path>) -> Hosts {
    folder.map_or_else(Hosts::default, |folder| read_hosts(folder, &Hosts::default()))
}

fn read_hosts(folder: &Path, before: &Hosts) -> Hosts {
    let (hosts, problems) = Hosts::load(folder, before);
    for problem in problems {
        tracing::warn!("hosts not in effect: {problem}");
    }
    hosts
}

/// Follows the hosts folder by its content.
pub(super) async fn follow_hosts(folder: PathBuf, mut hosts: Hosts, resolver: Resolver, cancel: CancellationToken) {
    let mut seen = fingerprint(&folder);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(FOLLOW) => {}
        }
        // Off the async threads: a volume may hang.
        let (path, before) = (folder.clone(), hosts.clone());
        let read = tokio::task::spawn_blocking(move || {
            let now = fingerprint(&path);
            (now, (now != seen).then(|| read_hosts(&path, &before)))
        });
        let Ok((now, changed)) = read.await else { return };
        seen = now;
        if let Some(changed) = changed {
            tracing::info!("the hosts folder changed");
            hosts = changed;
            resolver.set_hosts(hosts.clone());
        }
    }
}

/// A hash of all files below the folder, names and contents, a few levels deep. Enough to see a change by.
fn fingerprint(folder: &Path) -> u64 {
    fn add(folder: &Path, depth: usize, hasher: &mut DefaultHasher) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths.into_iter().take(4096) {
            path.hash(hasher);
            if path.is_dir() {
                if depth > 0 {
                    add(&path, depth - 1, hasher);
                }
            } else if path.metadata().is_ok_and(|metadata| metadata.len() <= 1 << 20) {
                std::fs::read(&path).ok().hash(hasher);
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    add(folder, 3, &mut hasher);
    hasher.finish()
}

/// Keeps what never changes on disk: read now, written now and then, and at the end.
pub(super) fn keep(file: PathBuf, resolver: &Resolver, tracker: &TaskTracker, cancel: CancellationToken) {
    let known = resolver.load(&file);
    tracing::info!(images = known, "what images run was read from {}", file.display());
    let resolver = resolver.clone();
    tracker.spawn(async move {
        loop {
            let last = tokio::select! {
                () = cancel.cancelled() => true,
                () = tokio::time::sleep(KEEP) => false,
            };
            let (resolver, file) = (resolver.clone(), file.clone());
            let saved = tokio::task::spawn_blocking(move || resolver.save(&file).map_err(|error| (file, error)));
            if let Ok(Err((file, error))) = saved.await {
                tracing::warn!("{} cannot be written: {error}", file.display());
            }
            if last {
                return;
            }
        }
    });
}
