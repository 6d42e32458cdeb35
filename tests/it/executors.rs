//! Another executor put on, against what real controllers made for it, and back again by the built program.

use emissary_core::pod::executor::{CannotPutOn, PutOn, put_on};
use emissary_core::pod::{Executor, ExecutorSettings};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::oracle::{Recorded, differences, normalise, reviews, twins};
use crate::oracles::{assert_none, rewrite};

const OLD: [Executor; 4] = [Executor::Docker, Executor::Kubelet, Executor::K8sApi, Executor::Pns];

/// As the recorded controllers were configured (`controller-configs.json`); those of the second configuration also had
/// `PNS_PRIVILEGED` in their environment.
pub(crate) fn settings(recorded: &Recorded) -> ExecutorSettings {
    let pns_privileged = recorded.name.ends_with(".sel");
    ExecutorSettings { kubelet_port: 10250, kubelet_insecure: true, pns_privileged, ..ExecutorSettings::default() }
}

pub(crate) fn executor(name: &str) -> Executor {
    let known = [Executor::Emissary].into_iter().chain(OLD);
    known.into_iter().find(|executor| executor.name() == name).unwrap()
}

fn executor_of(recorded: &Recorded) -> Executor {
    executor(recorded.parts().unwrap().1)
}

/// Where the pod that we made differs from the one that the controller made, but for what we say is unknown.
fn complaints(made: &PutOn, from: &Recorded, real: &Recorded) -> Option<String> {
    let mut found = differences(&normalise(&made.pod), &normalise(real.object()));
    for unknown in &made.unknown {
        let field = format!("/spec/containers/{}/{}", unknown.container, unknown.field);
        found.retain(|difference| !difference.starts_with(&field));
    }
    (!found.is_empty()).then(|| format!("{} as {}: {}", from.name, real.name, found.join("; ")))
}

#[test]
fn an_emissary_pod_becomes_its_twin() {
    let twins = twins();
    let mut found = Vec::new();
    let mut unknown = 0;
    for (old, new) in &twins {
        let made = put_on(new.object(), executor_of(old), &settings(old)).unwrap();
        unknown += made.unknown.len();
        found.extend(complaints(&made, new, old));
    }
    assert_none(&found, twins.len());
    assert_eq!(unknown, 0, "an emissary pod tells everything");
}

/// Pods that one controller made of one workflow and node for two executors of old.
fn old_pairs() -> Vec<(Recorded, Recorded)> {
    let mut groups: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
    for recorded in reviews().into_iter().filter(Recorded::is_pod) {
        if let Some((version, executor, workflow)) = recorded.parts()
            && OLD.iter().any(|old| old.name() == executor)
            // From 3.3.9 on k8sapi is a name that the controller does not know, and says nothing of.
            && (executor != "k8sapi" || version != "3.3.10")
        {
            groups
                .entry(format!("{version} {workflow} {}", recorded.object()["metadata"]["name"]))
                .or_default()
                .push(recorded);
        }
    }
    let mut pairs = Vec::new();
    for group in groups.values() {
        for one in group {
            pairs.extend(group.iter().filter(|other| other.name != one.name).map(|other| (one.clone(), other.clone())));
        }
    }
    pairs
}

#[test]
fn an_old_pod_becomes_that_of_another_executor() {
    let pairs = old_pairs();
    assert!(pairs.len() > 200, "only {} pairs", pairs.len());
    let mut found = Vec::new();
    for (from, to) in &pairs {
        let made = put_on(from.object(), executor_of(to), &settings(to)).unwrap();
        found.extend(complaints(&made, from, to));
        let tells_all = executor_of(from) != Executor::Pns
            || from.name.contains("-agent")
            || !from.object()["spec"]["initContainers"].is_null() && !from.name.contains("initctr")
            || from.name.contains("-resource");
        assert_eq!(made.unknown.is_empty(), tells_all, "{}: {:?}", from.name, made.unknown);
    }
    assert_none(&found, pairs.len());
}

#[test]
fn what_was_put_on_comes_off_again() {
    let (mut pods, mut emissary) = (Vec::new(), Vec::new());
    for (old, new) in twins() {
        pods.push(put_on(new.object(), executor_of(&old), &settings(&old)).unwrap().pod);
        emissary.push((old, new));
    }
    let rewritten = rewrite(&["--profile", "none", "-o", "json"], &pods.iter().collect::<Vec<_>>());
    let mut found = Vec::new();
    for ((old, new), rewritten) in emissary.iter().zip(&rewritten) {
        let mut differences = differences(&normalise(rewritten), &normalise(new.object()));
        if old.name.contains("-pns-") && old.name.ends_with(".sel") {
            differences.retain(|difference| !difference.contains("/securityContext"));
        }
        if !differences.is_empty() {
            found.push(format!("{} by way of {}: {}", new.name, old.name, differences.join("; ")));
        }
    }
    assert_none(&found, emissary.len());
}

/// A pod of 3.5 or 3.7, and one that 3.3 made of the same template and configuration for an executor of old.
fn younger_pairs() -> Vec<(Recorded, Recorded)> {
    let all = reviews();
    let mut pairs = Vec::new();
    for young in all.iter().filter(|one| one.name.starts_with("3.5.15-") || one.name.starts_with("3.7.18-")) {
        let (.., rest) = young.parts().unwrap();
        // Agents run no template, and what this step got from the one before it was another thing in each run.
        if rest.starts_with("agent") || rest.starts_with("script_use") {
            continue;
        }
        let of_3_3 = OLD.map(|executor| format!("3.3.10-{}-{rest}", executor.name()));
        pairs.extend(all.iter().filter(|one| of_3_3.contains(&one.name)).map(|old| (young.clone(), old.clone())));
    }
    pairs
}

#[test]
fn a_pod_of_today_becomes_that_of_an_old_controller() {
    let pairs = younger_pairs();
    assert!(pairs.len() > 150, "only {} pairs", pairs.len());
    let mut found = Vec::new();
    for (young, old) in &pairs {
        let made = put_on(young.object(), executor_of(old), &settings(old)).unwrap();
        let mut differences = differences(&normalise(&made.pod), &normalise(old.object()));
        // Of its version: the executor's image, names by a newer rule, paths made of them, and parameters, which 3.6 leaves
        // out of the template.
        let of_version = [
            "/image:",
            "/metadata/name:",
            "/metadata/annotations/workflows.argoproj.io/node-id",
            "/inputs/parameters",
            "/archiveLocation/s3/key:",
        ];
        differences.retain(|difference| !of_version.iter().any(|known| difference.contains(known)));
        if !differences.is_empty() {
            found.push(format!("{} as {}: {}", young.name, old.name, differences.join("; ")));
        }
    }
    assert_none(&found, pairs.len());
}

#[test]
fn what_cannot_be_known_is_refused_with_its_reason() {
    let of = |name: &str| -> Value { reviews().into_iter().find(|one| one.name == name).unwrap().object().clone() };
    let put = |name: &str, executor| put_on(&of(name), executor, &ExecutorSettings::default());
    let refused = |name: &str, executor| put(name, executor).unwrap_err();
    assert!(matches!(refused("plain-plain", Executor::Docker), CannotPutOn::Bare));
    assert!(matches!(refused("3.3.10-docker-cmd", Executor::Emissary), CannotPutOn::NeedsImages));
    assert!(put("4.1.2-emissary-hello", Executor::Emissary).is_ok());
}
