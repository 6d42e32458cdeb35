//! Through which of a registry's hosts a repository is reached: its mirrors in order, then itself.

use crate::{
    Clock, Failure, Keyring, Random,
    authorization::{Scope, Sessions, Visit, Who},
    breaker::{Breakers, Pass},
    hosts::{Capabilities, Endpoint},
    keyring::{Candidate, Credentials, Identity},
    lanes::Place,
    layers::Layers,
    lookup::Named,
    transport::{Answer, Limit, Transport},
};
use emissary_core::image::Reference;
use reqwest::Method;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places to ask, each with the credentials that were written for it and for no other.
#[derive(Clone)]
pub(crate) struct Places {
    endpoints: Arc<[Endpoint]>,
    /// One for each endpoint.
    credentials: Vec<Credentials>,
}

/// What all look-ups share.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) sessions: &'a Sessions,
    pub(crate) layers: &'a Layers,
    pub(crate) breakers: &'a Breakers,
    pub(crate) clock: &'a Clock,
    pub(crate) random: &'a Random,
}

/// One look-up's way to one repository.
pub(crate) struct Route<'a> {
    means: Means<'a>,
    ways: Vec<Way<'a>>,
    /// It stands in one host's line at a time, so that a host that is slow holds up nobody who waits for another.
    place: tokio::sync::Mutex<Place>,
}

/// What came back, and from whom.
pub(crate) struct Shown {
    pub(crate) answer: Answer,
    /// Whose credential it was shown to.
    pub(crate) who: Who,
    /// Whether who gave it also gives what a digest stands for, and does not only say which digest a tag has.
    pub(crate) content: bool,
}

struct Way<'a> {
    visit: Visit<'a>,
    host: String,
    identity: Identity,
    capabilities: Capabilities,
    course: Mutex<Course>,
}

/// How it went at a place so far.
#[derive(Default)]
struct Course {
    /// Leave to ask it, from the first request on.
    pass: Option<Pass>,
    /// Requests under way, or given up.
    asking: usize,
    answered: bool,
    outage: bool,
    /// Whether it could not be asked, so that it is not waited for once more.
    failed: bool,
}

impl Places {
    pub(crate) fn new(transport: &Transport, keyring: &Keyring, reference: &Reference) -> Result<Self, Failure> {
        let endpoints = transport.endpoints(reference.registry())?;
        let of = |endpoint: &Endpoint| keyring.credentials_at(&endpoint.registry, reference.repository());
        let credentials = endpoints.iter().map(of).collect();
        Ok(Self { endpoints, credentials })
    }

    /// What the whole may see: each of its credentials may be the one that opens.
    pub(crate) fn identity(&self) -> Identity {
        match self.credentials.as_slice() {
            [credentials] => credentials.identity,
            several => Identity::all(several.iter().map(|credentials| &credentials.identity)),
        }
    }

    /// Each of its credentials, and nobody's, which is everybody's.
    pub(crate) fn whose(&self) -> Vec<Who> {
        let credentials = self.credentials.iter().flat_map(|credentials| &credentials.list);
        credentials.map(Candidate::identity).map(Some).chain([None]).collect()
    }

    /// The hosts that may be asked, in order.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| endpoint.registry.as_str())
    }

    /// The host that is asked first for what is named, unless it is left alone.
    pub(crate) fn first(&self, named: &Named, is_left_alone: impl Fn(&str) -> bool) -> &str {
        let by_digest = matches!(named, Named::Digest(_));
        let able = || self.endpoints.iter().filter(|endpoint| endpoint.capabilities.allow(by_digest));
        let first = able().find(|endpoint| !is_left_alone(&endpoint.registry)).or_else(|| able().next());
        first.or(self.endpoints.last()).map_or("", |endpoint| endpoint.registry.as_str())
    }

    pub(crate) fn route<'a>(self, means: Means<'a>, repository: &str, place: Place) -> Result<Route<'a>, Failure> {
        let way = |(endpoint, credentials): (&Endpoint, Credentials)| {
            // By its URL, because two registries may have one mirror on different paths.
            let registry = endpoint.base.as_str().to_owned();
            let identity = credentials.identity;
            let scope = Arc::new(Scope { registry, repository: repository.to_owned(), identity });
            let visit = means.sessions.visit(means.transport, means.clock, &scope, endpoint.clone(), credentials)?;
            let (host, capabilities) = (endpoint.registry.clone(), endpoint.capabilities);
            Ok(Way { visit, host, identity, capabilities, course: Mutex::default() })
        };
        let ways = self.endpoints.iter().zip(self.credentials).map(way).collect::<Result<_, Failure>>()?;
        Ok(Route { means, ways, place: tokio::sync::Mutex::new(place) })
    }
}

impl Route<'_> {
    /// Asks for `manifests/…` or `blobs/…` of the repository. The status is 200.
    ///
    /// Whatever is wrong with a mirror, the next one is asked; the failure is that of the last, which is the registry itself.
    /// Only that HEAD is not known is said at once, because a GET goes the same way.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        limit: Limit,
    ) -> Result<Shown, Failure> {
        // Only a digest has a colon.
        let by_digest = path.contains(':');
        let ways: Vec<_> = self.ways.iter().filter(|way| way.capabilities.allow(by_digest)).collect();
        let mut last = None;
        for (index, way) in ways.iter().enumerate() {
            // The last one is asked in any case, because somebody has to say what is wrong.
            if index + 1 < ways.len() && way.course().failed {
                continue;
            }
            match self.ask(way, &method, path, accept, limit).await {
                Ok((answer, who)) => return Ok(Shown { answer, who, content: way.capabilities.pull }),
                Err(failure) if method == Method::HEAD && failure.is_ignorance_of_head() => return Err(failure),
                Err(failure) => {
                    if self.ways.len() > 1 {
                        tracing::debug!(host = way.host, kind = failure.kind(), "one of several hosts failed");
                    }
                    last = Some(failure);
                }
            }
        }
        Err(last.unwrap_or(Failure::Forbidden("none of its hosts has the capability that this takes")))
    }

    async fn ask(
        &self,
        way: &Way<'_>,
        method: &Method,
        path: &str,
        accept: &'static str,
        limit: Limit,
    ) -> Result<(Answer, Who), Failure> {
        let asked = match self.enter(way).await {
            Ok(()) => way.visit.send(method.clone(), path, accept, limit).await,
            Err(failure) => {
                way.course().failed = true;
                return Err(failure);
            }
        };
        let mut course = way.course();
        course.asking -= 1;
        match &asked {
            Err(failure) if *method == Method::HEAD && failure.is_ignorance_of_head() => course.answered = true,
            Err(failure) => {
                course.failed |= failure.is_transient();
                course.outage |= failure.is_outage();
                course.answered |= !failure.is_outage();
                if let Failure::RateLimited { retry_after: Some(wait) } = failure {
                    self.means.layers.limit(&way.host, way.identity, self.means.clock.now() + *wait);
                }
            }
            Ok(_) => course.answered = true,
        }
        asked
    }

    /// Waits for its turn to ask a place, if that is to be asked at all.
    async fn enter(&self, way: &Way<'_>) -> Result<(), Failure> {
        let Means { layers, breakers, clock, .. } = self.means;
        if let Some(left) = layers.limited(&way.host, way.identity, clock.now()) {
            return Err(Failure::RateLimited { retry_after: Some(left) });
        }
        if way.course().pass.is_none() && breakers.is_open(&way.host, clock.now()) {
            return Err(Failure::LeftAlone);
        }
        self.place.lock().await.turn_at(&way.host).await;
        let mut course = way.course();
        if course.pass.is_none() {
            course.pass = Some(breakers.enter(&way.host, clock.now()).ok_or(Failure::LeftAlone)?);
        }
        course.asking += 1;
        Ok(())
    }

    /// Whether a place could not be asked that may have said otherwise than the others.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.ways.iter().any(|way| way.course().failed)
    }

    /// Whether no request is under way, so that it waits in a line.
    pub(crate) fn is_waiting(&self) -> bool {
        self.ways.iter().all(|way| way.course().asking == 0)
    }

    /// Tells the breakers how each place did; `elapsed` is whether the look-up's time ran out.
    pub(crate) fn report(&self, elapsed: bool) {
        let Means { breakers, clock, random, .. } = self.means;
        for way in &self.ways {
            let Course { pass, asking, answered, outage, failed: _ } = std::mem::take(&mut *way.course());
            let Some(pass) = pass else { continue };
            let given_up = asking > 0;
            match (outage, answered) {
                (true, _) => breakers.failed(pass, clock.now(), random.draw()),
                (false, false) if elapsed && given_up => breakers.failed(pass, clock.now(), random.draw()),
                // One that takes long because there is much to ask shows no host in trouble.
                (false, true) if !(elapsed && given_up) => breakers.succeeded(pass),
                (false, _) => drop(pass),
            }
        }
    }
}

impl Way<'_> {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
