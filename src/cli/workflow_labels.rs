//! Labels of Workflows, from when they decide by which executor pods are run.

use super::config_maps::InEffect;
use crate::cluster::Known;
use crate::cluster::watch::Dependencies;
use crate::server::{Check, Readiness};
use crate::settings::{Watch, WorkflowLabels};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long the start waits for what Workflows there are.
const SETTLE: Duration = Duration::from_secs(10);
/// How often readiness is told how the watch is doing.
const TELL: Duration = Duration::from_secs(1);

/// What mends a watch that is not let see Workflows.
const GRANT: &str = "grant list and watch on workflows.argoproj.io (rbac.workflows of the chart)";

/// Has the labels watched as soon as the settings, or a controller's ConfigMap, make a pod's executor depend on them. The readiness
/// check `workflow-labels` says whether they do; it fails only at the start, while Workflows that are there are not known yet.
///
/// `configured` returns when the controllers' ConfigMaps are in effect.
pub(super) fn follow(
    known: Arc<Known>,
    settings: Watch,
    configured: InEffect,
    dependencies: &Dependencies,
    readiness: &Readiness,
) {
    let check = readiness.register("workflow-labels");
    check.not_ready("what the workflow controllers are configured with is not known yet");
    let dependencies = dependencies.clone();
    dependencies.tracker.clone().spawn(async move {
        let cancel = dependencies.cancel.clone();
        cancel.run_until_cancelled(run(known, settings, configured, dependencies, check)).await;
    });
}

async fn run(known: Arc<Known>, settings: Watch, configured: InEffect, dependencies: Dependencies, check: Check) {
    configured.await;
    let mut generation = settings.generation();
    let mut said = String::new();
    loop {
        let snapshot = settings.snapshot();
        let cluster = &snapshot.settings.cluster;
        let decide = snapshot.depends_on_workflow_labels();
        if decide && cluster.workflow_labels != WorkflowLabels::Never {
            known.watch_workflows(cluster, &dependencies);
            if said.is_empty() {
                check.not_ready("Workflows are being listed");
                // What is late is said below.
                let _ = timeout(SETTLE, known.workflows_settled()).await;
            }
        }
        let (is_well, text) = told(decide, cluster.workflow_labels, &known.workflows_behind());
        if text != said {
            match is_well {
                true => tracing::info!(workflow_labels = text, "labels of Workflows"),
                false => tracing::warn!(workflow_labels = text, "labels of Workflows are not known"),
            }
            said.clone_from(&text);
        }
        check.ready(text);
        tokio::select! {
            changed = generation.changed() => if changed.is_err() { return },
            () = sleep(TELL) => {}
        }
    }
}

/// Whether all is as it should be, and the same for people.
fn told(decide: bool, watched: WorkflowLabels, behind: &[String]) -> (bool, String) {
    const DECIDE: &str = "containerRuntimeExecutors select by labels of Workflows";
    match (decide, watched, behind) {
        (false, ..) => (true, "no executor is chosen by them".to_owned()),
        (true, WorkflowLabels::Never, _) => {
            let why = "which cluster.workflowLabels: never leaves unknown: pods get the controller's default executor";
            (false, format!("{DECIDE}, {why}"))
        }
        (true, _, []) => (true, format!("{DECIDE}, and these are watched")),
        (true, _, behind) => {
            let behind = behind.join("; ");
            (false, format!("{DECIDE}, and pods of those not seen get the default executor: {behind}; {GRANT}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_told_with_what_mends_it() {
        let forbidden = ["workflows forbidden (no)".to_owned()];
        for (decide, watched, behind, well, part) in [
            (false, WorkflowLabels::Auto, &[][..], true, "no executor is chosen"),
            (false, WorkflowLabels::Always, &forbidden, true, "no executor is chosen"),
            (true, WorkflowLabels::Auto, &[], true, "are watched"),
            (true, WorkflowLabels::Never, &[], false, "cluster.workflowLabels: never"),
            (true, WorkflowLabels::Auto, &forbidden, false, "workflows forbidden (no); grant list and watch"),
        ] {
            let (is_well, text) = told(decide, watched, behind);
            assert_eq!(is_well, well, "{text}");
            assert!(text.contains(part), "{text}");
        }
    }
}
