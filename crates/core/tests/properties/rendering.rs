//! Pods for other executors, rendered from templates and made from pods.

use emissary_core::image::{ImageIndex, ImageProcess};
use emissary_core::lookup::{Answers, Indexes};
use emissary_core::outcome::Outcome;
use emissary_core::pod::executor::put_on;
use emissary_core::pod::{self, Context, Executor, ExecutorSettings, Options, Pod, Profile};
use emissary_core::workflow::{Controller, Given, Kind, Rendered, Version, render};
use proptest::prelude::*;
use serde_json::{Value, json};

const EXECUTORS: [Executor; 5] =
    [Executor::Docker, Executor::Kubelet, Executor::K8sApi, Executor::Pns, Executor::Emissary];
const VERSIONS: [Version; 5] = [Version::V31, Version::V33, Version::V35, Version::V37, Version::V41];

fn rendered(object: &Value, kind: Kind, controller: &Controller) -> Vec<Rendered> {
    let process = |_: &str| Some(ImageProcess { entrypoint: vec!["ep".to_owned()], ..ImageProcess::default() });
    let yaml = |text: &str| serde_json::from_str(text).ok();
    render(object, kind, controller, &Given { process: &process, yaml: &yaml })
}

/// Whatever stands where, there is no panic, and what comes out has a pod's form.
pub(crate) fn survive(object: &Value, configuration: &Value) -> Result<(), TestCaseError> {
    for kind in Kind::ALL {
        for (version, executor) in VERSIONS.into_iter().zip(EXECUTORS) {
            let controller = Controller::new(version, executor).configured(configuration);
            for Rendered { pod, .. } in rendered(object, kind, &controller) {
                prop_assert!(pod["metadata"].is_object());
            }
        }
    }
    Ok(())
}

/// The pods of one template: for emissary the rewriting has nothing to do, and any other becomes that of every other.
pub(crate) fn check(workflow: &Value) -> Result<(), TestCaseError> {
    let settings = ExecutorSettings::default();
    let of = |executor| rendered(workflow, Kind::Workflow, &Controller::new(Version::V33, executor));
    let all: Vec<Vec<Rendered>> = EXECUTORS.into_iter().map(of).collect();
    for (from, own) in EXECUTORS.iter().zip(&all) {
        for (to, other) in EXECUTORS.iter().zip(&all).filter(|(to, _)| **to != Executor::Emissary) {
            // Beside what a pod does not tell there is what a patch that cannot be read would have done. A sidecar with the
            // name of another container makes no pod that the API server takes.
            let is_sound = |one: &Rendered| one.notes.is_empty() && has_names_of_its_own(&one.pod);
            for (own, other) in own.iter().zip(other).filter(|(own, _)| is_sound(own)) {
                let made = put_on(&own.pod, *to, &settings).map_err(|error| TestCaseError::fail(error.to_string()))?;
                if made.unknown.is_empty() {
                    let (made, other) = (sorted(made.pod), sorted(other.pod.clone()));
                    prop_assert_eq!(made, other, "{:?} to {:?}", from, to);
                }
            }
        }
    }
    Ok(())
}

fn has_names_of_its_own(pod: &Value) -> bool {
    let names: Vec<&Value> = pod["spec"]["containers"].as_array().into_iter().flatten().map(|c| &c["name"]).collect();
    names.iter().enumerate().all(|(at, name)| !names[..at].contains(name))
}

/// The lists whose order says nothing, in one order.
fn sorted(mut pod: Value) -> Value {
    let by_text = |list: &mut Value| {
        if let Some(list) = list.as_array_mut() {
            list.sort_by_key(ToString::to_string);
        }
    };
    by_text(&mut pod["spec"]["volumes"]);
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            // An empty list and none are one to the API server.
            for field in ["command", "args"] {
                if container[field] == json!([]) {
                    container[field] = Value::Null;
                }
            }
            by_text(&mut container["env"]);
            by_text(&mut container["volumeMounts"]);
        }
    }
    pod
}

/// What was put on comes off by the rewriting: the pod is one for emissary again, and stays.
pub(crate) fn put_on_and_off(pod: &Value) -> Result<(), TestCaseError> {
    for executor in EXECUTORS {
        let Ok(made) = put_on(pod, executor, &ExecutorSettings::default()) else { continue };
        if let Some(rewritten) = rewritten(&made.pod) {
            let again = put_on(&rewritten, Executor::Emissary, &ExecutorSettings::default());
            prop_assert!(again.is_ok_and(|again| again.pod == rewritten), "not for emissary: {}", rewritten);
        }
    }
    Ok(())
}

/// The pod as the webhook makes it, where it can without asking for an image.
fn rewritten(pod: &Value) -> Option<Value> {
    let empty = ImageIndex::default();
    let indexes = Indexes::new(&empty, &empty);
    let options = Options { profile: Profile::None, ..Options::default() };
    let text = pod.to_string();
    let plan = pod::plan(&Pod::parse(&text).ok()?, &Context::default(), &options, &indexes).ok()?;
    match plan.look_ups().is_empty().then(|| plan.apply(&Answers::new(), &indexes))? {
        Outcome::Rewrite(edits, _) => {
            let mut after = pod.clone();
            edits.apply(&mut after).ok()?;
            Some(after)
        }
        _ => None,
    }
}
