//! The ConfigMaps that `serve` goes by.

use crate::cluster::watch::Dependencies;
use crate::cluster::{ConfigMaps, EventMetrics, Recorder};
use crate::server::Readiness;
use crate::settings::Watch;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// How long the start waits for the API server. Then the webhook is ready with what its files say: no admission at all is worse.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows the ConfigMaps that the settings go by. The readiness check `config-maps` passes once those that are there are in
/// effect.
pub(super) fn follow(settings: &Watch, dependencies: &Dependencies, readiness: &Readiness, metrics: &mut Registry) {
    let Dependencies { client, watches: _, tracker, cancel } = dependencies;
    let events = EventMetrics::register(metrics);
    let recorder = Recorder::start(client.clone(), instance(), events, tracker, cancel.clone());
    let initial = ConfigMaps::start(settings.clone(), recorder, dependencies.clone());
    let check = readiness.register("config-maps");
    tracker.spawn(async move {
        match initial.in_effect(PATIENCE).await {
            true => check.ready(""),
            false => check.ready("not all are known yet: the API server does not answer"),
        }
    });
}

/// Tells replicas apart: in a pod the host's name is the pod's.
fn instance() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| "emissary-webhook".to_owned())
}
