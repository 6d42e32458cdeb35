//! Taking emissary off a pod that a controller of 3.1 to 3.3 made for it.

use super::Origin;
use super::put_on::Unknown;
use crate::pod::edit_value::{each_container, list_mut, members_mut};
use emissary_contract::{PROGRAM, container, path, verb, volume};
use serde_json::{Map, Value};

/// Unwraps the commands, takes init away where only emissary has it, and 3.1's shared volume.
pub(super) fn unwrap(pod: &mut Value, template: &Value, origin: Origin, unknown: &mut Vec<Unknown>) {
    for container in list_mut(&mut pod["spec"], "containers") {
        let Some(container) = container.as_object_mut() else { continue };
        unwrap_container(container, template, unknown);
    }
    let spec = &mut pod["spec"];
    let only_emissary = template["script"].is_null() && is_empty(&template["inputs"]["artifacts"]);
    if only_emissary {
        remove_named(spec, "initContainers", container::INIT);
    }
    if origin == Origin::V31 {
        each_container(spec, |container| {
            if let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
                mounts.retain(|mount| mount["name"] != volume::SHARED || mount["mountPath"] != path::SHARED);
            }
        });
        remove_named(spec, "volumes", volume::SHARED);
    }
}

/// Takes an entry out of a list, and the list where nothing is left: a controller sends no empty one.
fn remove_named(spec: &mut Value, list: &str, name: &str) {
    let Some(spec) = members_mut(spec) else { return };
    let Some(Value::Array(entries)) = spec.get_mut(list) else { return };
    entries.retain(|entry| entry["name"] != name);
    if entries.is_empty() {
        spec.remove(list);
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn unwrap_container(container: &mut Map<String, Value>, template: &Value, unknown: &mut Vec<Unknown>) {
    let Some(Value::Array(command)) = container.get("command") else { return };
    let words: Vec<&str> = command.iter().filter_map(Value::as_str).collect();
    let [program, verb, ..] = words.as_slice() else { return };
    if *program != path::EXECUTOR || *verb != verb::EMISSARY {
        return;
    }
    let end = words.iter().position(|word| *word == "--").map_or(2, |end| end + 1);
    let own: Vec<Value> = words.get(end..).unwrap_or_default().iter().map(|word| Value::from(*word)).collect();
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_argos = own.first().is_some_and(|word| word == PROGRAM);
    let declared = if is_argos { Declared::Command } else { Declared::of(template, &name) };
    match declared {
        Declared::Command => {}
        Declared::Nothing { has_args } => {
            container.remove("command");
            if !has_args {
                container.remove("args");
            }
            return;
        }
        Declared::Unknown => unknown.push(Unknown {
            container: name,
            field: "command",
            why: "the template does not have this container: whether the command is its own or its image's is not in the pod",
        }),
    }
    if own.is_empty() {
        container.remove("command");
    } else {
        container.insert("command".to_owned(), Value::Array(own));
    }
}

/// What the user said that a container runs.
enum Declared {
    Command,
    /// No command, so the wrapped one is the image's; its args too where there are none.
    Nothing {
        has_args: bool,
    },
    Unknown,
}

impl Declared {
    /// Reads it off the template, and off its `podSpecPatch`, which goes before.
    fn of(template: &Value, name: &str) -> Self {
        let patch = template["podSpecPatch"].as_str().unwrap_or_default();
        let patch: Value = serde_json::from_str(patch).unwrap_or_default();
        let layers: Vec<&Value> =
            [named(&patch["containers"], name), in_template(template, name)].into_iter().flatten().collect();
        let has = |field: &str| layers.iter().any(|layer| !is_empty(&layer[field]));
        if layers.is_empty() {
            Self::Unknown
        } else if has("command") {
            Self::Command
        } else {
            // Of a script the controller itself makes the args.
            let is_script = name == container::MAIN && !template["script"].is_null();
            Self::Nothing { has_args: is_script || has("args") }
        }
    }
}

fn in_template<'t>(template: &'t Value, name: &str) -> Option<&'t Value> {
    let main = || {
        let main = [&template["container"], &template["script"]].into_iter().find(|main| !main.is_null());
        main.filter(|_| name == container::MAIN)
    };
    named(&template["containerSet"]["containers"], name).or_else(main).or_else(|| named(&template["sidecars"], name))
}

fn named<'t>(list: &'t Value, name: &str) -> Option<&'t Value> {
    list.as_array()?.iter().find(|entry| entry["name"] == name)
}
