//! Folders of strangers, walked and packed without following a link.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::beneath;

/// Something that a walk comes by.
pub(crate) enum Found<'a> {
    Folder,
    File(&'a mut File),
    /// A symbolic link, by its target.
    Link(&'a OsStr),
}

/// How an output is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// gzip's level, 0 to 9; nothing for its own choice.
    Tar(Option<u32>),
    Zip,
}

/// Packs a file or folder under the name `base` into a file.
pub(crate) fn pack(from: File, base: &OsStr, format: Format, to: File) -> io::Result<()> {
    let to = BufWriter::with_capacity(1 << 17, to);
    match format {
        Format::Tar(level) => {
            let level = level.map_or(Compression::default(), |level| Compression::new(level.min(9)));
            let mut builder = tar::Builder::new(GzEncoder::new(to, level));
            walk(from, base, &mut |path, found| tar_entry(&mut builder, path, found))?;
            builder.into_inner()?.finish()?.flush()
        }
        Format::Zip => {
            let mut writer = zip::ZipWriter::new(to);
            walk(from, base, &mut |path, found| zip_entry(&mut writer, path, found))?;
            writer.finish().map_err(io::Error::other)?.flush()
        }
    }
}

fn tar_entry(builder: &mut tar::Builder<impl Write>, path: &Path, found: Found) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    match found {
        Found::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            builder.append_data(&mut header, path, io::empty())
        }
        Found::File(file) => {
            header.set_metadata(&file.metadata()?);
            let size = header.size()?;
            // One that grows or shrinks meanwhile must not break the archive.
            let padded = io::Read::chain(io::Read::take(&mut *file, size), io::repeat(0));
            builder.append_data(&mut header, path, io::Read::take(padded, size))
        }
        Found::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            builder.append_link(&mut header, path, target)
        }
    }
}

fn zip_entry(writer: &mut zip::ZipWriter<impl Write + io::Seek>, path: &Path, found: Found) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let options = zip::write::SimpleFileOptions::default().large_file(true);
    let name = path.to_string_lossy();
    match found {
        Found::Folder => writer.add_directory(name, options.unix_permissions(0o755)).map_err(io::Error::other),
        Found::File(file) => {
            let mode = file.metadata()?.permissions().mode() & 0o777;
            writer.start_file(name, options.unix_permissions(mode)).map_err(io::Error::other)?;
            io::copy(file, writer).map(drop)
        }
        Found::Link(target) => writer.add_symlink(name, target.to_string_lossy(), options).map_err(io::Error::other),
    }
}

/// Goes through a file, or a folder and all that is in it, names sorted, a folder before what it holds. What is no file, folder
/// or link is left out.
pub(crate) fn walk(from: File, base: &OsStr, visit: &mut impl FnMut(&Path, Found) -> io::Result<()>) -> io::Result<()> {
    let mut from = from;
    let mut path = PathBuf::from(base);
    match from.metadata()?.is_dir() {
        true => {
            if !base.is_empty() {
                visit(&path, Found::Folder)?;
            }
            folder(from, &mut path, visit)
        }
        false => visit(&path, Found::File(&mut from)),
    }
}

/// Folders that are open at a time: deeper ones are refused.
const DEEPEST: usize = 400;

fn folder(at: File, path: &mut PathBuf, visit: &mut impl FnMut(&Path, Found) -> io::Result<()>) -> io::Result<()> {
    if path.components().count() > DEEPEST {
        return Err(io::Error::other(format!("folders are more than {DEEPEST} deep")));
    }
    let mut names: Vec<CString> = Vec::new();
    for entry in Dir::read_from(&at)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    for name in names {
        path.push(OsStr::from_bytes(name.to_bytes()));
        entry(&at, &name, path, visit)?;
        path.pop();
    }
    Ok(())
}

fn entry(
    at: &File,
    name: &CStr,
    path: &mut PathBuf,
    visit: &mut impl FnMut(&Path, Found) -> io::Result<()>,
) -> io::Result<()> {
    let found = match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        // Whoever made it has removed it.
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(at, name, Vec::new())?;
            visit(path, Found::Link(OsStr::from_bytes(target.to_bytes())))
        }
        FileType::Directory => {
            visit(path, Found::Folder)?;
            folder(open(at, name, path)?, path, visit)
        }
        FileType::RegularFile => visit(path, Found::File(&mut open(at, name, path)?)),
        _ => Ok(()),
    }
}

/// Opens what a folder holds; what cannot be opened is named.
fn open(folder: &File, name: &CStr, path: &Path) -> io::Result<File> {
    beneath::child(folder, name).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// A new file that goes once nobody has it open, to be filled and read again.
pub(crate) fn scratch(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, folder, flags, Mode::from(0o600)) {
        // Not every file system has files without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => named(folder),
        other => Ok(other?.into()),
    }
}

fn named(folder: &Path) -> io::Result<File> {
    let name = folder.join(".scratch");
    // A run before this one may have been killed before it could remove its own.
    let _ = std::fs::remove_file(&name);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, &name, flags, Mode::from(0o600))?;
    rustix::fs::unlink(&name)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::{self, Kind};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_scratch_file_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".scratch"), "of a run that was killed").unwrap();
        named(folder.path()).unwrap();
        for made in [scratch(folder.path()), named(folder.path()), named(folder.path())] {
            made.unwrap().write_all(b"x").unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("deep/er")).unwrap();
        fs::write(from.join("deep/a"), "one").unwrap();
        fs::write(from.join("x".repeat(150)), "long").unwrap();
        symlink("deep/a", from.join("l")).unwrap();
        symlink("/etc", from.join("deep/er/out")).unwrap();
        fs::remove_file(from.join("deep/er/out")).unwrap();
        for (format, kind) in
            [(Format::Tar(None), Kind::Tar), (Format::Tar(Some(0)), Kind::Tar), (Format::Zip, Kind::Zip)]
        {
            let archive = folder.path().join("archive");
            pack(File::open(&from).unwrap(), OsStr::new("base"), format, File::create(&archive).unwrap()).unwrap();
            let to = folder.path().join(format!("{format:?}"));
            unpack::to(&archive, kind, &to).unwrap();
            assert_eq!(fs::read_to_string(to.join("l")).unwrap(), "one", "{format:?}");
            assert_eq!(fs::read_to_string(to.join("x".repeat(150))).unwrap(), "long");
            assert!(to.join("deep/er").is_dir());
        }
    }

    #[test]
    fn a_link_is_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir(&from).unwrap();
        fs::write(folder.path().join("token"), "secret").unwrap();
        symlink("../token", from.join("l")).unwrap();
        symlink("..", from.join("up")).unwrap();
        let mut seen = Vec::new();
        walk(File::open(&from).unwrap(), OsStr::new(""), &mut |path, found| {
            seen.push((path.to_owned(), matches!(found, Found::Link(_))));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(PathBuf::from("l"), true), (PathBuf::from("up"), true)]);
    }
}
