//! What is true of a pod after rewriting, judged by other code than the code that rewrites.

use std::collections::BTreeSet;
use std::time::Duration;

use emissary_core::image::{Digest, ImageIndex, ImageProcess};
use emissary_core::lookup::{Answers, Found, Indexes, LookUp, Miss};
use emissary_core::outcome::Outcome;
use emissary_core::pod::{self, Context, Options, Pod};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Answers by the image's name.
pub(crate) fn answers(look_ups: &[&LookUp]) -> Answers {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let answer = |look_up: &LookUp| {
        let (entrypoint, cmd) = match look_up.reference.repository() {
            "library/both" => (words(&["ep", "$(X)"]), words(&["cmd"])),
            "library/entrypoint-only" => (words(&["ep"]), Vec::new()),
            "library/cmd-only" => (Vec::new(), words(&["cmd", "{{x}}"])),
            "library/empty" => (Vec::new(), Vec::new()),
            _ => return Err(Miss { why: "no answer".to_owned(), transient: true }),
        };
        let process = ImageProcess { entrypoint, cmd, user: None };
        let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        let processes = look_up.platforms.iter().map(|p| (p.clone(), process.clone())).collect();
        Ok(Found { digest, processes, age: Duration::ZERO, stale: false })
    };
    look_ups.iter().map(|look_up| ((*look_up).clone(), answer(look_up))).collect()
}

fn pass(pod: &Value, options: &Options, restricted: bool) -> Outcome {
    let text = pod.to_string();
    let pod = Pod::parse(&text).unwrap();
    let empty = ImageIndex::default();
    let indexes = Indexes::new(&empty, &empty);
    let context = Context { namespace_restricted: restricted, ..Context::default() };
    match pod::plan(&pod, &context, options, &indexes) {
        Err(skip) => Outcome::Skip(skip),
        Ok(plan) => {
            let answers = answers(&plan.look_ups());
            plan.apply(&answers, &indexes)
        }
    }
}

pub(crate) fn check(pod: &Value, options: &Options, restricted: bool) -> Result<(), TestCaseError> {
    let after = match pass(pod, options, restricted) {
        Outcome::Skip(skip) => return Err(TestCaseError::fail(format!("skipped: {skip}"))),
        Outcome::Denial(denial) => {
            prop_assert!(!denial.problems.is_empty());
            return Ok(());
        }
        Outcome::Unchanged(_) => pod.clone(),
        Outcome::Rewrite(edits, _) => {
            let mut after = pod.clone();
            prop_assert!(edits.apply(&mut after).is_ok(), "{} does not apply", json!(edits));
            let mut from_wire = pod.clone();
            let read: json_patch::Patch = serde_json::from_value(json!(edits)).unwrap();
            json_patch::patch(&mut from_wire, &read).unwrap();
            prop_assert_eq!(&from_wire, &after);
            prop_assert_ne!(pod, &after, "edits without effect: {}", json!(edits));
            after
        }
    };
    for stamp in ["", "v0.1 of-before", "v9 of-after"] {
        let other = Options { stamp: stamp.to_owned(), ..options.clone() };
        let again = pass(&after, &other, restricted);
        prop_assert!(matches!(again, Outcome::Unchanged(_)), "a second pass: {again:?}");
    }
    is_valid(&after)?;
    wrapped(pod, &after, options)?;
    survives(pod, &after)
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn named<'v>(list: &'v [Value], name: &Value) -> Option<&'v Value> {
    list.iter().find(|element| element["name"] == *name)
}

/// What the API server checks (Kubernetes API, `ValidatePodSpec`): unique names and paths, and mounts of what is there.
fn is_valid(pod: &Value) -> Result<(), TestCaseError> {
    let spec = &pod["spec"];
    let mut volumes = BTreeSet::new();
    for volume in list(spec, "volumes") {
        prop_assert!(volumes.insert(volume["name"].as_str()), "two volumes called {}", volume["name"]);
    }
    let mut names = BTreeSet::new();
    for container in list(spec, "containers").iter().chain(list(spec, "initContainers")) {
        let name = &container["name"];
        prop_assert!(names.insert(name.as_str()), "two containers called {}", name);
        let mut paths = BTreeSet::new();
        for mount in list(container, "volumeMounts") {
            prop_assert!(paths.insert(mount["mountPath"].as_str()), "{}: two mounts at {}", name, mount["mountPath"]);
            prop_assert!(volumes.contains(&mount["name"].as_str()), "{}: no volume {}", name, mount["name"]);
        }
    }
    Ok(())
}

/// Every container that is the workflow's runs under the wrapper, and what it ran before.
fn wrapped(before: &Value, after: &Value, options: &Options) -> Result<(), TestCaseError> {
    for old in list(&before["spec"], "containers") {
        let name = old["name"].as_str().unwrap();
        let new = named(list(&after["spec"], "containers"), &old["name"]).unwrap();
        let is_own = old["command"][0] == "argoexec";
        let is_others = options.injected_sidecars.contains(name) && !options.wrap.contains(name);
        if is_own || is_others || name.starts_with("artifact-plugin-") {
            prop_assert_eq!(&old["command"], &new["command"]);
            prop_assert_eq!(&old["args"], &new["args"]);
            continue;
        }
        let command = list(new, "command");
        let wrapper = command.iter().position(|word| word == "--");
        let Some(end) = wrapper.filter(|_| command[1] == "emissary") else {
            return Err(TestCaseError::fail(format!("{name} is not wrapped: {command:?}")));
        };
        prop_assert!(["/var/run/argo/argoexec", "/argo-bin/bin/argoexec"].contains(&command[0].as_str().unwrap()));
        if !list(old, "command").is_empty() {
            prop_assert_eq!(list(old, "command"), &command[end + 1..]);
            prop_assert_eq!(&old["args"], &new["args"]);
        } else if !list(old, "args").is_empty() {
            prop_assert_eq!(&old["args"], &new["args"]);
        }
        let shares = list(new, "volumeMounts").iter().any(|mount| mount["name"] == "var-run-argo");
        prop_assert!(shares, "{} does not see the executor", name);
    }
    Ok(())
}

/// What no edit is about is as it was.
fn survives(before: &Value, after: &Value) -> Result<(), TestCaseError> {
    same_but(before, after, &["metadata", "spec"])?;
    same_but(&before["metadata"], &after["metadata"], &["annotations"])?;
    for (key, value) in before["metadata"]["annotations"].as_object().into_iter().flatten() {
        prop_assert_eq!(Some(value), after["metadata"]["annotations"].get(key));
    }
    let (old, new) = (&before["spec"], &after["spec"]);
    same_but(old, new, &["containers", "initContainers", "volumes", "shareProcessNamespace"])?;
    let is_pns = old["shareProcessNamespace"] == true;
    prop_assert_eq!(
        &new["shareProcessNamespace"],
        &if is_pns { Value::Null } else { old["shareProcessNamespace"].clone() }
    );
    let is_docker = named(list(old, "volumes"), &json!("docker-sock"))
        .is_some_and(|volume| volume["hostPath"]["path"] == "/any/where.sock");
    in_order(list(old, "volumes"), list(new, "volumes"), |volume| !is_docker || volume["name"] != "docker-sock")?;
    for field in ["containers", "initContainers"] {
        let names =
            |list: &[Value]| list.iter().map(|container| json!({"name": container["name"]})).collect::<Vec<_>>();
        in_order(&names(list(old, field)), &names(list(new, field)), |_| true)?;
        for old in list(old, field) {
            let new = named(list(new, field), &old["name"]).unwrap();
            let is_own = old["command"][0] == "argoexec";
            let edited: &[&str] = match is_own {
                true => &["env", "volumeMounts", "securityContext"],
                false if field == "containers" => &["command", "args", "env", "volumeMounts"],
                false => &["volumeMounts"],
            };
            same_but(old, new, edited)?;
            let is_the_old_executors = |variable: &Value| {
                let name = variable["name"].as_str().unwrap();
                name == "ARGO_CONTAINER_RUNTIME_EXECUTOR" || name.starts_with("ARGO_KUBELET_")
            };
            in_order(list(old, "env"), list(new, "env"), |variable| !is_own || !is_the_old_executors(variable))?;
            let stays = |mount: &Value| !is_own || mount["name"] != "docker-sock";
            in_order(list(old, "volumeMounts"), list(new, "volumeMounts"), stays)?;
        }
    }
    Ok(())
}

/// The same fields but for some.
fn same_but(before: &Value, after: &Value, edited: &[&str]) -> Result<(), TestCaseError> {
    let rest = |value: &Value| -> Map<String, Value> {
        let fields = value.as_object().into_iter().flatten();
        fields
            .filter(|(key, _)| !edited.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    prop_assert_eq!(rest(before), rest(after));
    Ok(())
}

/// The elements that stay are all there, unchanged, and in their order.
fn in_order(before: &[Value], after: &[Value], stays: impl Fn(&Value) -> bool) -> Result<(), TestCaseError> {
    let mut rest = after.iter();
    for element in before.iter().filter(|element| stays(element)) {
        prop_assert!(rest.any(|other| other == element), "{} is gone or elsewhere in {:?}", element, after);
    }
    Ok(())
}
