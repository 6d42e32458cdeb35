//! Workflow kinds: filled in one pass, and nowhere else than in `command` and `args`.

use super::arbitrary::unknown;
use super::rewriting::answers;
use emissary_core::image::ImageIndex;
use emissary_core::lookup::Indexes;
use emissary_core::outcome::Outcome;
use emissary_core::pod::Options;
use emissary_core::workflow::{self, Kind, WorkflowOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

const IMAGES: [&str; 6] = ["both", "entrypoint-only", "cmd-only", "empty", "slow", "tool:{{tag}}"];

fn container() -> impl Strategy<Value = Value> {
    let words = || prop::option::of(select(vec![json!(null), json!([]), json!(["x"])]));
    (prop::option::of(select(&IMAGES[..])), words(), words(), prop::option::of(select(vec!["", "print(1)"])), unknown())
        .prop_map(|(image, command, args, source, mut fields)| {
            let known = [
                ("image", image.map(Value::from)),
                ("command", command),
                ("args", args),
                ("source", source.map(Value::from)),
            ];
            fields.extend(known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
            Value::Object(fields)
        })
}

fn named(containers: Vec<Value>) -> Value {
    let name = |(index, mut container): (usize, Value)| {
        container["name"] = json!(["a", "b", "c"][index]);
        container
    };
    containers.into_iter().enumerate().map(name).collect()
}

fn template() -> impl Strategy<Value = Value> {
    let part = |field: &'static str, value: Value| json!({field: value});
    let kind = prop_oneof![
        container().prop_map(move |container| part("container", container)),
        container().prop_map(move |script| part("script", script)),
        vec(container(), 0..3).prop_map(move |members| part("containerSet", json!({"containers": named(members)}))),
    ];
    let patch =
        select(vec![None, None, Some(r#"{"containers":[{"name":"main","image":"b"}]}"#), Some("containers: {{x}}")]);
    (kind, vec(container(), 0..2), patch, unknown()).prop_map(|(mut template, sidecars, patch, more)| {
        if !sidecars.is_empty() {
            template["sidecars"] = named(sidecars);
        }
        if let Some(patch) = patch {
            template["podSpecPatch"] = json!(patch);
        }
        template["name"] = json!("t");
        template.as_object_mut().unwrap().extend(more);
        template
    })
}

pub(crate) fn workflow() -> impl Strategy<Value = Value> {
    (vec(template(), 0..4), prop::option::of(template()), vec(template(), 0..2), unknown()).prop_map(
        |(mut templates, defaults, inline, mut spec): (Vec<Value>, Option<Value>, Vec<Value>, Map<String, Value>)| {
            let steps: Vec<Value> = inline.into_iter().map(|inline| json!([{"name": "s", "inline": inline}])).collect();
            templates.push(json!({"name": "steps", "steps": steps}));
            spec.insert("templates".to_owned(), json!(templates));
            if let Some(defaults) = defaults {
                spec.insert("templateDefaults".to_owned(), defaults);
            }
            json!({"kind": "Workflow", "spec": spec})
        },
    )
}

fn pass(workflow: &Value) -> Outcome {
    let empty = ImageIndex::default();
    let indexes = Indexes::new(&empty, &empty);
    let plan = workflow::plan(
        &workflow.to_string(),
        Kind::Workflow,
        &Options::default(),
        &WorkflowOptions::default(),
        &indexes,
    );
    let plan = plan.unwrap().unwrap();
    let answers = answers(&plan.look_ups());
    plan.apply(&answers, &indexes)
}

pub(crate) fn check(before: &Value) -> Result<(), TestCaseError> {
    match pass(before) {
        Outcome::Unchanged(_) => Ok(()),
        Outcome::Rewrite(edits, findings) => {
            prop_assert!(!findings.provenance.is_empty());
            let mut after = before.clone();
            prop_assert!(edits.apply(&mut after).is_ok(), "{} does not apply", json!(edits));
            let again = pass(&after);
            prop_assert!(matches!(again, Outcome::Unchanged(_)), "a second pass: {again:?}");
            prop_assert_eq!(&before["spec"]["templateDefaults"], &after["spec"]["templateDefaults"]);
            prop_assert!(!after.to_string().contains("[\"cmd\",\"{{x}}\"]"), "braces of an image: {}", after);
            survives(before, &after, "")
        }
        other => Err(TestCaseError::fail(format!("{other:?}"))),
    }
}

/// Only what was absent or empty is new, and only in `command` and `args`.
fn survives(before: &Value, after: &Value, field: &str) -> Result<(), TestCaseError> {
    let is_empty = before.is_null() || before == &json!([]);
    if before == after || (is_empty && ["command", "args"].contains(&field)) {
        return Ok(());
    }
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for field in old.keys().chain(new.keys()) {
                let (old, new) = (old.get(field).unwrap_or(&Value::Null), new.get(field).unwrap_or(&Value::Null));
                survives(old, new, field)?;
            }
            Ok(())
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).try_for_each(|(old, new)| survives(old, new, field))
        }
        _ => Err(TestCaseError::fail(format!("{field}: {before} became {after}"))),
    }
}
