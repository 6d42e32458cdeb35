//! Contents on disk, so that a restart is not cold.
//!
//! `emissary contents`, a version, a count, then each content with its length before it, then a SHA-256 of all that. It guards
//! against a disk that filled up or a file of another kind; who can write the file is trusted, as with any cache.

use crate::record::Packed;
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
};

const MAGIC: &[u8] = b"emissary contents\n";
/// Raised whenever the form changes, that of [`Packed`] included.
const VERSION: u32 = 1;
/// Larger than any memory that is set sensibly.
const LARGEST: u64 = 1 << 30;
const SUM: usize = 32;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is of another kind or version")]
    Version,
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("it is damaged")]
    Damaged,
}

pub(crate) fn save(path: &Path, contents: &[Packed]) -> io::Result<usize> {
    let mut bytes = Vec::with_capacity(64 + contents.iter().map(|packed| 4 + packed.bytes().len()).sum::<usize>());
    bytes.extend_from_slice(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((contents.len() as u64).to_le_bytes());
    for packed in contents {
        let length = u32::try_from(packed.bytes().len()).map_err(io::Error::other)?;
        bytes.extend(length.to_le_bytes());
        bytes.extend_from_slice(packed.bytes());
    }
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    // Beside it, since a file can be renamed only within a file system; with the process in its name, since another may be
    // writing too.
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write(&beside, &bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.map(|()| contents.len())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // What a private image runs is nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn load(path: &Path) -> Vec<Packed> {
    match read(path) {
        Ok(contents) => contents,
        Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            tracing::info!(path = %path.display(), "there is no snapshot of image contents yet");
            Vec::new()
        }
        Err(error) => {
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(path = %path.display(), error, "the snapshot of image contents is dropped");
            Vec::new()
        }
    }
}

fn read(path: &Path) -> Result<Vec<Packed>, Unusable> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Unusable::TooLarge);
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unusable::Version)?;
    let (version, _) = rest.split_first_chunk::<4>().ok_or(Unusable::Damaged)?;
    if u32::from_le_bytes(*version) != VERSION {
        return Err(Unusable::Version);
    }
    let (summed, sum) = bytes.split_last_chunk::<SUM>().ok_or(Unusable::Damaged)?;
    if Sha256::digest(summed)[..] != sum[..] {
        return Err(Unusable::Damaged);
    }
    entries(&summed[MAGIC.len() + version.len()..]).ok_or(Unusable::Damaged)
}

fn entries(input: &[u8]) -> Option<Vec<Packed>> {
    let (count, mut input) = input.split_first_chunk::<8>()?;
    let mut contents = Vec::new();
    for _ in 0..u64::from_le_bytes(*count) {
        let (length, rest) = input.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        contents.push(Packed::from_bytes(bytes)?);
        input = rest;
    }
    input.is_empty().then_some(contents)
}
