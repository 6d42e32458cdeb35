//! The pods that a Workflow and its kin come to, one a template: filled as the webhook would, and rendered for each executor.

use super::bounds::Bounds;
use super::built::{Built, Rendered};
use super::candidate::{Candidate, text};
use super::controller::yaml;
use super::doubt::Doubt;
use super::reviewer::Options;
use super::verdict::Column;
use crate::manifest::Place;
use crate::mutation::{self, Facts, Prepared, Rules, Subject, prepare};
use crate::settings::Decisions;
use emissary_core::image::ImageProcess;
use emissary_core::lookup::{Answers, Choice, LookUp};
use emissary_core::outcome::Outcome;
use emissary_core::pod::Executor;
use emissary_core::workflow::{self, Controller, Given, Kind, look_ups_ahead, render};
use emissary_policy::{Namespace, Operation, User};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// An object of a workflow kind.
#[derive(Debug, Clone)]
pub struct Templates {
    pub(super) kind: Kind,
    pub(super) object: Value,
    /// What it was before an update; null where it is created.
    pub(super) old_object: Value,
    /// Where it stands.
    pub place: Place,
    /// Where its pods are to be.
    pub namespace: String,
    /// The namespace itself, if a document before has it.
    pub namespace_object: Option<Arc<Namespace>>,
    /// What bounds its pods, if documents before have it.
    pub bounds: Option<Arc<Bounds>>,
    /// Who asks for its pods: the controller.
    pub(super) user: User,
}

/// What a review is to judge.
#[derive(Debug)]
pub enum Work {
    /// A pod.
    Pod(Box<Candidate>),
    /// The pods of templates.
    Templates(Box<Templates>),
}

/// Work on its way: what is known before images are looked up.
enum Halfway<'o> {
    Pod(Box<Candidate>),
    Templates {
        templates: Box<Templates>,
        /// The webhook's own part, where its column is asked for.
        prepared: Option<Prepared<'o>>,
        /// The images of containers without a command, which the controller itself would look up; why the object cannot be
        /// read, where it cannot.
        ahead: Result<Vec<LookUp>, String>,
    },
}

impl Options<'_> {
    /// Candidates in the order of the work, a pod each. What images run is asked for at once for all.
    pub(super) async fn candidates(&self, work: Vec<Work>) -> Vec<Candidate> {
        let halfway: Vec<Halfway<'_>> = work.into_iter().map(|one| self.plan(one)).collect();
        let mut look_ups = HashSet::new();
        for one in &halfway {
            if let Halfway::Templates { prepared, ahead, .. } = one {
                let planned = prepared.iter().flat_map(Prepared::look_ups);
                look_ups.extend(planned.chain(ahead.iter().flatten()).cloned());
            }
        }
        let answers = self.answers(look_ups).await;
        let render = |one| match one {
            Halfway::Pod(candidate) => vec![*candidate],
            Halfway::Templates { templates, ahead: Err(why), .. } => vec![self.unreadable(&templates, why)],
            Halfway::Templates { templates, prepared, ahead: Ok(ahead) } => {
                self.render(&templates, prepared, &ahead, &answers)
            }
        };
        halfway.into_iter().flat_map(render).collect()
    }

    fn plan(&self, work: Work) -> Halfway<'_> {
        let templates = match work {
            Work::Pod(candidate) => return Halfway::Pod(candidate),
            Work::Templates(templates) => templates,
        };
        let object = templates.object.to_string();
        let Decisions { pod, workflow, indexes, .. } = self.decisions(&templates.namespace, &templates.object);
        let ahead = look_ups_ahead(&object, templates.kind, pod, workflow, &indexes);
        let ahead = ahead.map_err(|unreadable| unreadable.to_string());
        if !self.columns.contains(&Column::Emissary) {
            // No other executor needs to know what images run.
            return Halfway::Templates { templates, prepared: None, ahead: ahead.map(|_| Vec::new()) };
        }
        let old = (!templates.old_object.is_null()).then(|| templates.old_object.to_string());
        let name = text(&templates.object, "/metadata/name");
        let subject = Subject {
            kind: mutation::Kind::Workflow(templates.kind),
            operation: if old.is_some() { Operation::Update.as_str() } else { Operation::Create.as_str() },
            sub_resource: None,
            name: Some(name).filter(|name| !name.is_empty()),
            namespace: Some(&templates.namespace),
            object: &object,
            old_object: old.as_deref(),
        };
        let facts = Facts { keyring: Arc::clone(&self.keyring), ..Facts::default() };
        let prepared = prepare(&subject, Rules { pod, workflow, indexes }, &facts).ok();
        Halfway::Templates { templates, prepared, ahead }
    }

    fn render(
        &self,
        templates: &Templates,
        prepared: Option<Prepared<'_>>,
        ahead: &[LookUp],
        answers: &Answers,
    ) -> Vec<Candidate> {
        let mut filled = templates.object.clone();
        if let Some(Outcome::Rewrite(edits, _)) = prepared.map(|prepared| prepared.apply(answers))
            && edits.apply(&mut filled).is_err()
        {
            filled = templates.object.clone();
        }
        let decisions = self.decisions(&templates.namespace, &templates.object);
        let process = |image: &str| runs(image, &decisions, ahead, answers);
        let given = Given { process: &process, yaml: &yaml };
        let executors: Vec<_> = self.executors().collect();
        // The templates are the same for all, and so is their order.
        let mut by_template: Vec<(String, Rendered)> = Vec::new();
        for (column, executor) in &executors {
            let object = if *column == Column::Emissary { &filled } else { &templates.object };
            let controller = Controller::of(*executor).configured(&self.controller);
            let rendered = render(object, templates.kind, &controller, &given);
            for (at, workflow::Rendered { name, pod, notes }) in rendered.into_iter().enumerate() {
                let built = Built { pod, doubts: notes.iter().map(Doubt::of_note).collect() };
                match by_template.get_mut(at) {
                    Some((_, Rendered(pods))) => pods.push((*column, Ok(built))),
                    None => by_template.push((name, Rendered(vec![(*column, Ok(built))]))),
                }
            }
        }
        let unknown = elsewhere(&templates.object, templates.kind).into_iter().map(|(name, why)| {
            let name = format!("{}/{name}", object_name(&templates.object));
            (name, self.nothing(&why))
        });
        by_template.into_iter().chain(unknown).map(|(name, rendered)| templates.candidate(&name, rendered)).collect()
    }
}

impl Options<'_> {
    fn executors(&self) -> impl Iterator<Item = (Column, Executor)> {
        self.columns.iter().filter_map(|column| Some((*column, column.executor()?)))
    }

    /// No pod for any executor.
    fn nothing(&self, why: &str) -> Rendered {
        Rendered(self.executors().map(|(column, _)| (column, Err(why.to_owned()))).collect())
    }

    /// Argo says itself what it cannot read, and the webhook lets it pass.
    fn unreadable(&self, templates: &Templates, why: String) -> Candidate {
        templates.candidate(object_name(&templates.object), self.nothing(&why))
    }
}

impl Templates {
    /// The kind's name.
    pub fn kind_name(&self) -> &'static str {
        self.kind.name()
    }

    /// The request of the controller for the pod of one template.
    fn candidate(&self, name: &str, rendered: Rendered) -> Candidate {
        let pod = |wanted: Option<Column>| {
            let mut of = rendered.0.iter().filter(|(column, _)| wanted.is_none_or(|wanted| wanted == *column));
            of.find_map(|(_, built)| Some(built.as_ref().ok()?.pod.clone()))
        };
        Candidate {
            title: format!("{}/{name}", self.kind.name().to_lowercase()),
            place: self.place.clone(),
            namespace: self.namespace.clone(),
            namespace_object: self.namespace_object.clone(),
            bounds: self.bounds.clone(),
            operation: Operation::Create,
            sub_resource: String::new(),
            object: pod(Some(Column::Emissary)).or_else(|| pod(None)).unwrap_or_default(),
            old_object: Value::Null,
            user: self.user.clone(),
            dry_run: false,
            is_defaulted: false,
            rendered: Some(Arc::new(rendered)),
        }
    }
}

/// What an image runs, for a container without a command that nobody has filled: what the controller would find.
fn runs(image: &str, decisions: &Decisions<'_>, ahead: &[LookUp], answers: &Answers) -> Option<ImageProcess> {
    let Decisions { pod, indexes, .. } = decisions;
    let reference = pod.reference(image).ok()?;
    let choice = indexes.known(&reference, &pod.platforms).or_else(|| {
        let look_up = ahead.iter().find(|look_up| look_up.reference == reference)?;
        Some(indexes.judge(look_up, answers))
    });
    match choice? {
        Choice::Process(process, _) => Some(process),
        Choice::Differ(_) | Choice::Unknown(_) => None,
    }
}

fn object_name(object: &Value) -> &str {
    match text(object, "/metadata/name") {
        "" => text(object, "/metadata/generateName"),
        name => name,
    }
}

/// The pods of a run that its own templates do not show: what has them, and why they are not rendered.
fn elsewhere(object: &Value, kind: Kind) -> BTreeMap<String, String> {
    let spec = match kind {
        Kind::CronWorkflow => &object["spec"]["workflowSpec"],
        _ => &object["spec"],
    };
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let mut found = BTreeMap::new();
    if let Some(name) = spec["workflowTemplateRef"]["name"].as_str() {
        let why = format!("its templates are those of workflow template {name}: review that one");
        found.insert("workflowTemplateRef".to_owned(), why);
    }
    for template in list(&spec["templates"]) {
        let name = template["name"].as_str().unwrap_or_default();
        let steps = list(&template["steps"]).iter().flat_map(list).collect::<Vec<_>>();
        for step in steps.into_iter().chain(list(&template["dag"]["tasks"])) {
            let Some(of) = step["templateRef"]["name"].as_str() else { continue };
            let called = step["templateRef"]["template"].as_str().unwrap_or_default();
            let why = format!("it runs template {called} of workflow template {of}: review that one");
            found.insert(format!("{name}.{}", step["name"].as_str().unwrap_or_default()), why);
        }
        if ["http", "plugin"].iter().any(|field| !template[*field].is_null()) {
            found.insert(name.to_owned(), "an agent's pod runs it, which is not rendered".to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_of_other_objects_are_named() {
        let step = |name: &str| json!({"name": name, "templateRef": {"name": "shared", "template": "say"}});
        let spec = json!({
            "workflowTemplateRef": {"name": "all"},
            "templates": [
                {"name": "a", "steps": [[step("one")], [{"name": "own", "template": "b"}]]},
                {"name": "b", "dag": {"tasks": [step("two")]}},
                {"name": "c", "http": {"url": "x"}},
                {"name": "d", "container": {}},
            ],
        });
        let names = |object: Value, kind| elsewhere(&object, kind).into_keys().collect::<Vec<_>>();
        let expected = ["a.one", "b.two", "c", "workflowTemplateRef"];
        assert_eq!(names(json!({"spec": spec}), Kind::Workflow), expected);
        assert_eq!(names(json!({"spec": {"workflowSpec": spec}}), Kind::CronWorkflow), expected);
        assert_eq!(names(json!({"spec": {"templates": 1}}), Kind::Workflow), [""; 0]);
    }
}
