//! What the process writes: passed on as it comes, and kept in files.
//!
//! A step's result is its `stdout`, its log `combined`. While nothing comes on standard error the two are the same, and so
//! they are one file of two names; the first byte on standard error parts them. Large writes do not pass through our
//! memory: `tee(2)` hands the pipe's own pages to whoever reads the container's log, and `splice(2)` moves them into the file.
//! Small ones are read and written, since many of them come at once that way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use emissary_contract::file;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

use crate::failure::Failure;

/// Bytes read at once, and from which on a chunk is worth moving instead.
const BUFFER: usize = 64 << 10;
/// What the pipes hold where the kernel lets them, bytes: the process seldom waits for us.
const PIPE: usize = 256 << 10;
/// How long others may go on writing to a pipe that the process left to them.
const AFTERWARDS: Duration = Duration::from_millis(100);

/// The files of a container's output.
#[derive(Clone)]
pub(crate) struct Capture(Arc<Mutex<Files>>);

struct Files {
    folder: PathBuf,
    stdout: File,
    /// Nothing while it is the same file as `stdout`.
    combined: Option<File>,
    /// The first failure, after which nothing is kept any more.
    failed: Option<io::Error>,
}

/// Which of its outputs the process wrote to. A terminal has only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Capture {
    /// Opens the files; what a run before has written stays.
    pub(crate) fn begin(folder: &Path) -> io::Result<Self> {
        let (stdout, combined) = (folder.join(file::STDOUT), folder.join(file::COMBINED));
        let mut files = Files { folder: folder.to_owned(), stdout: open(&stdout)?, combined: None, failed: None };
        let _ = fs::hard_link(&stdout, &combined);
        let of_combined = open(&combined)?;
        if of_combined.metadata()?.ino() != files.stdout.metadata()?.ino() {
            files.combined = Some(of_combined);
        }
        Ok(Self(Arc::new(Mutex::new(files))))
    }

    /// Closes the files.
    ///
    /// # Errors
    /// Where something could not be kept.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let mut files = self.lock();
        match files.failed.take() {
            None => Ok(()),
            Some(error) => {
                let folder = files.folder.display();
                Err(Failure::own(format!("cannot keep the process's output in {folder}: {error}")))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a file to write behind its end. Not in append mode, which splice does not take; nobody else writes to it.
fn open(file: &Path) -> io::Result<File> {
    let mut opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o666).open(file)?;
    opened.seek(SeekFrom::End(0))?;
    Ok(opened)
}

impl Files {
    /// Keeps what `put` writes to the file of a stream; it returns how many bytes those were.
    fn keep(&mut self, stream: Stream, put: impl FnOnce(&mut File) -> io::Result<u64>) {
        if self.failed.is_none()
            && let Err(error) = self.try_keep(stream, put)
        {
            self.failed = Some(error);
        }
    }

    fn try_keep(&mut self, stream: Stream, put: impl FnOnce(&mut File) -> io::Result<u64>) -> io::Result<()> {
        if stream == Stream::Stderr {
            self.part()?;
            return self.combined.as_mut().map_or(Ok(()), |combined| put(combined).map(drop));
        }
        let count = put(&mut self.stdout)?;
        match &mut self.combined {
            Some(combined) => copy_end(&mut self.stdout, count, combined),
            None => Ok(()),
        }
    }

    /// Makes `combined` a file of its own.
    fn part(&mut self) -> io::Result<()> {
        if self.combined.is_some() {
            return Ok(());
        }
        let name = self.folder.join(file::COMBINED);
        let mut whole = crate::files::Whole::begin(&name, 0o666)?;
        let length = self.stdout.stream_position()?;
        copy_end(&mut self.stdout, length, &mut whole.file)?;
        let combined = whole.file.try_clone()?;
        whole.finish(0o666)?;
        self.combined = Some(combined);
        Ok(())
    }
}

/// Writes the last `count` bytes of one file to another, in the kernel.
fn copy_end(from: &mut File, count: u64, to: &mut File) -> io::Result<()> {
    let end = from.stream_position()?;
    from.seek(SeekFrom::Start(end - count))?;
    let copied = io::copy(&mut (&*from).take(count), to);
    from.seek(SeekFrom::Start(end))?;
    match copied? {
        copied if copied == count => Ok(()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// The readers of what one process writes.
pub(crate) struct Pumps {
    pumps: Vec<Pump>,
    /// Closed when the process has ended.
    running: OwnedFd,
    threads: Vec<JoinHandle<()>>,
}

impl Pumps {
    /// Two pipes, and the ends that the process gets: for standard output and for standard error.
    pub(crate) fn of_pipes(capture: &Capture) -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let (ended, running) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let ended = Arc::new(ended);
        let mut pumps = Vec::new();
        let mut pipe = |stream, to: BorrowedFd<'_>| -> io::Result<OwnedFd> {
            let (from, end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            pumps.push(Pump::new(stream, from, to, Arc::clone(&ended), Some(capture))?);
            Ok(end)
        };
        let stdout = pipe(Stream::Stdout, rustix::stdio::stdout())?;
        let stderr = pipe(Stream::Stderr, rustix::stdio::stderr())?;
        Ok((Self { pumps, running, threads: Vec::new() }, stdout, stderr))
    }

    /// One terminal, read from our side.
    pub(crate) fn of_terminal(ours: OwnedFd, capture: Option<&Capture>) -> io::Result<Self> {
        let (ended, running) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let pump = Pump::new(Stream::Stdout, ours, rustix::stdio::stdout(), Arc::new(ended), capture)?;
        Ok(Self { pumps: vec![pump], running, threads: Vec::new() })
    }

    /// Begins to read.
    pub(crate) fn start(mut self) -> io::Result<Self> {
        for pump in std::mem::take(&mut self.pumps) {
            self.threads.push(thread::Builder::new().stack_size(64 << 10).spawn(|| pump.run())?);
        }
        Ok(self)
    }

    /// Waits until all that the process has written is where it belongs.
    pub(crate) fn finish(self) {
        drop(self.running);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Carries one stream.
struct Pump {
    stream: Stream,
    from: OwnedFd,
    /// Ours, or nothing once nobody reads it any more.
    to: Option<File>,
    /// Told when the process has ended; nothing once it has.
    ended: Option<Arc<OwnedFd>>,
    files: Option<Capture>,
    /// A pipe to duplicate chunks into; nothing where `to` takes no splice.
    between: Option<(OwnedFd, OwnedFd)>,
}

impl Pump {
    fn new(
        stream: Stream,
        from: OwnedFd,
        to: BorrowedFd<'_>,
        ended: Arc<OwnedFd>,
        capture: Option<&Capture>,
    ) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&from)?;
        rustix::fs::fcntl_setfl(&from, flags | OFlags::NONBLOCK)?;
        let to = File::from(to.try_clone_to_owned()?);
        // A pipe that cannot grow stays as it is.
        let _ = rustix::pipe::fcntl_setpipe_size(&from, PIPE);
        Ok(Self { stream, from, to: Some(to), ended: Some(ended), files: capture.cloned(), between: None })
    }

    fn run(mut self) {
        // A terminal's bytes are few, and it takes no tee.
        let is_pipe = rustix::pipe::fcntl_getpipe_size(&self.from).is_ok();
        self.between = is_pipe.then(between).flatten();
        let mut buffer = vec![0; BUFFER];
        let mut large = false;
        loop {
            let carried = if large { self.move_chunk(&mut buffer) } else { self.copy_chunk(&mut buffer) };
            match carried {
                Ok(0) => return,
                Ok(count) => large = self.between.is_some() && count >= BUFFER / 2,
                Err(Errno::AGAIN) => {
                    if !self.wait() {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                // A terminal whose other side is closed says so in this way.
                Err(_) => return,
            }
        }
    }

    /// Waits for bytes; false where the process has ended and nothing came for a while.
    fn wait(&mut self) -> bool {
        loop {
            let mut sources = vec![PollFd::new(&self.from, PollFlags::IN)];
            sources.extend(self.ended.as_ref().map(|ended| PollFd::new(ended, PollFlags::empty())));
            let timeout = match self.ended {
                Some(_) => None,
                None => Timespec::try_from(AFTERWARDS).ok(),
            };
            let (count, end) = match rustix::event::poll(&mut sources, timeout.as_ref()) {
                Ok(count) => (count, sources.get(1).is_some_and(|source| !source.revents().is_empty())),
                Err(Errno::INTR) => continue,
                Err(_) => return false,
            };
            let more = sources.first().is_some_and(|source| !source.revents().is_empty());
            if end {
                self.ended = None;
            }
            if more || count == 0 {
                return more;
            }
        }
    }

    /// Reads what there is and writes it.
    fn copy_chunk(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = rustix::io::read(&self.from, &mut *buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        self.pass_on(bytes);
        if count > 0
            && let Some(files) = &self.files
        {
            files.lock().keep(self.stream, |file| file.write_all(bytes).map(|()| bytes.len() as u64));
        }
        Ok(count)
    }

    /// Passes on what there is by its pages, and then takes it out of the pipe into the file.
    fn move_chunk(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let (Some((duplicate, into)), Some(to)) = (&self.between, &self.to) else { return self.copy_chunk(buffer) };
        let count = rustix::pipe::tee(&self.from, into, PIPE, SpliceFlags::NONBLOCK)?;
        let mut left = count;
        while left > 0 {
            match splice(duplicate.as_fd(), to, left) {
                Ok(0) => break,
                Ok(moved) => left -= moved,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_to_write(to),
                Err(_) => break,
            }
        }
        if left > 0 {
            // It takes no splice, or nothing at all any more. What it has not got is in the duplicate.
            let mut duplicate = self.between.take().map(|(duplicate, _)| File::from(duplicate));
            while left > 0
                && let Some(duplicate) = &mut duplicate
                && let Ok(count @ 1..) = duplicate.read(buffer)
            {
                self.pass_on(buffer.get(..count).unwrap_or_default());
                left = left.saturating_sub(count);
            }
        }
        self.keep_chunk(count, buffer);
        Ok(count)
    }

    /// Takes `count` bytes out of the pipe, into the file as long as it takes them.
    fn keep_chunk(&self, count: usize, buffer: &mut [u8]) {
        let mut left = count;
        if let Some(files) = &self.files {
            files.lock().keep(self.stream, |file| {
                while left > 0 {
                    match splice(self.from.as_fd(), file, left) {
                        Ok(0) => return Err(ErrorKind::WriteZero.into()),
                        Ok(moved) => left -= moved,
                        Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(count as u64)
            });
        }
        while left > 0 {
            let end = left.min(buffer.len());
            match rustix::io::read(&self.from, buffer.get_mut(..end).unwrap_or_default()) {
                Ok(0) | Err(_) => return,
                Ok(count) => left -= count,
            }
        }
    }

    /// Writes to whoever reads the container's output. The process is not punished where nobody does any more.
    fn pass_on(&mut self, mut bytes: &[u8]) {
        while let Some(to) = &mut self.to
            && !bytes.is_empty()
        {
            match to.write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait_to_write(to),
                Err(_) => self.to = None,
            }
        }
    }
}

fn between() -> Option<(OwnedFd, OwnedFd)> {
    let (from, into) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).ok()?;
    let _ = rustix::pipe::fcntl_setpipe_size(&into, PIPE);
    Some((from, into))
}

fn splice(from: BorrowedFd<'_>, to: &File, count: usize) -> Result<usize, Errno> {
    rustix::pipe::splice(from, None, to, None, count, SpliceFlags::MOVE)
}

fn wait_to_write(to: &File) {
    let _ = rustix::event::poll(&mut [PollFd::new(to, PollFlags::OUT)], None);
}
