//! `argoexec supervisor`: init's and wait's work in one container, beside the main ones, which wait for its word. Argo 4.1.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use emissary_contract::path;

use crate::failure::{Doing as _, Failure};
use crate::files;
use crate::init;
use crate::pod::Pod;
use crate::wait;

/// How often it says that it is still at work. Executors give up after six times that.
const BEAT: Duration = Duration::from_secs(5);

/// Loads what the main containers need, lets them go, and collects what they leave.
///
/// # Errors
/// The first thing that could not be done. Where it is one before the main containers, they end with
/// [`emissary_contract::exit::BEFORE_MAIN`].
pub(crate) async fn run(pod: &Pod) -> Result<(), Failure> {
    let status = pod.shared.place(path::STATUS);
    if let Some(folder) = status.parent() {
        files::make_folder(folder, 0o777).doing(|| format!("cannot make {}", folder.display()))?;
    }
    say(&status, "RUNNING", "")?;
    let beat = Beat::begin(status.clone());
    let loaded = match stage(pod) {
        Ok(()) => init::run(pod).await,
        Err(failure) => Err(failure),
    };
    beat.end();
    match loaded {
        Ok(()) => {
            say(&status, "READY", "")?;
            wait::run(pod).await
        }
        Err(failure) => {
            say(&status, "FAILED", &failure.text)?;
            // Why it failed is what the user has to read, not that this could not be told.
            let _ = wait::report_nothing(pod).await;
            Err(failure)
        }
    }
}

/// Writes the template, as it came, and a script.
fn stage(pod: &Pod) -> Result<(), Failure> {
    let script = pod.template.fields().script.as_ref().map(|script| script.source.as_bytes());
    let files = [(path::TEMPLATE, 0o444, Some(pod.template.text().as_bytes())), (path::SCRIPT, 0o755, script)];
    for (place, permissions, bytes) in files {
        if let Some(bytes) = bytes {
            let file = pod.shared.place(place);
            files::write(&file, bytes, permissions).doing(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

fn say(status: &Path, state: &str, why: &str) -> Result<(), Failure> {
    let text = if why.is_empty() { format!("{state}\n") } else { format!("{state}\n{why}\n") };
    files::write(status, text.as_bytes(), 0o644).doing(|| format!("cannot write {}", status.display()))
}

/// Says again and again that it is at work, from a thread, since unpacking leaves the runtime no time.
struct Beat {
    stop: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Beat {
    fn begin(status: PathBuf) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                // One that is missed is made up for by the next.
                let _ = say(&status, "RUNNING", "");
            }
        });
        Self { stop, thread }
    }

    /// Returns once nothing more will be said.
    fn end(self) {
        drop(self.stop);
        // It has nothing to panic with.
        let _ = self.thread.join();
    }
}
