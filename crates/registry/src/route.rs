//! Through which of a registry's hosts a repository is reached: its mirrors in order, then itself.

use crate::{
    Clock, Failure, Keyring,
    authorization::{Scope, Sessions, Visit, Who},
    hosts::{Capabilities, Endpoint},
    keyring::{Credentials, Identity},
    transport::{Answer, Limit, Transport},
};
use emissary_core::image::Reference;
use reqwest::Method;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The places to ask, each with the credentials that were written for it and for no other.
#[derive(Clone)]
pub(crate) struct Places {
    endpoints: Arc<[Endpoint]>,
    /// One for each endpoint.
    credentials: Vec<Credentials>,
}

/// One look-up's way to one repository.
pub(crate) struct Route<'a>(Vec<Way<'a>>);

struct Way<'a> {
    visit: Visit<'a>,
    capabilities: Capabilities,
    /// Whether it could not be reached, so that it is not waited for once more.
    failed: AtomicBool,
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

    /// Whose proof counts: any of the credentials, and nobody's, which is everybody's.
    pub(crate) fn whose(&self) -> Vec<Who> {
        let candidates = self.credentials.iter().flat_map(|credentials| &credentials.list);
        candidates.map(|candidate| Some(candidate.identity())).chain([None]).collect()
    }

    pub(crate) fn route<'a>(
        self,
        sessions: &Sessions,
        transport: &'a Transport,
        clock: &'a Clock,
        reference: &Reference,
    ) -> Result<Route<'a>, Failure> {
        let way = |(endpoint, credentials): (&Endpoint, Credentials)| {
            // By its URL, because two registries may have one mirror on different paths.
            let registry = endpoint.base.as_str().to_owned();
            let scope =
                Scope { registry, repository: reference.repository().to_owned(), identity: credentials.identity };
            let visit = sessions.visit(transport, clock, &Arc::new(scope), endpoint.clone(), credentials)?;
            Ok(Way { visit, capabilities: endpoint.capabilities, failed: AtomicBool::new(false) })
        };
        Ok(Route(self.endpoints.iter().zip(self.credentials).map(way).collect::<Result<_, Failure>>()?))
    }
}

impl Route<'_> {
    /// Asks for `manifests/…` or `blobs/…` of the repository. The status is 200, and it was given to `Who`.
    ///
    /// Whatever is wrong with a mirror, the next one is asked; the failure is that of the last, which is the registry itself.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        limit: Limit,
    ) -> Result<(Answer, Who), Failure> {
        // Only a digest has a colon.
        let by_digest = path.contains(':');
        let can = |way: &&Way<'_>| if by_digest { way.capabilities.pull } else { way.capabilities.resolve };
        let ways: Vec<_> = self.0.iter().filter(can).collect();
        let mut last = None;
        for (index, way) in ways.iter().enumerate() {
            // The last one is asked in any case, because somebody has to say what is wrong.
            if index + 1 < ways.len() && way.failed.load(Ordering::Relaxed) {
                continue;
            }
            match way.visit.send(method.clone(), path, accept, limit).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    if self.0.len() > 1 {
                        tracing::debug!(host = way.visit.host(), kind = failure.kind(), "one of several hosts failed");
                    }
                    way.failed.store(failure.is_transient(), Ordering::Relaxed);
                    last = Some(failure);
                }
            }
        }
        Err(last.unwrap_or(Failure::Forbidden("none of its hosts has the capability that this takes")))
    }
}
