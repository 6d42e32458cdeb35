//! Archives of strangers, unpacked into a folder that nothing of theirs leaves.
//!
//! Every name is taken apart, and every folder on its way is opened without following a link, so that no file is made outside.
//! A symbolic link may climb only with the `..` that it begins with, and not out of the archive: what is behind them then
//! stays inside whatever other links it passes. A hard link is only to a file of the same archive. Devices, pipes and sockets
//! are refused, and nothing gets more than ordinary permissions (no setuid). The first entry that breaks a rule ends it all.
//! What an archive says of its entries (long names, PAX records, the map of a sparse file, a zip's directory) is read up to a
//! limit, so that memory does not grow with what a stranger has compressed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

/// What of a tar may come between one entry's bytes and the next one's. Linux has no path longer than 4 KiB.
const HEADS: u64 = 1 << 20;
/// A zip's directory, which is held as a whole: about 300,000 entries with names of middling length.
const DIRECTORY: u64 = 32 << 20;

/// The longest sparse file, bytes: a small archive can say any number, and as many zeros are gone through.
const LONGEST_SPARSE: u64 = 1 << 40;

/// What an archive's kind is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tar, gzipped or not.
    Tar,
    /// A zip.
    Zip,
}

/// A folder that is being filled.
pub(crate) struct Tree {
    root: OwnedFd,
    /// Permissions that folders get at the end, when nothing more is written into them.
    folders: BTreeMap<Vec<Vec<u8>>, u32>,
    /// A link that climbs to the archive's own top, by name.
    climbs: Option<String>,
}

/// What an archive's top is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Top {
    /// One file or folder, by its name.
    One(Vec<u8>),
    /// None or several.
    Many,
}

/// Whether a file is a gzipped tar.
pub(crate) fn is_gzipped_tar(file: &Path) -> io::Result<bool> {
    let mut file = File::open(file)?;
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_err() || magic != [0x1f, 0x8b] {
        return Ok(false);
    }
    file.rewind()?;
    let (bounded, _) = Bounded::of(MultiGzDecoder::new(BufReader::new(file)), HEADS);
    let mut tar = tar::Archive::new(bounded);
    let is_tar = tar.entries()?.next().is_some_and(|first| first.is_ok());
    Ok(is_tar)
}

/// Unpacks `archive` and puts what it holds at `target`: its one entry, or a folder of several.
pub(crate) fn to(archive: &Path, kind: Kind, target: &Path) -> io::Result<()> {
    opened(File::open(archive)?, kind, target)
}

/// The same for an archive that is open.
///
/// # Errors
/// Where it is none, breaks a rule, or cannot be written. Nothing of it is left then.
pub fn opened(archive: File, kind: Kind, target: &Path) -> io::Result<()> {
    let mut beside = target.as_os_str().to_owned();
    beside.push(".tmpdir");
    let beside = Path::new(&beside);
    let done = into_folder(archive, kind, beside).and_then(|tree| tree.put(beside, target));
    if done.is_err() {
        let _ = fs::remove_dir_all(beside);
    }
    done
}

fn into_folder(archive: File, kind: Kind, folder: &Path) -> io::Result<Tree> {
    let mut tree = Tree::begin(folder)?;
    match kind {
        Kind::Tar => tree.tar(archive)?,
        Kind::Zip => tree.zip(archive)?,
    }
    Ok(tree)
}

impl Tree {
    /// A new folder; one of that name from a run before goes.
    pub(crate) fn begin(folder: &Path) -> io::Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(folder)?,
        }
        let root = rustix::fs::openat(CWD, folder, FOLDER, Mode::empty())?;
        Ok(Self { root, folders: BTreeMap::new(), climbs: None })
    }

    fn tar(&mut self, mut file: File) -> io::Result<()> {
        let mut magic = [0; 2];
        let read = file.read(&mut magic)?;
        file.rewind()?;
        let file = BufReader::with_capacity(1 << 17, file);
        match read == 2 && magic == [0x1f, 0x8b] {
            true => self.entries(MultiGzDecoder::new(file)),
            false => self.entries(file),
        }
    }

    fn entries(&mut self, from: impl Read) -> io::Result<()> {
        use tar::EntryType;
        let (bounded, left) = Bounded::of(from, HEADS);
        let mut tar = tar::Archive::new(bounded);
        let mut entries = tar.entries()?;
        loop {
            left.set(Some(HEADS));
            let Some(entry) = entries.next() else { return Ok(()) };
            left.set(None);
            let mut entry = entry?;
            let name = entry.path_bytes().into_owned();
            let mode = entry.header().mode().unwrap_or(0o644);
            let modified = entry.header().mtime().ok();
            let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
            let done = match (entry.header().entry_type(), link) {
                (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) if name.ends_with(b"/") => {
                    self.folder(&name, mode)
                }
                (EntryType::GNUSparse, _) => match entry.size() {
                    size if size > LONGEST_SPARSE => Err(refused(&format!("it says that it has {size} bytes"))),
                    _ => self.fill(&name, mode, modified, |file| copy_sparse(&mut entry, file)),
                },
                (EntryType::Regular | EntryType::Continuous, _) => self.file(&name, mode, modified, &mut entry),
                (EntryType::Directory, _) => self.folder(&name, mode),
                (EntryType::Symlink, Some(link)) => self.symlink(&name, &link),
                (EntryType::Link, Some(link)) => self.hard_link(&name, &link),
                (EntryType::XGlobalHeader, _) => Ok(()),
                (kind, _) => Err(refused(&format!("a {kind:?} is neither file, folder nor link"))),
            };
            // One that is no file may have bytes too.
            let done = done.and_then(|()| io::copy(&mut entry, &mut io::sink()));
            done.map_err(|error| within(&name, &error))?;
        }
    }

    fn zip(&mut self, file: File) -> io::Result<()> {
        /// The longest target of a link, as Linux has it.
        const LONGEST_PATH: u64 = 4096;
        let (bounded, left) = Bounded::of(file, DIRECTORY);
        let mut zip = zip::ZipArchive::new(BufReader::new(bounded)).map_err(io::Error::other)?;
        left.set(None);
        for place in 0..zip.len() {
            let mut entry = zip.by_index(place).map_err(io::Error::other)?;
            let name = entry.name_raw().to_vec();
            let mode = entry.unix_mode().filter(|mode| mode & 0o777 != 0);
            let done = if entry.is_symlink() {
                let mut link = Vec::new();
                (&mut entry).take(LONGEST_PATH).read_to_end(&mut link).and_then(|_| self.symlink(&name, &link))
            } else if entry.is_dir() {
                self.folder(&name, mode.unwrap_or(0o755))
            } else {
                self.file(&name, mode.unwrap_or(0o644), None, &mut entry)
            };
            done.map_err(|error| within(&name, &error))?;
        }
        Ok(())
    }

    /// Makes a file of what `from` gives.
    pub(crate) fn file(
        &mut self,
        name: &[u8],
        mode: u32,
        modified: Option<u64>,
        from: &mut impl Read,
    ) -> io::Result<()> {
        self.fill(name, mode, modified, |file| io::copy(from, file).map(drop))
    }

    fn fill(
        &mut self,
        name: &[u8],
        mode: u32,
        modified: Option<u64>,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let parts = parts(name)?;
        let (folder, last) = self.parent(&parts)?;
        remove(&folder, last)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&folder, last, flags, Mode::from(0o600))?;
        let mut file = File::from(made);
        fill(&mut file)?;
        rustix::fs::fchmod(&file, Mode::from(mode & 0o777))?;
        if let Some(seconds) = modified.and_then(|seconds| i64::try_from(seconds).ok()) {
            let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
            // A time that the file system does not have is no reason to fail.
            let _ = rustix::fs::futimens(&file, &Timestamps { last_access: time, last_modification: time });
        }
        Ok(())
    }

    fn folder(&mut self, name: &[u8], mode: u32) -> io::Result<()> {
        let parts = parts(name)?;
        if !parts.is_empty() {
            self.open(&parts)?;
            self.folders.insert(parts.into_iter().map(<[u8]>::to_vec).collect(), mode & 0o777);
        }
        Ok(())
    }

    fn symlink(&mut self, name: &[u8], link: &[u8]) -> io::Result<()> {
        let parts = parts(name)?;
        let above = climbs(link)?;
        let depth = parts.len().saturating_sub(1);
        if above > depth {
            return Err(refused(&format!("its link to {} leaves the archive", shown(link))));
        }
        if above == depth && above > 0 {
            self.climbs = Some(shown(name));
        }
        let (folder, last) = self.parent(&parts)?;
        remove(&folder, last)?;
        rustix::fs::symlinkat(link, &folder, last)?;
        Ok(())
    }

    fn hard_link(&mut self, name: &[u8], link: &[u8]) -> io::Result<()> {
        let (from, to) = (parts(link)?, parts(name)?);
        if from == to {
            return Ok(());
        }
        let (from_folder, from_last) = self.parent(&from)?;
        let found = rustix::fs::statat(&from_folder, from_last, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(refused("a hard link has to be to a file of the archive"));
        }
        let (to_folder, to_last) = self.parent(&to)?;
        remove(&to_folder, to_last)?;
        rustix::fs::linkat(&from_folder, from_last, &to_folder, to_last, AtFlags::empty())?;
        Ok(())
    }

    /// The folder that an entry is in, made where it is missing, and the entry's last name.
    fn parent<'a>(&self, parts: &[&'a [u8]]) -> io::Result<(OwnedFd, &'a OsStr)> {
        let (last, folders) = parts.split_last().ok_or_else(|| refused("it has no name"))?;
        Ok((self.open(folders)?, OsStr::from_bytes(last)))
    }

    fn open(&self, parts: &[&[u8]]) -> io::Result<OwnedFd> {
        let mut at = self.root.try_clone()?;
        for part in parts {
            let part = OsStr::from_bytes(part);
            match rustix::fs::mkdirat(&at, part, Mode::from(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            at = rustix::fs::openat(&at, part, FOLDER, Mode::empty()).map_err(|error| match error {
                Errno::LOOP | Errno::NOTDIR => refused("it would go through something that is no folder"),
                other => other.into(),
            })?;
        }
        Ok(at)
    }

    /// What is at the top.
    fn top(&self) -> io::Result<Top> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.root)? {
            let entry = entry?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => names.push(name.to_vec()),
            }
        }
        Ok(match <[Vec<u8>; 1]>::try_from(names) {
            Ok([name]) => Top::One(name),
            Err(_) => Top::Many,
        })
    }

    /// Gives folders their permissions, and what is at `here` its place.
    pub(crate) fn put(mut self, here: &Path, target: &Path) -> io::Result<()> {
        let top = self.top()?;
        if let Top::One(name) = &top {
            // The one entry becomes the target itself, and what climbed to its side would be beside the target.
            let found = rustix::fs::statat(&self.root, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
                return Err(refused("the archive holds nothing but a link"));
            }
            if let Some(link) = &self.climbs {
                return Err(refused(&format!("{link}: the link leaves the archive's only folder")));
            }
        }
        // The deepest first: a folder that may not be entered would hide those in it.
        let mut folders: Vec<_> = std::mem::take(&mut self.folders).into_iter().collect();
        folders.sort_by_key(|(parts, _)| std::cmp::Reverse(parts.len()));
        for (parts, mode) in folders {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            rustix::fs::fchmod(self.open(&parts)?, Mode::from(mode))?;
        }
        match top {
            Top::One(name) => {
                let from = here.join(OsStr::from_bytes(&name));
                place(&from, target)?;
                fs::remove_dir(here)
            }
            Top::Many => place(here, target),
        }
    }
}

/// Copies all there is, and leaves holes where there are nothing but zeros.
fn copy_sparse(from: &mut impl Read, to: &mut File) -> io::Result<()> {
    const CHUNK: u64 = 64 << 10;
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        let count = from.take(CHUNK).read_to_end(&mut chunk)?;
        match chunk.iter().all(|byte| *byte == 0) {
            true => to.seek_relative(i64::try_from(count).unwrap_or(i64::MAX))?,
            false => to.write_all(&chunk)?,
        }
        if count == 0 {
            let length = to.stream_position()?;
            return to.set_len(length);
        }
    }
}

/// A reader that gives only so many bytes, while a limit is set.
struct Bounded<R> {
    from: R,
    left: Rc<Cell<Option<u64>>>,
}

impl<R> Bounded<R> {
    /// With a limit, which whoever reads the archive lifts and sets.
    fn of(from: R, limit: u64) -> (Self, Rc<Cell<Option<u64>>>) {
        let left = Rc::new(Cell::new(Some(limit)));
        (Self { from, left: Rc::clone(&left) }, left)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left.get() else { return self.from.read(bytes) };
        let end = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if end == 0 && !bytes.is_empty() {
            return Err(refused("what it says of its entries is too long"));
        }
        let count = self.from.read(bytes.get_mut(..end).unwrap_or_default())?;
        self.left.set(Some(left - count as u64));
        Ok(count)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.from.seek(to)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Gives what is at `from` its place; what a run before left there goes.
pub(crate) fn place(from: &Path, target: &Path) -> io::Result<()> {
    match fs::symlink_metadata(target) {
        // An empty folder is replaced, one with something in it is not ours to empty.
        Ok(found) if found.is_dir() => fs::remove_dir(target)?,
        _ => {}
    }
    fs::rename(from, target)
}

/// What a name is made of.
fn parts(name: &[u8]) -> io::Result<Vec<&[u8]>> {
    if name.first() == Some(&b'/') {
        return Err(refused("its name is absolute"));
    }
    let parts = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts
        .map(|part| match part {
            b".." => Err(refused("its name leaves the archive")),
            part if part.contains(&0) => Err(refused("its name has a zero byte")),
            part => Ok(part),
        })
        .collect()
}

/// How many folders a link's target climbs; an error where it climbs anywhere but at its beginning, or is absolute.
fn climbs(link: &[u8]) -> io::Result<usize> {
    if link.is_empty() || link.first() == Some(&b'/') || link.contains(&0) {
        return Err(refused(&format!("its link to {} leaves the archive", shown(link))));
    }
    let mut above = 0;
    let mut climbing = true;
    for part in link.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
        match (part, climbing) {
            (b"..", true) => above += 1,
            (b"..", false) => {
                return Err(refused(&format!("its link to {} climbs after it has descended", shown(link))));
            }
            _ => climbing = false,
        }
    }
    Ok(above)
}

fn remove(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("refused: {why}"))
}

fn within(name: &[u8], error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("entry {}: {error}", shown(name)))
}

/// A stranger's bytes for a message: as text, and not endless.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
