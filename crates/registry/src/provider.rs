//! Credentials from the operator's programs: the kubelet's exec plugins and its file for them
//! (<https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/>).

mod config;
mod exec;

pub use config::ProvidersError;

use crate::{
    Clock, Failure,
    keyring::{Credential, Identity, Tier},
};
use config::Configured;
use moka::sync::Cache;
use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::sync::Mutex;

/// Answers kept a provider. One that answers by image is asked for names that pods give.
const MOST_ANSWERS: u64 = 1024;
/// The key of an answer for all images; no registry and no image is called that.
const EVERYTHING: &str = "";
/// Also where the answer is not to be kept, so that those who wait for it need not all ask again.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
/// After a failure a provider is left alone for this long, so that a broken one costs one run and not one a look-up.
const PAUSE: Duration = Duration::from_secs(5);

/// How providers are run.
///
/// `Debug` leaves the environment out.
#[derive(Clone)]
pub struct ProviderOptions {
    /// The folder of the programs, as the kubelet's `--image-credential-provider-bin-dir`.
    pub bin_dir: PathBuf,
    /// Time for one run. The kubelet gives a minute, which no admission has.
    pub timeout: Duration,
    /// The whole environment of a program, but for what its own configuration adds. Ours is not handed on.
    pub environment: Vec<(String, String)>,
    /// Where the time comes from by which answers grow old.
    pub clock: Clock,
}

impl ProviderOptions {
    /// Ten seconds, an empty environment, the system's clock.
    pub fn new(bin_dir: impl Into<PathBuf>) -> Self {
        Self {
            bin_dir: bin_dir.into(),
            timeout: Duration::from_secs(10),
            environment: Vec::new(),
            clock: Clock::system(),
        }
    }
}

/// The operator's exec credential providers. Cheap to clone; clones share what they remember.
///
/// `Debug` shows names only.
#[derive(Clone)]
pub struct Providers(Arc<[Arc<Provider>]>);

/// One of them.
pub(crate) struct Provider {
    configured: Configured,
    options: ProviderOptions,
    answers: Cache<String, Kept>,
    /// Held by the one look-up that runs the program; the others wait and then use what it found.
    gates: Cache<String, Arc<Mutex<()>>>,
    /// What the last answer was for. Before the first one nobody knows, so there is one run at a time.
    shares: std::sync::Mutex<CacheKeyType>,
    identity: Identity,
}

/// An answer, or that there was none.
#[derive(Clone)]
struct Kept {
    tier: Result<Arc<Tier>, ()>,
    until: SystemTime,
}

/// What decides whether an answer serves another image too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
enum CacheKeyType {
    Image,
    Registry,
    Global,
}

impl Providers {
    /// Reads a `CredentialProviderConfig` of `kubelet.config.k8s.io/v1`, YAML or JSON. Nothing is run yet.
    ///
    /// # Errors
    /// Whatever the kubelet would refuse, and service account tokens for providers, which are the kubelet's to make.
    pub fn from_config(text: &str, options: &ProviderOptions) -> Result<Self, ProvidersError> {
        let provider = |configured: Configured| {
            let identity = Identity::of([b"provider".as_slice(), configured.name.as_bytes()]);
            let (options, answers, gates) = (options.clone(), Cache::new(MOST_ANSWERS), Cache::new(MOST_ANSWERS));
            let shares = std::sync::Mutex::new(CacheKeyType::Global);
            Arc::new(Provider { configured, options, answers, gates, shares, identity })
        };
        Ok(Self(config::parse(text)?.into_iter().map(provider).collect()))
    }

    /// Those that may be asked for a repository, in the file's order.
    pub(crate) fn matching(&self, registry: &str, repository: &str) -> impl Iterator<Item = &Arc<Provider>> {
        self.0.iter().filter(move |provider| {
            provider.configured.match_images.iter().any(|pattern| pattern.matches(registry, repository))
        })
    }
}

impl Provider {
    /// The provider as such, whatever it answers today: its credentials change every few hours.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// What it has for a repository, from memory while that is fresh.
    ///
    /// # Errors
    /// A run that failed, which is the operator's affair and may end well the next time.
    pub(crate) async fn credentials(&self, registry: &str, repository: &str) -> Result<Vec<Credential>, Failure> {
        let image = format!("{registry}/{repository}");
        // An answer is kept by what it is for, and only it says what that is.
        let known = || {
            let kept = [image.as_str(), registry, EVERYTHING].into_iter().filter_map(|key| self.answers.get(key));
            let fresh = kept.filter(|kept| self.options.clock.now() < kept.until).map(|kept| kept.tier).next();
            fresh.map(|tier| chosen(&tier, registry, repository))
        };
        if let Some(found) = known() {
            return found;
        }
        let key = |of: CacheKeyType| match of {
            CacheKeyType::Image => image.clone(),
            CacheKeyType::Registry => registry.to_owned(),
            CacheKeyType::Global => EVERYTHING.to_owned(),
        };
        let expected = *self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = self.gates.get_with(key(expected), Arc::default);
        let _turn = gate.lock().await;
        if let Some(found) = known() {
            return found;
        }
        let (tier, life, of) = match exec::run(&self.configured, &self.options, &image).await {
            Ok(exec::Answer { tier, cache_key_type, cache_duration }) => {
                let life = cache_duration.unwrap_or(self.configured.default_cache_duration);
                *self.shares.lock().unwrap_or_else(PoisonError::into_inner) = cache_key_type;
                (Ok(Arc::new(tier)), life.max(SHORTEST_LIFE), cache_key_type)
            }
            Err(error) => {
                let error = &error as &(dyn std::error::Error + 'static);
                tracing::warn!(provider = self.configured.name, error, "a credential provider failed");
                (Err(()), PAUSE, expected)
            }
        };
        let found = chosen(&tier, registry, repository);
        self.answers.insert(key(of), Kept { tier, until: self.options.clock.now() + life });
        found
    }
}

fn chosen(tier: &Result<Arc<Tier>, ()>, registry: &str, repository: &str) -> Result<Vec<Credential>, Failure> {
    match tier {
        Ok(tier) => Ok(tier.credentials(registry, repository).cloned().collect()),
        Err(()) => Err(Failure::Provider),
    }
}

impl fmt::Debug for ProviderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bin_dir, timeout, environment: _, clock: _ } = self;
        f.debug_struct("ProviderOptions").field("bin_dir", bin_dir).field("timeout", timeout).finish_non_exhaustive()
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|provider| &provider.configured.name)).finish()
    }
}

/// Reads what a program wrote, and says whether that was an answer.
#[cfg(test)]
pub(crate) fn read_answer(output: &[u8]) -> bool {
    exec::parse(output, "credentialprovider.kubelet.k8s.io/v1").is_ok()
}
