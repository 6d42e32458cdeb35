//! Images that stored templates name, looked up before a pod needs them.

use super::config_maps::InEffect;
use crate::cluster::watch::Dependencies;
use crate::cluster::{Ahead, Templates};
use crate::mutation::PrefetchMetrics;
use crate::server::{Check, Readiness};
use emissary_registry::{Prefetch, PrefetchCounts, PrefetchOptions, Resolver};
use prometheus_client::registry::Registry;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long readiness waits for what is looked up, the watches included. Then the webhook is ready in any case: registries
/// that do not answer keep nobody from being rewritten by the index.
const WARM: Duration = Duration::from_secs(10);

/// Starts to look up, and what is counted of it.
pub(super) fn start(
    resolver: Resolver,
    options: PrefetchOptions,
    dependencies: &Dependencies,
    metrics: &mut Registry,
) -> Prefetch {
    let Dependencies { tracker, cancel, .. } = dependencies;
    let prefetch = Prefetch::start(resolver, options, tracker, cancel.clone());
    metrics.register_collector(Box::new(PrefetchMetrics::new(prefetch.clone())));
    prefetch
}

/// Follows what is stored. The readiness check `prefetch` passes once its images have been tried, or [`WARM`] is over.
/// `index` returns when the image index of the cluster is in effect.
pub(super) fn follow(ahead: Ahead, index: InEffect, dependencies: &Dependencies, readiness: &Readiness) {
    let check = readiness.register("prefetch");
    check.not_ready("images of stored templates are being looked up");
    let until = Instant::now() + WARM;
    let dependencies = dependencies.clone();
    dependencies.tracker.clone().spawn(async move {
        let cancel = dependencies.cancel.clone();
        cancel.run_until_cancelled(run(ahead, index, dependencies, check, until)).await;
    });
}

async fn run(ahead: Ahead, index: InEffect, dependencies: Dependencies, check: Check, until: Instant) {
    // Without the index and the credentials much would be asked for that need not be, or in vain.
    let known = async {
        index.await;
        dependencies.watches.settled(WARM).await
    };
    let _ = timeout_at(until, known).await;
    let prefetch = ahead.prefetch.clone();
    let mut templates = Templates::follow(ahead, &dependencies);
    if timeout_at(until, templates.settled()).await.is_ok() {
        prefetch.listed();
    }
    let is_warm = prefetch.warm(until.saturating_duration_since(Instant::now())).await;
    check.ready(if is_warm { "warmed up" } else { "ready before all images of stored templates were tried" });
    let PrefetchCounts { images, waiting, found, failed, left_out, .. } = prefetch.counts();
    tracing::info!(warm = is_warm, images, waiting, found, failed, left_out, "images of stored templates looked up");
    templates.keep_up().await;
}
