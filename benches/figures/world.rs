//! Everything that an admission needs, as `serve` wires it, with a registry on loopback.

use emissary_core::image::Reference;
use emissary_registry::{Keyring, Options, Question, Resolver};
use emissary_webhook::admission::{self, Admission, DryRuns, Waiting};
use emissary_webhook::mutation::{Facts, Subject, Surroundings};
use emissary_webhook::settings::{Override, Snapshot, Sources, Watch};
use ipnet::IpNet;
use prometheus_client::registry::Registry;
use sample_registry::{Image, Index, RunningRegistry, SampleRegistry};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) admission: Admission,
    pub(crate) resolver: Resolver,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) registry: RunningRegistry,
    /// A multi-arch image that the registry has.
    pub(crate) image: String,
}

struct Alone(Arc<Keyring>);

impl Surroundings for Alone {
    fn facts(&self, _: &Subject<'_>) -> Facts {
        Facts { keyring: Arc::clone(&self.0), ..Facts::default() }
    }
}

impl World {
    /// In mode enforce, everything else by default.
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let guard = runtime.enter();
        let app = |platform| Image::new(platform).entrypoint(&["/usr/local/bin/app"]).cmd(&["serve"]);
        let index = Index::oci().image(app("linux/amd64")).image(app("linux/arm64")).attestation();
        let registry = runtime.block_on(SampleRegistry::new().put("team/app:1.0", index).start()).unwrap();
        let image = registry.reference("team/app:1.0");

        let tracker = TaskTracker::new();
        let sources = Sources { overrides: vec![Override::parse("mode=enforce").unwrap()], ..Sources::default() };
        let settings = Watch::start(&sources, Watch::PERIOD, &tracker, CancellationToken::new()).unwrap();
        let snapshot = settings.snapshot();
        // Loopback is where nobody else's registry may be.
        let allow_networks = vec![IpNet::from(registry.address().ip())];
        let plain_http = vec![registry.address().to_string()];
        let options = Options { plain_http, allow_networks, ..snapshot.registry() };
        let resolver = Resolver::new(options, tracker).unwrap();
        let admission = Admission::new(admission::Dependencies {
            settings,
            surroundings: Arc::new(Alone(Arc::new(Keyring::anonymous()))),
            resolver: resolver.clone(),
            waiting: Waiting::new((&snapshot.settings.admission).into()),
            dry_runs: DryRuns::default(),
            review: None,
            metrics: admission::Metrics::register(&mut Registry::default()),
        });
        drop(guard);
        Self { runtime, admission, resolver, snapshot, registry, image }
    }

    /// What is asked of the resolver for the image.
    pub(crate) fn question(&self) -> Question {
        Question::new(Reference::parse(&self.image).unwrap()).with_platforms(self.snapshot.pod().platforms.clone())
    }

    pub(crate) fn deadline() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }
}
