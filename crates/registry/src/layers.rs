//! What is remembered: which digest a tag has, what a digest stands for, who may know it, and what failed.

use crate::{
    Failure, Freshness, Layer, Options, Resolved,
    authorization::{Scope, Who},
    backoff::Backoff,
    keyring::Identity,
    lookup::{Found, Named},
    memory::{Heap, Memory, Moment, Print},
    record::{Packed, PackedDigest, Record, Said},
};
use emissary_core::image::{Digest, Platform};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

pub(crate) type Outcome = Result<Arc<Resolved>, Arc<Failure>>;

/// A question, normalised.
pub(crate) struct Subject {
    pub(crate) scope: Arc<Scope>,
    pub(crate) named: Named,
    /// Sorted, each once.
    pub(crate) platforms: Vec<Platform>,
    /// Whose proof counts: any of the credentials, and nobody's, which is everybody's.
    whose: Vec<Who>,
    freshness: Freshness,
    /// The registry and repository, as one name.
    repository: String,
    /// Of all that decides the answer but freshness.
    pub(crate) print: Print,
}

/// How asking ended.
pub(crate) struct Asked {
    pub(crate) found: Result<Found, Failure>,
    /// Whom the registry let see the repository, which it may have done even if the look-up failed afterwards.
    pub(crate) shown_to: Option<Who>,
    /// Whether a mirror that may have said otherwise could not be asked.
    pub(crate) incomplete: bool,
}

/// Whose fault it is that there is no fresh answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It cannot confirm anybody, so an older proof has to do.
    Registry,
    /// It refuses, but a mirror that was to be asked before it did not answer and may have said otherwise.
    Mirror,
    /// A tenant can bring about by himself that too many wait or that time runs out; a credential that was withdrawn may not
    /// profit from it.
    Ours,
}

/// Memories, each bounded in bytes.
///
/// Contents and tags are shared by all; what keeps tenants apart is that nothing is taken from them without a proof, which is
/// kept by credential and repository.
pub(crate) struct Layers {
    tags: Memory<Tag>,
    contents: Memory<Packed>,
    /// When a credential was last let see a repository.
    proofs: Memory<Moment>,
    failures: Memory<Failed>,
    /// Until when a host is not to be asked with certain credentials.
    limits: Memory<Moment>,
    lives: Lives,
}

#[derive(Clone, Copy)]
struct Lives {
    ttl: Duration,
    always: Duration,
    proof: Duration,
    stale: Duration,
    negative: Duration,
    transient: Backoff,
}

#[derive(Clone)]
struct Tag {
    digest: PackedDigest,
    checked_at: Moment,
}

#[derive(Clone)]
struct Failed {
    failure: Arc<Failure>,
    at: SystemTime,
    life: Duration,
    trouble: Trouble,
    /// Transient failures in a row before it.
    before: u32,
}

impl Heap for Tag {
    fn heap(&self) -> usize {
        self.digest.len()
    }
}

impl Heap for Failed {
    fn heap(&self) -> usize {
        let listed = match &*self.failure {
            Failure::NoSuchPlatform { offered } => offered.len() * 128,
            // Chains of causes are some nested boxes.
            _ => 512,
        };
        size_of::<Failure>() + listed
    }
}

impl Subject {
    pub(crate) fn new(
        scope: Scope,
        named: Named,
        mut platforms: Vec<Platform>,
        whose: Vec<Who>,
        freshness: Freshness,
    ) -> Self {
        platforms.sort_unstable();
        platforms.dedup();
        let repository = format!("{}/{}", scope.registry, scope.repository);
        let print = Print::of(&(&scope, named.as_str(), &platforms));
        Self { scope: Arc::new(scope), named, platforms, whose, freshness, repository, print }
    }

    fn tag_print(&self) -> Print {
        Print::of(&("tag", &self.repository, self.named.as_str()))
    }

    fn content_print(&self, digest: &Digest) -> Print {
        Print::of(&("content", &self.repository, digest))
    }

    fn proof_print(&self, who: Who) -> Print {
        Print::of(&("proof", &self.repository, who))
    }
}

fn limit_print(host: &str, identity: Identity) -> Print {
    Print::of(&("limit", host, identity))
}

impl Layers {
    pub(crate) fn new(options: &Options) -> Self {
        // As an image needs them: 350 bytes of content, 180 of a tag, 100 of a proof.
        let share = |percent: u64| options.cache_bytes / 100 * percent;
        Self {
            contents: Memory::new(share(53)),
            tags: Memory::new(share(28)),
            proofs: Memory::new(share(15)),
            failures: Memory::new(share(3)),
            limits: Memory::new(share(1)),
            lives: Lives {
                ttl: options.ttl,
                always: options.always_ttl.min(options.ttl),
                proof: options.authorization_ttl,
                stale: options.max_stale,
                negative: options.negative_ttl,
                transient: Backoff { first: options.transient_ttl, most: options.transient_ttl_max },
            },
        }
    }

    /// An answer that needs no request.
    pub(crate) fn answer(&self, subject: &Subject, now: SystemTime) -> Option<Outcome> {
        let life = match subject.freshness {
            Freshness::Ttl => self.lives.ttl,
            Freshness::Always => self.lives.always,
        };
        if let Some(outcome) = self.recall(subject, now, life, self.lives.proof, Layer::Hit) {
            return Some(outcome);
        }
        let Failed { failure, at, life, trouble, .. } = self.failures.get(subject.print)?;
        // A clock that was set back makes an age unknown, so it counts as old.
        let age = now.duration_since(at).ok()?;
        (age < life).then(|| self.fall_back(subject, now, failure, trouble))
    }

    /// A stale answer instead of a transient failure.
    pub(crate) fn fall_back(
        &self,
        subject: &Subject,
        now: SystemTime,
        failure: Arc<Failure>,
        trouble: Trouble,
    ) -> Outcome {
        if !failure.is_transient() && trouble != Trouble::Mirror {
            return Err(failure);
        }
        let proof = match trouble {
            Trouble::Registry | Trouble::Mirror => self.lives.stale.max(self.lives.proof),
            Trouble::Ours => self.lives.proof,
        };
        match self.recall(subject, now, self.lives.stale, proof, Layer::Stale) {
            Some(Ok(resolved)) => Ok(resolved),
            Some(Err(_)) | None => Err(failure),
        }
    }

    fn recall(
        &self,
        subject: &Subject,
        now: SystemTime,
        life: Duration,
        proof_life: Duration,
        layer: Layer,
    ) -> Option<Outcome> {
        let within = |at: SystemTime, life: Duration| now.duration_since(at).is_ok_and(|age| age < life);
        let proofs = subject.whose.iter().filter_map(|who| self.proofs.get(subject.proof_print(*who)));
        let proved_at = proofs.max().map(Moment::time).filter(|at| within(*at, proof_life))?;
        let (digest, checked_at) = match &subject.named {
            Named::Digest(digest) => (digest.clone(), proved_at),
            Named::Tag(_) => {
                let (digest, checked_at) = self.tag(subject)?;
                (digest, Some(checked_at).filter(|at| within(*at, life))?)
            }
        };
        let record = self.record(subject, &digest)?;
        outcome(digest, record, &subject.platforms, checked_at, now, layer)
    }

    /// The digest that the tag had when the registry was last asked.
    pub(crate) fn tag(&self, subject: &Subject) -> Option<(Digest, SystemTime)> {
        let tag = self.tags.get(subject.tag_print())?;
        Some((tag.digest.unpack()?, tag.checked_at.time()))
    }

    pub(crate) fn record(&self, subject: &Subject, digest: &Digest) -> Option<Record> {
        self.contents.get(subject.content_print(digest))?.record(&subject.repository, digest)
    }

    /// Remembers what became of a question that was asked at `since`.
    pub(crate) fn learn(
        &self,
        subject: &Subject,
        asked: Asked,
        since: SystemTime,
        now: SystemTime,
        random: f64,
    ) -> Outcome {
        let Asked { found, shown_to, incomplete } = asked;
        if let Some(who) = shown_to {
            let print = subject.proof_print(who);
            let (since, now) = (Moment::of(since), Moment::of(now));
            let before = self.proofs.get(print).filter(|at| *at <= now);
            self.proofs.insert(print, before.map_or(since, |before| before.max(since)));
        }
        let failure = match found {
            Ok(Found { digest, record, fetched }) => {
                if fetched {
                    self.contents
                        .insert(subject.content_print(&digest), Packed::new(&subject.repository, &digest, &record));
                }
                // Others, with other credentials, may have asked later and be done already.
                let is_newer = |(_, known): (Digest, SystemTime)| known > since && known <= now;
                if let Named::Tag(_) = subject.named
                    && !self.tag(subject).is_some_and(is_newer)
                {
                    let tag = Tag { digest: PackedDigest::new(&digest), checked_at: Moment::of(since) };
                    self.tags.insert(subject.tag_print(), tag);
                }
                self.failures.remove(subject.print);
                let layer = if fetched { Layer::Fetched } else { Layer::Revalidated };
                match outcome(digest, record, &subject.platforms, since, now, layer) {
                    Some(outcome) => return outcome,
                    None => Failure::Protocol("the image lacks what its index lists"),
                }
            }
            Err(failure) => failure,
        };
        let trouble = match failure {
            Failure::Busy => Trouble::Ours,
            Failure::NotFound | Failure::Unauthorized { .. } if incomplete => Trouble::Mirror,
            _ => Trouble::Registry,
        };
        if trouble != Trouble::Mirror {
            self.withdraw(subject, &failure, now);
        }
        let failure = Arc::new(failure);
        self.remember_failure(subject, &failure, trouble, now, random);
        self.fall_back(subject, now, failure, trouble)
    }

    /// Takes back what a refusal shows to be so no longer.
    fn withdraw(&self, subject: &Subject, failure: &Failure, now: SystemTime) {
        let gone = match failure {
            Failure::Unauthorized { .. } => false,
            // Registries also say this to whom they no longer let in.
            Failure::NotFound => true,
            _ => return,
        };
        let tag = match subject.named {
            Named::Tag(_) => self.tag(subject),
            Named::Digest(_) => None,
        };
        // That there never was such a tag says nothing of the repository; else anybody could make everybody prove himself anew.
        if gone && tag.is_none() {
            return;
        }
        let mut proofs = subject.whose.iter().map(|who| subject.proof_print(*who));
        let was_shown = |at: Moment| now.duration_since(at.time()).is_ok_and(|age| age < self.lives.stale);
        // A stranger's "not found" is not the owner's.
        if gone && proofs.clone().any(|proof| self.proofs.get(proof).is_some_and(was_shown)) {
            self.tags.remove(subject.tag_print());
        }
        proofs.by_ref().for_each(|proof| self.proofs.remove(proof));
    }

    fn remember_failure(
        &self,
        subject: &Subject,
        failure: &Arc<Failure>,
        trouble: Trouble,
        now: SystemTime,
        random: f64,
    ) {
        let before = match self.failures.get(subject.print) {
            Some(failed) if failed.failure.is_transient() => failed.before.saturating_add(1),
            _ => 0,
        };
        let life = match **failure {
            // These say nothing of the image, and are judged anew each time.
            Failure::LeftAlone | Failure::Busy | Failure::Interrupted => return,
            Failure::RateLimited { retry_after: Some(wait) } | Failure::ServerError { retry_after: Some(wait), .. } => {
                self.lives.transient.after(before, random).max(wait)
            }
            _ if failure.is_transient() => self.lives.transient.after(before, random),
            _ => self.lives.negative,
        };
        self.failures.insert(subject.print, Failed { failure: Arc::clone(failure), at: now, life, trouble, before });
    }

    /// Remembers until when a host does not want to hear of certain credentials.
    pub(crate) fn limit(&self, host: &str, identity: Identity, until: SystemTime) {
        self.limits.insert(limit_print(host, identity), Moment::of(until));
    }

    /// How long a host does not want to hear of these credentials: it counts requests by account, so others may ask.
    pub(crate) fn limited(&self, host: &str, identity: Identity, now: SystemTime) -> Option<Duration> {
        let until = self.limits.get(limit_print(host, identity))?.time();
        until
            .duration_since(now)
            .ok()
            .filter(|left| !left.is_zero() && *left <= crate::authorization::LONGEST_RETRY_AFTER)
    }

    /// Takes back every proof and every failure: what one host showed or refused says nothing of the next one.
    pub(crate) fn forget_hosts(&self) {
        self.proofs.clear();
        self.failures.clear();
    }

    /// All contents, for a snapshot.
    pub(crate) fn contents(&self) -> Vec<Packed> {
        self.contents.values()
    }

    /// Puts back a content of a snapshot; without a proof nobody sees it.
    pub(crate) fn restore(&self, packed: Packed) -> bool {
        let Some((repository, digest, _)) = packed.unpack() else { return false };
        let print = Print::of(&("content", repository, &digest));
        self.contents.insert(print, packed);
        true
    }

    /// Contents, tags, and the bytes of everything.
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        let (contents, of_contents) = self.contents.size();
        let (tags, of_tags) = self.tags.size();
        let rest = self.proofs.size().1 + self.failures.size().1 + self.limits.size().1;
        (contents, tags, of_contents + of_tags + rest)
    }
}

fn outcome(
    digest: Digest,
    record: Record,
    platforms: &[Platform],
    checked_at: SystemTime,
    now: SystemTime,
    layer: Layer,
) -> Option<Outcome> {
    let age = now.duration_since(checked_at).unwrap_or_default();
    match record.say(platforms) {
        Said::Processes { offered, processes } => {
            Some(Ok(Arc::new(Resolved { digest, offered, processes, checked_at, age, layer })))
        }
        Said::NoSuchPlatform { offered } => Some(Err(Arc::new(Failure::NoSuchPlatform { offered }))),
        Said::Lacking => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Keyring, record::Kind};
    use emissary_core::image::{ImageProcess, Reference};

    const IMAGES: usize = 100_000;

    pub(crate) fn reference(n: usize) -> Reference {
        let text = format!("registry-{}.example.com/team-{}/service-{n}:v1.{n}.0", n % 10, n % 500);
        Reference::parse(&text).unwrap()
    }

    fn subject(n: usize) -> Subject {
        let reference = reference(n);
        let credentials = Keyring::anonymous().credentials_at(reference.registry(), reference.repository());
        let scope = Scope::new(&reference, credentials.identity);
        let named = Named::Tag(reference.tag().unwrap().to_owned());
        Subject::new(scope, named, vec![Platform::new("linux", "amd64", None)], vec![None], Freshness::Ttl)
    }

    fn found(n: usize) -> Found {
        let digest = |salt: u8| Digest::parse(&format!("sha256:{n:062x}{salt:02x}")).unwrap();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let process = ImageProcess {
            entrypoint: words(&["/docker-entrypoint.sh", "--service", &format!("service-{n}")]),
            cmd: words(&["nginx", "-g", "daemon off;"]),
            user: Some("1000:1000".to_owned()),
        };
        let platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386", "linux/s390x"];
        let record = Record {
            kind: Kind::Index { complete: true },
            offered: platforms.map(|text| Platform::parse(text).unwrap()).to_vec(),
            processes: vec![(Platform::new("linux", "amd64", None), digest(1), process)],
        };
        Found { digest: digest(0), record, fetched: true }
    }

    pub(crate) fn fill(layers: &Layers, now: SystemTime) {
        for n in 0..IMAGES {
            let asked = Asked { found: Ok(found(n)), shown_to: Some(None), incomplete: false };
            layers.learn(&subject(n), asked, now, now, 0.0).unwrap();
        }
    }

    #[test]
    fn a_hundred_thousand_images_fit_in_64_mib() {
        let layers = Layers::new(&Options { cache_bytes: 64 << 20, ..Options::default() });
        fill(&layers, SystemTime::UNIX_EPOCH);
        let (contents, tags, bytes) = layers.size();
        assert_eq!((contents, tags), (IMAGES, IMAGES));
        assert!(bytes <= 64 << 20, "{bytes} bytes");
        for n in (0..IMAGES).step_by(997) {
            let answer = layers.answer(&subject(n), SystemTime::UNIX_EPOCH).unwrap().unwrap();
            assert_eq!(answer.processes, found(n).record.processes);
        }
    }
}
