use emissary_core::image::Platform;
use emissary_core::lookup::{Answers, Found, LookUp, Miss};
use emissary_registry::{Failure, Freshness, Keyring, Priority, Question, Resolved, Resolver};
use futures_util::future::join_all;
use futures_util::poll;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::{Instant, timeout_at};

/// How the images that a plan lacks are asked for.
pub struct Asking<'a, P> {
    /// Whom to ask; nobody offline.
    pub resolver: Option<&'a Resolver>,
    /// With which credentials.
    pub keyring: &'a Arc<Keyring>,
    /// For whom: registries' time is shared fairly among namespaces.
    pub namespace: &'a str,
    /// Whether others go first.
    pub priority: Priority,
    /// Until when.
    pub deadline: Instant,
    /// Asked for leave to wait for these as soon as something is not known at once. `None` means that too many wait already.
    pub wait: &'a (dyn Fn(&[&LookUp]) -> Option<Leave<P>> + Send + Sync),
}

/// Leave to wait for look-ups.
#[derive(Debug)]
pub struct Leave<P> {
    /// Held while waiting.
    pub held: P,
    /// Until when, if that is before the deadline.
    pub until: Option<Instant>,
}

impl<P> Leave<P> {
    /// Leave to wait until the deadline.
    pub fn until_the_deadline(held: P) -> Self {
        Self { held, until: None }
    }
}

impl<P> Asking<'_, P> {
    /// The answers, in one await. What is known at once costs no leave to wait; who gets none leaves the look-up running
    /// for the next one who asks.
    pub async fn answers(&self, look_ups: &[&LookUp]) -> Answers {
        if look_ups.is_empty() {
            return Answers::default();
        }
        let Some(resolver) = self.resolver else {
            let miss =
                || Miss { why: "no registry is asked here, and no image index has it".to_owned(), transient: false };
            return look_ups.iter().map(|look_up| ((*look_up).clone(), Err(miss()))).collect();
        };
        let ask = |until| join_all(look_ups.iter().map(move |look_up| self.answer(resolver, look_up, until)));
        let mut all = pin!(ask(self.deadline));
        let answers = match poll!(all.as_mut()) {
            Poll::Ready(answers) => Some(answers),
            Poll::Pending => match (self.wait)(look_ups) {
                None => None,
                Some(Leave { held: _held, until: None }) => Some(all.await),
                Some(Leave { held: _held, until: Some(until) }) => match timeout_at(until, all).await {
                    Ok(answers) => Some(answers),
                    // What is known by now, or known of old.
                    Err(_) => Some(ask(until).await),
                },
            },
        };
        match answers {
            Some(answers) => look_ups.iter().map(|look_up| (*look_up).clone()).zip(answers).collect(),
            None => {
                let miss = || Miss { why: "too many pods wait for look-ups already".to_owned(), transient: true };
                look_ups.iter().map(|look_up| ((*look_up).clone(), Err(miss()))).collect()
            }
        }
    }

    async fn answer(&self, resolver: &Resolver, look_up: &LookUp, deadline: Instant) -> Result<Found, Miss> {
        let asked = self.ask(resolver, look_up, look_up.platforms.clone(), deadline).await;
        let asked = match asked {
            // Nobody said that it must be one of these: what the image has decides where it can run at all.
            Err(failure) if !look_up.stated && matches!(*failure, Failure::NoSuchPlatform { .. }) => {
                self.ask(resolver, look_up, Vec::new(), deadline).await
            }
            asked => asked,
        };
        match asked {
            Ok(resolved) => Ok(Found {
                age: resolved.age,
                stale: resolved.is_stale(),
                digest: resolved.digest.clone(),
                processes: resolved
                    .processes
                    .iter()
                    .map(|(platform, _, process)| (platform.clone(), process.clone()))
                    .collect(),
            }),
            Err(failure) => Err(Miss { why: failure.to_string(), transient: failure.is_transient() }),
        }
    }

    async fn ask(
        &self,
        resolver: &Resolver,
        look_up: &LookUp,
        platforms: Vec<Platform>,
        deadline: Instant,
    ) -> Result<Arc<Resolved>, Arc<Failure>> {
        let question = Question::new(look_up.reference.clone())
            .with_platforms(platforms)
            .with_keyring((**self.keyring).clone())
            .with_freshness(if look_up.always { Freshness::Always } else { Freshness::Ttl })
            .with_namespace(self.namespace)
            .with_priority(self.priority);
        resolver.resolve(&question, deadline).await
    }
}
