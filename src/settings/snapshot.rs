//! Sources become one snapshot: each is parsed apart, and keeps what it last said that was valid.

use super::index_file::{self, IndexFile};
use super::keys::KEYS;
use super::layers::{self, Override};
use super::options::Settings;
use super::report::Report;
use super::rules::{Made, registry_options};
use super::tree::{Content, Node};
use crate::manifest::{Place, Problem};
use emissary_core::image::{ImageIndex, IndexProblem};
use emissary_core::lookup::Indexes;
use emissary_core::pod;
use emissary_core::workflow::WorkflowOptions;
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// What is in effect, all of one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The effective settings.
    pub settings: Settings,
    /// The operator's image index, merged from its files; it goes before the registry.
    pub index: Arc<ImageIndex>,
    /// The entries that this build ships; they come after the registry.
    pub shipped: Arc<ImageIndex>,
    /// Counts the snapshots of this process, from 1.
    pub generation: u64,
    merged: Node,
    made: Made,
}

impl Snapshot {
    /// How pods are rewritten.
    pub fn pod(&self) -> &pod::Options {
        &self.made.pod
    }

    /// How workflow kinds are filled.
    pub fn workflow(&self) -> &WorkflowOptions {
        &self.made.workflow
    }

    /// The image indexes.
    pub fn indexes(&self) -> Indexes<'_> {
        Indexes::new(&self.index, &self.shipped)
    }

    /// How images are looked up; roots, proxies and the clock are the caller's to add.
    pub fn registry(&self) -> emissary_registry::Options {
        registry_options(&self.settings.registry)
    }

    /// Makes what follows from the settings and the index.
    fn finished(mut self) -> Self {
        self.made = Made::of(&self.settings, &self.index);
        self
    }

    /// Where the value at a path of keys was written; `None` for a default.
    pub(super) fn origin(&self, path: &[String]) -> Option<&Place> {
        self.merged.at(path).map(|node| &node.place)
    }

    fn empty_tree() -> Node {
        Node { value: Content::Map(Vec::new()), place: Place::whole("default") }
    }
}

/// The defaults, no operator's index, and the shipped one.
impl Default for Snapshot {
    fn default() -> Self {
        let merged = Self::empty_tree();
        let settings = Settings::default();
        let (index, shipped, made) = (Arc::default(), shipped_index(), Made::default());
        Self { settings, index, shipped, generation: 1, merged, made }.finished()
    }
}

/// Where settings come from. What the process was given (variables, arguments) is handed in as values.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Settings files; a later one goes before an earlier.
    pub files: Vec<PathBuf>,
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

const LONGEST_SETTINGS: u64 = 1 << 20;
const LONGEST_INDEX: u64 = 64 << 20;
/// More would only bury the first.
const MOST_DUPLICATES: usize = 20;

/// A file, what it last said that was valid, and what is wrong with it now.
struct Source<T> {
    path: PathBuf,
    name: Arc<str>,
    /// A hash of the content, or the error, that the fields below are about.
    seen: Option<u64>,
    good: Option<T>,
    problems: Vec<Problem>,
}

impl<T> Source<T> {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            name: path.display().to_string().into(),
            seen: None,
            good: None,
            problems: Vec::new(),
        }
    }

    /// Reads the file, and parses it if it is another than last time. Returns whether that made a new version that is
    /// valid.
    fn refresh(&mut self, limit: u64, parse: impl FnOnce(&str, &Arc<str>) -> Result<T, Vec<Problem>>) -> bool {
        let content = read(&self.path, limit);
        let mut hasher = DefaultHasher::new();
        content.as_ref().map_err(ToString::to_string).hash(&mut hasher);
        if self.seen.replace(hasher.finish()) == Some(hasher.finish()) {
            return false;
        }
        let parsed = match content {
            Ok(text) => parse(&text, &self.name),
            Err(error) => {
                Err(vec![Problem::new(Place::whole(Arc::clone(&self.name)), format!("cannot be read: {error}"))])
            }
        };
        let valid = parsed.is_ok();
        match parsed {
            Ok(good) => (self.good, self.problems) = (Some(good), Vec::new()),
            Err(problems) => self.problems = problems,
        }
        valid
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
    files: Vec<Source<Node>>,
    /// From variables and the command line, which do not change.
    fixed: Vec<Node>,
    indexes: Vec<Source<IndexFile>>,
    /// Images that more than one of them names.
    duplicates: Vec<Problem>,
    /// With the restart keys of the start.
    current: Snapshot,
}

impl Composer {
    /// Reads every source for the first time.
    pub(super) fn start(sources: &Sources) -> Result<(Self, Snapshot, Report), Vec<Problem>> {
        let Sources { files, variables, overrides } = sources;
        let (fixed, mut problems) = layers::of_process(variables, overrides);
        let files = files.iter().map(|path| Source::new(path)).collect();
        let mut composer =
            Self { files, fixed, indexes: Vec::new(), duplicates: Vec::new(), current: Snapshot::default() };
        problems.extend(composer.refresh_files());
        let merged = composer.merged();
        match layers::check(&merged) {
            Ok(settings) => (composer.current.settings, composer.current.merged) = (settings, merged),
            Err(problem) => problems.push(problem),
        }
        problems.extend(composer.refresh_indexes());
        if !problems.is_empty() {
            return Err(problems);
        }
        let report = Report { problems: composer.duplicates.clone(), restart: Vec::new() };
        let snapshot = composer.current.clone().finished();
        Ok((composer, snapshot, report))
    }

    /// Reads every source again. A snapshot comes back where anything that is in effect has changed.
    pub(super) fn refresh(&mut self) -> (Option<Snapshot>, Report) {
        let mut report = Report { problems: self.refresh_files(), restart: Vec::new() };
        let before = (self.current.settings.clone(), self.current.index.fingerprint());
        let merged = self.merged();
        match layers::check(&merged) {
            Ok(settings) => {
                let (settings, changed) = keep_restart_keys(&before.0, settings, &merged);
                report.restart = changed;
                (self.current.settings, self.current.merged) = (settings, merged);
            }
            Err(problem) => report.problems.push(problem),
        }
        report.problems.extend(self.refresh_indexes());
        report.problems.extend(self.duplicates.clone());
        let same = before.0 == self.current.settings && before.1 == self.current.index.fingerprint();
        if same {
            return (None, report);
        }
        self.current.generation += 1;
        (Some(self.current.clone().finished()), report)
    }

    fn refresh_files(&mut self) -> Vec<Problem> {
        let parse = |text: &str, name: &Arc<str>| layers::of_file(text, name).map_err(|problem| vec![problem]);
        for file in &mut self.files {
            file.refresh(LONGEST_SETTINGS, parse);
        }
        self.files.iter().flat_map(|file| file.problems.clone()).collect()
    }

    /// Reads the files that the current settings name, and merges them anew where any has changed. One that is named no
    /// more is forgotten.
    fn refresh_indexes(&mut self) -> Vec<Problem> {
        let mut known = std::mem::take(&mut self.indexes);
        let before: Vec<PathBuf> = known.iter().map(|index| index.path.clone()).collect();
        let named = &self.current.settings.image_index.files;
        let mut changed = before != *named;
        for path in named {
            let at = known.iter().position(|index| index.path == *path);
            let mut index = at.map_or_else(|| Source::new(path), |at| known.swap_remove(at));
            changed |= index.refresh(LONGEST_INDEX, index_file::parse);
            self.indexes.push(index);
        }
        if changed {
            let (index, duplicates) = self.index();
            (self.current.index, self.duplicates) = (Arc::new(index), duplicates);
        }
        self.indexes.iter().flat_map(|index| index.problems.clone()).collect()
    }

    /// Every valid layer, laid over each other.
    fn merged(&self) -> Node {
        let mut merged = Snapshot::empty_tree();
        let layers = self.files.iter().filter_map(|file| file.good.as_ref()).chain(&self.fixed);
        layers.for_each(|layer| merged.overlay(layer.clone()));
        merged
    }

    /// Every valid index file, one after the other; what an earlier one has stays.
    fn index(&self) -> (ImageIndex, Vec<Problem>) {
        let (mut merged, mut places, mut problems) = (ImageIndex::default(), Vec::new(), Vec::new());
        for file in self.indexes.iter().filter_map(|index| index.good.as_ref()) {
            for (hit, place) in file.index.iter().zip(&file.places) {
                match merged.insert(hit.key, hit.entry.clone()) {
                    Ok(()) => places.push(place.clone()),
                    Err(_) if problems.len() >= MOST_DUPLICATES => {}
                    Err(problem) => {
                        let IndexProblem::Duplicate { earlier, .. } = &problem else { continue };
                        let first = merged.iter().zip(&places).find(|(hit, _)| hit.key == earlier);
                        let first =
                            first.map(|(_, place)| format!(" (the first, {place}, counts)")).unwrap_or_default();
                        problems.push(Problem::new(place.clone(), format!("{problem}{first}")));
                    }
                }
            }
        }
        (merged, problems)
    }
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
