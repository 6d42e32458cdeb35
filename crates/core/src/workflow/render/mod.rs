//! The pods that a workflow kind comes to, one a template, before anything runs: for looking at them, not for running them.
//!
//! Restated from what controllers of Argo 3.1 to 4.1 build, and held against the pods that they made of recorded Workflows.
//! `{{…}}` stays as it is; what only a run knows (names of nodes, uids, the repository that a `ref` stands for) is left as
//! such a variable too, so that whoever judges the pod sees that it is not known.

mod build;
mod containers;
mod controller;
mod location;
mod merge;
mod mounts;
mod note;
mod template;

pub use controller::{Controller, Given, Version};
pub use note::Note;

use super::Kind;
use build::{Build, Names};
use merge::merge;
use serde_json::Value;
use template::{Template, Type, list};

/// A pod that a template comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// `object/template`; `object/template.step` for a template that stands inside a step.
    pub name: String,
    /// The pod, before the API server has filled in its defaults.
    pub pod: Value,
    /// What in it is not known.
    pub notes: Vec<Note>,
}

/// Renders a pod for each template that makes one, in their order. What is no object of that kind has none.
pub fn render(object: &Value, kind: Kind, controller: &Controller, given: &Given<'_>) -> Vec<Rendered> {
    let own = kind.spec().iter().fold(object, |value, member| &value[*member]);
    let mut spec = controller.workflow_defaults["spec"].clone();
    merge(&mut spec, own);
    let workflow = Workflow::of(object, kind);
    let mut rendered = Vec::new();
    for placed in templates(&spec) {
        let Some(template) = Template::new(placed.template, &spec["templateDefaults"]) else { continue };
        let names = workflow.names(&spec, &placed, &template);
        let (pod, mut notes) = Build::new(controller, given, &spec, callers(&spec, &placed), template, names).pod();
        if placed.template["timeout"].is_string() {
            notes.push(Note::Timeout);
        }
        rendered.push(Rendered { name: format!("{}/{}", workflow.title, placed.name), pod, notes });
    }
    rendered
}

/// A template where it stands.
struct Placed<'t> {
    name: String,
    template: &'t Value,
    /// The step's own name for an inline template.
    step: Option<(&'t Value, &'t str)>,
}

fn templates(spec: &Value) -> Vec<Placed<'_>> {
    let mut all = Vec::new();
    for template in list(&spec["templates"]) {
        let name = template["name"].as_str().unwrap_or_default();
        all.push(Placed { name: name.to_owned(), template, step: None });
        for step in steps(template).filter(|step| step["inline"].is_object()) {
            let own = step["name"].as_str().unwrap_or_default();
            let name = format!("{name}.{own}");
            all.push(Placed { name, template: &step["inline"], step: Some((template, own)) });
        }
    }
    all
}

/// The steps or tasks of a template. Steps are a list of lists: those of a list run at once.
fn steps(template: &Value) -> impl Iterator<Item = &Value> {
    list(&template["steps"]).iter().flat_map(list).chain(list(&template["dag"]["tasks"]))
}

/// What the object itself tells of a run.
struct Workflow {
    title: String,
    name: Option<String>,
    uid: Option<String>,
    namespace: Option<String>,
}

impl Workflow {
    fn of(object: &Value, kind: Kind) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let is_run = kind == Kind::Workflow;
        Self {
            title: text("name").or_else(|| text("generateName")).unwrap_or_default(),
            name: text("name").filter(|_| is_run),
            uid: text("uid").filter(|_| is_run),
            namespace: text("namespace"),
        }
    }

    fn names(&self, spec: &Value, placed: &Placed<'_>, template: &Template) -> Names {
        let variable = |own: Option<&String>, variable: &str| own.cloned().unwrap_or_else(|| variable.to_owned());
        // The node of the entrypoint has the Workflow's name; a retried one is numbered.
        let is_entry = placed.step.is_none() && spec["entrypoint"] == placed.name.as_str();
        let root = self.name.as_ref().filter(|_| is_entry && template.0["retryStrategy"].is_null());
        Names {
            workflow: variable(self.name.as_ref(), "{{workflow.name}}"),
            workflow_uid: variable(self.uid.as_ref(), "{{workflow.uid}}"),
            namespace: self.namespace.clone(),
            pod: variable(root, "{{pod.name}}"),
            node_name: variable(root, "{{node.name}}"),
            node: variable(root, "{{node.id}}"),
            is_output_used: template.of() == Type::Data || is_output_used(spec, placed),
            is_exit: placed.step.is_none() && spec["onExit"] == placed.name.as_str(),
        }
    }
}

/// Whether anything of the template that calls this one speaks of its result.
fn is_output_used(spec: &Value, placed: &Placed<'_>) -> bool {
    calls(spec, placed).any(|(caller, step)| {
        let text = caller.to_string();
        ["steps", "tasks"].iter().any(|of| text.contains(&format!("{of}.{step}.outputs.result")))
    })
}

/// The templates whose steps or tasks run this one.
fn callers<'s>(spec: &'s Value, placed: &Placed<'s>) -> Vec<&'s Value> {
    calls(spec, placed).map(|(caller, _)| caller).collect()
}

/// The steps or tasks that run a template: in which template each stands, and its name.
fn calls<'s>(spec: &'s Value, placed: &Placed<'s>) -> impl Iterator<Item = (&'s Value, &'s str)> {
    let by_name = list(&spec["templates"]).iter().filter(|_| placed.step.is_none()).flat_map(|caller| {
        let steps = steps(caller).filter(|step| step["template"] == placed.name.as_str());
        steps.filter_map(move |step| Some((caller, step["name"].as_str()?)))
    });
    placed.step.into_iter().chain(by_name)
}
