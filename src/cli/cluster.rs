//! What `serve` has of the cluster that it runs in.

use crate::cluster::watch::{Dependencies, Watches};
use crate::cluster::{ConfigMaps, EventMetrics, Recorder, connect_by};
use crate::server::Readiness;
use crate::settings::Watch;
use anyhow::Context;
use prometheus_client::registry::Registry;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the start waits for the API server. Then the webhook is ready with what its files say: no admission at all is worse.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows the ConfigMaps that the settings go by, until `cancel`. The readiness check `config-maps` passes once those that are
/// there are in effect.
pub(super) async fn follow(
    settings: &Watch,
    readiness: &Readiness,
    metrics: &mut Registry,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let connect = settings.snapshot().settings.cluster.connect;
    let client = connect_by(connect).await.context("cluster.connect: there is no way to the API server")?;
    let Some(client) = client else {
        tracing::info!(?connect, "no API server is asked: ConfigMaps count as mounted files only");
        return Ok(());
    };
    let watches = Watches::default();
    metrics.register_collector(Box::new(watches.clone()));
    let events = EventMetrics::register(metrics);
    let recorder = Recorder::start(client.clone(), instance(), events, tracker, cancel.clone());
    let dependencies = Dependencies { client, watches, tracker: tracker.clone(), cancel: cancel.clone() };
    let initial = ConfigMaps::start(settings.clone(), recorder, dependencies);
    let check = readiness.register("config-maps");
    tracker.spawn(async move {
        match initial.in_effect(PATIENCE).await {
            true => check.ready(""),
            false => check.ready("not all are known yet: the API server does not answer"),
        }
    });
    Ok(())
}

/// Tells replicas apart: in a pod the host's name is the pod's.
fn instance() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| "emissary-webhook".to_owned())
}
