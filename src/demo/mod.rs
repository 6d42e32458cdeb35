//! The webhook on one machine: the server and its admission as `serve` runs them, a registry, and reviews to post.
//!
//! Nothing is simulated but the cluster. Reviews go over TLS, images are looked up over HTTP, and each step of the
//! [script](STEPS) says what its answer has to be, so that a demo that ends well is a test passed.
//!
//! The registry listens on a free port and stands in for [`REGISTRY`]: the resolver is told to use it as its HTTP proxy. So
//! the reviews name their images as any review does, and are posted as they are in `examples/`.

mod answer;
mod client;
mod expected;
mod images;
mod script;

pub use answer::Answer;
pub use expected::Expected;
pub use sample_registry::Request;
pub use script::{Object, STEPS, Step};

use crate::admission::{self, Admission, DryRuns, Waiting, routes};
use crate::certificate::{Pair, generate};
use crate::mutation::{self, Facts, Surroundings};
use crate::server::{self, CertificateSource, Drain, Limits, Readiness, Server};
use crate::settings::{Override, Sources, Watch};
use axum::Router;
use client::Client;
use emissary_registry::{Keyring, Proxies, Resolver};
use ipnet::IpNet;
use prometheus_client::registry::Registry;
use sample_registry::RunningRegistry;
use serde_json::Value;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The registry that the examples' images are in; a name that nobody can have (RFC 2606).
pub const REGISTRY: &str = "registry.example.com";

/// What a pod's node may be, where the pod does not say. Fixed, so that the demo is the same on every machine.
const PLATFORM: &str = "linux/amd64";
/// Nobody keeps a demo for longer than its certificate.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Why the demo stopped short.
#[derive(Debug, thiserror::Error)]
#[error("the demo cannot {doing}")]
pub struct Error {
    doing: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    fn when<E: Into<Box<dyn std::error::Error + Send + Sync>>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { doing, source: error.into() }
    }
}

/// A server and a registry that run until [`Demo::stop`].
pub struct Demo {
    registry: RunningRegistry,
    server: Server,
    client: Client,
    ca_pem: String,
    /// What steps that were rewritten came out as, by their file.
    rewritten: HashMap<&'static str, Value>,
    shutdown: CancellationToken,
    rest: CancellationToken,
    tracker: TaskTracker,
}

/// One step, done.
#[derive(Debug)]
pub struct Done {
    /// `kind/name`, as kubectl writes it.
    pub object: String,
    /// The object as it was posted.
    pub before: Value,
    /// What came back.
    pub answer: Answer,
    /// What that cost the registry.
    pub requests: Vec<Request>,
    /// From before the request was written until its answer was read.
    pub took: Duration,
    /// What is not as the step says it has to be.
    pub surprises: Vec<String>,
}

impl Demo {
    /// Starts everything and connects to it.
    ///
    /// # Errors
    /// No port, no certificate, or whatever else keeps a server from starting.
    pub async fn start() -> Result<Self, Error> {
        let (tracker, shutdown, rest) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let registry = images::registry().start().await.map_err(Error::when("start its registry"))?;
        let made = generate(&["127.0.0.1".to_owned(), "localhost".to_owned()], SystemTime::now(), LIFE)
            .map_err(Error::when("make a certificate"))?;
        let pair = Pair::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes())
            .map_err(Error::when("use its certificate"))?;

        let mut metrics = Registry::default();
        let ours = metrics.sub_registry_with_prefix("emissary_webhook");
        let server_metrics = server::Metrics::register(ours);
        let answers = admission(&registry, ours, &tracker, rest.clone())?;
        let options = server::Options {
            listen: LOOPBACK,
            plain: Some(LOOPBACK),
            limits: Limits::default(),
            drain: Drain { lame_duck: Duration::ZERO, timeout: Duration::from_secs(1) },
            clients: None,
        };
        let dependencies = server::Dependencies {
            application: routes(Arc::new(answers)),
            plain: Router::new(),
            certificate: CertificateSource::Fixed(pair),
            readiness: Readiness::default(),
            metrics: server_metrics,
            registry: Arc::new(metrics),
            shutdown: shutdown.clone(),
            tracker: tracker.clone(),
        };
        let server = server::start(options, dependencies).await.map_err(Error::when("start its server"))?;
        let client = Client::connect(server.address(), &made.ca_pem, &tracker)
            .await
            .map_err(Error::when("connect to its server"))?;
        let rewritten = HashMap::new();
        Ok(Self { registry, server, client, ca_pem: made.ca_pem, rewritten, shutdown, rest, tracker })
    }

    /// Posts one step's review. Steps that take up an earlier one come after it.
    ///
    /// # Errors
    /// No answer, or one that is no AdmissionReview.
    pub async fn perform(&mut self, step: &Step) -> Result<Done, Error> {
        let review = self.review(step)?;
        let body = serde_json::to_vec(&review).map_err(Error::when("write a review"))?;
        let asked = self.registry.requests().len();
        let started = Instant::now();
        let answer = self.client.post("/mutate?timeout=10s", body).await.map_err(Error::when("post a review"))?;
        let took = started.elapsed();
        let requests = self.registry.requests().split_off(asked);

        let before = review.pointer("/request/object").cloned().unwrap_or_default();
        let answer = Answer::read(&answer, &review, &before).map_err(Error::when("read an answer"))?;
        if let Some(after) = answer.after() {
            self.rewritten.insert(step.file, after.clone());
        }
        let surprises = step.expected.surprises(&before, &answer, &requests);
        let text = |pointer: &str| before.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let object = format!("{}/{}", text("/kind").to_lowercase(), text("/metadata/name"));
        Ok(Done { object, before, answer, requests, took, surprises })
    }

    fn review(&self, step: &Step) -> Result<Value, Error> {
        let mut review: Value = serde_json::from_str(step.review).map_err(Error::when("read an example"))?;
        if step.object == Object::AsRewritten {
            let after = self.rewritten.get(step.file).ok_or("no earlier step has rewritten it");
            review["request"]["object"] = after.map_err(Error::when("post an object again"))?.clone();
        }
        Ok(review)
    }

    /// Where reviews are answered.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        self.server.plain_address()
    }

    /// Where the registry listens that stands in for [`REGISTRY`].
    pub fn registry_address(&self) -> SocketAddr {
        self.registry.address()
    }

    /// The certificate authority to trust, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Ends the server as a SIGTERM would.
    pub async fn stop(self) {
        let Self { registry, server, client, shutdown, rest, tracker, ca_pem: _, rewritten: _ } = self;
        drop(client);
        shutdown.cancel();
        server.stopped().await;
        rest.cancel();
        tracker.close();
        tracker.wait().await;
        drop(registry);
    }
}

/// The admission as `serve` builds it, from settings, credentials and a resolver.
fn admission(
    registry: &RunningRegistry,
    metrics: &mut Registry,
    tracker: &TaskTracker,
    cancel: CancellationToken,
) -> Result<Admission, Error> {
    let problem = "use its settings";
    let overrides = ["mode=enforce".to_owned(), format!("platforms=[{PLATFORM}]")];
    let overrides = overrides.iter().map(|text| Override::parse(text)).collect::<Result<_, _>>();
    let sources = Sources { overrides: overrides.map_err(Error::when(problem))?, ..Sources::default() };
    let settings = Watch::start(&sources, Watch::PERIOD, tracker, cancel).map_err(|problems| {
        Error::when(problem)(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    let snapshot = settings.snapshot();
    let keyring = Keyring::from_docker_config(images::docker_config().as_bytes())
        .map_err(Error::when("use the credentials of its registry"))?;
    let options = emissary_registry::Options {
        // The registry's own address too, because it names its token endpoint by it.
        plain_http: vec![REGISTRY.to_owned(), registry.address().to_string()],
        proxies: Proxies { http: Some(format!("http://{}", registry.address())), ..Proxies::default() },
        // The token endpoint is on loopback, where nobody else's registry may be.
        allow_networks: vec![IpNet::from(registry.address().ip())],
        system_roots: false,
        ..snapshot.registry()
    };
    let resolver = Resolver::new(options, tracker.clone()).map_err(Error::when("look images up"))?;
    Ok(Admission::new(admission::Dependencies {
        settings,
        surroundings: Arc::new(NoCluster(Arc::new(keyring))),
        resolver,
        dry_runs: DryRuns::register(metrics),
        review: None,
        waiting: Waiting::new((&snapshot.settings.admission).into()),
        metrics: admission::Metrics::register(metrics),
    }))
}

/// No namespaces, and one docker config for all.
struct NoCluster(Arc<Keyring>);

impl Surroundings for NoCluster {
    fn facts(&self, _: &mutation::Subject<'_>) -> Facts {
        Facts { keyring: Arc::clone(&self.0), ..Facts::default() }
    }
}
