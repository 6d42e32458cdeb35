//! Who knows what an image runs: image indexes by rank, then the registry's answer, then the entries that are shipped.

use crate::image::{Digest, ImageIndex, ImageProcess, IndexHit, Platform, Reference};
use crate::outcome::Source;
use std::collections::HashMap;
use std::time::Duration;

/// The image indexes that one decision is made with, by rank: the first that knows an image answers.
#[derive(Debug, Clone, Copy)]
pub struct Indexes<'a> {
    /// The namespace's own, where the operator lets it go before everything.
    pub overriding: Option<&'a ImageIndex>,
    /// What operators wrote. It wins over the registry.
    pub operator: &'a ImageIndex,
    /// `images` of the object's own workflow controller, which asks no registry for them either.
    pub controller: Option<&'a ImageIndex>,
    /// The namespace's own, where it may add what nobody else's index knows.
    pub adding: Option<&'a ImageIndex>,
    /// What is shipped with the webhook: asked only where the registry gave no answer.
    pub shipped: &'a ImageIndex,
}

/// One image that the operator's index does not know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LookUp {
    /// The image.
    pub reference: Reference,
    /// The platforms that the object may run on, never empty.
    pub platforms: Vec<Platform>,
    /// Whether the object itself says so. Otherwise an image that has none of them may still be looked up for those it has.
    pub stated: bool,
    /// Whether each node will ask the registry what the tag names, so that an answer of a while ago may be the wrong one
    /// (`imagePullPolicy: Always`).
    pub always: bool,
}

/// Whether the kubelet asks the registry each time: by `imagePullPolicy`, and where there is none as the API server fills
/// it in, for the tag `latest` and for no tag at all.
pub(crate) fn pulls_always(policy: Option<&str>, reference: &Reference) -> bool {
    match policy {
        Some(policy) if !policy.is_empty() => policy == "Always",
        _ => reference.digest().is_none() && reference.tag().is_none_or(|tag| tag == "latest"),
    }
}

/// A registry's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of what the reference names: an index or a manifest.
    pub digest: Digest,
    /// What it runs, for each of the platforms asked for that it has; never empty.
    pub processes: Vec<(Platform, ImageProcess)>,
    /// How long ago the registry was asked what the name stands for.
    pub age: Duration,
    /// Whether that is longer ago than it should be, because the registry does not answer now.
    pub stale: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// In our own words: it reaches the user, who must not learn what a registry chooses to write.
    pub why: String,
    /// Whether it may go well later.
    pub transient: bool,
}

/// The answers to a plan's look-ups.
pub type Answers = HashMap<LookUp, Result<Found, Miss>>;

/// What came of asking everybody.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// One process on all platforms.
    Process(ImageProcess, Source),
    /// Different processes on these platforms.
    Differ(Vec<(Platform, ImageProcess, Source)>),
    /// Nobody knows.
    Unknown(Miss),
}

impl<'a> Indexes<'a> {
    /// The operator's and the shipped one, nobody else's.
    pub fn new(operator: &'a ImageIndex, shipped: &'a ImageIndex) -> Self {
        Self { overriding: None, operator, controller: None, adding: None, shipped }
    }

    /// Asks the indexes that go before the registry; `None` where none of them knows.
    pub fn known(&self, reference: &Reference, platforms: &[Platform]) -> Option<Choice> {
        let ask = |index: Option<&ImageIndex>, source: fn(String) -> Source| {
            choice_of(&index?.find(reference)?, platforms, source)
        };
        ask(self.overriding, |key| Source::Namespace { key })
            .or_else(|| ask(Some(self.operator), |key| Source::Index { key }))
            .or_else(|| ask(self.controller, |key| Source::Controller { key }))
            .or_else(|| ask(self.adding, |key| Source::Namespace { key }))
    }

    /// Judges the registry's answer, with the shipped entries behind it.
    pub fn judge(&self, look_up: &LookUp, answers: &Answers) -> Choice {
        let miss = match answers.get(look_up) {
            Some(Ok(found)) => return agree(found),
            Some(Err(miss)) => miss.clone(),
            None => Miss { why: "nobody was asked".to_owned(), transient: true },
        };
        self.shipped
            .find(&look_up.reference)
            .and_then(|hit| choice_of(&hit, &look_up.platforms, |key| Source::Shipped { key }))
            .unwrap_or(Choice::Unknown(miss))
    }
}

fn choice_of(hit: &IndexHit<'_>, platforms: &[Platform], source: impl Fn(String) -> Source) -> Option<Choice> {
    let (first, others) = platforms.split_first()?;
    let first = hit.entry.process_for(Some(first))?;
    let mut same = true;
    for platform in others {
        same &= hit.entry.process_for(Some(platform))? == first;
    }
    let source = || source(hit.key.to_owned());
    if same {
        return Some(Choice::Process(first.clone(), source()));
    }
    let of = |platform: &Platform| Some((platform.clone(), hit.entry.process_for(Some(platform))?.clone(), source()));
    Some(Choice::Differ(platforms.iter().filter_map(of).collect()))
}

fn agree(found: &Found) -> Choice {
    let Some((platform, first)) = found.processes.first() else {
        return Choice::Unknown(Miss { why: "the image has no platform".to_owned(), transient: false });
    };
    // What is executed decides; the user does not.
    let same = |process: &ImageProcess| process.entrypoint == first.entrypoint && process.cmd == first.cmd;
    let Found { digest, processes, age, stale } = found;
    let source = |platform: &Platform| Source::Registry {
        digest: digest.clone(),
        platform: platform.clone(),
        age: *age,
        stale: *stale,
    };
    if processes.iter().all(|(_, process)| same(process)) {
        return Choice::Process(first.clone(), source(platform));
    }
    let of = |(platform, process): &(Platform, ImageProcess)| (platform.clone(), process.clone(), source(platform));
    Choice::Differ(processes.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_index_that_knows_an_image_answers() {
        let index = |keys: &[&str], cmd: &str| {
            let mut index = ImageIndex::default();
            for key in keys {
                let process = ImageProcess { cmd: vec![cmd.to_owned()], ..ImageProcess::default() };
                index.insert(key, process.into()).unwrap();
            }
            index
        };
        let (operator, controller) =
            (index(&["corp/*", "a"], "operator"), index(&["a", "b", "corp/x:1"], "controller"));
        let (own, empty) = (index(&["a", "b", "c"], "own"), ImageIndex::default());
        let plain = Indexes { controller: Some(&controller), ..Indexes::new(&operator, &empty) };
        let adding = Indexes { adding: Some(&own), ..plain };
        let overriding = Indexes { overriding: Some(&own), ..plain };
        let platforms = [Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }];
        for (indexes, image, expected) in [
            (plain, "a", Some("index operator")),
            (plain, "b", Some("controller controller")),
            (plain, "c", None),
            // A pattern of the operator's goes before a name of whoever ranks below.
            (plain, "docker.io/corp/x:1", Some("index operator")),
            (adding, "a", Some("index operator")),
            (adding, "b", Some("controller controller")),
            (adding, "c", Some("namespace own")),
            (overriding, "a", Some("namespace own")),
            (overriding, "docker.io/corp/x:1", Some("index operator")),
        ] {
            let choice = indexes.known(&Reference::parse(image).unwrap(), &platforms);
            let said = choice.map(|choice| match choice {
                Choice::Process(process, source) => format!("{} {}", source.word(), process.cmd.join(" ")),
                other => format!("{other:?}"),
            });
            assert_eq!(said.as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn pull_policies_are_those_of_the_kubelet() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let table = [
            (Some("Always"), "a:1", true),
            (Some("IfNotPresent"), "a", false),
            (Some("Never"), "a", false),
            (None, "a", true),
            (None, "a:latest", true),
            (None, "a:1", false),
            (None, digest.as_str(), false),
            (Some(""), "a:latest", true),
        ];
        for (policy, image, expected) in table {
            let reference = Reference::parse(image).unwrap();
            assert_eq!(pulls_always(policy, &reference), expected, "{policy:?} {image}");
        }
    }
}
