//! Sources become one snapshot: each is parsed apart, and keeps what it last said that was valid.

mod file;
mod merge;
mod restart;

#[cfg(test)]
mod tests;

pub(super) use merge::merge;

use super::argo::{self, ControllerLayer};
use super::feed::{Changes, ConfigMap, ObjectName, Role};
use super::held::Held;
use super::index_file::{self, IndexFile};
use super::index_map::IndexMap;
use super::layers;
use super::options::{Controller, OwnIndexes, Settings};
use super::report::{ObjectProblem, Report};
use super::rules::{Made, OfController};
use super::snapshot::{Controlled, OwnIndex, Snapshot, Sources, shipped_index};
use super::tree::Node;
use super::values::NamePattern;
use crate::manifest::Problem;
use file::File;
use restart::keep_restart_keys;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

const LONGEST_SETTINGS: u64 = 1 << 20;
const LONGEST_INDEX: u64 = 64 << 20;
/// Of one ConfigMap of the operator's, decompressed.
pub(super) const LONGEST_MAP: usize = 16 << 20;
/// Of one namespace's own, decompressed: tenants write it, and all of them share this process's memory.
const LONGEST_OWN: usize = 256 << 10;
/// Of all of those together.
const LONGEST_OWN_TOGETHER: usize = 16 << 20;

/// Keeps the sources of one process and makes snapshots of them.
pub(super) struct Composer {
    files: Vec<File<Node>>,
    /// What does not change: what was read already, variables, the command line.
    fixed: Vec<Node>,
    indexes: Vec<File<IndexFile>>,
    /// ConfigMaps with entries, in the order in which they are merged.
    maps: BTreeMap<(Role, ObjectName), IndexMap>,
    /// Workflow controllers' ConfigMaps.
    controllers: BTreeMap<ObjectName, Held<ControllerLayer>>,
    /// Images that more than one file or ConfigMap names.
    duplicates: Report,
    /// With the restart keys of the start.
    current: Snapshot,
}

/// Which of the sources may say something else than before.
#[derive(Debug, Default)]
struct Changed {
    operators: bool,
    defaults: bool,
    own: HashSet<String>,
    controllers: bool,
}

impl Composer {
    /// Reads every source for the first time.
    pub(super) fn start(sources: &Sources) -> Result<(Self, Snapshot, Report), Vec<Problem>> {
        let Sources { files, text, variables, overrides } = sources;
        let (mut fixed, mut problems) = layers::of_process(variables, overrides);
        match text.as_ref().map(|(name, text)| layers::of_file(text, name)) {
            Some(Ok(layer)) => fixed.insert(0, layer),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
        let files = files.iter().map(|path| File::new(path)).collect();
        let mut composer = Self {
            files,
            fixed,
            indexes: Vec::new(),
            maps: BTreeMap::new(),
            controllers: BTreeMap::new(),
            duplicates: Report::default(),
            current: Snapshot::default(),
        };
        problems.extend(composer.refresh_files());
        let merged = composer.merged(None);
        match layers::check(&merged) {
            Ok(settings) => (composer.current.settings, composer.current.merged) = (settings, merged),
            Err(problem) => problems.push(problem),
        }
        composer.refresh_indexes();
        problems.extend(composer.file_problems());
        if !problems.is_empty() {
            return Err(problems);
        }
        composer.merge_operators();
        let (snapshot, report) = (composer.finished(), composer.duplicates.clone());
        Ok((composer, snapshot, report))
    }

    /// Reads every file again and takes what has changed in the cluster. A snapshot comes back where anything that is in effect
    /// has changed.
    pub(super) fn refresh(&mut self, changes: Changes) -> (Option<Snapshot>, Report) {
        let mut report = Report { problems: self.refresh_files(), ..Report::default() };
        let before = (self.current.settings.clone(), self.current.index.fingerprint());
        let merged = self.merged(None);
        match layers::check(&merged) {
            Ok(settings) => {
                let (settings, changed) = keep_restart_keys(&before.0, settings, &merged);
                report.restart = changed;
                (self.current.settings, self.current.merged) = (settings, merged);
            }
            Err(problem) => report.problems.push(problem),
        }
        let changed = self.take(changes);
        if self.refresh_indexes() || changed.operators {
            self.merge_operators();
        }
        let other_defaults = changed.defaults && self.merge_defaults();
        let regranted = before.0.image_index.namespaces != self.current.settings.image_index.namespaces;
        let other_own = (regranted || !changed.own.is_empty()) && self.merge_own(&changed.own);
        report.problems.extend(self.file_problems());
        report.problems.extend(self.duplicates.problems.iter().cloned());
        report.objects.extend(self.object_problems());
        report.objects.extend(self.duplicates.objects.iter().cloned());
        let same = before.0 == self.current.settings && before.1 == self.current.index.fingerprint();
        if same && !(other_defaults || other_own || changed.controllers) {
            return (None, report);
        }
        self.current.generation += 1;
        (Some(self.finished()), report)
    }

    fn refresh_files(&mut self) -> Vec<Problem> {
        let parse = |text: &str, name: &Arc<str>| layers::of_file(text, name).map_err(|problem| vec![problem]);
        for file in &mut self.files {
            file.refresh(LONGEST_SETTINGS, parse);
        }
        self.files.iter().flat_map(|file| file.held.problems.clone()).collect()
    }

    /// Reads the index files that the current settings name, and forgets those that they name no more. Returns whether the
    /// entries of any may have changed.
    fn refresh_indexes(&mut self) -> bool {
        let mut known = std::mem::take(&mut self.indexes);
        let before: Vec<PathBuf> = known.iter().map(|index| index.path.clone()).collect();
        let named = &self.current.settings.image_index.files;
        let mut changed = before != *named;
        for path in named {
            let at = known.iter().position(|index| index.path == *path);
            let mut index = at.map_or_else(|| File::new(path), |at| known.swap_remove(at));
            changed |= index.refresh(LONGEST_INDEX, index_file::parse);
            self.indexes.push(index);
        }
        changed
    }

    fn file_problems(&self) -> Vec<Problem> {
        self.indexes.iter().flat_map(|index| index.held.problems.clone()).collect()
    }

    /// Parses what has changed in the cluster.
    fn take(&mut self, changes: Changes) -> Changed {
        let mut changed = Changed::default();
        let own = self.maps.iter().filter(|((role, _), _)| *role == Role::Namespace);
        let mut together: usize = own.map(|(_, map)| map.size()).sum();
        for ((role, object), map) in changes {
            match role {
                Role::Index | Role::Labelled => changed.operators |= self.take_entries(role, object, map, LONGEST_MAP),
                Role::Defaults => changed.defaults |= self.take_entries(role, object, map, LONGEST_MAP),
                Role::Controller => changed.controllers |= self.take_controller(object, map),
                Role::Namespace => {
                    let namespace = object.namespace.clone();
                    // What nobody granted is not even parsed.
                    let map =
                        map.filter(|_| grant(&self.current.settings.image_index.namespaces, &namespace).is_some());
                    let key = (role, object.clone());
                    together -= self.maps.get(&key).map_or(0, IndexMap::size);
                    let limit = LONGEST_OWN.min(LONGEST_OWN_TOGETHER.saturating_sub(together));
                    if self.take_entries(role, object, map, limit) {
                        changed.own.insert(namespace);
                    }
                    together += self.maps.get(&key).map_or(0, IndexMap::size);
                }
            }
        }
        changed
    }

    fn take_entries(&mut self, role: Role, object: ObjectName, map: Option<ConfigMap>, limit: usize) -> bool {
        let key = (role, object);
        match map {
            Some(map) => {
                let object = key.1.clone();
                self.maps.entry(key).or_default().update(&object, &map, limit)
            }
            None => self.maps.remove(&key).is_some(),
        }
    }

    fn take_controller(&mut self, object: ObjectName, map: Option<ConfigMap>) -> bool {
        match map {
            Some(map) => {
                let parse = || {
                    let (layer, problems) = argo::parse(&object, &map);
                    (Some(layer), problems)
                };
                self.controllers.entry(object.clone()).or_default().update(&map, parse)
            }
            None => self.controllers.remove(&object).is_some(),
        }
    }

    fn object_problems(&self) -> Vec<ObjectProblem> {
        let of_map = |(key, map): (&(Role, ObjectName), &IndexMap)| {
            let (role, object) = key.clone();
            map.problems().cloned().map(|problem| ObjectProblem { role, object: object.clone(), problem }).collect()
        };
        let of_controller = |(object, held): (&ObjectName, &Held<ControllerLayer>)| {
            let problem = |problem: &Problem| ObjectProblem {
                role: Role::Controller,
                object: object.clone(),
                problem: problem.clone(),
            };
            held.problems.iter().map(problem).collect()
        };
        let all: Vec<Vec<_>> = self.maps.iter().map(of_map).chain(self.controllers.iter().map(of_controller)).collect();
        all.into_iter().flatten().collect()
    }

    /// Merges the operator's files and ConfigMaps; what an earlier one has stays.
    fn merge_operators(&mut self) {
        let files = self.indexes.iter().filter_map(|index| Some((None, index.held.good.as_ref()?)));
        let is_operators = |role: Role| matches!(role, Role::Index | Role::Labelled);
        let maps = self.maps.iter().filter(|((role, _), _)| is_operators(*role));
        let maps = maps.flat_map(|(key, map)| map.files().map(move |file| (Some(key), file)));
        let (index, duplicates) = merge(files.chain(maps));
        let mut report = Report::default();
        for (whose, problem) in duplicates {
            match whose.cloned() {
                Some((role, object)) => report.objects.push(ObjectProblem { role, object, problem }),
                None => report.problems.push(problem),
            }
        }
        (self.current.index, self.duplicates) = (Arc::new(index), report);
    }

    /// Takes the shipped entries from their ConfigMap, where there is one, else from the program. Returns whether they are
    /// others than before.
    fn merge_defaults(&mut self) -> bool {
        let before = self.current.shipped.fingerprint();
        let given = self.maps.iter_mut().find(|((role, _), _)| *role == Role::Defaults);
        self.current.shipped = given.map_or_else(shipped_index, |(_, map)| Arc::new(map.merged()));
        before != self.current.shipped.fingerprint()
    }

    /// Brings the namespaces' own indexes up to date: those that have changed, and all by what is granted. Returns whether
    /// any counts other than before.
    fn merge_own(&mut self, changed: &HashSet<String>) -> bool {
        let granted = &self.current.settings.image_index.namespaces;
        let mut own = HashMap::clone(&self.current.own);
        let before = |namespace: &str| {
            let own = self.current.own.get(namespace);
            own.map(|own| (own.index.fingerprint(), own.overriding))
        };
        self.maps.retain(|(role, object), _| *role != Role::Namespace || grant(granted, &object.namespace).is_some());
        let present = self.maps.keys().filter(|(role, _)| *role == Role::Namespace);
        let present: HashSet<&str> = present.map(|(_, object)| object.namespace.as_str()).collect();
        own.retain(|namespace, _| present.contains(namespace.as_str()));
        let mut differs = own.len() != self.current.own.len();
        for ((_, object), map) in self.maps.iter_mut().filter(|((role, _), _)| *role == Role::Namespace) {
            let namespace = &object.namespace;
            let Some(overriding) = grant(granted, namespace) else { continue };
            let index = match own.get(namespace) {
                Some(known) if !changed.contains(namespace) => Arc::clone(&known.index),
                _ => Arc::new(map.merged()),
            };
            differs |= before(namespace) != Some((index.fingerprint(), overriding));
            own.insert(namespace.clone(), OwnIndex { index, overriding });
        }
        self.current.own = Arc::new(own);
        differs
    }

    /// Every valid layer, laid over each other; the lowest is what a workflow controller's ConfigMap says.
    fn merged(&self, controller: Option<&Node>) -> Node {
        let mut merged = Node::empty();
        let files = self.files.iter().filter_map(|file| file.held.good.as_ref());
        let layers = controller.into_iter().chain(files).chain(&self.fixed);
        layers.for_each(|layer| merged.overlay(layer.clone()));
        merged
    }

    /// Makes what follows from the settings and the indexes.
    fn finished(&mut self) -> Snapshot {
        let Snapshot { settings, index, .. } = &self.current;
        let made = Made::of(settings, &[index], OfController::default());
        let controllers = settings.controllers.iter().map(|controller| self.controlled(controller)).collect();
        (self.current.made, self.current.controllers) = (made, controllers);
        self.current.clone()
    }

    fn controlled(&self, controller: &Controller) -> Controlled {
        let Controller { namespace, config_map, instance_id, managed_namespaces } = controller;
        let object = ObjectName { namespace: namespace.clone(), name: config_map.clone() };
        let layer = self.controllers.get(&object).and_then(|held| held.good.clone()).unwrap_or_default();
        let ControllerLayer { settings: lowest, images, adds, instance_id: configured } = layer;
        let mut settings = self.current.settings.clone();
        // Each layer is valid, and nothing in `executor` depends on anything else: so is the whole.
        if let Ok(Settings { executor, .. }) = layers::check(&self.merged(Some(&lowest))) {
            settings.executor = executor;
        }
        Controlled {
            instance_id: instance_id.clone().or(configured).unwrap_or_default(),
            managed_namespaces: managed_namespaces.clone(),
            made: Made::of(&settings, &[&self.current.index, &images], adds),
            images,
        }
    }
}

/// Whether a namespace's own index counts, and if so whether it goes before everything.
fn grant(granted: &OwnIndexes, namespace: &str) -> Option<bool> {
    let OwnIndexes { add, overriding } = granted;
    let among = |patterns: &[NamePattern]| patterns.iter().any(|pattern| pattern.matches(namespace));
    if among(overriding) { Some(true) } else { among(add).then_some(false) }
}
