use emissary_core::image::{Platform, Reference};
use emissary_registry::{Clock, Failure, Keyring, Options, Question, Random, Resolved, Resolver};
use sample_registry::RunningRegistry;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Options for a registry that is spoken to without TLS.
pub(crate) fn plain(registry: &RunningRegistry) -> Options {
    Options { plain_http: vec![registry.address().to_string()], ..near() }
}

/// Options that let look-ups reach this machine, and trust nobody yet.
pub(crate) fn near() -> Options {
    let allow_networks = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    // No jitter.
    let random = Random::from_fn(|| 0.0);
    Options { allow_networks, system_roots: false, random, ..Options::default() }
}

/// The same with a time for each request that a test can wait for.
pub(crate) fn hasty(registry: &RunningRegistry) -> Options {
    Options { request_timeout: Duration::from_millis(300), ..plain(registry) }
}

pub(crate) fn resolver(options: Options) -> Resolver {
    Resolver::new(options, TaskTracker::new()).unwrap()
}

pub(crate) fn question(registry: &RunningRegistry, name: &str, platforms: &[&str]) -> Question {
    let platforms = platforms.iter().map(|text| Platform::parse(text).unwrap()).collect();
    Question::new(Reference::parse(&registry.reference(name)).unwrap()).with_platforms(platforms)
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// One question to a resolver that has seen nothing.
pub(crate) async fn ask(
    registry: &RunningRegistry,
    name: &str,
    platforms: &[&str],
) -> Result<Arc<Resolved>, Arc<Failure>> {
    resolver(plain(registry)).resolve(&question(registry, name, platforms), soon()).await
}

/// A keyring with one credential for the registry.
pub(crate) fn keyring(registry: &RunningRegistry, user: &str, password: &str) -> Keyring {
    let host = registry.address();
    let config = format!(r#"{{"auths": {{"{host}": {{"username": "{user}", "password": "{password}"}}}}}}"#);
    Keyring::from_docker_config(config.as_bytes()).unwrap()
}

/// `linux/amd64: /entry x + cmd` for each platform.
pub(crate) fn shown(resolved: &Resolved) -> Vec<String> {
    let show = |(platform, _, process): &(Platform, _, emissary_core::image::ImageProcess)| {
        format!("{platform}: {} + {}", process.entrypoint.join(" "), process.cmd.join(" "))
    };
    resolved.processes.iter().map(show).collect()
}

pub(crate) fn listed(platforms: &[Platform]) -> Vec<String> {
    platforms.iter().map(ToString::to_string).collect()
}

/// A clock that stands still until it is turned.
#[derive(Clone, Default)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn turn(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Clock::from_fn(move || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds.load(Ordering::Relaxed))
        })
    }
}
