//! What a digest stands for, and its form in memory and on disk.

use crate::memory::Heap;
use emissary_core::image::{Digest, DigestAlgorithm, ImageProcess, Platform};
use std::sync::Arc;

/// What is kept of an image: which platforms it offers, and what it runs on those that were asked for. Nothing else of its
/// configuration, which may hold secrets in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    /// In the image's order. Of a single manifest: what it states, if it does.
    pub(crate) offered: Vec<Platform>,
    /// The manifests read so far. Of a single manifest: itself, its platform without meaning.
    pub(crate) processes: Vec<(Platform, Digest, ImageProcess)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Index {
        /// Whether `offered` is all there is: entries that state no platform are read only when they have to be.
        complete: bool,
    },
}

/// What a record says to a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Processes {
        offered: Vec<Platform>,
        processes: Vec<(Platform, Digest, ImageProcess)>,
    },
    NoSuchPlatform {
        offered: Vec<Platform>,
    },
    /// The registry has to be asked for more.
    Lacking,
}

impl Record {
    /// `wanted` is empty for all.
    pub(crate) fn say(self, wanted: &[Platform]) -> Said {
        let Self { kind, offered, mut processes } = self;
        let complete = match kind {
            Kind::Single => return single(offered, processes, wanted),
            Kind::Index { complete } => complete,
        };
        if !complete && !lists(&offered, wanted) {
            return Said::Lacking;
        }
        let chosen = choose(&offered, wanted);
        if chosen.is_empty() {
            return Said::NoSuchPlatform { offered };
        }
        let mut take = |platform: &Platform| {
            let at = processes.iter().position(|(known, ..)| known == platform)?;
            Some(processes.swap_remove(at))
        };
        match chosen.into_iter().map(&mut take).collect() {
            Some(processes) => Said::Processes { offered, processes },
            None => Said::Lacking,
        }
    }

    /// Whether the registry need not be asked for more.
    pub(crate) fn covers(&self, wanted: &[Platform]) -> bool {
        self.clone().say(wanted) != Said::Lacking
    }
}

/// An image without an index is what every node gets, whatever it says of its platform (containerd and CRI-O choose among an
/// index's entries only).
fn single(offered: Vec<Platform>, processes: Vec<(Platform, Digest, ImageProcess)>, wanted: &[Platform]) -> Said {
    let Some((_, digest, process)) = processes.into_iter().next() else { return Said::Lacking };
    let stated = offered.first();
    let matches = |wanted: &Platform| stated.is_some_and(|platform| platform.matches(wanted));
    let platforms = match stated {
        Some(platform) if wanted.is_empty() || wanted.iter().any(matches) => vec![platform.clone()],
        None if wanted.is_empty() => vec![unknown()],
        _ => wanted.to_vec(),
    };
    let process = |platform| (platform, digest.clone(), process.clone());
    let processes = platforms.into_iter().map(process).collect();
    Said::Processes { offered, processes }
}

pub(crate) fn unknown() -> Platform {
    Platform::new("unknown", "unknown", None)
}

/// Whether entries without a platform need not be looked at for these.
pub(crate) fn lists(offered: &[Platform], wanted: &[Platform]) -> bool {
    !wanted.is_empty() && wanted.iter().all(|wanted| offered.iter().any(|platform| platform.matches(wanted)))
}

/// Which of the offered platforms are wanted; of those that match one wanted, the one that is exactly it, else the first.
pub(crate) fn choose<'a>(offered: &'a [Platform], wanted: &[Platform]) -> Vec<&'a Platform> {
    if wanted.is_empty() {
        return offered.iter().collect();
    }
    let mut chosen: Vec<&Platform> = Vec::new();
    for wanted in wanted {
        let exact = offered.iter().find(|platform| *platform == wanted);
        let best = exact.or_else(|| offered.iter().find(|platform| platform.matches(wanted)));
        if let Some(platform) = best.filter(|platform| !chosen.contains(platform)) {
            chosen.push(platform);
        }
    }
    chosen
}

/// A record with the names that it belongs to, in one piece: a few hundred bytes where the same in strings takes thousands.
///
/// The form is that of the snapshot too; whoever changes it raises the snapshot's version.
#[derive(Clone)]
pub(crate) struct Packed(Arc<[u8]>);

impl Heap for Packed {
    fn heap(&self) -> usize {
        // Besides the bytes, the two counters of an `Arc`.
        16 + self.0.len()
    }
}

/// Platforms that take a byte. The order is part of the form, so new ones go to the end.
const COMMON: [(&str, &str, Option<&str>); 16] = [
    ("linux", "amd64", None),
    ("linux", "arm64", None),
    ("linux", "arm", Some("v7")),
    ("linux", "arm", Some("v6")),
    ("linux", "arm", Some("v5")),
    ("linux", "386", None),
    ("linux", "ppc64le", None),
    ("linux", "s390x", None),
    ("linux", "riscv64", None),
    ("linux", "mips64le", None),
    ("linux", "loong64", None),
    ("linux", "amd64", Some("v2")),
    ("linux", "amd64", Some("v3")),
    ("linux", "amd64", Some("v4")),
    ("windows", "amd64", None),
    ("windows", "arm64", None),
];
const UNCOMMON: u8 = u8::MAX;

impl Packed {
    /// `repository` with its registry before it.
    pub(crate) fn new(repository: &str, digest: &Digest, record: &Record) -> Self {
        let Record { kind, offered, processes } = record;
        let mut out = Vec::with_capacity(256);
        put_text(&mut out, repository);
        put_digest(&mut out, digest);
        out.push(match kind {
            Kind::Single => 0,
            Kind::Index { complete: false } => 1,
            Kind::Index { complete: true } => 2,
        });
        put_number(&mut out, offered.len());
        offered.iter().for_each(|platform| put_platform(&mut out, platform));
        put_number(&mut out, processes.len());
        let mut before: Option<&ImageProcess> = None;
        for (platform, digest, process) in processes {
            put_platform(&mut out, platform);
            put_digest(&mut out, digest);
            // Most images run the same on every platform.
            let same = before == Some(process);
            out.push(u8::from(same));
            if !same {
                put_process(&mut out, process);
            }
            before = Some(process);
        }
        Self(out.into())
    }

    /// As read from a file; `None` where it is malformed.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let packed = Self(bytes.into());
        packed.unpack().is_some().then_some(packed)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Repository, digest, and what is known of it.
    pub(crate) fn unpack(&self) -> Option<(&str, Digest, Record)> {
        let mut input: &[u8] = &self.0;
        Some((take_text(&mut input)?, take_digest(&mut input)?, take_record(input)?))
    }

    /// What is known of this digest, if this is of it.
    pub(crate) fn record(&self, repository: &str, digest: &Digest) -> Option<Record> {
        let mut names = Vec::with_capacity(repository.len() + 70);
        put_text(&mut names, repository);
        put_digest(&mut names, digest);
        take_record(self.0.strip_prefix(names.as_slice())?)
    }
}

/// A digest in its binary form.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PackedDigest(Box<[u8]>);

impl PackedDigest {
    pub(crate) fn new(digest: &Digest) -> Self {
        let mut out = Vec::with_capacity(65);
        put_digest(&mut out, digest);
        Self(out.into())
    }

    pub(crate) fn unpack(&self) -> Option<Digest> {
        take_digest(&mut &*self.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Seven bits a byte, the lowest first (LEB128).
fn put_number(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_digest(out: &mut Vec<u8>, digest: &Digest) {
    out.push(match digest.algorithm() {
        DigestAlgorithm::Sha256 => 0,
        DigestAlgorithm::Sha512 => 1,
    });
    let value = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { (byte - b'a' + 10) & 0xf };
    let (pairs, _) = digest.hex().as_bytes().as_chunks::<2>();
    out.extend(pairs.iter().map(|[high, low]| value(*high) << 4 | value(*low)));
}

fn put_platform(out: &mut Vec<u8>, platform: &Platform) {
    let parts = (platform.os.as_str(), platform.architecture.as_str(), platform.variant.as_deref());
    match COMMON.iter().position(|common| *common == parts) {
        Some(code) => out.push(code as u8),
        None => {
            out.push(UNCOMMON);
            put_text(out, &platform.to_string());
        }
    }
}

fn put_process(out: &mut Vec<u8>, process: &ImageProcess) {
    let ImageProcess { entrypoint, cmd, user } = process;
    for words in [entrypoint, cmd] {
        put_number(out, words.len());
        words.iter().for_each(|word| put_text(out, word));
    }
    // A user that is stated is not empty.
    put_text(out, user.as_deref().unwrap_or_default());
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(taken)
}

fn take_number(input: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *take(input, 1)?.first()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_text<'a>(input: &mut &'a [u8]) -> Option<&'a str> {
    let length = take_number(input)?;
    std::str::from_utf8(take(input, length)?).ok()
}

fn take_digest(input: &mut &[u8]) -> Option<Digest> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (algorithm, length) = match take(input, 1)? {
        [0] => (DigestAlgorithm::Sha256, 32),
        [1] => (DigestAlgorithm::Sha512, 64),
        _ => return None,
    };
    let mut text = [0; 7 + 2 * 64];
    let text = text.get_mut(..7 + 2 * length)?;
    let (name, hex) = text.split_at_mut_checked(7)?;
    name.copy_from_slice(match algorithm {
        DigestAlgorithm::Sha256 => b"sha256:",
        DigestAlgorithm::Sha512 => b"sha512:",
    });
    let (pairs, _) = hex.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(take(input, length)?) {
        *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]];
    }
    Digest::parse(std::str::from_utf8(text).ok()?).ok()
}

fn take_platform(input: &mut &[u8]) -> Option<Platform> {
    match *take(input, 1)?.first()? {
        UNCOMMON => Platform::parse(take_text(input)?).ok(),
        code => {
            let (os, architecture, variant) = COMMON.get(usize::from(code))?;
            // They are normal already, and `Platform::new` would make sure of it at some expense.
            let (os, architecture, variant) =
                ((*os).to_owned(), (*architecture).to_owned(), variant.map(str::to_owned));
            Some(Platform { os, architecture, variant })
        }
    }
}

/// All of the input.
fn take_record(mut input: &[u8]) -> Option<Record> {
    let kind = match take(&mut input, 1)? {
        [0] => Kind::Single,
        [1] => Kind::Index { complete: false },
        [2] => Kind::Index { complete: true },
        _ => return None,
    };
    let offered = (0..take_number(&mut input)?).map(|_| take_platform(&mut input)).collect::<Option<_>>()?;
    let mut processes: Vec<(Platform, Digest, ImageProcess)> = Vec::new();
    for _ in 0..take_number(&mut input)? {
        let (platform, digest) = (take_platform(&mut input)?, take_digest(&mut input)?);
        let process = match take(&mut input, 1)? {
            [0] => take_process(&mut input)?,
            _ => processes.last()?.2.clone(),
        };
        processes.push((platform, digest, process));
    }
    input.is_empty().then_some(Record { kind, offered, processes })
}

fn take_process(input: &mut &[u8]) -> Option<ImageProcess> {
    let mut words = || {
        let count = take_number(input)?;
        (0..count).map(|_| take_text(input).map(str::to_owned)).collect::<Option<Vec<_>>>()
    };
    let (entrypoint, cmd) = (words()?, words()?);
    let user = Some(take_text(input)?.to_owned()).filter(|user| !user.is_empty());
    Some(ImageProcess { entrypoint, cmd, user })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn platform() -> impl Strategy<Value = Platform> {
        prop_oneof![
            prop::sample::select(COMMON.to_vec()).prop_map(|(os, arch, variant)| Platform::new(os, arch, variant)),
            "[a-z0-9]{1,9}/[a-z0-9]{1,9}(/[a-z0-9]{1,4})?".prop_map(|text| Platform::parse(&text).unwrap()),
        ]
    }

    fn digest() -> impl Strategy<Value = Digest> {
        prop_oneof!["sha256:[0-9a-f]{64}", "sha512:[0-9a-f]{128}"].prop_map(|text| Digest::parse(&text).unwrap())
    }

    fn process() -> impl Strategy<Value = ImageProcess> {
        let words = || prop::collection::vec(".{0,200}", 0..4);
        (words(), words(), prop::option::of(".{1,9}")).prop_map(|(entrypoint, cmd, user)| ImageProcess {
            entrypoint,
            cmd,
            user,
        })
    }

    fn record() -> impl Strategy<Value = Record> {
        let kind =
            prop::sample::select(vec![Kind::Single, Kind::Index { complete: false }, Kind::Index { complete: true }]);
        let processes = prop::collection::vec((platform(), digest(), process()), 0..4);
        (kind, prop::collection::vec(platform(), 0..4), processes).prop_map(|(kind, offered, processes)| Record {
            kind,
            offered,
            processes,
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(record in record(), digest in digest(), repository in "[a-z./:]{1,300}") {
            let packed = Packed::new(&repository, &digest, &record);
            prop_assert_eq!(packed.unpack(), Some((repository.as_str(), digest.clone(), record)));
            prop_assert!(Packed::from_bytes(&packed.bytes()[..packed.bytes().len() - 1]).is_none());
            prop_assert!(PackedDigest::new(&digest).unpack() == Some(digest));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>(), record in record(), at in any::<prop::sample::Index>(), byte: u8) {
            let _ = Packed::from_bytes(&bytes);
            let digest = Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
            let mut bytes = Packed::new("a/b", &digest, &record).bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Packed::from_bytes(&bytes);
        }
    }

    #[test]
    fn common_platforms_are_normal() {
        for (os, architecture, variant) in COMMON {
            let platform = Platform::new(os, architecture, variant);
            let parts = (platform.os.as_str(), platform.architecture.as_str(), platform.variant.as_deref());
            assert_eq!(parts, (os, architecture, variant));
        }
    }
}
