//! A commit's files, written where nothing is yet, and the list of them that git compares them by (`gitformat-index`).
//!
//! Every folder on the way is one that was just made and is open, so that nothing is written through a link or outside. A link
//! is kept as it is, wherever it leads: nothing here follows it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use super::broken;
use super::object::{Commit, Entry, Id, Kind, What, entries};
use super::pack::{Deadline, Pack};
use super::sum::Summed;

/// Folders in folders: each is open while it is written.
const DEEPEST: usize = 400;
/// Files and folders at most: a few small objects can be made to stand for billions.
const MOST: u32 = 5_000_000;
/// The longest target of a link, as Linux has it.
const LONGEST_LINK: usize = 4095;
/// The longest list of submodules, bytes.
const LONGEST_MODULES: usize = 1 << 20;

const NEW: OFlags = OFlags::CREATE.union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a checkout has besides files.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Where submodules are to be, and which commit of each.
    pub(super) submodules: Vec<(Vec<u8>, Id)>,
    /// What the repository says of them: the file `.gitmodules`.
    pub(super) modules: String,
}

/// A checkout in the making.
struct Checkout<'a> {
    pack: &'a mut Pack,
    list: List,
    found: Found,
    made: u32,
    deadline: Deadline,
}

/// Writes a commit's files into `folder`, and their list into `index`, which is empty and can be read.
///
/// # Errors
/// Where something is missing or has a name that it must not have, or cannot be written.
pub(super) fn write(
    pack: &mut Pack,
    commit: Id,
    folder: OwnedFd,
    index: File,
    deadline: Deadline,
) -> io::Result<Found> {
    let tree = Commit::parse(&pack.object(&commit, Kind::Commit)?)?.tree;
    let list = List::new(index)?;
    let mut checkout = Checkout { pack, list, found: Found::default(), made: 0, deadline };
    checkout.folder(&folder, tree, &mut Vec::new(), 0)?;
    checkout.list.end()?;
    Ok(checkout.found)
}

impl Checkout<'_> {
    fn folder(&mut self, at: &OwnedFd, tree: Id, path: &mut Vec<u8>, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(io::Error::other(format!("its folders are more than {DEEPEST} deep")));
        }
        let data = self.pack.object(&tree, Kind::Tree)?;
        for entry in entries(&data) {
            let entry = entry?;
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(entry.name);
            self.entry(at, entry, path, depth).map_err(|error| {
                let shown: String = String::from_utf8_lossy(path).chars().take(200).collect();
                // Of a path's folders the last one tells it all.
                match error.get_ref().is_some_and(|error| error.is::<Told>()) {
                    true => error,
                    false => io::Error::new(error.kind(), Told(format!("{}: {error}", shown.escape_debug()))),
                }
            })?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(&mut self, at: &OwnedFd, entry: Entry, path: &mut Vec<u8>, depth: usize) -> io::Result<()> {
        self.deadline.check()?;
        self.made += 1;
        if self.made > MOST {
            return Err(io::Error::other(format!("it has more than {MOST} files")));
        }
        if !is_name(entry.name) {
            return Err(broken("a file with a name that git does not allow"));
        }
        let name = OsStr::from_bytes(entry.name);
        let found = match entry.what {
            What::Folder => {
                rustix::fs::mkdirat(at, name, Mode::from(0o755))?;
                let below = rustix::fs::openat(at, name, FOLDER, Mode::empty())?;
                return self.folder(&below, entry.id, path, depth + 1);
            }
            What::Submodule => {
                rustix::fs::mkdirat(at, name, Mode::from(0o755))?;
                self.found.submodules.push((path.clone(), entry.id));
                rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?
            }
            What::Link => {
                let target = self.pack.object(&entry.id, Kind::Blob)?;
                if target.is_empty() || target.len() > LONGEST_LINK || target.contains(&0) {
                    return Err(broken("a link to nothing"));
                }
                rustix::fs::symlinkat(OsStr::from_bytes(&target), at, name)?;
                rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?
            }
            What::File | What::Program => {
                let mode = if entry.what == What::Program { 0o755 } else { 0o644 };
                let mut file = File::from(rustix::fs::openat(at, name, NEW | OFlags::WRONLY, Mode::from(mode))?);
                self.pack.blob(&entry.id, &mut file)?;
                rustix::fs::fstat(file.as_fd())?
            }
        };
        if path == b".gitmodules" && entry.what == What::File {
            let text = self.pack.object(&entry.id, Kind::Blob)?;
            let text = text.get(..text.len().min(LONGEST_MODULES)).unwrap_or_default();
            self.found.modules = String::from_utf8_lossy(text).into_owned();
        }
        self.list.add(path, entry, &found)
    }
}

/// An error that names its file already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

/// Whether a file may have this name: it is one, and not that of git's own folder in any spelling that a file system takes for it.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.eq_ignore_ascii_case(b".git")
}

/// The list of files, in the order of their paths, which is the order that they are found in.
struct List {
    file: Summed,
    again: File,
    count: u32,
}

impl List {
    fn new(file: File) -> io::Result<Self> {
        let again = file.try_clone()?;
        let mut list = Self { file: Summed::new(file), again, count: 0 };
        list.header(0)?;
        Ok(list)
    }

    fn header(&mut self, count: u32) -> io::Result<()> {
        self.file.write_all(b"DIRC\0\0\0\x02")?;
        self.file.write_all(&count.to_be_bytes())
    }

    fn add(&mut self, path: &[u8], entry: Entry, found: &Stat) -> io::Result<()> {
        let mode: u32 = match entry.what {
            What::File | What::Folder => 0o100_644,
            What::Program => 0o100_755,
            What::Link => 0o120_000,
            What::Submodule => 0o160_000,
        };
        // Git keeps what fits of each.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the low 32 bits are what is compared"
        )]
        let numbers = [
            found.st_ctime as u32,
            found.st_ctime_nsec as u32,
            found.st_mtime as u32,
            found.st_mtime_nsec as u32,
            found.st_dev as u32,
            found.st_ino as u32,
            mode,
            found.st_uid,
            found.st_gid,
            if entry.what == What::Submodule { 0 } else { found.st_size as u32 },
        ];
        for number in numbers {
            self.file.write_all(&number.to_be_bytes())?;
        }
        self.file.write_all(&entry.id.0)?;
        let length = u16::try_from(path.len().min(0xfff)).unwrap_or(0xfff);
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(path)?;
        // At least one zero, to a multiple of eight.
        let padding = 8 - (62 + path.len()) % 8;
        self.file.write_all([0; 8].get(..padding).unwrap_or_default())?;
        self.count += 1;
        Ok(())
    }

    /// Puts the number of files where it belongs, which was not known before, and the hash at the end.
    fn end(mut self) -> io::Result<()> {
        self.file.flush()?;
        let length = self.again.metadata()?.len();
        let mut again = self.again;
        again.seek(SeekFrom::Start(8))?;
        again.write_all(&self.count.to_be_bytes())?;
        again.seek(SeekFrom::Start(0))?;
        let mut sum = Summed::new(again.try_clone()?);
        sum.take_in(&mut again.take(length))?;
        sum.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_refuses_are_refused() {
        for name in [&b""[..], b".", b"..", b".git", b".GIT", b"a/b", b"/"] {
            assert!(!is_name(name), "{name:?}");
        }
        for name in [&b"a"[..], b"...", b".gitignore", b".gitmodules", b"\xff", b"git"] {
            assert!(is_name(name), "{name:?}");
        }
    }
}
