//! Input that nobody has validated.

use emissary_core::image::ImageIndex;
use emissary_core::lookup::{Answers, Indexes};
use emissary_core::outcome::Outcome;
use emissary_core::pod::{self, Context, Options, Pod};
use emissary_core::workflow::{self, Kind, WorkflowOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Names of fields that the code reads, and some that it does not.
const WORDS: [&str; 58] = [
    "metadata",
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
    "apiVersion",
    "kind",
    "uid",
    "spec",
    "containers",
    "initContainers",
    "volumes",
    "restartPolicy",
    "shareProcessNamespace",
    "securityContext",
    "nodeSelector",
    "os",
    "affinity",
    "nodeAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "image",
    "command",
    "args",
    "env",
    "value",
    "resources",
    "volumeMounts",
    "mountPath",
    "subPath",
    "emptyDir",
    "hostPath",
    "templates",
    "templateDefaults",
    "container",
    "containerSet",
    "sidecars",
    "steps",
    "script",
    "data",
    "inline",
    "inputs",
    "outputs",
    "artifacts",
    "archiveLocation",
    "s3",
    "executor",
    "hostAliases",
    "podSpecPatch",
    "mirrorVolumeMounts",
    "activeDeadlineSeconds",
    "$patch",
];
const TEXTS: [&str; 16] = [
    "",
    "main",
    "wait",
    "init",
    "supervisor",
    "Never",
    "alpine",
    "argoexec",
    "emissary",
    "resource",
    "/var/run/argo",
    "/var/run/argo/argoexec",
    "var-run-argo",
    "docker-sock",
    "ARGO_TEMPLATE",
    "offloaded",
];

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(&TEXTS[..]).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(&WORDS[..]), inner), 0..5).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

/// A container by the API's rules as far as types go, and by no other.
fn container() -> impl Strategy<Value = Value> {
    let words = || prop_oneof![Just(Value::Null), vec(select(&TEXTS[..]), 0..3).prop_map(|words| json!(words))];
    let mount =
        (select(&TEXTS[..]), select(&TEXTS[..])).prop_map(|(name, path)| json!({"name": name, "mountPath": path}));
    let variable =
        (select(&TEXTS[..]), select(&TEXTS[..])).prop_map(|(name, value)| json!({"name": name, "value": value}));
    let fields =
        (select(&TEXTS[..]), select(&TEXTS[..]), words(), words(), vec(mount, 0..3), vec(variable, 0..3), value());
    fields.prop_map(|(name, image, command, args, mounts, env, context)| {
        json!({"name": name, "image": image, "command": command, "args": args, "volumeMounts": mounts, "env": env,
               "securityContext": context})
    })
}

/// An object in which every level may be something else than it should.
pub(crate) fn object() -> impl Strategy<Value = Value> {
    let containers = || prop_oneof![4 => vec(container(), 0..4).prop_map(Value::from), 1 => value()];
    let volumes = prop_oneof![
        4 => vec(select(&TEXTS[..]), 0..4)
            .prop_map(|names| names.into_iter().map(|name| json!({"name": name, "hostPath": {}})).collect()),
        1 => value(),
    ];
    let pod = (containers(), containers(), volumes, value(), value(), any::<bool>()).prop_map(
        |(containers, init, volumes, affinity, annotations, never)| {
            json!({
                "metadata": {"labels": {"emissary-webhook.io/inject": "true"}, "annotations": annotations},
                "spec": {"containers": containers, "initContainers": init, "volumes": volumes, "affinity": affinity,
                         "restartPolicy": if never { json!("Never") } else { Value::Null }},
            })
        },
    );
    let workflow = (containers(), value(), value()).prop_map(|(containers, defaults, other)| {
        json!({"spec": {"templates": [{"containerSet": {"containers": containers}}, other], "templateDefaults": defaults}})
    });
    prop_oneof![3 => pod, 1 => workflow, 2 => value()]
}

/// The text of an object, cut or with a byte changed.
pub(crate) fn almost_json() -> impl Strategy<Value = String> {
    (object(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<char>(), any::<bool>()).prop_map(
        |(object, at, end, new, cut)| {
            let mut text: Vec<char> = object.to_string().chars().collect();
            let at = at.index(text.len());
            text[at] = new;
            if cut {
                let end = end.index(text.len());
                text.truncate(end);
            }
            text.into_iter().collect()
        },
    )
}

/// Nothing panics, and what is answered is a patch that applies.
pub(crate) fn check(text: &str, options: &Options) -> Result<(), TestCaseError> {
    let empty = ImageIndex::default();
    let indexes = Indexes::new(&empty, &empty);
    let mut outcomes = Vec::new();
    if let Ok(pod) = Pod::parse(text)
        && let Ok(plan) = pod::plan(&pod, &Context::default(), options, &indexes)
    {
        outcomes.push(plan.apply(&Answers::new(), &indexes));
    }
    let all = WorkflowOptions { kinds: Kind::ALL.to_vec(), ..WorkflowOptions::default() };
    for kind in Kind::ALL {
        if let Ok(Ok(plan)) = workflow::plan(text, kind, options, &all, &indexes) {
            outcomes.push(plan.apply(&Answers::new(), &indexes));
        }
    }
    for outcome in outcomes {
        if let Outcome::Rewrite(edits, _) = outcome {
            let mut object: Value =
                serde_json::from_str(text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(edits.apply(&mut object).is_ok(), "{} does not apply", json!(edits));
        }
    }
    Ok(())
}

/// A template that makes a pod, with whatever beside it.
fn template() -> impl Strategy<Value = Value> {
    let of = select(vec!["container", "script", "containerSet", "resource", "data"]);
    let patch = prop_oneof![Just(Value::Null), value().prop_map(|patch| json!(patch.to_string()))];
    (of, prop_oneof![container(), value()], value(), value(), patch).prop_map(|(of, body, inputs, more, patch)| {
        let mut template = json!({"name": "t", "inputs": inputs, "podSpecPatch": patch});
        for (key, value) in more.as_object().into_iter().flatten() {
            template[key] = value.clone();
        }
        template[of] = if of == "containerSet" { json!({"containers": [body]}) } else { body };
        template
    })
}

/// A Workflow of such templates, and a controller's configuration.
pub(crate) fn workflow() -> impl Strategy<Value = (Value, Value)> {
    let configuration = (value(), value()).prop_map(|(any, main)| {
        json!({"executor": any, "mainContainer": main, "artifactRepository": any, "kubeConfig": any, "workflowDefaults": any})
    });
    (vec(template(), 1..3), value(), value(), configuration).prop_map(|(templates, defaults, more, configuration)| {
        let mut spec = json!({"templateDefaults": defaults});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        spec["templates"] = json!(templates);
        (json!({"kind": "Workflow", "metadata": more, "spec": spec}), configuration)
    })
}

/// Up to two fields that no version of the API has.
pub(crate) fn unknown() -> impl Strategy<Value = Map<String, Value>> {
    vec(("x-[a-z]{1,3}(/~[a-z])?", value()), 0..2).prop_map(|fields| fields.into_iter().collect())
}
