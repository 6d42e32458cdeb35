//! From a reference to what its image runs: index, manifest, configuration.

use crate::{
    Failure,
    authorization::Scope,
    document::{self, Descriptor, Document, Entry, ImageConfig},
    route::Route,
    transport::Limit,
};
use emissary_core::image::{Digest, ImageProcess, Platform, Reference};
use futures_util::future::try_join_all;
use moka::sync::Cache;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
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

/// What a digest stands for, which never changes.
#[derive(Debug)]
pub(crate) enum Content {
    Index(Vec<Entry>),
    Image(ImageConfig),
}

/// The contents seen so far, by where and with which credentials they were seen.
pub(crate) struct Contents(Cache<(Arc<Scope>, Digest), Arc<Content>>);

/// What a look-up found.
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) offered: Vec<Platform>,
    pub(crate) processes: Vec<(Platform, Digest, ImageProcess)>,
}

/// One look-up under way.
pub(crate) struct LookUp<'a> {
    pub(crate) route: Route<'a>,
    pub(crate) contents: &'a Contents,
    pub(crate) scope: Arc<Scope>,
    pub(crate) platforms: &'a [Platform],
    /// Manifests fetched so far.
    pub(crate) fetched: AtomicUsize,
}

impl Contents {
    pub(crate) fn new(bytes: u64) -> Self {
        let weight = |key: &(Arc<Scope>, Digest), content: &Arc<Content>| {
            let content = match &**content {
                Content::Index(entries) => entries.len() * size_of::<Entry>() + entries.len() * 128,
                Content::Image(config) => process_weight(&config.process),
            };
            let key = key.0.registry.len() + key.0.repository.len() + key.1.as_str().len();
            u32::try_from(256 + key + content).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().weigher(weight).max_capacity(bytes).build())
    }

    fn insert(&self, key: (Arc<Scope>, Digest), content: Arc<Content>) {
        self.0.insert(key, content);
        // Left to itself the cache makes room after some tens of entries, and an entry can be large.
        self.0.run_pending_tasks();
    }
}

/// Roughly the bytes that a process takes.
pub(crate) fn process_weight(process: &ImageProcess) -> usize {
    let words = process.entrypoint.iter().chain(&process.cmd).chain(&process.user);
    words.map(|word| size_of::<String>() + word.len()).sum()
}

impl LookUp<'_> {
    pub(crate) async fn run(&self, reference: &Reference) -> Result<Found, Failure> {
        let (digest, content) = self.top(reference).await?;
        match &*content {
            Content::Image(config) => Ok(self.single(digest, config)),
            Content::Index(entries) => {
                let (offered, processes) = self.index(entries).await?;
                Ok(Found { digest, offered, processes })
            }
        }
    }

    /// What the reference names.
    async fn top(&self, reference: &Reference) -> Result<(Digest, Arc<Content>), Failure> {
        if let Some(digest) = reference.digest() {
            if let Some(content) = self.known(digest) {
                return Ok((digest.clone(), content));
            }
            let (_, document) = self.manifest(digest.as_str(), Some(digest), MANIFEST_LIMIT).await?;
            return Ok((digest.clone(), self.complete(digest, document).await?));
        }
        let tag = reference.tag().unwrap_or("latest");
        let (digest, document) = self.manifest(tag, None, MANIFEST_LIMIT).await?;
        let content = match self.known(&digest) {
            Some(content) => content,
            None => self.complete(&digest, document).await?,
        };
        Ok((digest, content))
    }

    /// An image without an index is what every node gets, whatever it says of its platform (containerd and CRI-O choose
    /// among an index's entries only).
    fn single(&self, digest: Digest, config: &ImageConfig) -> Found {
        let stated = config.platform.clone();
        let matches = |wanted: &Platform| stated.as_ref().is_some_and(|platform| platform.matches(wanted));
        let platforms = match &stated {
            Some(platform) if self.platforms.is_empty() || self.platforms.iter().any(matches) => vec![platform.clone()],
            None if self.platforms.is_empty() => vec![Platform::new("unknown", "unknown", None)],
            _ => self.platforms.to_vec(),
        };
        let process = |platform| (platform, digest.clone(), config.process.clone());
        let processes = platforms.into_iter().map(process).collect();
        Found { digest, offered: stated.into_iter().collect(), processes }
    }

    async fn index(
        &self,
        entries: &[Entry],
    ) -> Result<(Vec<Platform>, Vec<(Platform, Digest, ImageProcess)>), Failure> {
        let (mut listed, unlisted) = self.flatten(entries).await?;
        let is_listed = |wanted: &Platform| listed.iter().any(|(platform, _)| platform.matches(wanted));
        if self.platforms.is_empty() || !self.platforms.iter().all(is_listed) {
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
        let chosen = self.choose(&offered);
        if chosen.is_empty() {
            return Err(Failure::NoSuchPlatform { offered });
        }
        let processes = chosen.into_iter().filter_map(|platform| {
            // Of several for one platform (Windows lists one a build) runtimes take the first.
            let (_, content) = listed.iter().find(|(listed, _)| *listed == platform)?;
            Some(async move {
                match &*self.content(content).await? {
                    Content::Image(config) => Ok((platform, content.digest.clone(), config.process.clone())),
                    Content::Index(_) => Err(Failure::Protocol("an entry of the index is not what it says")),
                }
            })
        });
        let processes = try_join_all(processes).await?;
        Ok((offered, processes))
    }

    /// Which of the offered platforms are wanted; of those that match one wanted, the one that is exactly it, else the
    /// first.
    fn choose(&self, offered: &[Platform]) -> Vec<Platform> {
        if self.platforms.is_empty() {
            return offered.to_vec();
        }
        let mut chosen: Vec<Platform> = Vec::new();
        for wanted in self.platforms {
            let exact = offered.iter().find(|platform| *platform == wanted);
            let best = exact.or_else(|| offered.iter().find(|platform| platform.matches(wanted)));
            if let Some(platform) = best.filter(|platform| !chosen.contains(platform)) {
                chosen.push(platform.clone());
            }
        }
        chosen
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

    fn known(&self, digest: &Digest) -> Option<Arc<Content>> {
        self.contents.0.get(&(Arc::clone(&self.scope), digest.clone()))
    }

    async fn content(&self, descriptor: &Descriptor) -> Result<Arc<Content>, Failure> {
        let Descriptor { digest, size } = descriptor;
        if let Some(content) = self.known(digest) {
            return Ok(content);
        }
        let limit = exactly(*size, MANIFEST_LIMIT)?;
        let fetched = self.manifest(digest.as_str(), Some(digest), limit).await;
        let (_, document) = fetched.map_err(|failure| mismatch(failure, digest))?;
        self.complete(digest, document).await
    }

    /// Fetches what a manifest only points to, and keeps the whole.
    async fn complete(&self, digest: &Digest, document: Document) -> Result<Arc<Content>, Failure> {
        let content = Arc::new(match document {
            Document::Index(entries) => Content::Index(entries),
            Document::Manifest { config } => Content::Image(self.config(&config).await?),
        });
        self.contents.insert((Arc::clone(&self.scope), digest.clone()), Arc::clone(&content));
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
        let answer = self.route.get(&format!("manifests/{named}"), ACCEPT, limit).await?;
        let header = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let announced = header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
        for digest in [expected, announced.as_ref()].into_iter().flatten() {
            document::verify(&answer.body, digest)?;
        }
        let digest = match expected.cloned().or(announced) {
            Some(digest) => digest,
            None => document::digest(&answer.body)?,
        };
        Ok((digest, document::parse(&answer.body, header("content-type"))?))
    }

    async fn config(&self, descriptor: &Descriptor) -> Result<ImageConfig, Failure> {
        let Descriptor { digest, size } = descriptor;
        let limit = exactly(*size, CONFIG_LIMIT)?;
        let fetched = self.route.get(&format!("blobs/{digest}"), "*/*", limit).await;
        let answer = fetched.map_err(|failure| mismatch(failure, digest))?;
        document::verify(&answer.body, digest)?;
        document::parse_config(&answer.body)
    }
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
