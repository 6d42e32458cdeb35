use crate::{
    Clock, Counts, Failure, Hosts, Options, OptionsError, Priority, Question, Random,
    authorization::{Scope, Sessions},
    backoff::Backoff,
    breaker::Breakers,
    counts::{ByRegistry, Counters, Way},
    flight::{Flight, Flights, Joined},
    lanes::{Lanes, Limits, Place},
    layers::{Asked, Layers, Outcome, Subject, Trouble},
    lookup::{LookUp, Named},
    memory::Print,
    route::{Means, Places},
    snapshot,
    transport::Transport,
};
use std::{error::Error, fmt, io, path::Path, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

const BREAKER_OPEN_MOST: Duration = Duration::from_secs(60);

/// Looks images up, and remembers. Cheap to clone; clones share what they remember.
///
/// Identical questions asked at the same time are one look-up, and it goes on when its askers give up.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    transport: Transport,
    sessions: Sessions,
    layers: Layers,
    lanes: Arc<Lanes>,
    breakers: Breakers,
    flights: Flights<Print, Outcome>,
    tasks: TaskTracker,
    counters: Counters,
    by_registry: ByRegistry,
    /// Registries that the options name, the hosts apart.
    named: Vec<String>,
    clock: Clock,
    random: Random,
    lookup_timeout: Duration,
}

impl Resolver {
    /// Sets up a client. Look-ups run on `tasks`, so that whoever ends the process can wait for them.
    ///
    /// # Errors
    /// A certificate or a proxy that cannot be used.
    pub fn new(options: Options, tasks: TaskTracker) -> Result<Self, OptionsError> {
        let transport = Transport::new(&options)?;
        let layers = Layers::new(&options);
        let is_name = |pattern: &&String| !pattern.contains(['*', '?']);
        let named: Vec<String> =
            options.plain_http.iter().chain(options.allow_registries.iter().filter(is_name)).cloned().collect();
        let by_registry = ByRegistry::new(named.iter().cloned().chain(options.hosts.registries().map(str::to_owned)));
        let Options {
            // The transport's.
            plain_http: _,
            allow_networks: _,
            extra_roots: _,
            system_roots: _,
            proxies: _,
            connect_timeout: _,
            request_timeout: _,
            private_networks: _,
            allow_registries: _,
            deny_registries: _,
            hosts: _,
            names: _,
            // The memory's.
            ttl: _,
            negative_ttl: _,
            transient_ttl: _,
            transient_ttl_max: _,
            cache_bytes: _,
            always_ttl: _,
            authorization_ttl: _,
            max_stale: _,
            concurrency_per_host,
            lookup_timeout,
            clock,
            breaker_failures,
            breaker_open,
            lookups_per_namespace,
            lookups,
            random,
        } = options;
        let limits = Limits {
            per_host: concurrency_per_host.max(1),
            per_namespace: lookups_per_namespace.max(1),
            all: lookups.max(1),
        };
        let backoff = Backoff { first: breaker_open, most: BREAKER_OPEN_MOST.max(breaker_open) };
        Ok(Self(Arc::new(Inner {
            transport,
            sessions: Sessions::new(),
            layers,
            lanes: Arc::new(Lanes::new(limits)),
            breakers: Breakers::new(breaker_failures.max(1), backoff),
            flights: Flights::new(),
            tasks,
            counters: Counters::default(),
            by_registry,
            named,
            clock,
            random,
            lookup_timeout,
        })))
    }

    /// Takes over what an operator says of registries' hosts now. Everybody has to prove anew what he may see, and what failed
    /// is tried again.
    pub fn set_hosts(&self, hosts: Hosts) {
        self.0.by_registry.name(self.0.named.iter().cloned().chain(hosts.registries().map(str::to_owned)));
        self.0.transport.set_hosts(hosts);
        self.0.layers.forget_hosts();
    }

    /// Answers from memory while that is fresh and one of the keyring's credentials has proved that it may see the repository,
    /// else from the registry. Needs a Tokio runtime.
    ///
    /// # Errors
    /// What the registry said or failed to say; [`Failure::Timeout`] also where `deadline` passes first, and then the look-up
    /// goes on and the next asker profits. A transient failure is given only where no stale answer can be.
    pub async fn resolve(&self, question: &Question, deadline: Instant) -> Outcome {
        let (outcome, way) = self.answer(question, deadline).await;
        let told = || outcome.as_deref().map_err(|failure| &**failure);
        self.0.counters.count(told(), way);
        self.0.by_registry.count(question.reference.registry(), told(), way);
        outcome
    }

    /// How questions were answered so far, and what is remembered.
    pub fn counts(&self) -> Counts {
        let (contents, tags, bytes) = self.0.layers.size();
        Counts { contents, tags, bytes, ..self.0.counters.counts() }
    }

    /// How questions were answered so far, by registry: those that the operator names (plain HTTP, allowed without a star, the
    /// hosts folder), and without a name all others together, since anybody can name any. What is remembered is not in it.
    pub fn counts_by_registry(&self) -> Vec<(Option<Arc<str>>, Counts)> {
        self.0.by_registry.counts()
    }

    /// Writes what never changes, so that [`load`](Self::load) can read it after a restart: what images run, by digest. Neither
    /// credentials nor proofs are in it. Blocks; the file appears whole or not at all. Returns the number of contents.
    ///
    /// # Errors
    /// The file or its folder cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<usize> {
        snapshot::save(path, &self.0.layers.contents())
    }

    /// Reads what [`save`](Self::save) wrote. Blocks. A file that is missing, corrupt, too large or of another version counts as
    /// empty, with a line in the log. Returns the number of contents; to see one, a credential has to prove itself first.
    pub fn load(&self, path: &Path) -> usize {
        snapshot::load(path).into_iter().filter(|packed| self.0.layers.restore(packed.clone())).count()
    }

    async fn answer(&self, question: &Question, deadline: Instant) -> (Outcome, Way) {
        let Question { reference, platforms, keyring, freshness, namespace, priority } = question;
        let inner = &self.0;
        let places = match Places::new(&inner.transport, keyring, reference) {
            Ok(places) => places,
            Err(failure) => return (Err(Arc::new(failure)), Way::Started),
        };
        // Mirrors are ways to what the image names, and not other repositories.
        let scope = Scope::new(reference, places.identity());
        let named = match reference.digest() {
            Some(digest) => Named::Digest(digest.clone()),
            None => Named::Tag(reference.tag().unwrap_or("latest").to_owned()),
        };
        let subject = Arc::new(Subject::new(scope, named, platforms.clone(), places.whose(), *freshness));
        let known = || inner.layers.answer(&subject, inner.clock.now());
        if let Some(outcome) = known() {
            return (outcome, Way::Remembered);
        }
        let mut way = Way::Joined;
        let start = |flight: Flight<Print, Outcome>| {
            way = Way::Started;
            let is_left_alone = |host: &str| inner.breakers.is_open(host, inner.clock.now());
            let host = places.first(&subject.named, is_left_alone);
            let Some(place) = inner.lanes.enter(host, namespace, *priority, subject.print) else {
                return flight.land(inner.without(&subject, Failure::Busy));
            };
            let (inner, subject, places) = (Arc::clone(inner), Arc::clone(&subject), places.clone());
            self.0.tasks.spawn(async move { inner.fly(flight, place, &subject, places).await });
        };
        let mut receiver = match inner.flights.join(&subject.print, known, start) {
            Joined::Known(outcome) => return (outcome, Way::Remembered),
            Joined::Awaited(receiver) => receiver,
        };
        if way == Way::Joined && *priority == Priority::Normal {
            inner.lanes.hasten(subject.print);
        }
        let outcome = match timeout_at(deadline, receiver.wait_for(Option::is_some)).await {
            Err(_) => return (inner.without(&subject, Failure::Timeout), Way::GivenUp),
            Ok(landed) => match landed.as_deref() {
                Ok(Some(outcome)) => outcome.clone(),
                Ok(None) | Err(_) => Err(Arc::new(Failure::Interrupted)),
            },
        };
        (outcome, way)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Inner {
    /// What can be said without the registry, and through no fault of its own.
    fn without(&self, subject: &Subject, failure: Failure) -> Outcome {
        self.layers.fall_back(subject, self.clock.now(), Arc::new(failure), Trouble::Ours)
    }

    async fn fly(&self, flight: Flight<Print, Outcome>, mut place: Place, subject: &Subject, places: Places) {
        let now = self.clock.now();
        let refused = if places.hosts().all(|host| self.breakers.is_open(host, now)) {
            Some(Failure::LeftAlone)
        } else {
            // Who waited so long has nobody left who waits for him.
            timeout(self.lookup_timeout, place.turn()).await.err().map(|_| Failure::Busy)
        };
        // An answer is as old as its question, since a tag may have moved in between.
        let since = self.clock.now();
        let asked = match refused {
            Some(failure) => {
                drop(place);
                Asked { found: Err(failure), shown_to: None, incomplete: false }
            }
            // On the heap, so that those who wait are small.
            None => Box::pin(self.ask(subject, places, place)).await,
        };
        let image = || format!("{}/{} {}", subject.scope.registry, subject.scope.repository, subject.named.as_str());
        match &asked.found {
            Ok(found) => tracing::debug!(image = image(), digest = %found.digest, "looked up"),
            // There may be thousands of these, and they say nothing of the image.
            Err(failure @ (Failure::LeftAlone | Failure::Busy)) => {
                tracing::debug!(image = image(), kind = failure.kind(), "not looked up");
            }
            Err(failure) => {
                // As an error and not as text, so that the log has the whole chain of causes.
                let error = failure as &(dyn Error + 'static);
                tracing::info!(image = image(), kind = failure.kind(), error, "look-up failed");
            }
        }
        // A failure is remembered from its end on, or a slow one would be forgotten before it is known.
        let now = self.clock.now();
        flight.land(self.layers.learn(subject, asked, since, now, self.random.draw()));
    }

    /// Asks the registry, or its mirrors.
    async fn ask(&self, subject: &Subject, places: Places, place: Place) -> Asked {
        let Self { transport, sessions, layers, breakers, clock, random, .. } = self;
        let means = Means { transport, sessions, layers, breakers, clock, random };
        let route = match places.route(means, &subject.scope.repository, place) {
            Ok(route) => route,
            Err(failure) => return Asked { found: Err(failure), shown_to: None, incomplete: false },
        };
        let known = |digest: &_| layers.record(subject, digest);
        let look_up = LookUp::new(&route, &subject.platforms, &known);
        let expected = match &subject.named {
            Named::Digest(digest) => Some(digest.clone()),
            Named::Tag(_) => layers.tag(subject).map(|(digest, _)| digest),
        };
        let ended = timeout(self.lookup_timeout, look_up.run(&subject.named, expected.as_ref())).await;
        // Who falls through to another host lines up there, and that the line is long is no word of the host's.
        let late = || if route.is_waiting() { Failure::Busy } else { Failure::Timeout };
        let (elapsed, found) = (ended.is_err(), ended.unwrap_or_else(|_| Err(late())));
        let (shown_to, incomplete) = (look_up.shown_to(), route.is_incomplete());
        route.report(elapsed);
        Asked { found, shown_to, incomplete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::tests::{fill, reference};
    use emissary_core::image::Platform;
    use std::time::SystemTime;

    /// What the weigher says is what the process grows by, or less. Alone, since other tests grow it too, and optimised:
    /// `cargo test -p emissary-registry --release -- --ignored --nocapture a_hundred_thousand`
    #[tokio::test]
    #[ignore = "measures the whole process: cargo test --release -p emissary-registry -- --ignored"]
    async fn a_hundred_thousand_images_are_small_and_quick() {
        let resident = || {
            let counts = std::fs::read_to_string("/proc/self/statm").unwrap();
            counts.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        let options = Options { cache_bytes: 64 << 20, system_roots: false, ..Options::default() };
        let resolver = Resolver::new(options, TaskTracker::new()).unwrap();
        let before = resident();
        fill(&resolver.0.layers, SystemTime::now());
        let (grown, weighed) = (resident() - before, resolver.counts().bytes);
        let platforms = vec![Platform::new("linux", "amd64", None)];
        let question = |n: usize| Question::new(reference(n * 100)).with_platforms(platforms.clone());
        let questions: Vec<Question> = (0..1000).map(question).collect();
        let (started, deadline) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        for _ in 0..100 {
            for question in &questions {
                resolver.resolve(question, deadline).await.unwrap();
            }
        }
        let each = started.elapsed() / 100_000;
        assert_eq!(resolver.counts().hit, 100_000);
        println!("weighed {weighed} bytes, grown by {grown}; a warm resolve takes {each:?}");
        assert!(grown <= 64 << 20, "{grown} bytes");
    }
}
