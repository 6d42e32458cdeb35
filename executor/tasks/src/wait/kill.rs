//! Ending main containers by the files that their executors read.

use std::time::Duration;

use emissary_contract::file;
use tokio::time::{Instant, timeout_at};

use super::ends::Ends;
use crate::files;
use crate::pod::Pod;

/// SIGTERM and SIGKILL, as every Linux numbers them.
const TERMINATE: u8 = 15;
const KILL: u8 = 9;
/// How long a killed container may take to be seen as ended; one that never started will not be.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// Asks all that have not ended to end, and kills those that do not within the pod's grace period.
pub(super) async fn run(pod: &Pod, ends: &mut Ends<'_>) {
    for (signal, patience) in [(TERMINATE, pod.environment.grace), (KILL, AFTER_KILL)] {
        if ends.all() {
            return;
        }
        for name in ends.left() {
            let folder = pod.shared.container(name);
            let file = folder.join(file::SIGNAL);
            let told = files::make_folder(&folder, 0o777);
            let told = told.and_then(|()| files::write(&file, signal.to_string().as_bytes(), 0o666));
            pod.say(|| match told {
                Ok(()) => format!("signal {signal} to container {name}"),
                Err(error) => format!("cannot signal container {name}: {error}"),
            });
        }
        let until = Instant::now() + patience;
        while !ends.all() && timeout_at(until, ends.changed()).await.is_ok() {}
    }
}
