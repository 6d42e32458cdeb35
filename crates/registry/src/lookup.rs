//! From a reference to what its image runs: index, manifest, configuration.

use crate::{
    Failure,
    authorization::Who,
    document::{self, Descriptor, Document, Entry, ImageConfig},
    record::{self, Kind, Record},
    route::{Route, Shown},
    transport::{Answer, Limit},
};
use emissary_core::image::{Digest, ImageProcess, Platform};
use futures_util::future::try_join_all;
use reqwest::Method;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

const MANIFEST_LIMIT: Limit = Limit { what: "the manifest", bytes: 4 << 20 };
const CONFIG_LIMIT: Limit = Limit { what: "the image's config", bytes: 8 << 20 };
/// Indexes within indexes, the first included.
const DEEPEST: usize = 3;
/// Manifests that one look-up fetches: an index can list as many as fit in it.
const MOST_MANIFESTS: usize = 64;

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// What a manifest's digest stands for.
enum Content {
    Index(Vec<Entry>),
    Image(ImageConfig),
}

/// What is asked for.
pub(crate) enum Named {
    Tag(String),
    Digest(Digest),
}

/// What a look-up found.
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) record: Record,
    /// Whether more was read than which digest it is.
    pub(crate) fetched: bool,
}

/// Who was let see what a look-up took from the registry's places.
#[derive(Clone, Copy)]
enum ShownTo {
    Nobody,
    /// One who could see all of it.
    One(Who),
    /// Each saw a part, so that none of them has shown to may see all.
    Several,
}

/// One look-up under way.
pub(crate) struct LookUp<'a> {
    route: &'a Route<'a>,
    platforms: &'a [Platform],
    /// What is remembered of a digest.
    known: &'a (dyn Fn(&Digest) -> Option<Record> + Send + Sync),
    /// Manifests fetched so far.
    fetched: AtomicUsize,
    /// What was read so far.
    read: Mutex<HashMap<Digest, Arc<Content>>>,
    shown_to: Mutex<ShownTo>,
}

impl Named {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

impl<'a> LookUp<'a> {
    pub(crate) fn new(
        route: &'a Route<'a>,
        platforms: &'a [Platform],
        known: &'a (dyn Fn(&Digest) -> Option<Record> + Send + Sync),
    ) -> Self {
        let (fetched, read, shown_to) = (AtomicUsize::new(0), Mutex::default(), Mutex::new(ShownTo::Nobody));
        Self { route, platforms, known, fetched, read, shown_to }
    }

    /// The credential by which the repository was shown, once it was.
    pub(crate) fn shown_to(&self) -> Option<Who> {
        match *self.shown_to.lock().unwrap_or_else(PoisonError::into_inner) {
            ShownTo::One(who) => Some(who),
            ShownTo::Nobody | ShownTo::Several => None,
        }
    }

    /// Whoever has a credential may see what is open to all, too; so of two that are not the same nobody's counts less.
    fn note(&self, shown: &Shown) {
        // Who only says which digest a tag has shows nothing of what that is.
        if !shown.content {
            return;
        }
        let mut shown_to = self.shown_to.lock().unwrap_or_else(PoisonError::into_inner);
        *shown_to = match (*shown_to, shown.who) {
            (ShownTo::Nobody | ShownTo::One(None), who) => ShownTo::One(who),
            (ShownTo::One(one), other) if other.is_none() || one == other => ShownTo::One(one),
            (ShownTo::One(_) | ShownTo::Several, _) => ShownTo::Several,
        };
    }

    /// `expected`: the digest that the tag had when it was last asked for.
    pub(crate) async fn run(&self, named: &Named, expected: Option<&Digest>) -> Result<Found, Failure> {
        if let Some(found) = self.confirm(named, expected).await? {
            return Ok(found);
        }
        let by_digest = match named {
            Named::Digest(digest) => Some(digest),
            Named::Tag(_) => None,
        };
        let (digest, document) = self.manifest(named.as_str(), by_digest, MANIFEST_LIMIT).await?;
        let known = (self.known)(&digest);
        if let Some(record) = &known
            && record.covers(self.platforms)
        {
            self.prove(&digest).await?;
            return Ok(Found { digest, record: record.clone(), fetched: false });
        }
        let content = self.complete(&digest, document).await?;
        let record = match &*content {
            Content::Image(config) => single(&digest, config),
            Content::Index(entries) => self.index(entries, known).await?,
        };
        Ok(Found { digest, record, fetched: true })
    }

    /// One HEAD instead of all the rest, where what it may confirm is remembered.
    async fn confirm(&self, named: &Named, expected: Option<&Digest>) -> Result<Option<Found>, Failure> {
        let record = |digest: &Digest| {
            let record = (self.known)(digest)?;
            record.covers(self.platforms).then_some(record)
        };
        if expected.and_then(record).is_none() {
            return Ok(None);
        }
        let Some(answer) = self.head(named.as_str()).await? else { return Ok(None) };
        let digest = match named {
            Named::Digest(digest) => Some(digest.clone()),
            // Without the header it has to be computed, so the whole has to be fetched.
            Named::Tag(_) => {
                let announced = answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
                announced.and_then(|text| Digest::parse(text).ok())
            }
        };
        let Some((digest, record)) = digest.and_then(|digest| Some((digest.clone(), record(&digest)?))) else {
            return Ok(None);
        };
        self.prove(&digest).await?;
        Ok(Some(Found { digest, record, fetched: false }))
    }

    /// `None` where HEAD is not known.
    async fn head(&self, named: &str) -> Result<Option<Answer>, Failure> {
        match self.route.send(Method::HEAD, &format!("manifests/{named}"), ACCEPT, MANIFEST_LIMIT).await {
            Ok(shown) => {
                self.note(&shown);
                Ok(Some(shown.answer))
            }
            Err(failure) if failure.is_ignorance_of_head() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// What is remembered of a digest is for those who may see it, which a place that only resolves tags cannot say.
    async fn prove(&self, digest: &Digest) -> Result<(), Failure> {
        let is_shown = || !matches!(*self.shown_to.lock().unwrap_or_else(PoisonError::into_inner), ShownTo::Nobody);
        if !is_shown() && self.head(digest.as_str()).await?.is_none() {
            self.manifest(digest.as_str(), Some(digest), MANIFEST_LIMIT).await?;
        }
        Ok(())
    }

    async fn index(&self, entries: &[Entry], known: Option<Record>) -> Result<Record, Failure> {
        let (mut listed, unlisted) = self.flatten(entries).await?;
        let platforms: Vec<Platform> = listed.iter().map(|(platform, _)| platform.clone()).collect();
        let mut complete = unlisted.is_empty();
        if !record::lists(&platforms, self.platforms) {
            for content in unlisted {
                match self.content(&content).await {
                    Ok(found) => match &*found {
                        Content::Image(ImageConfig { platform: Some(platform), .. }) => {
                            listed.push((platform.clone(), content));
                        }
                        Content::Image(_) | Content::Index(_) => {}
                    },
                    // Signatures and the like are listed without a platform too.
                    Err(Failure::NotAnImage { .. }) => {}
                    Err(failure) => return Err(failure),
                }
            }
            complete = true;
        }
        let mut offered: Vec<Platform> = Vec::new();
        for (platform, _) in &listed {
            if !offered.contains(platform) {
                offered.push(platform.clone());
            }
        }
        if offered.is_empty() {
            return Err(Failure::NotAnImage { what: "an index without images" });
        }
        let mut processes = known.map(|record| record.processes).unwrap_or_default();
        let is_new = |platform: &&Platform| !processes.iter().any(|(known, ..)| known == *platform);
        let missing =
            record::choose(&offered, self.platforms).into_iter().filter(is_new).cloned().filter_map(|platform| {
                // Of several for one platform (Windows lists one a build) runtimes take the first.
                let (_, content) = listed.iter().find(|(listed, _)| *listed == platform)?;
                Some(self.process(platform, content))
            });
        let missing: Vec<_> = missing.collect();
        processes.extend(try_join_all(missing).await?);
        Ok(Record { kind: Kind::Index { complete }, offered, processes })
    }

    async fn process(
        &self,
        platform: Platform,
        content: &Descriptor,
    ) -> Result<(Platform, Digest, ImageProcess), Failure> {
        match &*self.content(content).await? {
            Content::Image(config) => Ok((platform, content.digest.clone(), config.process.clone())),
            Content::Index(_) => Err(Failure::Protocol("an entry of the index is not what it says")),
        }
    }

    /// The images of an index and of those within it: with their platforms, and without.
    async fn flatten(&self, entries: &[Entry]) -> Result<(Vec<(Platform, Descriptor)>, Vec<Descriptor>), Failure> {
        let (mut listed, mut unlisted) = (Vec::new(), Vec::new());
        let mut queue: VecDeque<(Entry, usize)> = entries.iter().map(|entry| (entry.clone(), 1)).collect();
        while let Some((entry, depth)) = queue.pop_front() {
            let Entry { content, nested, platform } = entry;
            match (nested, platform) {
                (true, _) if depth == DEEPEST => {
                    return Err(Failure::TooLarge { what: "the index", limit: DEEPEST as u64, unit: "levels" });
                }
                (true, _) => match &*self.content(&content).await? {
                    Content::Index(inner) => {
                        inner.iter().rev().for_each(|entry| queue.push_front((entry.clone(), depth + 1)));
                    }
                    Content::Image(_) => return Err(Failure::Protocol("an entry of the index is not what it says")),
                },
                (false, Some(platform)) => listed.push((platform, content)),
                (false, None) => unlisted.push(content),
            }
        }
        Ok((listed, unlisted))
    }

    async fn content(&self, descriptor: &Descriptor) -> Result<Arc<Content>, Failure> {
        let Descriptor { digest, size } = descriptor;
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(content) = read {
            return Ok(content);
        }
        let limit = exactly(*size, MANIFEST_LIMIT)?;
        let fetched = self.manifest(digest.as_str(), Some(digest), limit).await;
        let (_, document) = fetched.map_err(|failure| mismatch(failure, digest))?;
        self.complete(digest, document).await
    }

    /// Fetches what a manifest only points to.
    async fn complete(&self, digest: &Digest, document: Document) -> Result<Arc<Content>, Failure> {
        let content = Arc::new(match document {
            Document::Index(entries) => Content::Index(entries),
            Document::Manifest { config } => Content::Image(self.config(&config).await?),
        });
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(digest.clone(), Arc::clone(&content));
        Ok(content)
    }

    /// `named` is a tag or a digest.
    async fn manifest(
        &self,
        named: &str,
        expected: Option<&Digest>,
        limit: Limit,
    ) -> Result<(Digest, Document), Failure> {
        if self.fetched.fetch_add(1, Ordering::Relaxed) >= MOST_MANIFESTS {
            return Err(Failure::TooLarge {
                what: "the index",
                limit: MOST_MANIFESTS as u64,
                unit: "manifests to read",
            });
        }
        let shown = self.route.send(Method::GET, &format!("manifests/{named}"), ACCEPT, limit).await?;
        let answer = &shown.answer;
        let header = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let announced = header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
        document::refuse_schema_1(header("content-type"))?;
        for digest in [expected, announced.as_ref()].into_iter().flatten() {
            document::verify(&answer.body, digest)?;
        }
        let digest = match expected.cloned().or(announced) {
            Some(digest) => digest,
            None => document::digest(&answer.body)?,
        };
        self.note(&shown);
        Ok((digest, document::parse(&answer.body, header("content-type"))?))
    }

    async fn config(&self, descriptor: &Descriptor) -> Result<ImageConfig, Failure> {
        let Descriptor { digest, size } = descriptor;
        let limit = exactly(*size, CONFIG_LIMIT)?;
        let fetched = self.route.send(Method::GET, &format!("blobs/{digest}"), "*/*", limit).await;
        let shown = fetched.map_err(|failure| mismatch(failure, digest))?;
        document::verify(&shown.answer.body, digest)?;
        self.note(&shown);
        document::parse_config(&shown.answer.body)
    }
}

fn single(digest: &Digest, config: &ImageConfig) -> Record {
    let ImageConfig { platform, process } = config;
    let offered = platform.iter().cloned().collect();
    Record { kind: Kind::Single, offered, processes: vec![(record::unknown(), digest.clone(), process.clone())] }
}

/// No more than its descriptor says is read. A shorter body has another digest, so it needs no look at the size.
fn exactly(size: u64, limit: Limit) -> Result<Limit, Failure> {
    if size > limit.bytes {
        return Err(Failure::TooLarge { what: limit.what, limit: limit.bytes, unit: "bytes" });
    }
    Ok(Limit { bytes: size, ..limit })
}

/// More than a descriptor says is other content than it describes.
fn mismatch(failure: Failure, expected: &Digest) -> Failure {
    match failure {
        Failure::TooLarge { unit: "bytes", .. } => Failure::DigestMismatch { expected: expected.clone() },
        other => other,
    }
}
