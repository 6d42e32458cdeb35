//! A gzipped tar of a file or a folder, written as it is read.
//!
//! What is in it is what Argo's own readers, GNU tar, bsdtar, BusyBox and Python read alike: GNU's format, with its long names
//! and large numbers. Links are kept as links, a file of several names is written for each, the holes of a sparse file are
//! not read but written as zeros. Sockets, pipes and devices are left out. Memory does not grow with the number of files: a
//! folder's entries come in the order in which the file system has them.

use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

pub(crate) use flate2::Compression as Level;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

/// tar's unit, bytes.
const BLOCK: usize = 512;
/// Zeros for holes and for what fills a block.
static ZEROS: [u8; 32 << 10] = [0; 32 << 10];
/// Bytes read at once.
const BUFFER: usize = 64 << 10;

/// Writes the archive of `from`; its entries begin with the last part of that path. The folder `own` is left out wherever it is,
/// since the archive itself is in it.
///
/// # Errors
/// Where something cannot be read or written; a file that goes away in the meantime is no error.
pub(crate) fn write(from: &Path, own: &Metadata, level: Level, to: impl Write) -> io::Result<()> {
    raise_limit();
    let buffered = io::BufWriter::with_capacity(BUFFER, GzEncoder::new(to, level));
    let mut archive = Archive { to: buffered, buffer: vec![0; BUFFER], own: (own.dev(), own.ino()), name: Vec::new() };
    let full = std::path::absolute(from)?;
    let base = full.file_name().map(|name| name.as_bytes().to_vec());
    archive.name = base.unwrap_or_else(|| b".".to_vec());
    let opened = rustix::fs::open(from, FLAGS.difference(OFlags::NOFOLLOW), Mode::empty())?;
    let status = rustix::fs::fstat(&opened)?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => archive.tree(opened, &status)?,
        _ => archive.file(opened.as_fd(), &status)?,
    }
    archive.finish()
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW);

/// A folder a level is open at a time, and trees can be deep.
fn raise_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

struct Archive<W: Write> {
    to: io::BufWriter<GzEncoder<W>>,
    buffer: Vec<u8>,
    /// Device and number of the folder that is left out.
    own: (u64, u64),
    /// Of the entry at hand.
    name: Vec<u8>,
}

impl<W: Write> Archive<W> {
    fn tree(&mut self, root: OwnedFd, status: &Stat) -> io::Result<()> {
        self.folder(status)?;
        let mut open = vec![(Dir::new(root)?, self.name.len())];
        while let Some((folder, length)) = open.last_mut() {
            self.name.truncate(*length);
            let Some(entry) = folder.next() else {
                open.pop();
                continue;
            };
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.name.push(b'/');
            self.name.extend_from_slice(name.to_bytes());
            let name = CString::from(name);
            if let Some(opened) = self.entry(folder.fd()?, &name).map_err(|error| self.at(error))? {
                let length = self.name.len();
                open.push((Dir::new(opened)?, length));
            }
        }
        Ok(())
    }

    /// Writes one entry; a folder that is to be gone through comes back.
    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CString) -> io::Result<Option<OwnedFd>> {
        let status = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            status => status?,
        };
        let kind = FileType::from_raw_mode(status.st_mode);
        match kind {
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(folder, name, Vec::new())?;
                self.head(b'2', &status, 0, Some(link.as_bytes()))?;
                return Ok(None);
            }
            FileType::RegularFile => {}
            FileType::Directory if (status.st_dev, status.st_ino) != self.own => {}
            _ => return Ok(None),
        }
        let opened = match rustix::fs::openat(folder, name, FLAGS, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        if kind == FileType::Directory {
            self.folder(&status)?;
            return Ok(Some(opened));
        }
        // Something else may have taken the name.
        let status = rustix::fs::fstat(&opened)?;
        if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile {
            self.file(opened.as_fd(), &status)?;
        }
        Ok(None)
    }

    fn folder(&mut self, status: &Stat) -> io::Result<()> {
        self.name.push(b'/');
        let written = self.head(b'5', status, 0, None);
        self.name.pop();
        written
    }

    /// A file's head and exactly as many bytes as the head says, whatever becomes of the file in the meantime.
    fn file(&mut self, file: BorrowedFd<'_>, status: &Stat) -> io::Result<()> {
        let size = u64::try_from(status.st_size).unwrap_or_default();
        self.head(b'0', status, size, None)?;
        let sparse = u64::try_from(status.st_blocks).unwrap_or_default().saturating_mul(512) < size;
        let mut file = File::from(file.try_clone_to_owned()?);
        let mut done = 0;
        while done < size {
            let (data, end) = if sparse { next_data(&file, done, size)? } else { (0, size) };
            self.zeros(data.saturating_sub(done))?;
            done = done.max(data);
            let read = self.data(&mut file, end - done)?;
            done += read;
            if done < end {
                // It has become shorter.
                self.zeros(size - done)?;
                break;
            }
        }
        self.zeros((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64)
    }

    fn data(&mut self, file: &mut impl Read, count: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < count {
            let end = usize::try_from(count - done).unwrap_or(BUFFER).min(BUFFER);
            let read = match file.read(self.buffer.get_mut(..end).unwrap_or_default()) {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            self.to.write_all(self.buffer.get(..read).unwrap_or_default())?;
            done += read as u64;
        }
        Ok(done)
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let end = usize::try_from(count).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.to.write_all(ZEROS.get(..end).unwrap_or_default())?;
            count -= end as u64;
        }
        Ok(())
    }

    fn head(&mut self, kind: u8, status: &Stat, size: u64, link: Option<&[u8]>) -> io::Result<()> {
        let name = std::mem::take(&mut self.name);
        let written = self.long(b'K', link.unwrap_or_default()).and_then(|()| self.long(b'L', &name)).and_then(|()| {
            let head = Head {
                name: &name,
                mode: u64::from(status.st_mode & 0o7777),
                user: status.st_uid.into(),
                group: status.st_gid.into(),
                size,
                // Before 1970 there are no files here.
                time: u64::try_from(status.st_mtime).unwrap_or_default(),
                kind,
                link: link.unwrap_or_default(),
            };
            self.to.write_all(&head.block())
        });
        self.name = name;
        written
    }

    /// GNU's way of a name that the head has no room for: an entry before it.
    fn long(&mut self, kind: u8, name: &[u8]) -> io::Result<()> {
        if name.len() <= 100 {
            return Ok(());
        }
        let size = name.len() as u64 + 1;
        let head = Head { name: b"././@LongLink", mode: 0, user: 0, group: 0, size, time: 0, kind, link: b"" };
        self.to.write_all(&head.block())?;
        self.to.write_all(name)?;
        self.zeros(1 + (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64)
    }

    fn finish(mut self) -> io::Result<()> {
        self.zeros(2 * BLOCK as u64)?;
        let encoder = self.to.into_inner().map_err(io::IntoInnerError::into_error)?;
        encoder.finish()?.flush()
    }

    fn at(&self, error: io::Error) -> io::Error {
        let name = String::from_utf8_lossy(&self.name);
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => " (the container's user may not read it)",
            _ => "",
        };
        io::Error::other(format!("{name}: {error}{hint}"))
    }
}

/// Where the next bytes that are not a hole begin and end; both the file's end where there are none.
fn next_data(file: &File, from: u64, size: u64) -> io::Result<(u64, u64)> {
    let data = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Err(Errno::NXIO) => return Ok((size, size)),
        data => data?.min(size),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(data))?.min(size);
    rustix::fs::seek(file, SeekFrom::Start(data))?;
    Ok((data, end))
}

/// What a head says, in GNU's format (GNU tar manual, "Basic Tar Format").
struct Head<'a> {
    name: &'a [u8],
    mode: u64,
    user: u64,
    group: u64,
    size: u64,
    time: u64,
    kind: u8,
    link: &'a [u8],
}

impl Head<'_> {
    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let (head, rest) = block.split_at_mut(156);
        // Name, mode, user, group, size, time; then the sum, which counts as spaces while it is made.
        let (name, numbers) = head.split_at_mut(100);
        put(name, self.name);
        let mut numbers = numbers;
        for (width, value) in [(8, self.mode), (8, self.user), (8, self.group), (12, self.size), (12, self.time)] {
            let (field, others) = numbers.split_at_mut(width);
            put_number(field, value);
            numbers = others;
        }
        numbers.fill(b' ');
        let (kind, rest) = rest.split_at_mut(1);
        kind.fill(self.kind);
        let (link, rest) = rest.split_at_mut(100);
        put(link, self.link);
        put(rest, b"ustar  \0");

        let sum: u32 = block.iter().copied().map(u32::from).sum();
        put(block.get_mut(148..156).unwrap_or_default(), format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// As much of a text as there is room for.
fn put(field: &mut [u8], text: &[u8]) {
    field.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
}

/// Octal, a zero behind it; where that has no room, GNU's binary form.
fn put_number(field: &mut [u8], value: u64) {
    let text = format!("{value:0width$o}\0", width = field.len() - 1);
    if text.len() == field.len() {
        put(field, text.as_bytes());
    } else {
        let bytes = value.to_be_bytes();
        let start = field.len().saturating_sub(bytes.len());
        match start {
            0 => put(field, &bytes),
            start => put(field.get_mut(start..).unwrap_or_default(), &bytes),
        }
        if let Some(first) = field.first_mut() {
            *first |= 0x80;
        }
    }
}
