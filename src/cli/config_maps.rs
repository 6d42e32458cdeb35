//! The ConfigMaps that `serve` goes by.

use crate::cluster::watch::Dependencies;
use crate::cluster::{ConfigMaps, Recorder};
use crate::server::Readiness;
use crate::settings::Watch;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long the start waits for the API server. Then the webhook is ready with what its files say: no admission at all is worse.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows the ConfigMaps that the settings go by. The readiness check `config-maps` passes once those that are there are in
/// effect; then, or when the patience is over, the task ends.
pub(super) fn follow(
    settings: &Watch,
    recorder: Recorder,
    dependencies: &Dependencies,
    readiness: &Readiness,
) -> JoinHandle<()> {
    let initial = ConfigMaps::start(settings.clone(), recorder, dependencies.clone());
    let check = readiness.register("config-maps");
    dependencies.tracker.spawn(async move {
        match initial.in_effect(PATIENCE).await {
            true => check.ready(""),
            false => check.ready("not all are known yet: the API server does not answer"),
        }
    })
}
