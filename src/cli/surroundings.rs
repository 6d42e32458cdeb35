//! What `serve` knows around objects: of the cluster where there is one to talk to, else nothing.

use super::api_server::ApiServer;
use super::config_maps;
use super::prefetch;
use super::registries::OperatorCredentials;
use super::workflow_labels;
use crate::cluster::{self, watch::Watches};
use crate::mutation::{Facts, Subject, Surroundings};
use crate::server::{self, Readiness};
use crate::settings::Watch;
use emissary_registry::{Keyring, Resolver};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long readiness waits for the watches.
const SETTLE: Duration = Duration::from_secs(10);
/// How often readiness is told how they are doing.
const TELL: Duration = Duration::from_secs(1);

/// Nobody around: no informers, so no namespace labels, and the operator's own credentials only.
struct Alone(OperatorCredentials);

impl Surroundings for Alone {
    fn facts(&self, subject: &Subject<'_>) -> Facts {
        let keyring = subject.namespace.map_or_else(Keyring::anonymous, |namespace| self.0.to_namespace(namespace));
        Facts { keyring: Arc::new(keyring), ..Facts::default() }
    }
}

/// What is needed to know it.
pub(super) struct Dependencies<'a> {
    pub(super) settings: &'a Watch,
    pub(super) api_server: Option<&'a ApiServer>,
    pub(super) credentials: OperatorCredentials,
    /// By which images of stored templates are looked up.
    pub(super) resolver: &'a Resolver,
    pub(super) readiness: &'a Readiness,
    pub(super) tracker: &'a TaskTracker,
    pub(super) rest: &'a CancellationToken,
}

/// What is known around objects: of the cluster where there is one to talk to.
pub(super) fn surroundings(dependencies: Dependencies<'_>, metrics: &mut Registry) -> Arc<dyn Surroundings> {
    let Dependencies { settings, api_server, credentials, resolver, readiness, tracker, rest } = dependencies;
    let snapshot = settings.snapshot();
    let cluster = &snapshot.settings.cluster;
    let Some(ApiServer { client, recorder, .. }) = api_server.filter(|api_server| api_server.is_followed) else {
        return Arc::new(Alone(credentials));
    };
    let watches = Watches::default();
    let options = cluster::Options {
        cluster: cluster.clone(),
        operator: Arc::new(move |namespace| credentials.to_namespace(namespace)),
    };
    let dependencies = cluster::watch::Dependencies {
        client: client.clone(),
        watches: watches.clone(),
        tracker: tracker.clone(),
        cancel: rest.clone(),
    };
    let known = cluster::start(options, &dependencies, metrics);
    let index = config_maps::follow(settings, recorder.clone(), &dependencies, readiness);
    if let Some(options) = snapshot.prefetch() {
        let prefetch = prefetch::start(resolver.clone(), options, &dependencies, metrics);
        let ahead = cluster::Ahead { settings: settings.clone(), known: Arc::clone(&known), prefetch };
        prefetch::follow(ahead, index.clone(), &dependencies, readiness);
    }
    workflow_labels::follow(Arc::clone(&known), settings.clone(), index, &dependencies, readiness);
    let check = readiness.register("cluster");
    tracker.spawn(report_cluster(watches, check, rest.clone()));
    known
}

/// Not ready until the watches have what the API server has, but not for ever: whoever is asked by the API server reaches
/// it or will, and a forbidden watch stays one. Afterwards always ready, with what is behind for people to read.
async fn report_cluster(watches: Watches, check: server::Check, cancel: CancellationToken) {
    let follow = async {
        check.not_ready("the watches are not in step yet");
        if !watches.settled(SETTLE).await {
            tracing::warn!("ready without the whole cluster: {}", cluster::told(&watches));
        }
        loop {
            check.ready(cluster::told(&watches));
            tokio::time::sleep(TELL).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = follow => {}
    }
}
