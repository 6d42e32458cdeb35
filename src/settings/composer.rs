//! Sources become one snapshot: each is parsed apart, and keeps what it last said that was valid.

use super::argo::{self, ControllerLayer};
use super::feed::{Changes, ConfigMap, ObjectName, Role};
use super::held::Held;
use super::index_file::{self, IndexFile};
use super::index_map::IndexMap;
use super::keys::KEYS;
use super::layers;
use super::options::{Controller, OwnIndexes, Settings};
use super::report::{ObjectProblem, Report};
use super::rules::{Made, OfController};
use super::snapshot::{Controlled, OwnIndex, Snapshot, Sources, shipped_index};
use super::tree::Node;
use super::values::NamePattern;
use crate::manifest::{Place, Problem};
use emissary_core::image::{ImageIndex, IndexProblem};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LONGEST_SETTINGS: u64 = 1 << 20;
const LONGEST_INDEX: u64 = 64 << 20;
/// Of one ConfigMap of the operator's, decompressed.
const LONGEST_MAP: usize = 16 << 20;
/// Of one namespace's own, decompressed: tenants write it, and all of them share this process's memory.
const LONGEST_OWN: usize = 256 << 10;
/// Of all of those together.
const LONGEST_OWN_TOGETHER: usize = 16 << 20;
/// More would only bury the first.
const MOST_DUPLICATES: usize = 20;

/// A file and what it says.
struct File<T> {
    path: PathBuf,
    name: Arc<str>,
    held: Held<T>,
}

impl<T> File<T> {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string().into(), held: Held::default() }
    }

    /// Reads the file, and parses it if it is another than last time. Returns whether what is in effect may have changed.
    fn refresh(&mut self, limit: u64, parse: impl FnOnce(&str, &Arc<str>) -> Result<T, Vec<Problem>>) -> bool {
        let content = read(&self.path, limit).map_err(|error| error.to_string());
        self.held.update(&content, || {
            let parsed = match &content {
                Ok(text) => parse(text, &self.name),
                Err(error) => {
                    Err(vec![Problem::new(Place::whole(Arc::clone(&self.name)), format!("cannot be read: {error}"))])
                }
            };
            match parsed {
                Ok(good) => (Some(good), Vec::new()),
                Err(problems) => (None, problems),
            }
        })
    }
}

fn read(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::other(format!("it is longer than {} MiB", limit >> 20)));
    }
    Ok(text)
}

/// Keeps the sources of one process and makes snapshots of them.
pub(super) struct Composer {
    files: Vec<File<Node>>,
    /// From variables and the command line, which do not change.
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
        let Sources { files, variables, overrides } = sources;
        let (fixed, mut problems) = layers::of_process(variables, overrides);
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

/// Merges entries in their order; what an earlier one has stays. Returns also which later ones do not count.
pub(super) fn merge<'a, W>(files: impl IntoIterator<Item = (W, &'a IndexFile)>) -> (ImageIndex, Vec<(W, Problem)>)
where
    W: Copy,
{
    let (mut merged, mut places, mut problems) = (ImageIndex::default(), Vec::new(), Vec::new());
    for (whose, file) in files {
        for (hit, place) in file.index.iter().zip(&file.places) {
            match merged.insert(hit.key, hit.entry.clone()) {
                Ok(()) => places.push(place.clone()),
                Err(_) if problems.len() >= MOST_DUPLICATES => {}
                Err(problem) => {
                    let IndexProblem::Duplicate { earlier, .. } = &problem else { continue };
                    let first = merged.iter().zip(&places).find(|(hit, _)| hit.key == earlier);
                    let first = first.map(|(_, place)| format!(" (the first, {place}, counts)")).unwrap_or_default();
                    problems.push((whose, Problem::new(place.clone(), format!("{problem}{first}"))));
                }
            }
        }
    }
    (merged, problems)
}

/// The new settings with the restart keys of the running ones, and a problem for each that was changed.
fn keep_restart_keys(running: &Settings, fresh: Settings, merged: &Node) -> (Settings, Vec<Problem>) {
    let (Ok(old), Ok(mut new)) = (serde_json::to_value(running), serde_json::to_value(&fresh)) else {
        return (running.clone(), Vec::new());
    };
    let mut changed = Vec::new();
    for key in KEYS.iter().filter(|key| key.restart) {
        let pointer = format!("/{}", key.path.join("/"));
        let (Some(old), Some(new)) = (old.pointer(&pointer), new.pointer_mut(&pointer)) else { continue };
        if old == new {
            continue;
        }
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text =
            format!("{}: {} takes effect at the next start; until then it is {}", key.name(), shown(new), shown(old));
        let place = merged.at(&key.path).map_or_else(|| Place::whole("default"), |node| node.place.clone());
        changed.push(Problem::new(place, text));
        *new = old.clone();
    }
    if changed.is_empty() {
        return (fresh, changed);
    }
    // Both came from valid settings, so this is valid too.
    (serde_json::from_value(new).unwrap_or_else(|_| running.clone()), changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::snapshot::{Belonging, Decisions};
    use emissary_core::image::Reference;
    use std::fmt::Write;
    use tempfile::TempDir;

    /// A composer over one settings file.
    struct Bench {
        folder: TempDir,
        composer: Composer,
        snapshot: Snapshot,
        report: Report,
    }

    fn name(text: &str) -> ObjectName {
        let (namespace, name) = text.split_once('/').unwrap();
        ObjectName { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn map(key: &str, text: &str) -> ConfigMap {
        ConfigMap { data: BTreeMap::from([(key.to_owned(), text.to_owned())]), ..ConfigMap::default() }
    }

    impl Bench {
        fn start(settings: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("s.yaml");
            std::fs::write(&file, settings).unwrap();
            let sources = Sources { files: vec![file], ..Sources::default() };
            let (composer, snapshot, report) = Composer::start(&sources).unwrap();
            Self { folder, composer, snapshot, report }
        }

        /// Returns whether there is a new snapshot.
        fn refresh(&mut self, changes: Changes) -> bool {
            let (snapshot, report) = self.composer.refresh(changes);
            self.report = report;
            let new = snapshot.is_some();
            self.snapshot = snapshot.unwrap_or_else(|| self.snapshot.clone());
            new
        }

        fn settings(&mut self, settings: &str) -> bool {
            std::fs::write(self.folder.path().join("s.yaml"), settings).unwrap();
            self.refresh(Changes::new())
        }

        fn put(&mut self, role: Role, object: &str, map: ConfigMap) -> bool {
            self.refresh(Changes::from([((role, name(object)), Some(map))]))
        }

        fn remove(&mut self, role: Role, object: &str) -> bool {
            self.refresh(Changes::from([((role, name(object)), None)]))
        }

        fn decisions(&self, namespace: &str, instance: &'static str) -> Decisions<'_> {
            self.snapshot.decisions(namespace, || (!instance.is_empty()).then_some(instance.into()))
        }

        /// What an image runs for a namespace, and who says so.
        fn runs(&self, namespace: &str, image: &str) -> Option<String> {
            let Decisions { pod, indexes, .. } = self.decisions(namespace, "");
            let choice = indexes.known(&Reference::parse(image).unwrap(), &pod.platforms)?;
            let emissary_core::lookup::Choice::Process(process, source) = choice else { return None };
            Some(format!("{} by {}", process.cmd.join(" "), source.word()))
        }

        fn problems(&self) -> Vec<String> {
            self.report.objects.iter().map(|object| format!("{} {}", object.object, object.problem)).collect()
        }
    }

    #[test]
    fn index_maps_are_merged_in_order_and_each_may_go() {
        let mut bench = Bench::start("");
        let image = |cmd: &str| map("index.yaml", &format!("app: {{cmd: [{cmd}]}}\n"));
        for (role, object, cmd, expected) in [
            (Role::Labelled, "w/z", "late", "late"),
            (Role::Labelled, "w/b", "early", "early"),
            (Role::Index, "w/image-index", "main", "main"),
        ] {
            assert!(bench.put(role, object, image(cmd)));
            assert_eq!(bench.runs("x", "app"), Some(format!("{expected} by index")));
        }
        let expected = "w/b ConfigMap w/b, key index.yaml:1:1: `app` is here already; remove one of the two \
                        (the first, ConfigMap w/image-index, key index.yaml:1:1, counts)";
        assert_eq!(bench.problems()[0], expected);
        assert!(!bench.put(Role::Index, "w/image-index", image("main")), "nothing has changed");
        assert!(bench.put(Role::Index, "w/image-index", map("index.yaml", "other: {cmd: [x]}\n")));
        assert_eq!(bench.runs("x", "app").as_deref(), Some("early by index"));
        assert!(bench.remove(Role::Index, "w/image-index"));
        assert_eq!(bench.runs("x", "other"), None, "who deletes an index means it");
        assert!(bench.remove(Role::Labelled, "w/b") && bench.remove(Role::Labelled, "w/z"));
        assert_eq!((bench.runs("x", "app"), bench.report.clone()), (None, Report::default()));
    }

    #[test]
    fn an_invalid_edit_keeps_what_was_valid_and_the_next_mends_it() {
        let mut bench = Bench::start("");
        bench.put(Role::Index, "w/image-index", map("index.yaml", "app: {cmd: [x]}\n"));
        assert!(!bench.put(Role::Index, "w/image-index", map("index.yaml", "\napp: {cmd: 7}\n")));
        assert_eq!(bench.runs("x", "app").as_deref(), Some("x by index"));
        assert!(bench.problems()[0].starts_with("w/image-index ConfigMap w/image-index, key index.yaml:2:12: app: "));
        assert!(bench.put(Role::Index, "w/image-index", map("index.yaml", "app: {cmd: [z]}\n")));
        assert_eq!((bench.runs("x", "app").as_deref(), bench.problems().len()), (Some("z by index"), 0));
    }

    #[test]
    fn the_shipped_entries_may_be_replaced() {
        let mut bench = Bench::start("");
        let own = bench.snapshot.shipped.len();
        assert!(own > 1 && bench.put(Role::Defaults, "w/image-index-defaults", map("images", "a: {cmd: [x]}\n")));
        assert_eq!(bench.snapshot.shipped.len(), 1);
        assert_eq!(bench.runs("x", "a"), None, "they come after the registry");
        assert!(bench.remove(Role::Defaults, "w/image-index-defaults"));
        assert_eq!(bench.snapshot.shipped.len(), own);
    }

    #[test]
    fn a_namespaces_own_index_counts_as_far_as_it_is_granted() {
        let grants = |grants: &str| format!("imageIndex: {{namespaces: {{{grants}}}}}\n");
        let mut bench = Bench::start("");
        let own = || map("index.yaml", "app: {cmd: [own]}\nmine: {cmd: [own]}\n");
        bench.put(Role::Index, "w/image-index", map("index.yaml", "app: {cmd: [cluster]}\n"));
        assert!(!bench.put(Role::Namespace, "team-a/image-index", own()), "nobody granted it");
        assert!(bench.settings(&grants("add: [team-*]")));
        assert!(bench.put(Role::Namespace, "team-a/image-index", own()));
        let both = |bench: &Bench, namespace| (bench.runs(namespace, "app"), bench.runs(namespace, "mine"));
        let expect = |app: &str, mine: Option<&str>| (Some(app.to_owned()), mine.map(str::to_owned));
        assert_eq!(both(&bench, "team-a"), expect("cluster by index", Some("own by namespace")));
        assert_eq!(both(&bench, "team-b"), expect("cluster by index", None), "it is nobody else's");
        assert!(bench.settings(&grants("add: [team-*], override: [team-a]")));
        assert_eq!(both(&bench, "team-a"), expect("own by namespace", Some("own by namespace")));
        assert!(!bench.put(Role::Namespace, "team-a/image-index", map("index.yaml", "app: 1\nsecret: 2\n")));
        assert_eq!(both(&bench, "team-a"), expect("own by namespace", Some("own by namespace")));
        assert_eq!(bench.problems().len(), 2);
        let lines = bench.report.lines();
        assert_eq!(lines, ["not in effect: something in ConfigMap team-a/image-index; see its Events"]);
        assert!(bench.settings(&grants("override: [team-b]")));
        assert_eq!(both(&bench, "team-a"), expect("cluster by index", None));
        bench.settings(&grants("override: [team-a]"));
        assert_eq!(bench.runs("team-a", "mine"), None, "what is not granted is not kept");
    }

    #[test]
    fn tenants_share_a_bounded_memory() {
        let mut bench = Bench::start("imageIndex: {namespaces: {add: ['*']}}\n");
        let word = "x".repeat(8000);
        let long = |bytes: usize| {
            let mut text = String::new();
            while text.len() + word.len() + 100 < bytes {
                let _ = writeln!(text, "app-{}: {{cmd: [{word}]}}", text.len());
            }
            map("index.yaml", &text)
        };
        bench.put(Role::Namespace, "a/image-index", long(LONGEST_OWN + 2 * word.len()));
        assert!(
            bench.problems()[0].contains("it is longer than the 262144 bytes that are left"),
            "{:?}",
            bench.problems()
        );
        let fit = LONGEST_OWN_TOGETHER / long(LONGEST_OWN).data["index.yaml"].len();
        let all =
            (0..fit + 2).map(|n| ((Role::Namespace, name(&format!("n{n}/image-index"))), Some(long(LONGEST_OWN))));
        bench.refresh(all.collect());
        let counted = (0..fit + 2).filter(|n| bench.runs(&format!("n{n}"), "app-0").is_some()).count();
        assert_eq!(counted, fit);
        assert!(bench.composer.maps.values().map(IndexMap::size).sum::<usize>() <= LONGEST_OWN_TOGETHER);
    }

    const TWO: &str = "executor: {imagePullPolicy: Always}\ncontrollers:\n- namespace: blue\n- namespace: green\n  \
                       instanceID: green\n  managedNamespaces: [green-*]\n";

    #[test]
    fn each_controllers_configuration_counts_for_its_own() {
        let mut bench = Bench::start(TWO);
        let config = |config: &str| map("config", config);
        let object = |namespace: &str| format!("{namespace}/workflow-controller-configmap");
        bench.put(
            Role::Controller,
            &object("blue"),
            config("instanceID: blue\nexecutor: {image: corp/argoexec:blue, imagePullPolicy: Never}\nimages: {app: {cmd: [b]}}\n"),
        );
        bench.put(
            Role::Controller,
            &object("green"),
            config("instanceID: ignored\nexecutor: {image: corp/argoexec:green}\nworkflowDefaults: {spec: {podSpecPatch: '{}'}}\n"),
        );
        let image = |bench: &Bench, namespace, instance| {
            let decisions = bench.decisions(namespace, instance);
            let executor = &decisions.pod.executor;
            (executor.image.clone(), executor.image_pull_policy.clone(), decisions.belonging)
        };
        let default = Settings::default().executor.image.as_str().to_owned();
        let always = || Some("Always".to_owned());
        let table = [
            ("x", "blue", "corp/argoexec:blue", Belonging::One),
            ("green-1", "blue", "corp/argoexec:blue", Belonging::One),
            ("green-1", "green", "corp/argoexec:green", Belonging::One),
            ("x", "green", default.as_str(), Belonging::Nobody),
            ("green-1", "", default.as_str(), Belonging::Nobody),
        ];
        for (namespace, instance, expected, belonging) in table {
            let found = image(&bench, namespace, instance);
            assert_eq!(found, (expected.to_owned(), always(), belonging), "{namespace} {instance}: a file goes first");
        }
        let known = |bench: &Bench, instance| {
            let decisions = bench.decisions("x", instance);
            decisions.indexes.known(&Reference::parse("app").unwrap(), &decisions.pod.platforms).is_some()
        };
        assert!(known(&bench, "blue") && !known(&bench, ""));
        let green = bench.decisions("green-1", "green");
        assert_eq!(green.workflow.controller.pod_spec_patch.as_deref(), Some("{}"));
        assert_ne!(green.pod.stamp, bench.decisions("x", "blue").pod.stamp);

        assert!(!bench.put(Role::Controller, &object("blue"), config("instanceID: blue\nexecutor: {image: UPPER}\n")));
        assert_eq!(image(&bench, "x", "blue").0, "corp/argoexec:blue", "what was valid stays");
        assert!(bench.problems()[0].contains("blue/workflow-controller-configmap, key config:2:19: executor.image: "));
        assert!(bench.remove(Role::Controller, &object("blue")));
        assert_eq!(image(&bench, "x", "blue").2, Belonging::Nobody, "only its ConfigMap said that it is blue");
        assert!(bench.settings("controllers: [{namespace: a}, {namespace: b}]\n"));
        assert_eq!(bench.decisions("x", "").belonging, Belonging::Several);
        assert!(bench.settings(""));
        assert_eq!(bench.decisions("x", "").belonging, Belonging::Unasked);
    }

    #[test]
    fn what_one_edit_touches_is_all_that_is_parsed() {
        let mut bench = Bench::start("");
        let long: String = (0..20_000).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "registry.example.com/app-{n}: {{cmd: [x]}}");
            text
        });
        bench.put(Role::Index, "w/image-index", map("index.yaml", &long));
        let place = |bench: &Bench| {
            let key = (Role::Index, name("w/image-index"));
            let file = bench.composer.maps[&key].files().next().unwrap();
            std::ptr::from_ref(&file.places[0]).addr()
        };
        let before = place(&bench);
        assert!(bench.put(Role::Labelled, "w/more", map("index.yaml", "more: {cmd: [x]}\n")));
        assert_eq!((bench.snapshot.index.len(), place(&bench)), (20_001, before), "the same parsed entries");
    }

    #[test]
    fn what_the_documentation_shows_is_in_effect_as_it_stands() {
        #[derive(serde::Deserialize)]
        struct Manifest {
            kind: String,
            metadata: Metadata,
            data: BTreeMap<String, String>,
        }
        #[derive(serde::Deserialize)]
        struct Metadata {
            namespace: String,
            name: String,
            #[serde(default)]
            labels: BTreeMap<String, String>,
        }
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configmaps.md")).unwrap();
        let blocks: Vec<&str> = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        let (maps, settings): (Vec<&str>, Vec<&str>) = blocks.iter().partition(|block| block.contains("kind: "));
        assert_eq!((maps.len(), settings.len()), (4, 2));
        let mut bench = Bench::start(&settings.concat());
        let start = Place::whole("docs/configmaps.md");
        for block in maps {
            let Manifest { kind, metadata, data } = crate::manifest::parse_yaml(block, &start, 10).unwrap().value;
            let Metadata { namespace, name, labels } = metadata;
            let role = match name.as_str() {
                "image-index" => Role::Index,
                _ if labels.get(emissary_core::names::IMAGE_INDEX).is_some_and(|value| value == "true") => {
                    Role::Labelled
                }
                _ => Role::Controller,
            };
            let map = ConfigMap { data, ..ConfigMap::default() };
            assert!(kind == "ConfigMap" && bench.put(role, &format!("{namespace}/{name}"), map), "{block}");
        }
        assert_eq!(bench.report, Report::default());
        let image = |namespace, instance| {
            let decisions = bench.decisions(namespace, instance);
            (decisions.belonging, decisions.pod.executor.image.rsplit_once(':').unwrap().1.to_owned())
        };
        assert_eq!(image("x", "main"), (Belonging::One, "v4.1.2".to_owned()));
        assert_eq!(image("batch-1", "batch"), (Belonging::One, "v3.6.10".to_owned()));
        assert_eq!(image("x", "batch").0, Belonging::Nobody);
        assert_eq!(bench.runs("x", "registry.example.com/notebooks/a:1").as_deref(), Some(" by index"));
    }
}
