use emissary_core::image::Platform;
use emissary_core::lookup::{Answers, Found, LookUp, Miss};
use emissary_registry::{Failure, Freshness, Keyring, Priority, Question, Resolved, Resolver};
use futures_util::future::join_all;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::Instant;

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
    /// Asked for leave as soon as something is not known at once; its value is held while waiting. `None` means that too
    /// many wait already.
    pub wait: &'a (dyn Fn() -> Option<P> + Send + Sync),
}

impl<P> Asking<'_, P> {
    /// The answers, in one await. What is known at once costs no leave to wait; who gets none leaves the look-up running
    /// for the next one who asks.
    pub(super) async fn answers(&self, look_ups: &[&LookUp]) -> Answers {
        if look_ups.is_empty() {
            return Answers::default();
        }
        let Some(resolver) = self.resolver else {
            let miss =
                || Miss { why: "no registry is asked here, and no image index has it".to_owned(), transient: false };
            return look_ups.iter().map(|look_up| ((*look_up).clone(), Err(miss()))).collect();
        };
        let mut all = pin!(join_all(look_ups.iter().map(|look_up| self.answer(resolver, look_up))));
        let mut permit = None;
        let answers = std::future::poll_fn(|context| match all.as_mut().poll(context) {
            Poll::Ready(answers) => Poll::Ready(Some(answers)),
            Poll::Pending if permit.is_some() => Poll::Pending,
            Poll::Pending => match (self.wait)() {
                Some(leave) => {
                    permit = Some(leave);
                    Poll::Pending
                }
                None => Poll::Ready(None),
            },
        })
        .await;
        match answers {
            Some(answers) => look_ups.iter().map(|look_up| (*look_up).clone()).zip(answers).collect(),
            None => {
                let miss = || Miss { why: "too many pods wait for look-ups already".to_owned(), transient: true };
                look_ups.iter().map(|look_up| ((*look_up).clone(), Err(miss()))).collect()
            }
        }
    }

    async fn answer(&self, resolver: &Resolver, look_up: &LookUp) -> Result<Found, Miss> {
        let asked = self.ask(resolver, look_up, look_up.platforms.clone()).await;
        let asked = match asked {
            // Nobody said that it must be one of these: what the image has decides where it can run at all.
            Err(failure) if !look_up.stated && matches!(*failure, Failure::NoSuchPlatform { .. }) => {
                self.ask(resolver, look_up, Vec::new()).await
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
    ) -> Result<Arc<Resolved>, Arc<Failure>> {
        let question = Question::new(look_up.reference.clone())
            .with_platforms(platforms)
            .with_keyring((**self.keyring).clone())
            .with_freshness(if look_up.always { Freshness::Always } else { Freshness::Ttl })
            .with_namespace(self.namespace)
            .with_priority(self.priority);
        resolver.resolve(&question, self.deadline).await
    }
}
