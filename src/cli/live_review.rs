//! The review of what dry runs see, as `serve` starts it.

use super::review::judges;
use crate::review::{Assumed, Limits, Live, LiveMetrics, LiveOptions, RecordOptions, Usable};
use crate::settings::Review;
use anyhow::Context;
use prometheus_client::registry::Registry;
use std::num::NonZeroUsize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts it, where the settings want it.
pub(super) fn start(
    settings: &Review,
    metrics: &mut Registry,
    tracker: &TaskTracker,
    rest: &CancellationToken,
) -> anyhow::Result<Option<Live>> {
    if !settings.enabled {
        return Ok(None);
    }
    let record = &settings.record;
    let options = LiveOptions {
        policies: settings.policies.clone(),
        assumed: Assumed {
            standards: settings.pss.iter().map(ToString::to_string).collect(),
            usable: Usable::of(&settings.assume_use),
            minor: None,
        },
        limits: Limits { give_way: true, ..judges(settings.deadline.0, settings.memory.0)? },
        processes: NonZeroUsize::new(settings.processes as usize).unwrap_or(NonZeroUsize::MIN),
        largest: settings.max_pod_size.0 as usize,
        queued: settings.max_queued as usize,
        queued_bytes: settings.max_queued_size.0 as usize,
        record: record.folder.clone().map(|folder| RecordOptions {
            folder,
            files: record.max_files as usize,
            bytes: record.max_size.0,
        }),
    };
    let live = Live::start(options, LiveMetrics::register(metrics)).context("cannot review what dry runs see")?;
    let (ended, stopped) = (rest.clone(), live.clone());
    tracker.spawn(async move {
        ended.cancelled().await;
        stopped.close();
    });
    Ok(Some(live))
}
