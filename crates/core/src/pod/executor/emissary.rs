//! Putting emissary on a pod that Argo's own controller made for another executor, as that controller would have.

use super::super::draft::{Draft, Place, shared_mount};
use super::super::options::Options;
use super::super::profile::Hardening;
use super::super::view::Pod;
use super::{Executor, Origin, Own, Role, Shape, docker, kubelet, pns};
use crate::outcome::Problem;
use emissary_contract::{MAX_VARIABLE, PROGRAM, container, path, variable, verb, volume};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// What stands before a wrapped command.
pub(in crate::pod) fn prefix(pod: &Pod<'_>, shape: &Shape<'_, '_>, options: &Options) -> Vec<String> {
    // What the controller has put before one command is right for another.
    if let Some(wrapped) = pod.spec.containers.iter().find(|container| container.is_wrapped())
        && let Some(end) = wrapped.command().iter().position(|word| word == "--")
    {
        return wrapped.command()[..=end].iter().map(ToString::to_string).collect();
    }
    let program = if shape.is_supervised(pod) { path::EXECUTOR_IN_IMAGE } else { path::EXECUTOR };
    let mut words = vec![program.to_owned(), verb::EMISSARY.to_owned()];
    match shape.origin {
        Origin::V31 | Origin::V33 => {}
        Origin::V34 => {
            // `argoexec wait FLAG VALUE …`: from 3.4 on the controller gives the wrapper the same flags.
            let flags = shape.pattern().map_or(&[][..], |own| own.container.command().get(2..).unwrap_or_default());
            words.extend(flags.iter().map(ToString::to_string));
        }
        Origin::Bare => words.extend(log_flags(options)),
    }
    words.push("--".to_owned());
    words
}

pub(in crate::pod) fn log_flags(options: &Options) -> impl Iterator<Item = String> {
    let executor = &options.executor;
    ["--loglevel", &executor.log_level, "--log-format", &executor.log_format, "--gloglevel", "0"]
        .map(str::to_owned)
        .into_iter()
}

/// Takes the old executor off and sees to everything but the wrapped commands.
pub(in crate::pod) fn convert(
    pod: &Pod<'_>,
    shape: &Shape<'_, '_>,
    options: &Options,
    hardening: &Hardening<'_, '_>,
    anything_to_wrap: bool,
    draft: &mut Draft,
) {
    let legacy = shape.executor != Executor::Emissary;
    if legacy {
        take_off(pod, shape, draft);
    }
    if shape.is_supervised(pod) || (shape.own.is_empty() && !anything_to_wrap) {
        return;
    }
    draft.empty_dir(pod, volume::SHARED);
    for own in &shape.own {
        draft.share(place(own), own.container);
    }
    if shape.origin == Origin::V31 {
        // 3.1 gives the mount to each init container of the template; one that a webhook added has no such variable.
        for (index, container) in pod.spec.init_containers().iter().enumerate() {
            let argos = container.environment().ok().flatten().unwrap_or_default();
            if argos.iter().any(|v| v.name == variable::CONTAINER_NAME) && container.mount_at(path::SHARED).is_none() {
                draft.share(Place::Init(index), container);
            }
        }
    }
    if shape.role(Role::Init).is_none()
        && let Some(pattern) = shape.pattern()
    {
        match init_like(pattern, shape, options, hardening) {
            Ok(init) => inject_init(pod, options, init, draft),
            Err(problem) => draft.problems.push(problem),
        }
    }
}

/// Puts `init` at its place among the init containers.
pub(in crate::pod) fn inject_init(pod: &Pod<'_>, options: &Options, init: Value, draft: &mut Draft) {
    let others = pod.spec.init_containers();
    if others.iter().chain(&pod.spec.containers).any(|other| other.name == container::INIT) {
        draft.problems.push(Problem::ContainerName(container::INIT.to_owned()));
    }
    let proxies = others.iter().take_while(|other| other.is_native_sidecar()).count();
    draft.init.insert(if options.init_after_proxies { proxies } else { 0 }, init);
}

fn place(own: &Own<'_, '_>) -> Place {
    match own.role {
        Role::Init => Place::Init(own.index),
        Role::Wait | Role::Supervisor | Role::Task => Place::Regular(own.index),
    }
}

pub(super) fn take_off(pod: &Pod<'_>, shape: &Shape<'_, '_>, draft: &mut Draft) {
    // Under another executor a volume of that name is the user's.
    let socket = match shape.executor {
        Executor::Docker => docker::socket(pod, |index| shape.is_own(index)),
        _ => docker::Socket::Absent,
    };
    let socket = match socket {
        docker::Socket::Absent => false,
        docker::Socket::Goes(index) => {
            draft.volumes.remove(index);
            true
        }
        docker::Socket::Stays(warning) => {
            draft.warnings.push(warning);
            true
        }
    };
    for own in &shape.own {
        let place = place(own);
        let path = place.path();
        let variables = own.environment.as_ref().map(Vec::len);
        for (index, variable) in own.variables().iter().enumerate() {
            if variable.name == variable::EXECUTOR && variable.value.as_deref() != Some(Executor::Emissary.name()) {
                let value = path.member("env").index(index).member("value");
                draft.edits.set(&value, variable.value.is_some(), json!(Executor::Emissary.name()));
            } else if kubelet::is_its_variable(&variable.name) {
                draft.env(place, variables).remove(index);
            }
        }
        if socket {
            for (index, mount) in own.container.mounts().iter().enumerate() {
                if mount.name == volume::DOCKER_SOCKET && !mount.mount_path.starts_with(path::MIRROR) {
                    draft.mounts(place, own.container).remove(index);
                }
            }
        }
    }
    if shape.executor == Executor::Pns {
        if pod.spec.share_process_namespace.is_some() {
            draft.edits.remove(&crate::edit::Path::of(&["spec", "shareProcessNamespace"]));
        }
        if let Some(wait) = shape.role(Role::Wait)
            && let Some(raw) = wait.container.security_context
        {
            let path = place(wait).path().member("securityContext");
            match pns::take_off(raw.get()) {
                Ok(None) => draft.edits.remove(&path),
                Ok(Some(rest)) if serde_json::to_string(&rest).ok().as_deref() != Some(raw.get()) => {
                    draft.edits.replace(&path, rest);
                }
                Ok(Some(_)) => {}
                Err(error) => draft.problems.push(unreadable(wait, "securityContext", &error)),
            }
        }
    }
}

/// The init container that the controller would have made, read off the executor's container that it did make.
fn init_like(
    pattern: &Own<'_, '_>,
    shape: &Shape<'_, '_>,
    options: &Options,
    hardening: &Hardening<'_, '_>,
) -> Result<Value, Problem> {
    let from = pattern.container;
    let parse = |raw: Option<&RawValue>, field| match raw {
        Some(raw) => serde_json::from_str::<Value>(raw.get()).map_err(|error| unreadable(pattern, field, &error)),
        None => Ok(Value::Null),
    };
    let mut init = Map::new();
    init.insert("name".to_owned(), json!(container::INIT));
    init.insert("image".to_owned(), json!(from.image.as_deref().unwrap_or(&options.executor.image)));
    let policy = parse(from.image_pull_policy, "imagePullPolicy")?;
    if !policy.is_null() {
        init.insert("imagePullPolicy".to_owned(), policy);
    }

    let mut command = vec![PROGRAM.to_owned(), verb::INIT.to_owned()];
    if pattern.role == Role::Task {
        // Its flags are those of another verb.
        command.extend(["--loglevel".to_owned(), options.executor.log_level.clone()]);
    } else {
        command.extend(from.command().get(2..).unwrap_or_default().iter().map(ToString::to_string));
    }
    if !from.args().is_empty() {
        init.insert("args".to_owned(), json!(from.args().iter().map(|word| word.as_str()).collect::<Vec<_>>()));
    }
    init.insert("command".to_owned(), json!(command));

    let whole = match parse(from.env, "env")? {
        Value::Array(whole) => whole,
        _ => Vec::new(),
    };
    let mut env = Vec::with_capacity(whole.len());
    for (variable, whole) in pattern.variables().iter().zip(whole) {
        let bytes = variable.name.len() + variable.value.as_deref().unwrap_or_default().len() + 2;
        if bytes > MAX_VARIABLE {
            let (container, variable) = (container::INIT.to_owned(), variable.name.to_string());
            return Err(Problem::VariableSize { container, variable, bytes, limit: MAX_VARIABLE });
        }
        match variable.name.as_str() {
            name if kubelet::is_its_variable(name) => {}
            variable::GRACE_PERIOD => {}
            variable::CONTAINER_NAME => env.push(json!({"name": variable::CONTAINER_NAME, "value": container::INIT})),
            variable::EXECUTOR => env.push(json!({"name": variable::EXECUTOR, "value": Executor::Emissary.name()})),
            _ => env.push(whole),
        }
    }
    init.insert("env".to_owned(), Value::Array(env));

    let mut mounts: Vec<Value> = from.mounts().iter().filter(|m| init_needs(m)).map(copy_mount).collect();
    mounts.push(shared_mount());
    init.insert("volumeMounts".to_owned(), Value::Array(mounts));

    let resources = match parse(from.resources, "resources")? {
        Value::Object(own) if !own.is_empty() => Some(Value::Object(own)),
        _ => hardening.resources(options.executor.resources.as_ref(), std::iter::empty()),
    };
    if let Some(resources) = resources {
        init.insert("resources".to_owned(), resources);
    }

    let mut context = match (shape.executor, from.security_context) {
        (Executor::Pns, Some(raw)) if pattern.role == Role::Wait => pns::take_off(raw.get())
            .map_err(|error| unreadable(pattern, "securityContext", &error))?
            .unwrap_or(Value::Null),
        (_, raw) => parse(raw, "securityContext")?,
    };
    if context.is_null() {
        context = options.executor.security_context.clone().unwrap_or_else(|| json!({}));
    }
    if let Value::Object(context) = &mut context {
        hardening.complete(context);
        if !context.is_empty() {
            init.insert("securityContext".to_owned(), Value::Object(std::mem::take(context)));
        }
    }
    Ok(Value::Object(init))
}

/// Which of wait's mounts init has too. The service account's token is one, because the API server would add it later, and ask
/// every webhook once more for the change.
fn init_needs(mount: &super::super::view::Mount<'_>) -> bool {
    let at = mount.mount_path.as_str();
    [path::POD_METADATA, path::CONFIG, path::KUBECONFIG, path::SERVICE_ACCOUNT].contains(&at)
        || at.starts_with(path::SECRETS)
        || mount.name == volume::EXECUTOR_TOKEN
}

pub(in crate::pod) fn copy_mount(mount: &super::super::view::Mount<'_>) -> Value {
    let mut copy = json!({"name": mount.name.as_str(), "mountPath": mount.mount_path.as_str()});
    if mount.read_only == Some(true) {
        copy["readOnly"] = json!(true);
    }
    if let Some(sub_path) = mount.sub_path.as_deref().filter(|sub_path| !sub_path.is_empty()) {
        copy["subPath"] = json!(sub_path);
    }
    copy
}

fn unreadable(own: &Own<'_, '_>, field: &'static str, error: &serde_json::Error) -> Problem {
    Problem::Field { container: own.container.name.to_string(), field, why: error.to_string() }
}
