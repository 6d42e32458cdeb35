//! `argoexec wait`: until the main containers have ended, and then what they have left.
//!
//! What is collected is collected even if something else could not be, and the controller gets the last word in any case.
//! SIGTERM means: collect now. It is how the controller tells of a container that was killed together with its executor.

mod artifacts;
mod ends;
mod kill;
mod parameters;
mod progress;

use std::io;
use std::pin::pin;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Doing as _, Failure};
use crate::pod::Pod;
use crate::report::{Report, Word};

use ends::Ends;

/// Waits, collects and reports.
///
/// # Errors
/// The first thing that could not be done; all others were tried.
pub(crate) async fn run(pod: &Pod) -> Result<(), Failure> {
    let report = Report::of(pod)?;
    let mut errors = Vec::new();
    let mut told = None;
    if let Err(failure) = until_ended(pod, &report, &mut told).await {
        errors.push(failure.text);
    }
    let outputs = collect(pod, &mut errors).await;
    let progress = progress::read(pod).filter(|progress| told.as_ref() != Some(progress));
    if let Err(failure) = report.finish(&Word { outputs, progress }).await {
        errors.push(failure.text);
    }
    ended(errors)
}

/// Reports that there is nothing, where the main containers were never let go.
///
/// # Errors
/// Where the API server refuses even that.
pub(crate) async fn report_nothing(pod: &Pod) -> Result<(), Failure> {
    let report = Report::of(pod)?;
    report.begin().await?;
    report.finish(&Word::default()).await
}

fn ended(errors: Vec<String>) -> Result<(), Failure> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Failure::own(errors.join("; "))),
    }
}

/// Waits for the main containers' ends, and tells of progress meanwhile.
async fn until_ended(pod: &Pod, report: &Report<'_>, told: &mut Option<String>) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).doing(|| "cannot wait for signals".to_owned())?;
    let mut ends = Ends::watch(pod);
    let mut begin = pin!(report.begin());
    let mut begun = false;
    let mut tick = pin!(next_tick(pod));
    let mut deadline = pin!(until(pod.environment.deadline));
    let mut result = Ok(());
    while !ends.all() {
        tokio::select! {
            _ = terminate.recv() => {
                pod.say(|| "told to end: collecting what is there".to_owned());
                break;
            }
            answer = &mut begin, if !begun => {
                begun = true;
                result = result.and(answer);
            }
            () = &mut deadline => {
                kill::run(pod, &mut ends).await;
                result = Err(Failure::own("Step exceeded its deadline"));
                break;
            }
            () = &mut tick => {
                tick.set(next_tick(pod));
                if let Some(progress) = progress::read(pod).filter(|progress| begun && told.as_ref() != Some(progress)) {
                    // What is not told now is told with the next, or at the end.
                    if report.progress(&progress).await.is_ok() {
                        *told = Some(progress);
                    }
                }
            }
            () = ends.changed() => {}
        }
    }
    if !begun {
        result = result.and(begin.await);
    }
    match ends.killed() {
        [] => result,
        killed => result.and(Err(Failure::own(format!(
            "container {} was killed together with its executor (out of memory, or SIGKILL), and has no exit code; what there \
             is of its outputs has been collected",
            killed.join(", ")
        )))),
    }
}

/// The next time to look at progress; never where nobody wants to know.
async fn next_tick(pod: &Pod) {
    match pod.environment.progress_tick {
        Some(tick) => tokio::time::sleep(tick).await,
        None => std::future::pending().await,
    }
}

/// Waits for a time of the clock; for ever where there is none.
async fn until(deadline: Option<Timestamp>) {
    match deadline {
        Some(deadline) => {
            let left = Timestamp::now().duration_until(deadline).try_into().unwrap_or_default();
            tokio::time::sleep(left).await;
        }
        None => std::future::pending().await,
    }
}

async fn collect(pod: &Pod, errors: &mut Vec<String>) -> serde_json::Map<String, serde_json::Value> {
    let mut outputs = serde_json::Map::new();
    if let Some(result) = parameters::result(pod, errors) {
        outputs.insert("result".to_owned(), result.into());
    }
    let parameters = parameters::collect(pod, errors);
    if !parameters.is_empty() {
        outputs.insert("parameters".to_owned(), parameters.into());
    }
    let artifacts = artifacts::collect(pod, errors).await;
    if !artifacts.is_empty() {
        outputs.insert("artifacts".to_owned(), artifacts.into());
    }
    outputs
}

/// Why something that the step has left cannot be read, and what mends it.
fn unreadable(pod: &Pod, path: &str, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "; the step's process runs as another user than {}: set the same securityContext.runAsUser for both, or let the \
             process make its outputs readable for all (umask 022)",
            pod.container()
        ),
        _ => String::new(),
    };
    format!("{path}: {error}{hint}")
}
