//! A certificate that looks after itself: a Secret that replicas share, and the `caBundle` of every entry of ours.
//!
//! Each replica follows the Secret and the registrations, and serves what the Secret holds. Only the holder of a Lease
//! writes: the Secret by the plan of [`Terms`], always over the version that it has read, so that two that both believe
//! to hold the Lease cannot both win; and `caBundle`s, whenever one differs.
//!
//! | the Secret | is |
//! |---|---|
//! | absent, or empty | made; a replica that has a pair in memory restores that one |
//! | ours (by annotation) and unreadable | replaced likewise, with an Event that says what was wrong |
//! | not ours | left alone: it may be somebody's only key. Said in an Event, the log and `/readyz` |
//!
//! A pair that the registrations do not trust is not served as long as there is a valid one that was served before.

mod followed;
mod metrics;

pub use metrics::CertificateMetrics;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{Notify, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use followed::Followed;

use super::events::{Event, Recorder, Regarding, Severity};
use super::follow::{Seen, follow};
use super::lease::Lease;
use super::registration::{self, ServiceName};
use super::{LABEL, MANAGER};
use crate::certificate::{self, Bundle, Offer, Pair, Standing, Step, Stock, Terms};

/// The annotation of a Secret that may be replaced.
const OURS: (&str, &str) = ("emissary-webhook.io/certificate", "self-managed");

/// How long one write may take: less than a holder may still write after it has last renewed the Lease.
const PATIENCE: Duration = Duration::from_secs(4);

/// The longest time in which nothing is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How long after a write failed it is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Where the certificate is kept, and who is told to trust it.
#[derive(Debug, Clone)]
pub struct CertificateOptions {
    /// The Service that registrations name.
    pub service: ServiceName,
    /// The Secret, in the Service's namespace.
    pub secret: String,
    /// The MutatingWebhookConfigurations that are ours, by name.
    pub registrations: Vec<String>,
    /// For whom, and for how long.
    pub terms: Terms,
}

/// Follows and keeps the certificate until `cancel`. What to serve is in the channel, nothing at first.
pub fn keep_certificate(
    client: Client,
    options: CertificateOptions,
    lease: Lease,
    recorder: Recorder,
    metrics: CertificateMetrics,
    tracker: &TaskTracker,
    cancel: CancellationToken,
) -> watch::Receiver<Offer> {
    let changed = Arc::new(Notify::new());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &options.service.namespace);
    let registrations: Api<MutatingWebhookConfiguration> = Api::all(client);
    let secret = follow(secrets.clone(), options.secret.clone(), Arc::clone(&changed), tracker, cancel.clone());
    let followed = options.registrations.iter().map(|name| {
        let seen = follow(registrations.clone(), name.clone(), Arc::clone(&changed), tracker, cancel.clone());
        Followed { name: name.clone(), seen, carried: None, written_over: None, pause: Duration::ZERO, last: None }
    });
    let (offer, offered) = watch::channel(Offer::default());
    let keeper = Keeper {
        followed: followed.collect(),
        secrets,
        registrations,
        options,
        secret,
        lease,
        recorder,
        metrics,
        stock: None,
        agreed: None,
        serving_since: None,
        problems: HashMap::new(),
        offer,
    };
    tracker.spawn(async move {
        cancel.run_until_cancelled(keeper.run(changed)).await;
    });
    offered
}

struct Keeper {
    options: CertificateOptions,
    secrets: Api<Secret>,
    registrations: Api<MutatingWebhookConfiguration>,
    secret: watch::Receiver<Seen<Secret>>,
    followed: Vec<Followed>,
    lease: Lease,
    recorder: Recorder,
    metrics: CertificateMetrics,
    /// The last that was good.
    stock: Option<Stock>,
    /// Since when every registration carries which bundle.
    agreed: Option<(Bundle, SystemTime)>,
    serving_since: Option<(Pair, SystemTime)>,
    /// What is wrong, by what it is about.
    problems: HashMap<&'static str, String>,
    offer: watch::Sender<Offer>,
}

/// What the Secret is, as far as the plan cares.
enum Found {
    /// Not to be seen.
    Nothing,
    /// There is none.
    Absent,
    /// There is one to be filled.
    Empty(Arc<Secret>),
    /// Ours, and unreadable.
    Broken(Arc<Secret>, String),
    /// Somebody else's.
    Foreign,
    /// Ours and good.
    Good(Arc<Secret>),
}

impl Keeper {
    async fn run(mut self, changed: Arc<Notify>) {
        loop {
            let pause = self.step().await;
            tokio::select! {
                () = changed.notified() => {}
                () = self.lease.changed() => {}
                () = sleep(pause.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    /// Looks at everything once, writes what is to be written, and says for how long there is nothing to do.
    async fn step(&mut self) -> Duration {
        let now = SystemTime::now();
        let found = self.found();
        self.observe(now);
        self.offer(now);
        if !self.lease.is_held() {
            return LONGEST_SLEEP;
        }
        match found {
            Found::Nothing | Found::Foreign => LONGEST_SLEEP,
            Found::Absent => self.make().await,
            Found::Empty(secret) => self.restore(&secret, "made", now).await,
            Found::Broken(secret, why) => {
                let note = format!("What this Secret held was no certificate of ours ({why}): it is replaced.");
                self.recorder.record(event(regarding(&*secret), Severity::Warning, "CertificateReplaced", note));
                self.restore(&secret, "replaced", now).await
            }
            Found::Good(secret) => {
                let publishing = self.publish().await;
                publishing.min(self.rotate(&secret, now).await)
            }
        }
    }

    /// Reads the Secret. A good one becomes the stock.
    fn found(&mut self) -> Found {
        let (found, problem) = match self.secret.borrow().clone() {
            Seen::Pending => (Found::Nothing, None),
            Seen::Unknown(why) => (Found::Nothing, Some(why)),
            Seen::Absent => (Found::Absent, None),
            Seen::Present(secret) => {
                let is_ours = secret.annotations().get(OURS.0).map(String::as_str) == Some(OURS.1);
                let is_empty = secret.data.iter().flatten().all(|(_, ByteString(value))| value.is_empty());
                let data = secret.data.as_ref();
                match Stock::read(|key| data?.get(key).map(|ByteString(value)| value.as_slice())) {
                    Ok(stock) if is_ours => {
                        self.stock = Some(stock);
                        (Found::Good(secret), None)
                    }
                    Err(error) if is_ours && !is_empty => {
                        let why = super::with_causes(&error);
                        let problem = format!("the Secret is unreadable: {why}");
                        (Found::Broken(secret, why), Some(problem))
                    }
                    _ if is_empty => (Found::Empty(secret), None),
                    _ => (Found::Foreign, Some(self.foreign())),
                }
            }
        };
        let news = self.problem("secret", problem);
        if let (Found::Foreign, Some(note), Seen::Present(secret)) = (&found, news, &*self.secret.borrow()) {
            self.recorder.record(event(regarding(&**secret), Severity::Warning, "ForeignSecret", note));
        }
        found
    }

    fn foreign(&self) -> String {
        let CertificateOptions { service, secret, .. } = &self.options;
        let namespace = &service.namespace;
        format!(
            "Secret {namespace}/{secret} is not kept by this webhook and is left alone: delete it \
             (kubectl -n {namespace} delete secret {secret}), name another by server.selfManaged.secret, or serve its \
             files by server.certificates: files"
        )
    }

    /// Notes since when what is wanted has been so everywhere.
    fn observe(&mut self, now: SystemTime) {
        let Some(stock) = &self.stock else { return };
        if self.serving_since.as_ref().map(|(pair, _)| pair) != Some(stock.serving()) {
            self.serving_since = Some((stock.serving().clone(), now));
        }
        let (mut everywhere, mut unknown) = (true, Vec::new());
        for followed in &mut self.followed {
            match &*followed.seen.borrow() {
                Seen::Pending => everywhere = false,
                Seen::Unknown(why) => {
                    everywhere = false;
                    unknown.push(why.clone());
                }
                Seen::Absent => {}
                Seen::Present(seen) => {
                    let differing = registration::differing(seen, &self.options.service, stock.bundle());
                    if differing.is_empty() {
                        followed.carried = Some(stock.bundle().clone());
                    }
                    everywhere &= differing.is_empty();
                }
            }
        }
        let since = self.agreed.take().filter(|(bundle, _)| bundle == stock.bundle()).map_or(now, |(_, since)| since);
        self.agreed = everywhere.then(|| (stock.bundle().clone(), since));
        self.problem("registrations", (!unknown.is_empty()).then(|| unknown.join("; ")));
    }

    /// Offers what the Secret says, unless clients would refuse it and would not refuse what was offered before.
    fn offer(&mut self, now: SystemTime) {
        let mut problems: Vec<&str> = self.problems.values().map(String::as_str).collect();
        problems.sort_unstable();
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        let pair = self.stock.as_ref().map(Stock::serving);
        let before = self.offer.borrow().pair.clone();
        let pair = match (before, pair) {
            (Some(before), Some(pair))
                if before != *pair
                    && before.validity().standing(now) == Standing::Valid
                    && !self.is_trusted(pair)
                    && self.is_trusted(&before) =>
            {
                Some(before)
            }
            (before, pair) => pair.cloned().or(before),
        };
        let offer = Offer { pair, problem };
        self.offer.send_if_modified(|offered| {
            let differs = *offered != offer;
            if differs {
                *offered = offer;
            }
            differs
        });
    }

    /// Whether all entries that can be seen trust the pair.
    fn is_trusted(&self, pair: &Pair) -> bool {
        let service = &self.options.service;
        self.followed.iter().all(|followed| match &*followed.seen.borrow() {
            Seen::Pending | Seen::Unknown(_) | Seen::Absent => true,
            Seen::Present(seen) => {
                let ours = seen.webhooks.iter().flatten().filter(|entry| registration::is_ours(entry, service));
                ours.map(registration::bundle_of).all(|bundle| bundle.is_some_and(|bundle| bundle.trusts(pair)))
            }
        })
    }

    /// Writes the stock that is known, or a new one.
    async fn restore(&mut self, over: &Secret, step: &'static str, now: SystemTime) -> Duration {
        let Terms { names, life } = &self.options.terms;
        let known = self.stock.clone().filter(|stock| stock.serving().validity().standing(now) == Standing::Valid);
        match known.map_or_else(|| Stock::make(names, now, *life), Ok) {
            Ok(stock) => self.write(over, &stock, step).await,
            Err(error) => self.failed("making", super::with_causes(&error)),
        }
    }

    /// The next step of the plan, if one is due.
    async fn rotate(&mut self, secret: &Secret, now: SystemTime) -> Duration {
        let (Some(stock), Some((_, serving))) = (self.stock.clone(), &self.serving_since) else { return RETRY };
        let terms = &self.options.terms;
        let agreed = self.agreed.as_ref().map(|(_, since)| *since);
        let (step, next) = match terms.plan(&stock, certificate::Seen { agreed, serving: *serving }, now) {
            Step::Wait { until } => return until.duration_since(now).unwrap_or_default(),
            Step::Stage => ("staged", stock.stage(&terms.names, now, terms.life)),
            Step::Promote => ("promoted", Ok(stock.promote())),
            Step::Prune => ("pruned", Ok(stock.prune())),
        };
        match next {
            Ok(next) => self.write(secret, &next, step).await,
            Err(error) => self.failed("making", super::with_causes(&error)),
        }
    }

    /// Makes the Secret, still empty. By an apply, because a Role can allow that for one name, and a plain create for all names
    /// only; of two replicas that do it at once neither takes anything from the other.
    async fn make(&mut self) -> Duration {
        let CertificateOptions { service, secret: name, .. } = &self.options;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(service.namespace.clone()),
                labels: Some([LABEL].map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(
                [certificate::CERTIFICATE, certificate::KEY].map(|key| (key.to_owned(), ByteString::default())).into(),
            ),
            ..Secret::default()
        };
        let parameters = PatchParams::apply(MANAGER);
        let made = timeout(PATIENCE, self.secrets.patch(name, &parameters, &Patch::Apply(&secret))).await;
        self.written(made.map(|made| made.map(drop)), "create, update and patch")
    }

    /// Writes the stock into the Secret, over this version of it. Its successor is seen by the watch.
    async fn write(&mut self, over: &Secret, stock: &Stock, step: &'static str) -> Duration {
        let values = stock.write().into_iter().map(|(key, value)| (key.to_owned(), ByteString(value)));
        let mut secret = over.clone();
        secret.data = Some(values.collect());
        secret.annotations_mut().insert(OURS.0.to_owned(), OURS.1.to_owned());
        secret.labels_mut().insert(LABEL.0.to_owned(), LABEL.1.to_owned());
        let name = &self.options.secret;
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let written = timeout(PATIENCE, self.secrets.replace(name, &parameters, &secret)).await;
        if matches!(written, Ok(Ok(_))) {
            tracing::info!(secret = name, step, "wrote the certificate's Secret");
            self.metrics.wrote(step);
            let note = format!("The webhook's certificate was {step}.");
            self.recorder.record(event(regarding(over), Severity::Normal, "CertificateRotation", note));
        }
        self.written(written.map(|written| written.map(drop)), "update")
    }

    /// What became of a write to the Secret.
    fn written(&mut self, written: Result<Result<(), kube::Error>, Elapsed>, verbs: &str) -> Duration {
        match written {
            Ok(Ok(())) => {
                self.problem("write", None);
                LONGEST_SLEEP
            }
            // Somebody wrote meanwhile: the watch says what.
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() => RETRY,
            Ok(Err(error)) => self.failed("write", refused("secrets", verbs, &error)),
            Err(_) => self.failed("write", "the API server did not answer in time".to_owned()),
        }
    }

    /// Sets every `caBundle` of ours that differs from the stock's.
    async fn publish(&mut self) -> Duration {
        let Some(bundle) = self.stock.as_ref().map(|stock| stock.bundle().clone()) else { return LONGEST_SLEEP };
        let mut pause = LONGEST_SLEEP;
        for place in 0..self.followed.len() {
            pause = pause.min(self.publish_to(place, &bundle).await);
        }
        pause
    }

    async fn publish_to(&mut self, place: usize, bundle: &Bundle) -> Duration {
        let Some(followed) = self.followed.get_mut(place) else { return LONGEST_SLEEP };
        let Seen::Present(seen) = followed.seen.borrow().clone() else { return LONGEST_SLEEP };
        let differing = registration::differing(&seen, &self.options.service, bundle);
        if differing.is_empty() || !self.lease.is_held() {
            return LONGEST_SLEEP;
        }
        if followed.written_over.is_some() && followed.written_over == seen.resource_version() {
            // Written already: its successor is on the way.
            return RETRY;
        }
        let heals = followed.carried.as_ref() == Some(bundle);
        if heals && let Some(left) = followed.contested(Instant::now()) {
            return left;
        }
        let patch: Patch<()> = Patch::Json(registration::patch(&differing, bundle));
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let step = if heals { "healed" } else { "published" };
        match timeout(PATIENCE, self.registrations.patch(&followed.name, &parameters, &patch)).await {
            Ok(Ok(_)) => {
                let entries: Vec<&str> = differing.iter().map(|(_, entry)| entry.name.as_str()).collect();
                let entries = entries.join(", ");
                tracing::info!(registration = followed.name, entries, step, "set the caBundle");
                self.metrics.published(step);
                followed.written_over = seen.resource_version();
                if heals {
                    followed.healed(Instant::now());
                    let note = format!(
                        "The caBundle of {entries} in MutatingWebhookConfiguration {} had been changed by somebody else, and \
                         was set again.",
                        followed.name
                    );
                    // On the Secret: an Event on what stands in no namespace is written in `default`, where we have no rights.
                    if let Seen::Present(secret) = &*self.secret.borrow() {
                        self.recorder.record(event(regarding(&**secret), Severity::Warning, "CABundleHealed", note));
                    }
                }
                self.problem("publish", None);
                LONGEST_SLEEP
            }
            // An entry has moved, or its name has changed: the watch says how.
            Ok(Err(kube::Error::Api(status))) if status.is_invalid() || status.is_conflict() => RETRY,
            Ok(Err(error)) => self.failed("publish", refused("mutatingwebhookconfigurations", "patch", &error)),
            Err(_) => self.failed("publish", "the API server did not answer in time".to_owned()),
        }
    }

    fn failed(&mut self, what: &'static str, problem: String) -> Duration {
        self.problem(what, Some(problem));
        RETRY
    }

    /// Notes what is wrong with something, or that nothing is any more. A new problem is logged, and returned.
    fn problem(&mut self, what: &'static str, problem: Option<String>) -> Option<String> {
        match problem {
            None => {
                if self.problems.remove(what).is_some() {
                    tracing::info!(what, "a problem with the certificate is over");
                }
                None
            }
            Some(problem) if self.problems.get(what) == Some(&problem) => None,
            Some(problem) => {
                tracing::warn!(what, problem, "a problem with the certificate");
                self.problems.insert(what, problem.clone());
                Some(problem)
            }
        }
    }
}

/// What the API server did not let us write, and what mends it.
fn refused(plural: &str, verbs: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            format!("{plural} may not be written: grant {verbs} on {plural}")
        }
        kube::Error::Api(status) => format!("{plural} cannot be written: {}", status.message),
        _ => format!("{plural} cannot be written: the API server is not to be reached"),
    }
}

fn regarding<K>(object: &K) -> Regarding
where
    K: kube::Resource<DynamicType = ()> + k8s_openapi::Resource,
{
    Regarding {
        api_version: K::API_VERSION,
        kind: K::KIND,
        namespace: object.namespace(),
        name: object.name_any(),
        uid: object.uid(),
    }
}

fn event(regarding: Regarding, severity: Severity, reason: &'static str, note: String) -> Event {
    Event { regarding, severity, reason, action: "KeepCertificate", note }
}
