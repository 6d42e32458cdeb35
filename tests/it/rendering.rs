//! Pods rendered from recorded Workflows, against the pods that real controllers made of them.

use emissary_core::image::ImageProcess;
use emissary_core::workflow::{Controller, Given, Kind, Rendered, Version, render};
use emissary_policy::defaults;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::executors::{executor, settings};
use crate::oracle::{Recorded, configurations, differences, image_index, normalise, reviews};
use crate::oracles::assert_none;

const VERSIONS: [(&str, Version); 6] = [
    ("3.1.15", Version::V31),
    ("3.3.8", Version::V33),
    ("3.3.10", Version::V33),
    ("3.5.15", Version::V35),
    ("3.7.18", Version::V37),
    ("4.1.2", Version::V41),
];

/// A pod, and the Workflow and template that it was made of.
pub(crate) struct Case {
    pub(crate) pod: Recorded,
    pub(crate) workflow: Recorded,
    version: Version,
    pub(crate) template: String,
}

pub(crate) fn cases() -> Vec<Case> {
    let all: BTreeMap<String, Recorded> = reviews().into_iter().map(|one| (one.name.clone(), one)).collect();
    let case = |pod: &Recorded| {
        let (release, executor, rest) = pod.parts()?;
        let (_, version) = *VERSIONS.iter().find(|(name, _)| *name == release)?;
        // Agents run no template. A controller that does not know its executor builds as for k8sapi, which 3.3.8 shows.
        if !pod.is_pod() || rest.starts_with("agent") || executor == "workflow" {
            return None;
        }
        let (name, step) = rest.trim_end_matches(".sel").split_once('_').unwrap_or((rest.trim_end_matches(".sel"), ""));
        let of = if release == "4.1.2" { release } else { "3.3.10" };
        let workflow = all.get(&format!("{of}-workflow-{name}"))?;
        let spec = &workflow.object()["spec"];
        let template = match step {
            "" => spec["entrypoint"].as_str().unwrap(),
            "onExit" => spec["onExit"].as_str().unwrap(),
            "0" | "1" => "say",
            step => step,
        };
        Some(Case { pod: pod.clone(), workflow: workflow.clone(), version, template: template.to_owned() })
    };
    all.values().filter_map(case).collect()
}

/// The controller of a recording. What its ConfigMap said is recorded for some; of the others it differs in the executor only.
fn controller(case: &Case) -> Controller {
    let (release, name, _) = case.pod.parts().unwrap();
    let mut controller = Controller::new(case.version, executor(if name == "default" { "docker" } else { name }));
    let all = configurations();
    let is_second = case.pod.name.ends_with(".sel");
    if release == "4.1.2" {
        // Not recorded: a laboratory's image, of which init and wait tell.
        controller.executor_image = "localhost/argoexec:lab".to_owned();
        controller.executor_pull_policy = Some("Never".to_owned());
        controller.log_level = "debug".to_owned();
    } else {
        controller = controller.configured(&all[if is_second { "3.3.10-docker-sel" } else { "3.3.10-docker" }]);
        controller.executor_image = format!("quay.io/argoproj/argoexec:v{release}");
    }
    controller.settings = settings(&case.pod);
    controller
}

fn rendered(case: &Case) -> Rendered {
    let mut index = image_index();
    // What the registry said in the run.
    index["images"]["localhost:5000/lab/hello:1"] =
        json!({"entrypoint": ["/bin/echo", "from-entrypoint"], "cmd": ["hello"]});
    let words = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
    let process = |image: &str| {
        let entry = index["images"].get(image)?;
        Some(ImageProcess { entrypoint: words(&entry["entrypoint"]), cmd: words(&entry["cmd"]), user: None })
    };
    let given = Given { process: &process, yaml: &|_| None };
    let all = render(case.workflow.object(), Kind::Workflow, &controller(case), &given);
    all.into_iter().find(|one| one.name.ends_with(&format!("/{}", case.template))).unwrap()
}

/// Puts what only the run knew in place of the variables.
fn instantiated(rendered: &Value, real: &Value) -> Value {
    let metadata = &real["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let main = real["spec"]["containers"].as_array().unwrap().iter().find(|c| c["name"] == "main").unwrap();
    let argument = text(main["args"].as_array().and_then(|args| args.last()).unwrap_or(&Value::Null));
    let known = [
        ("workflow.name", text(&metadata["labels"]["workflows.argoproj.io/workflow"])),
        ("workflow.namespace", text(&metadata["namespace"])),
        ("workflow.uid", text(&metadata["ownerReferences"][0]["uid"])),
        ("workflow.status", "Succeeded".to_owned()),
        ("workflow.failures", "\"null\"".to_owned()),
        ("workflow.parameters.n", "7".to_owned()),
        ("pod.name", text(&metadata["name"])),
        ("node.name", text(&metadata["annotations"]["workflows.argoproj.io/node-name"])),
        ("node.id", text(&metadata["annotations"]["workflows.argoproj.io/node-id"])),
        ("inputs.parameters.v", argument.trim_start_matches("got ").to_owned()),
        ("inputs.parameters.x", argument),
    ];
    let mut pod = rendered.clone();
    substitute(&mut pod, &known);
    pod
}

/// Fills in variables, also in a document that is a text.
fn substitute(value: &mut Value, known: &[(&str, String)]) {
    match value {
        Value::String(text) if text.starts_with("{\"") && text.contains("{{") => {
            let mut document: Value = serde_json::from_str(text).unwrap();
            substitute(&mut document, known);
            *text = document.to_string();
        }
        Value::String(text) => {
            for (name, value) in known {
                *text = text.replace(&format!("{{{{{name}}}}}"), value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| substitute(item, known)),
        Value::Object(fields) => fields.values_mut().for_each(|field| substitute(field, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Both pods as they are compared: with the API server's defaults, without what each run has of its own.
fn compared(pod: &Value) -> Value {
    let mut pod = defaults::pod(pod);
    let spec = pod["spec"].as_object_mut().unwrap();
    // Its plugins for service accounts, priorities and tolerations.
    spec.entry("serviceAccountName").or_insert_with(|| json!("default"));
    for of_plugins in ["serviceAccount", "tolerations", "priority", "preemptionPolicy"] {
        spec.remove(of_plugins);
    }
    let mut pod = normalise(&pod);
    let spec = pod["spec"].as_object_mut().unwrap();
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let env = container["env"].as_object_mut().unwrap();
            // Of one trace each.
            env.retain(|name, _| name != "TRACEPARENT" && name != "TRACESTATE");
            if let Some(template) = env.get_mut("ARGO_TEMPLATE") {
                without_values(template);
            }
        }
    }
    let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.retain(|name, _| !name.ends_with("/trace-id") && !name.ends_with("/span-id"));
    if let Some(template) = annotations.get_mut("workflows.argoproj.io/template") {
        *template = serde_json::from_str(template.as_str().unwrap()).unwrap();
        without_values(template);
    }
    pod
}

/// Takes out of a template what is the run's: its parameters' values, and the owner that the controller writes into a
/// manifest, for which it writes the manifest anew.
fn without_values(template: &mut Value) {
    let parameters = template.pointer_mut("/inputs/parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        parameter.as_object_mut().unwrap().remove("value");
    }
    if template["resource"]["setOwnerReference"] == true {
        template["resource"].as_object_mut().unwrap().remove("manifest");
    }
}

#[test]
fn a_rendered_pod_is_the_one_that_the_controller_made() {
    let cases = cases();
    let mut complaints = Vec::new();
    for case in &cases {
        let pod = instantiated(&rendered(case).pod, case.pod.object());
        let mut found = differences(&compared(&pod), &compared(case.pod.object()));
        if case.pod.name.contains("-default-") {
            // Nothing is configured, which 3.1 takes for docker and hands on as nothing.
            found.retain(|difference| !difference.contains("ARGO_CONTAINER_RUNTIME_EXECUTOR"));
        }
        if !found.is_empty() {
            complaints.push(format!("{}: {}", case.pod.name, found.join("; ")));
        }
    }
    if let Ok(file) = std::env::var("RENDERING_REPORT") {
        std::fs::write(file, complaints.join("\n")).unwrap();
    }
    assert_none(&complaints, cases.len());
    assert!(cases.len() > 280, "only {} pods", cases.len());
}
