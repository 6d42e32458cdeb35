//! Getting into a repository: which credential opens it, and the token that proves it.

use crate::{
    Clock, Failure,
    challenge::Challenge,
    guard::authority,
    hosts::{Endpoint, Site},
    keyring::{Candidate, Credential, Credentials, Identity},
    oauth::{Token, Wanted},
    transport::{Answer, Get, Limit, Transport, has_userinfo},
};
use emissary_core::image::Reference;
use moka::sync::Cache;
use reqwest::{
    Method, StatusCode, Url,
    header::{HeaderMap, HeaderValue, RETRY_AFTER},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
const MOST_SESSIONS: u64 = 4096;
/// A grant is kept no longer than anybody asks for it.
const SESSION_IDLE: Duration = Duration::from_secs(3600);

/// A repository as seen with certain credentials. What one is shown is never shown to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) registry: String,
    pub(crate) repository: String,
    pub(crate) identity: Identity,
}

/// What is remembered of each scope between look-ups.
pub(crate) struct Sessions(Cache<Arc<Scope>, Arc<Session>>);

struct Session {
    grant: Mutex<Option<Grant>>,
    /// Whose grant was accepted last, to be tried first when that has expired.
    winner: Mutex<Option<Who>>,
    /// Held by the one look-up that is finding the way in; the others wait and then use what it found.
    gate: tokio::sync::Mutex<Option<Refusal>>,
}

/// A credential, or `None` for nobody in particular: what is shown without credentials is shown to all.
pub(crate) type Who = Option<Identity>;

/// An `Authorization` that was accepted.
#[derive(Clone, PartialEq, Eq)]
struct Grant {
    value: HeaderValue,
    until: Option<SystemTime>,
    whose: Who,
}

/// That nothing was accepted, for those who were waiting at the time.
struct Refusal {
    at: Instant,
    tried: usize,
}

/// One look-up's way to one repository.
pub(crate) struct Visit<'a> {
    transport: &'a Transport,
    clock: &'a Clock,
    session: Arc<Session>,
    scope: Arc<Scope>,
    credentials: Vec<Candidate>,
    /// As images name it, for providers.
    registry: String,
    /// `https://HOST/v2/REPOSITORY/`
    base: Url,
    /// Whose mirror this is.
    namespace: Option<String>,
    site: Option<Arc<Site>>,
}

impl Scope {
    pub(crate) fn new(reference: &Reference, identity: Identity) -> Self {
        Self {
            registry: reference.registry().to_ascii_lowercase(),
            repository: reference.repository().to_owned(),
            identity,
        }
    }
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST_SESSIONS).time_to_idle(SESSION_IDLE).build())
    }

    pub(crate) fn visit<'a>(
        &self,
        transport: &'a Transport,
        clock: &'a Clock,
        scope: &Arc<Scope>,
        endpoint: Endpoint,
        credentials: Credentials,
    ) -> Result<Visit<'a>, Failure> {
        let Endpoint { base, namespace, site, registry, capabilities: _ } = endpoint;
        let base = base.join(&format!("{}/", scope.repository)).map_err(|_| Failure::BadHost)?;
        let session = self.0.get_with(Arc::clone(scope), || {
            Arc::new(Session { grant: Mutex::default(), winner: Mutex::default(), gate: tokio::sync::Mutex::default() })
        });
        Ok(Visit {
            transport,
            clock,
            session,
            scope: Arc::clone(scope),
            credentials: credentials.list,
            registry,
            base,
            namespace,
            site,
        })
    }
}

impl Session {
    fn grant(&self, now: SystemTime) -> Option<Grant> {
        let grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        grant.until.is_none_or(|until| now < until).then_some(grant)
    }

    fn set(&self, grant: Option<Grant>) {
        if let Some(grant) = &grant {
            *self.winner.lock().unwrap_or_else(PoisonError::into_inner) = Some(grant.whose);
        }
        *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = grant;
    }

    fn winner(&self) -> Option<Who> {
        *self.winner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit<'_> {
    /// Asks for `manifests/…` or `blobs/…` of the repository, finding the way in if it is asked for. The status is 200, and
    /// it was given to `Who`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        limit: Limit,
    ) -> Result<(Answer, Who), Failure> {
        let mut url = self.base.join(path).map_err(|_| Failure::BadHost)?;
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        let fetch = async |grant: Option<&Grant>| {
            let authorization = grant.map(|grant| &grant.value);
            let (site, method) = (self.site.as_deref(), method.clone());
            let answer =
                self.transport.get(Get { url: url.clone(), accept, authorization, site, limit, method }).await?;
            // A store of blobs that refuses is not asked how it would like to be paid: the credentials are not for it.
            if answer.foreign && is_refusal(answer.status) {
                return Err(Failure::Rejected { status: answer.status.as_u16() });
            }
            Ok(answer)
        };
        let given = |answer: Answer, whose: Who| Ok((accept_answer(answer)?, whose));
        let known = self.session.grant(self.clock.now());
        let mut answer = fetch(known.as_ref()).await?;
        if !is_refusal(answer.status) {
            return given(answer, known.and_then(|grant| grant.whose));
        }
        let waiting_since = Instant::now();
        let mut gate = self.session.gate.lock().await;
        // While this one waited another may have found the way in, or found that there is none.
        if let Some(grant) = self.session.grant(self.clock.now()).filter(|grant| Some(grant) != known.as_ref()) {
            answer = fetch(Some(&grant)).await?;
            if !is_refusal(answer.status) {
                return given(answer, grant.whose);
            }
        } else if let Some(refusal) = gate.as_ref().filter(|refusal| refusal.at >= waiting_since) {
            return Err(Failure::Unauthorized { tried: refusal.tried });
        }
        self.session.set(None);
        if Challenge::from_headers(&answer.headers).is_none() && known.is_some() {
            // A token that ran out may be refused without a word of how to get another.
            answer = fetch(None).await?;
            if !is_refusal(answer.status) {
                return given(answer, None);
            }
        }
        let (mut tried, mut missing, mut unprovided) = (0, false, false);
        if let Some(challenge) = Challenge::from_headers(&answer.headers) {
            // As the kubelet does: every credential that matches, then none; but what opened the door last time goes first.
            let winner = self.session.winner();
            let mut candidates: Vec<Option<&Candidate>> = self.credentials.iter().map(Some).chain([None]).collect();
            candidates.sort_by_key(|candidate| Some(candidate.map(Candidate::identity)) != winner);
            for candidate in candidates {
                let whose = candidate.map(Candidate::identity);
                let credentials = match candidate {
                    None => vec![None],
                    Some(Candidate::Known(credential)) => vec![Some(credential.clone())],
                    Some(Candidate::Provider(provider)) => {
                        match provider.credentials(&self.registry, &self.scope.repository).await {
                            Ok(found) => found.into_iter().map(Some).collect(),
                            Err(_) => {
                                unprovided = true;
                                continue;
                            }
                        }
                    }
                };
                for credential in credentials {
                    tried += usize::from(credential.is_some());
                    let Some(grant) = self.authorize(&challenge, credential.as_ref(), whose).await? else { continue };
                    let answer = fetch(Some(&grant)).await?;
                    missing |= answer.status == StatusCode::NOT_FOUND;
                    // Some registries hide what one may not see, so another credential may see it.
                    if !is_refusal(answer.status) && answer.status != StatusCode::NOT_FOUND {
                        self.session.set(Some(grant));
                        return given(answer, whose);
                    }
                }
            }
        }
        if unprovided {
            return Err(Failure::Provider);
        }
        if missing {
            return Err(Failure::NotFound);
        }
        *gate = Some(Refusal { at: Instant::now(), tried });
        Err(Failure::Unauthorized { tried })
    }

    /// What to send for a challenge; `None` where this credential is of no use for it, or not accepted.
    async fn authorize(
        &self,
        challenge: &Challenge,
        credential: Option<&Credential>,
        whose: Who,
    ) -> Result<Option<Grant>, Failure> {
        match challenge {
            Challenge::Basic => {
                let basic = credential.and_then(Credential::basic);
                Ok(basic.map(|value| Grant { value: value.clone(), until: None, whose }))
            }
            Challenge::Bearer { realm, service, scope } => {
                let realm = self.realm(realm)?;
                let own = format!("repository:{}:pull", self.scope.repository);
                let scope = scope.as_deref().unwrap_or(&own);
                // The operator's word on a host is for that host, so a realm elsewhere has its own.
                let site = self.site.as_deref().filter(|_| realm.origin() == self.base.origin());
                let wanted = Wanted { realm, service: service.as_deref(), scope, site };
                let Some(answer) = wanted.ask(self.transport, credential).await? else { return Ok(None) };
                let Token { value, life } = Token::read(&accept_answer(answer)?.body)?;
                Ok(Some(Grant { value, until: Some(self.clock.now() + life), whose }))
            }
        }
    }

    /// The token endpoint that a registry names is where its credentials go, so it has to be as safe as the registry:
    /// https, or what the operator has allowed to be plain.
    fn realm(&self, realm: &str) -> Result<Url, Failure> {
        let url = Url::parse(realm).map_err(|_| Failure::Protocol("its token realm is no URL"))?;
        if has_userinfo(&url) {
            return Err(Failure::Protocol("its token realm is a URL with credentials"));
        }
        let plain_is_allowed = || {
            self.base.scheme() == "http"
                && (url.origin() == self.base.origin() || self.transport.is_plain(&authority(&url)))
        };
        match url.scheme() {
            "https" => Ok(url),
            "http" if plain_is_allowed() => Ok(url),
            _ => Err(Failure::Protocol("its token realm is not https")),
        }
    }
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Sorts everything but 200 into failures.
fn accept_answer(answer: Answer) -> Result<Answer, Failure> {
    Err(match answer.status.as_u16() {
        200 => return Ok(answer),
        401 | 403 => Failure::Unauthorized { tried: 0 },
        404 => Failure::NotFound,
        429 => Failure::RateLimited { retry_after: retry_after(&answer.headers) },
        status @ 500..=599 => Failure::ServerError { status, retry_after: retry_after(&answer.headers) },
        status => Failure::Rejected { status },
    })
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3). The form with a date is left out: no registry is known to send it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keyring, Options};

    fn with_visit<T>(image: &str, test: impl FnOnce(&Visit<'_>) -> T) -> T {
        let plain_http = vec!["plain.example:5000".to_owned(), "tokens.example".to_owned()];
        let options = Options { plain_http, system_roots: false, ..Options::default() };
        let transport = Transport::new(&options).unwrap();
        let reference = Reference::parse(image).unwrap();
        let credentials = Keyring::anonymous().credentials_at(reference.registry(), reference.repository());
        let scope = Arc::new(Scope::new(&reference, credentials.identity));
        let endpoint = transport.endpoints(reference.registry()).unwrap()[0].clone();
        test(&Sessions::new().visit(&transport, &options.clock, &scope, endpoint, credentials).unwrap())
    }

    #[test]
    fn asks_the_right_host() {
        let table = [
            ("alpine", "https://registry-1.docker.io/v2/library/alpine/"),
            ("QUAY.io/a/b", "https://quay.io/v2/a/b/"),
            ("localhost:5000/a", "https://localhost:5000/v2/a/"),
            ("127.0.0.1/a", "https://127.0.0.1/v2/a/"),
            ("plain.example:5000/a", "http://plain.example:5000/v2/a/"),
            ("plain.example/a", "https://plain.example/v2/a/"),
            ("[::1]:5000/a", "https://[::1]:5000/v2/a/"),
        ];
        for (image, expected) in table {
            with_visit(image, |visit| assert_eq!(visit.base.as_str(), expected, "{image}"));
        }
    }

    #[test]
    fn token_realms_are_as_safe_as_the_registry() {
        let table = [
            ("quay.io/a", "https://quay.io/token", true),
            ("alpine", "https://auth.docker.io/token", true),
            ("quay.io/a", "http://quay.io/token", false),
            ("quay.io/a", "http://tokens.example/token", false),
            ("plain.example:5000/a", "http://plain.example:5000/token", true),
            ("plain.example:5000/a", "http://tokens.example/token", true),
            ("plain.example:5000/a", "http://elsewhere.example/token", false),
            ("plain.example:5000/a", "https://elsewhere.example/token", true),
            ("quay.io/a", "https://user:password@quay.io/token", false),
            ("quay.io/a", "file:///etc/passwd", false),
            ("quay.io/a", "data:text/plain,x", false),
            ("quay.io/a", "/token", false),
            ("quay.io/a", "", false),
            ("quay.io/a", "https://", false),
        ];
        for (image, realm, expected) in table {
            with_visit(image, |visit| {
                assert_eq!(visit.realm(realm).is_ok(), expected, "{realm} of {image}");
            });
        }
    }

    #[test]
    fn retry_after_is_seconds_and_bounded() {
        let table = [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("99999999999", Some(300)),
            ("-1", None),
            ("99999999999999999999999", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", None),
            ("", None),
        ];
        for (text, expected) in table {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
