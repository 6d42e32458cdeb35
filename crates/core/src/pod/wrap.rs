use super::draft::{Draft, Place};
use super::executor::{Executor, Origin, Shape};
use super::options::Options;
use super::template::Template;
use super::view::{Container, Pod};
use crate::names;
use crate::outcome::{Problem, Warning};
use emissary_contract::{container, path, variable, volume};
use serde_json::json;

/// The positions of the containers that are to be wrapped and are not yet.
pub(super) fn wrapped_containers(
    pod: &Pod<'_>,
    shape: &Shape<'_, '_>,
    template: Option<&Template<'_>>,
    options: &Options,
    draft: &mut Draft,
) -> Vec<usize> {
    let asked_for: Vec<&str> = if options.overrides.wrap {
        pod.metadata().annotation(names::WRAP).map(|list| list.split(',').map(str::trim).collect()).unwrap_or_default()
    } else {
        Vec::new()
    };
    let is_legacy = shape.executor != Executor::Emissary;
    let mut wrapped = Vec::with_capacity(pod.spec.containers.len());
    for (index, container) in pod.spec.containers.iter().enumerate() {
        let name = container.name.as_str();
        if shape.is_own(index) || name.starts_with(container::ARTIFACT_PLUGIN_PREFIX) || container.is_wrapped() {
            continue;
        }
        let by_operator = options.wrap.contains(name) || asked_for.contains(&name);
        let by_controller = match template {
            // What podSpecPatch adds has the shared volume in 3.3, whatever the executor; 3.1 wraps before patching, and a
            // controller that builds for emissary has wrapped it itself.
            Some(template) => template.names(name) || (is_legacy && shape.origin == Origin::V33 && shares(container)),
            None => !options.injected_sidecars.contains(name),
        };
        if !by_controller && !by_operator {
            draft.warnings.push(Warning::NotWrapped(name.to_owned()));
            continue;
        }
        // What no controller has prepared has no name to report under.
        if shape.origin != Origin::Bare && (template.is_none() || !by_controller) {
            name_itself(index, container, draft);
        }
        wrapped.push(index);
    }
    wrapped
}

fn shares(container: &Container<'_>) -> bool {
    container.mount_at(path::SHARED).is_some_and(|mount| mount.name == volume::SHARED)
}

/// Adds the variable under whose value the wrapper keeps its files, where it is missing.
fn name_itself(index: usize, container: &Container<'_>, draft: &mut Draft) {
    match container.environment() {
        Ok(environment) => {
            if environment.iter().flatten().any(|variable| variable.name == variable::CONTAINER_NAME) {
                return;
            }
            let env = draft.env(Place::Regular(index), environment.as_ref().map(Vec::len));
            env.append(json!({"name": variable::CONTAINER_NAME, "value": container.name.as_str()}));
        }
        Err(error) => draft.problems.push(Problem::Field {
            container: container.name.to_string(),
            field: "env",
            why: error.to_string(),
        }),
    }
}
