use emissary_contract::label;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use super::registrations::{count, some};
use super::{Check, Doctor, Finding, list};
use crate::settings::Decisions;

/// The kinds of `argoproj.io/v1alpha1` that are stored, with their plurals and where their templates are.
const KINDS: [(&str, &str, &str); 3] = [
    ("WorkflowTemplate", "workflowtemplates", "/spec/templates"),
    ("ClusterWorkflowTemplate", "clusterworkflowtemplates", "/spec/templates"),
    ("CronWorkflow", "cronworkflows", "/spec/workflowSpec/templates"),
];

/// How containers of templates come to their command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Covered {
    /// It is written.
    pub(super) written: usize,
    /// An image index has it, or `images` of the object's workflow controller.
    pub(super) indexed: usize,
    /// The image's registry is asked.
    pub(super) registry: Vec<String>,
    /// How many of those the shipped entries know, should the registry not answer.
    pub(super) shipped: usize,
    /// The image is a parameter: known only when the workflow runs.
    pub(super) parameter: usize,
    /// The image is no image's name.
    pub(super) wrong: Vec<String>,
}

impl Covered {
    /// Counts the containers of a list of templates, by what holds for the object that they are in.
    pub(super) fn add(&mut self, templates: &Value, decisions: Decisions<'_>) {
        let Decisions { pod, workflow: _, indexes, belonging: _ } = decisions;
        let containers = templates.as_array().into_iter().flatten().flat_map(|template| {
            let set = template.pointer("/containerSet/containers").and_then(Value::as_array);
            let alone = [template.get("container"), template.get("script")];
            alone.into_iter().flatten().chain(set.into_iter().flatten())
        });
        for container in containers {
            let has_command = container["command"].as_array().is_some_and(|command| !command.is_empty());
            let Some(image) = container["image"].as_str() else { continue };
            if has_command {
                self.written += 1;
            } else if image.contains("{{") {
                self.parameter += 1;
            } else {
                match pod.reference(image) {
                    Ok(reference) if indexes.known(&reference, &pod.platforms).is_some() => self.indexed += 1,
                    Ok(reference) => {
                        if once(&mut self.registry, image) {
                            self.shipped += usize::from(indexes.shipped.find(&reference).is_some());
                        }
                    }
                    Err(_) => drop(once(&mut self.wrong, image)),
                }
            }
        }
    }
}

/// Adds an image that is not there; whether it was added.
fn once(images: &mut Vec<String>, image: &str) -> bool {
    let is_new = !images.iter().any(|known| known == image);
    if is_new {
        images.push(image.to_owned());
    }
    is_new
}

impl Doctor {
    pub(super) async fn templates(&self) -> Finding {
        let check = Check::Templates.name();
        let (mut covered, mut objects, mut unread) = (Covered::default(), 0, Vec::new());
        for (kind, plural, templates) in KINDS {
            let resource =
                ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind), plural);
            match list(&Api::<DynamicObject>::all_with(self.client.clone(), &resource)).await {
                Ok(all) => {
                    objects += all.len();
                    for object in &all {
                        if let Some(templates) = object.data.pointer(templates) {
                            let instance = || object.labels().get(label::INSTANCE_ID).map(|id| id.as_str().into());
                            let namespace = object.namespace().unwrap_or_default();
                            covered.add(templates, self.snapshot.decisions(&namespace, instance));
                        }
                    }
                }
                Err(why) => unread.push(format!("{plural}: {why}")),
            }
        }
        if unread.len() == KINDS.len() {
            let finding = Finding::skipped(check, "no stored template could be read: perhaps Argo is not installed");
            return unread.into_iter().fold(finding, Finding::with);
        }
        let Covered { written, indexed, registry, shipped, parameter, wrong } = covered;
        let mut finding =
            Finding::ok(check, format!("{} read", count(objects, "stored object was", "stored objects were")))
                .with(format!("command written: {}", count(written, "container", "containers")))
                .with(format!("image index: {}", count(indexed, "container", "containers")))
                .with(format!("registry: {}", count(registry.len(), "image", "images")));
        if !registry.is_empty() {
            finding.details.push(format!("looked up at need: {}", some(&registry)));
            finding.details.push(format!(
                "shipped entries, where a registry does not answer: {}",
                count(shipped, "image", "images")
            ));
        }
        if parameter > 0 {
            finding.details.push(format!("known only when it runs: {}", count(parameter, "container", "containers")));
        }
        if !wrong.is_empty() {
            finding.warn(format!("no image's name: {}", some(&wrong)), "mend the image in its template");
        }
        unread.into_iter().fold(finding, Finding::with)
    }
}
