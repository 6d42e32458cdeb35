//! Opening what is in a folder that the user's processes write to.
//!
//! `wait` sees the user's volumes, and its own token. A link that the user has put there could make it take the token for an
//! output. So nothing under such a folder is opened by its path alone: the kernel is told where the path must stay
//! (`openat2`), or, where it knows no such call, no link is followed at all.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use emissary_contract::template::normal;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// What becomes of symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// They mean what they mean in a container of which the folder is the root.
    OfTheRoot,
    /// They are an error.
    Refused,
}

/// Not waiting for a writer of a pipe, not following, not becoming a terminal's.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens a file or folder to read. A pipe, socket or device is an error.
pub(crate) fn open(root: &Path, path: &str, links: Links) -> io::Result<File> {
    let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let relative = normal(path);
    let relative = if relative.is_empty() { "." } else { &relative };
    let resolve = ResolveFlags::NO_MAGICLINKS
        | match links {
            Links::OfTheRoot => ResolveFlags::IN_ROOT,
            Links::Refused => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        };
    let opened = match openat2(&root, relative, READ, Mode::empty(), resolve) {
        // Old kernels, gVisor, and filters of system calls that are older than it.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(root, relative)?,
        other => other?,
    };
    plain(opened)
}

/// Opens what a folder holds, if it is a file or a folder; links are an error.
pub(crate) fn child(folder: impl AsFd, name: &std::ffi::CStr) -> io::Result<File> {
    plain(openat(folder, name, READ | OFlags::NOFOLLOW, Mode::empty())?)
}

fn step_by_step(root: OwnedFd, relative: &str) -> io::Result<OwnedFd> {
    let mut at = root;
    let mut parts = relative.split('/').peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() { OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC } else { READ };
        at = openat(&at, part, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(at)
}

fn plain(opened: OwnedFd) -> io::Result<File> {
    let file = File::from(opened);
    let found = file.metadata()?;
    match found.is_file() || found.is_dir() {
        true => Ok(file),
        false => Err(io::Error::other("it is neither a file nor a folder")),
    }
}

/// A file's text, if it is UTF-8 and not longer than `limit` bytes.
pub(crate) fn text(file: File, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    file.take(limit + 1).read_to_string(&mut text)?;
    match text.len() as u64 > limit {
        true => Err(io::Error::other(format!("it is longer than {limit} bytes"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root/data")).unwrap();
        fs::write(folder.path().join("root/data/file"), "inside").unwrap();
        fs::write(folder.path().join("token"), "secret").unwrap();
        for (target, name) in [
            ("/data/file", "absolute"),
            ("data/file", "relative"),
            ("../token", "outside"),
            ("/token", "outside2"),
            ("data", "folder"),
        ] {
            symlink(target, folder.path().join("root").join(name)).unwrap();
        }
        folder
    }

    #[test]
    fn links_stay_in_the_root() {
        let folder = root();
        let cases = [
            ("data/file", Some("inside"), Some("inside")),
            ("/data//./file", Some("inside"), Some("inside")),
            ("absolute", Some("inside"), None),
            ("relative", Some("inside"), None),
            ("folder/file", Some("inside"), None),
            ("outside", None, None),
            ("outside2", None, None),
            ("../token", None, None),
            ("none", None, None),
        ];
        for (path, in_root, refused) in cases {
            let read = |links| open(&folder.path().join("root"), path, links).and_then(|file| text(file, 100)).ok();
            assert_eq!(read(Links::OfTheRoot).as_deref(), in_root, "{path}");
            assert_eq!(read(Links::Refused).as_deref(), refused, "{path}");
            let root = File::open(folder.path().join("root")).unwrap();
            let stepped = step_by_step(root.into(), &normal(path)).and_then(plain).and_then(|file| text(file, 100));
            assert_eq!(stepped.ok().as_deref(), refused, "{path}");
        }
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, Mode::from(0o644), 0).unwrap();
        assert!(open(folder.path(), "pipe", Links::OfTheRoot).is_err());
    }

    #[test]
    fn a_text_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "123").unwrap();
        let open = || open(folder.path(), "a", Links::Refused).unwrap();
        assert_eq!(text(open(), 3).unwrap(), "123");
        assert!(text(open(), 2).is_err());
    }
}
