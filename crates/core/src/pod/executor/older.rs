//! A pod of Argo 3.4 or later as 3.3 would have built it for emissary: the step between today's pods and the executors that
//! 3.4 did away with.
//!
//! Everything that is the user's stays as it is in the pod, with what `podSpecPatch` and the controller's `mainContainer` made
//! of it; the executor's image stays too. The template lost its input parameters in 3.6, and is not given them back.

use crate::pod::edit_value::{append, each_container, list_mut};
use emissary_contract::{PROGRAM, USER, container, path, variable, verb, volume};
use serde_json::{Map, Value, json};

/// Flags that 3.3 does not hand on, each with a value behind it.
const NEWER_FLAGS: [&str; 2] = ["--log-format", "--gloglevel"];
/// Variables that 3.3 does not set on any container.
const NEWER_VARIABLES: [&str; 4] = [variable::WORKFLOW_UID, "ARGO_ARTIFACT_PLUGIN_NAMES", "TRACEPARENT", "TRACESTATE"];
const NEWER_ANNOTATIONS: [&str; 3] = ["trace-id", "span-id", "pod-gc-strategy"];

/// The pod in 3.3's layout; `None` where the executor comes from an image volume, of which 3.3 has no likeness, or where the
/// template is not in the pod.
pub(super) fn as_3_3(pod: &Value) -> Option<Value> {
    let mut pod = pod.clone();
    let inits = pod["spec"]["initContainers"].as_array()?;
    let init = inits.iter().find(|init| init["name"] == container::INIT)?;
    let text = environment(init).find(|v| v["name"] == variable::TEMPLATE)?["value"].as_str()?.to_owned();
    let template: Value = serde_json::from_str(&text).ok()?;
    let is_resource = !template["resource"].is_null();
    let is_locked_down = is_resource && is_lock_down(&init["securityContext"]);

    if let Some(annotations) = pod["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        let newer = |name: &str| NEWER_ANNOTATIONS.iter().any(|newer| name == format!("workflows.argoproj.io/{newer}"));
        annotations.retain(|name, _| !newer(name));
    }
    let secrets = if is_resource { take_secrets(&mut pod["spec"]) } else { Vec::new() };
    let spec = &mut pod["spec"];
    for list in ["volumes", "containers"] {
        if let Some(Value::Array(entries)) = spec.get_mut(list) {
            let newer = |entry: &Value| match list {
                "volumes" => entry["name"] == volume::TMP || secrets.contains(&entry["name"]),
                // A resource template has `wait` from 3.6 on, to keep its logs.
                _ => is_resource && entry["name"] == container::WAIT,
            };
            entries.retain(|entry| !newer(entry));
        }
    }
    each_container(spec, |container| rebuild(container, &text, is_locked_down));
    let is_wait = |container: &Value| container["name"] == container::WAIT;
    for regular in list_mut(spec, "containers").iter_mut().filter(|container| !is_wait(container)) {
        if let Some(Value::Array(env)) = regular.get_mut("env") {
            env.retain(|variable| variable["name"] != variable::GRACE_PERIOD);
        }
    }
    Some(pod)
}

fn environment(container: &Value) -> impl Iterator<Item = &Value> {
    container["env"].as_array().into_iter().flatten()
}

fn rebuild(container: &mut Map<String, Value>, template: &str, is_locked_down: bool) {
    let words: Vec<String> = container
        .get("command")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |words| words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    let is_wrapped =
        words.first().is_some_and(|word| word == path::EXECUTOR) && words.get(1).is_some_and(|w| w == verb::EMISSARY);
    let (mut prefix, own) = if is_wrapped {
        let end = words.iter().position(|word| word == "--").map_or(2, |end| end + 1);
        (
            vec![path::EXECUTOR.to_owned(), verb::EMISSARY.to_owned(), "--".to_owned()],
            words.get(end..).unwrap_or_default(),
        )
    } else {
        (Vec::new(), words.as_slice())
    };
    let is_argos = own.first().is_some_and(|word| word == PROGRAM);
    if is_argos {
        prefix.extend(without_newer_flags(own, own.get(1).is_some_and(|verb| verb == "resource" || verb == "data")));
    } else {
        prefix.extend(own.iter().cloned());
    }
    if !words.is_empty() {
        container.insert("command".to_owned(), json!(prefix));
    }

    let mut env = match container.remove("env") {
        Some(Value::Array(env)) => env,
        _ => Vec::new(),
    };
    env.retain(|v| !NEWER_VARIABLES.iter().any(|newer| v["name"] == *newer) && v["name"] != variable::TEMPLATE);
    if env.iter().any(|v| v["name"] == variable::CONTAINER_NAME) {
        env.push(json!({"name": variable::TEMPLATE, "value": template}));
    }
    if is_argos {
        env.push(json!({"name": variable::EXECUTOR, "value": verb::EMISSARY}));
        env.retain(|v| v["name"] != "GODEBUG");
        env.push(json!({"name": "GODEBUG", "value": "x509ignoreCN=0"}));
    } else {
        env.retain(|v| v["name"] != variable::WORKFLOW_NAME);
    }
    if !env.is_empty() {
        container.insert("env".to_owned(), Value::Array(env));
    }
    if let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
        mounts.retain(|mount| mount["name"] != volume::TMP);
    }
    if is_argos {
        keep_kubeconfig_only(container);
        if is_locked_down {
            container.remove("securityContext");
        }
    }
}

/// 3.3 left out the configured arguments, but not the one that it makes itself.
fn keep_kubeconfig_only(container: &mut Map<String, Value>) {
    let Some(Value::Array(args)) = container.remove("args") else { return };
    for arg in args.into_iter().filter(|arg| arg.as_str().is_some_and(|arg| arg.starts_with("--kubeconfig="))) {
        append(container, "args", arg);
    }
}

fn without_newer_flags(words: &[String], is_task: bool) -> Vec<String> {
    let mut kept = Vec::with_capacity(words.len());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        // A task had no flags at all.
        let is_newer = NEWER_FLAGS.contains(&word.as_str()) || (is_task && word == "--loglevel");
        if is_newer {
            words.next();
        } else {
            kept.push(word.clone());
        }
    }
    kept
}

/// Unmounts the secrets of a resource template's artifacts, of which 3.3 had none, and names their volumes.
fn take_secrets(spec: &mut Value) -> Vec<Value> {
    let mut names = Vec::new();
    each_container(spec, |container| {
        let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") else { return };
        mounts.retain(|mount| {
            let is_secret = mount["mountPath"].as_str().is_some_and(|at| at.starts_with(path::SECRETS));
            if is_secret {
                names.push(mount["name"].clone());
            }
            !is_secret
        });
    });
    names
}

/// Whether init's security context is the one that 3.4 and later give to what creates objects, and 3.3 does not. One that
/// an operator configured for all of Argo's containers is told by `readOnlyRootFilesystem`, or by what it lacks.
fn is_lock_down(context: &Value) -> bool {
    let in_3_5 = json!({
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": true,
        "runAsUser": USER,
        "allowPrivilegeEscalation": false,
    });
    let mut in_3_7 = in_3_5.clone();
    in_3_7["privileged"] = json!(false);
    in_3_7["seccompProfile"] = json!({"type": "RuntimeDefault"});
    *context == in_3_5 || *context == in_3_7
}
