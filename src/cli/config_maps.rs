//! The ConfigMaps that `serve` goes by.

use crate::cluster::watch::Dependencies;
use crate::cluster::{ConfigMaps, Recorder};
use crate::server::Readiness;
use crate::settings::Watch;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::time::Duration;

/// How long the start waits for the API server. Then the webhook is ready with what its files say: no admission at all is worse.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns once the ConfigMaps that are there are in effect, or the patience is over.
pub(super) type InEffect = Shared<BoxFuture<'static, ()>>;

/// Follows the ConfigMaps that the settings go by. The readiness check `config-maps` passes once those that are there are in
/// effect, or the patience is over.
pub(super) fn follow(
    settings: &Watch,
    recorder: Recorder,
    dependencies: &Dependencies,
    readiness: &Readiness,
) -> InEffect {
    let initial = ConfigMaps::start(settings.clone(), recorder, dependencies.clone());
    let check = readiness.register("config-maps");
    let told = dependencies.tracker.spawn(async move {
        match initial.in_effect(PATIENCE).await {
            true => check.ready(""),
            false => check.ready("not all are known yet: the API server does not answer"),
        }
    });
    told.map(drop).boxed().shared()
}
