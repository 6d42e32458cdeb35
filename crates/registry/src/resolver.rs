use crate::{
    Clock, Failure, Hosts, Keyring, Options, OptionsError,
    authorization::{Scope, Sessions},
    flight::{Flight, Flights, Joined},
    lookup::{Contents, Found, LookUp, process_weight},
    route::Places,
    transport::Transport,
};
use emissary_core::image::{Digest, ImageProcess, Platform, Reference};
use moka::sync::Cache;
use std::{
    error::Error,
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

/// What to look up.
#[derive(Debug, Clone)]
pub struct Question {
    /// The image.
    pub reference: Reference,
    /// The platforms of the nodes that may run it; none means all that the image offers.
    pub platforms: Vec<Platform>,
    /// The credentials that may be used.
    pub keyring: Keyring,
}

/// What a registry says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What the reference names: an index's digest or a manifest's.
    pub digest: Digest,
    /// The platforms that the image states, in its order, without attestations and the like. Empty where a single manifest
    /// states none.
    pub offered: Vec<Platform>,
    /// For each wanted platform that is offered, or for all that are: the manifest's digest and what it runs.
    ///
    /// A single manifest stands here for every wanted platform even if it states another, since every node gets it.
    pub processes: Vec<(Platform, Digest, ImageProcess)>,
    /// When the registry was asked.
    pub checked_at: SystemTime,
}

/// Looks images up, and remembers. Cheap to clone; clones share what they remember.
///
/// Identical questions asked at the same time are one look-up, and it goes on when its askers give up.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    transport: Transport,
    sessions: Sessions,
    contents: Contents,
    answers: Cache<Key, Kept>,
    flights: Flights<Key, Outcome>,
    tasks: TaskTracker,
    clock: Clock,
    ttl: Duration,
    negative_ttl: Duration,
    transient_ttl: Duration,
    lookup_timeout: Duration,
}

type Outcome = Result<Arc<Resolved>, Arc<Failure>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    scope: Arc<Scope>,
    /// A digest, or else a tag.
    named: String,
    platforms: Vec<Platform>,
}

#[derive(Clone)]
struct Kept {
    outcome: Outcome,
    checked_at: SystemTime,
    life: Duration,
}

impl Resolver {
    /// Sets up a client. Look-ups run on `tasks`, so that whoever ends the process can wait for them.
    ///
    /// # Errors
    /// A certificate or a proxy that cannot be used.
    pub fn new(options: Options, tasks: TaskTracker) -> Result<Self, OptionsError> {
        let transport = Transport::new(&options)?;
        let Options {
            plain_http: _,
            allow_networks: _,
            extra_roots: _,
            system_roots: _,
            proxies: _,
            concurrency_per_host: _,
            connect_timeout: _,
            request_timeout: _,
            ttl,
            negative_ttl,
            transient_ttl,
            cache_bytes,
            lookup_timeout,
            clock,
            private_networks: _,
            allow_registries: _,
            deny_registries: _,
            hosts: _,
            names: _,
        } = options;
        let answers = Cache::builder().weigher(weight).max_capacity(cache_bytes / 2).build();
        Ok(Self(Arc::new(Inner {
            transport,
            sessions: Sessions::new(),
            contents: Contents::new(cache_bytes / 2),
            answers,
            flights: Flights::new(),
            tasks,
            clock,
            ttl,
            negative_ttl,
            transient_ttl,
            lookup_timeout,
        })))
    }

    /// Takes over what an operator says of registries' hosts now.
    pub fn set_hosts(&self, hosts: Hosts) {
        self.0.transport.set_hosts(hosts);
    }

    /// Answers from memory while that is fresh, else from the registry. Needs a Tokio runtime.
    ///
    /// # Errors
    /// What the registry said or failed to say; [`Failure::Timeout`] also where `deadline` passes first, and then the look-up
    /// goes on and the next asker profits.
    pub async fn resolve(&self, question: &Question, deadline: Instant) -> Outcome {
        let Question { reference, platforms, keyring } = question;
        let places = Places::new(&self.0.transport, keyring, reference).map_err(Arc::new)?;
        let scope = Arc::new(Scope::new(reference, places.identity()));
        let named = match reference.digest() {
            Some(digest) => digest.as_str(),
            None => reference.tag().unwrap_or_default(),
        };
        let mut platforms = platforms.clone();
        platforms.sort_unstable();
        platforms.dedup();
        let key = Key { scope, named: named.to_owned(), platforms };
        let start = |flight| {
            let (inner, key, reference) = (Arc::clone(&self.0), key.clone(), reference.clone());
            self.0.tasks.spawn(async move { inner.fly(flight, key, reference, places).await });
        };
        match self.0.flights.join(&key, || self.0.fresh(&key), start) {
            Joined::Known(outcome) => outcome,
            Joined::Awaited(mut receiver) => match timeout_at(deadline, receiver.wait_for(Option::is_some)).await {
                Err(_) => Err(Arc::new(Failure::Timeout)),
                Ok(landed) => match landed.as_deref() {
                    Ok(Some(outcome)) => outcome.clone(),
                    Ok(None) | Err(_) => Err(Arc::new(Failure::Interrupted)),
                },
            },
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Inner {
    fn fresh(&self, key: &Key) -> Option<Outcome> {
        let kept = self.answers.get(key)?;
        // A clock that was set back makes an answer's age unknown, so it counts as old.
        let age = self.clock.now().duration_since(kept.checked_at).ok()?;
        (age < kept.life).then_some(kept.outcome)
    }

    async fn fly(&self, flight: Flight<Key, Outcome>, key: Key, reference: Reference, places: Places) {
        // An answer is as old as its question, since a tag may have moved in between.
        let checked_at = self.clock.now();
        let outcome = match timeout(self.lookup_timeout, self.look_up(&key, &reference, places)).await {
            Ok(Ok(Found { digest, offered, processes })) => {
                Ok(Arc::new(Resolved { digest, offered, processes, checked_at }))
            }
            Ok(Err(failure)) => Err(Arc::new(failure)),
            Err(_) => Err(Arc::new(Failure::Timeout)),
        };
        match &outcome {
            Ok(resolved) => tracing::debug!(image = %reference, digest = %resolved.digest, "looked up"),
            Err(failure) => {
                // As an error and not as text, so that the log has the whole chain of causes.
                let error = &**failure as &(dyn Error + 'static);
                tracing::info!(image = %reference, kind = failure.kind(), error, "look-up failed");
            }
        }
        // A failure is remembered from its end on, or a slow one would be forgotten before it is known.
        let checked_at = if outcome.is_ok() { checked_at } else { self.clock.now() };
        let kept = Kept { life: self.life(&outcome), outcome: outcome.clone(), checked_at };
        self.answers.insert(key, kept);
        // Else the cache makes room only after some tens of entries.
        self.answers.run_pending_tasks();
        flight.land(outcome);
    }

    async fn look_up(&self, key: &Key, reference: &Reference, places: Places) -> Result<Found, Failure> {
        let route = places.route(&self.sessions, &self.transport, &self.clock, reference)?;
        let look_up = LookUp {
            route,
            contents: &self.contents,
            scope: Arc::clone(&key.scope),
            platforms: &key.platforms,
            fetched: AtomicUsize::new(0),
        };
        look_up.run(reference).await
    }

    fn life(&self, outcome: &Outcome) -> Duration {
        match outcome.as_ref().map_err(|failure| &**failure) {
            Ok(_) => self.ttl,
            Err(Failure::RateLimited { retry_after: Some(wait) }) => self.transient_ttl.max(*wait),
            Err(failure) if failure.is_transient() => self.transient_ttl,
            Err(_) => self.negative_ttl,
        }
    }
}

/// Roughly the bytes that an answer takes.
fn weight(key: &Key, kept: &Kept) -> u32 {
    let answer = match &kept.outcome {
        Ok(resolved) => {
            let processes = resolved.processes.iter().map(|(_, _, process)| 192 + process_weight(process));
            processes.sum::<usize>() + resolved.offered.len() * 96
        }
        Err(_) => 128,
    };
    let key = key.scope.registry.len() + key.scope.repository.len() + key.named.len() + key.platforms.len() * 96;
    u32::try_from(512 + key + answer).unwrap_or(u32::MAX)
}
