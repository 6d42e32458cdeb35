//! What is in effect, all of one moment.

use super::composer::Composer;
use super::feed::{ConfigMap, ObjectName, Role};
use super::index_file;
use super::layers::Override;
use super::options::{Controller, Settings};
use super::report::Report;
use super::rules::{Made, OfController, prefetch_options, registry_options};
use super::tree::Node;
use super::values::NamePattern;
use crate::manifest::{Place, Problem};
use emissary_core::image::ImageIndex;
use emissary_core::lookup::Indexes;
use emissary_core::pod;
use emissary_core::workflow::WorkflowOptions;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// What is in effect, all of one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The effective settings.
    pub settings: Settings,
    /// The operator's image index, merged from its files and ConfigMaps; it goes before the registry.
    pub index: Arc<ImageIndex>,
    /// The entries that are shipped; they come after the registry.
    pub shipped: Arc<ImageIndex>,
    /// Counts the snapshots of this process, from 1.
    pub generation: u64,
    pub(super) merged: Node,
    pub(super) made: Made,
    pub(super) controllers: Vec<Controlled>,
    pub(super) own: Arc<HashMap<String, OwnIndex>>,
}

/// What holds for the objects of one workflow controller.
#[derive(Debug, Clone)]
pub(super) struct Controlled {
    pub(super) instance_id: String,
    pub(super) managed_namespaces: Vec<NamePattern>,
    pub(super) images: Arc<ImageIndex>,
    pub(super) made: Made,
}

impl Controlled {
    fn owns(&self, namespace: &str, instance: &str) -> bool {
        let managed = &self.managed_namespaces;
        self.instance_id == instance && (managed.is_empty() || managed.iter().any(|pattern| pattern.matches(namespace)))
    }
}

/// A namespace's own index.
#[derive(Debug, Clone)]
pub(super) struct OwnIndex {
    pub(super) index: Arc<ImageIndex>,
    /// Whether it goes before everything, and not behind.
    pub(super) overriding: bool,
}

/// What holds for one object.
#[derive(Debug, Clone, Copy)]
pub struct Decisions<'a> {
    /// How pods are rewritten.
    pub pod: &'a pod::Options,
    /// How workflow kinds are filled.
    pub workflow: &'a WorkflowOptions,
    /// The image indexes.
    pub indexes: Indexes<'a>,
    /// Whose it is.
    pub belonging: Belonging,
}

/// What the configuration of one workflow controller comes to.
#[derive(Debug, Clone, Copy)]
pub struct Configured<'a> {
    /// What the settings say of it.
    pub controller: &'a Controller,
    /// Its instance ID, empty where it has none.
    pub instance_id: &'a str,
    /// How many entries its `images` have.
    pub images: usize,
    /// How pods of its Workflows are rewritten.
    pub pod: &'a pod::Options,
}

impl Configured<'_> {
    /// Whether an object might belong to this one and to another.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.controller.managed_namespaces, &other.controller.managed_namespaces);
        let shared =
            |one: &NamePattern| theirs.iter().any(|other| one.matches(other.as_str()) || other.matches(one.as_str()));
        let apart = !ours.is_empty() && !theirs.is_empty() && !ours.iter().any(shared);
        self.instance_id == other.instance_id && !apart
    }
}

/// Which of the workflow controllers that the settings name an object belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// The settings name none.
    Unasked,
    /// To one: its ConfigMap counts.
    One,
    /// To none of them: the settings alone count.
    Nobody,
    /// To several, which cannot be: the settings alone count.
    Several,
}

impl Snapshot {
    /// How pods are rewritten where no workflow controller is known.
    pub fn pod(&self) -> &pod::Options {
        &self.made.pod
    }

    /// How workflow kinds are filled where no workflow controller is known.
    pub fn workflow(&self) -> &WorkflowOptions {
        &self.made.workflow
    }

    /// The image indexes of no namespace and no workflow controller.
    pub fn indexes(&self) -> Indexes<'_> {
        Indexes::new(&self.index, &self.shipped)
    }

    /// What holds for an object in a namespace; `instance`, the value of its label
    /// `workflows.argoproj.io/controller-instanceid`, is asked for only where the settings name controllers.
    pub fn decisions<'i>(&self, namespace: &str, instance: impl FnOnce() -> Option<Cow<'i, str>>) -> Decisions<'_> {
        let mut decisions = Decisions {
            pod: &self.made.pod,
            workflow: &self.made.workflow,
            indexes: self.indexes(),
            belonging: Belonging::Unasked,
        };
        match self.own.get(namespace) {
            Some(OwnIndex { index, overriding: true }) => decisions.indexes.overriding = Some(index),
            Some(OwnIndex { index, overriding: false }) => decisions.indexes.adding = Some(index),
            None => {}
        }
        if self.controllers.is_empty() {
            return decisions;
        }
        let instance = instance().unwrap_or_default();
        let mut owners = self.controllers.iter().filter(|controller| controller.owns(namespace, &instance));
        decisions.belonging = match (owners.next(), owners.next()) {
            (Some(owner), None) => {
                let Controlled { instance_id: _, managed_namespaces: _, images, made } = owner;
                (decisions.pod, decisions.workflow) = (&made.pod, &made.workflow);
                decisions.indexes.controller = Some(images);
                Belonging::One
            }
            (None, _) => Belonging::Nobody,
            (Some(_), Some(_)) => Belonging::Several,
        };
        decisions
    }

    /// Whether the labels of the Workflow that owns a pod may decide by which executor the pod is run, under any of the
    /// controllers.
    pub fn depends_on_workflow_labels(&self) -> bool {
        let of_controllers = self.controllers.iter().map(|controller| &controller.made);
        of_controllers.chain([&self.made]).any(|made| made.pod.executors.depends_on_labels())
    }

    /// What the configuration of each workflow controller comes to, in the order of the settings.
    pub fn controllers(&self) -> impl Iterator<Item = Configured<'_>> {
        let both = self.settings.controllers.iter().zip(&self.controllers);
        both.map(|(controller, Controlled { instance_id, managed_namespaces: _, images, made })| Configured {
            controller,
            instance_id,
            images: images.len(),
            pod: &made.pod,
        })
    }

    /// How images are looked up; roots, proxies and the clock are the caller's to add.
    pub fn registry(&self) -> emissary_registry::Options {
        registry_options(&self.settings.registry)
    }

    /// How images of stored templates are looked up ahead; `None` where they are not.
    pub fn prefetch(&self) -> Option<emissary_registry::PrefetchOptions> {
        prefetch_options(&self.settings.registry)
    }

    /// Where the value at a path of keys was written; `None` for a default.
    pub(super) fn origin(&self, path: &[String]) -> Option<&Place> {
        self.merged.at(path).map(|node| &node.place)
    }
}

/// The defaults, no operator's index, and the shipped one.
impl Default for Snapshot {
    fn default() -> Self {
        let (settings, index) = (Settings::default(), Arc::default());
        let made = Made::of(&settings, &[&index], OfController::default());
        let (controllers, own) = (Vec::new(), Arc::default());
        Self { settings, index, shipped: shipped_index(), generation: 1, merged: Node::empty(), made, controllers, own }
    }
}

/// Where settings come from. What the process was given (variables, arguments) is handed in as values.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Settings files; a later one goes before an earlier.
    pub files: Vec<PathBuf>,
    /// A settings file that was read already, and what its problems call it. It goes before the others.
    pub text: Option<(Arc<str>, String)>,
    /// The environment; only what starts with [`VARIABLE_PREFIX`](super::VARIABLE_PREFIX) is looked at.
    pub variables: Vec<(String, String)>,
    /// The command line; a later one goes before an earlier.
    pub overrides: Vec<Override>,
}

/// The image index that this build ships (image-index.yaml).
pub fn shipped_index() -> Arc<ImageIndex> {
    static SHIPPED: LazyLock<Arc<ImageIndex>> = LazyLock::new(|| {
        let text = include_str!("../../image-index.yaml");
        // A test reads it, so there is nothing to say at run time.
        Arc::new(index_file::parse_index(text, &"image-index.yaml".into()).unwrap_or_default())
    });
    Arc::clone(&SHIPPED)
}

/// Reads every source once.
///
/// # Errors
/// All that is wrong with any of them: at the start there is no last good version to stay with. What only needs saying
/// (an image that two index files name) is in the report.
pub fn load(sources: &Sources) -> Result<(Snapshot, Report), Vec<Problem>> {
    Composer::start(sources).map(|(_, snapshot, report)| (snapshot, report))
}

/// The same with ConfigMaps, as they are in effect in a webhook that has just started to follow them.
///
/// # Errors
/// As [`load`]. What is wrong with a ConfigMap is in the report.
pub fn load_with(
    sources: &Sources,
    maps: impl IntoIterator<Item = ((Role, ObjectName), ConfigMap)>,
) -> Result<(Snapshot, Report), Vec<Problem>> {
    let (mut composer, before, _) = Composer::start(sources)?;
    let changes = maps.into_iter().map(|(key, map)| (key, Some(map))).collect();
    let (snapshot, report) = composer.refresh(changes);
    Ok((snapshot.unwrap_or(before), report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use emissary_core::image::Reference;

    #[test]
    fn what_is_shipped_is_valid_and_cannot_change() {
        let text = include_str!("../../image-index.yaml");
        let index = index_file::parse_index(text, &"image-index.yaml".into()).unwrap();
        assert!(index.len() > 100);
        for hit in index.iter() {
            assert!(!hit.key.contains('*'), "{}: a glob covers images that nobody has looked at", hit.key);
            let reference = Reference::parse(hit.key).unwrap();
            // Three numbers: `3.12` moves on to the next patch version, `3.12.1` does not.
            let version = reference.tag().unwrap_or_default().split('-').next().unwrap_or_default();
            let numbers = version.trim_start_matches('v').split('.').filter(|part| part.parse::<u32>().is_ok()).count();
            assert!(reference.digest().is_some() || numbers == 3, "{}: the tag may be moved", hit.key);
        }
        let runs = |image: &str| {
            let hit = index.find(&Reference::parse(image).unwrap());
            hit.and_then(|hit| hit.entry.process_for(None)).map(|process| process.cmd.join(" "))
        };
        assert_eq!(runs("docker.io/library/nginx:1.27.0").as_deref(), Some("nginx -g daemon off;"));
        assert_eq!(runs("alpine:3.20"), None);
    }
}
