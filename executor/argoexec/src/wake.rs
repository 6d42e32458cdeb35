//! What a waiting executor is woken by: signals, files that appear, and a time.
//!
//! Nothing here looks again and again. Signals are read from a signalfd. Folders tell of their files by a signal too
//! (`F_NOTIFY`, "dnotify"). inotify would do the same, but the kernel lets nobody end before it has done away with an
//! inotify instance, which takes it 5 to 30 ms, and a user has 128 of them on a node. It is what is used where there is no
//! dnotify, such as under gVisor; where there is neither, files get looked at in turn ([`FALLBACK`]).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::pipe::PipeFlags;

use crate::sys;

/// How often files are looked at where the kernel cannot tell of them.
const FALLBACK: Duration = Duration::from_secs(1);

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A child ended or stopped.
    Child,
    /// A signal came, by its number.
    Signal(i32),
    /// A watched folder has another file, or may have.
    File,
    /// The time has come.
    Time,
}

/// How folders are watched.
enum Watch {
    /// By each of these being open.
    Folders(Vec<File>),
    /// By an inotify instance.
    Inotify(OwnedFd),
    /// Not at all.
    Nothing,
}

/// What another thread wakes the process by: a pipe, written to.
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// Makes the next event, or one that is waited for, [`Event::File`].
    pub(crate) fn ring(&self) {
        // Where it is full, there is an event already.
        let _ = rustix::io::write(&self.0, &[0]);
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

/// The sources of events of one process. Every signal has to be blocked before.
pub(crate) struct Wake {
    signals: OwnedFd,
    watch: Watch,
    /// A folder in which a file is being written that is waited for.
    written: Option<File>,
    /// The end that is read of the pipe behind every [`Bell`].
    bell: Option<OwnedFd>,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { signals: sys::signal_fd()?, watch: Watch::Folders(Vec::new()), written: None, bell: None })
    }

    /// Tells of files that are made in or moved into a folder from now on.
    pub(crate) fn watch(&mut self, folder: &Path) {
        if let Watch::Folders(folders) = &mut self.watch {
            let opened = File::open(folder);
            match opened.and_then(|opened| sys::notify(opened.as_fd(), false).map(|()| opened)) {
                Ok(opened) => return folders.push(opened),
                Err(_) if folders.is_empty() => {
                    let instance = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
                    self.watch = instance.map_or(Watch::Nothing, Watch::Inotify);
                }
                // It worked for another folder, so it is this one that cannot be watched.
                Err(_) => self.watch = Watch::Nothing,
            }
        }
        let what = WatchFlags::CREATE | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
        if let Watch::Inotify(instance) = &self.watch
            && inotify::add_watch(instance, folder, what).is_err()
        {
            self.watch = Watch::Nothing;
        }
    }

    /// Tells, until it is called with `false`, of writes in a watched folder as well: a file that is waited for is there and
    /// has nothing in it yet. At other times those would be one for each chunk of output that is kept.
    pub(crate) fn watch_writes(&mut self, folder: &Path, on: bool) {
        if on == self.written.is_some() || !matches!(self.watch, Watch::Folders(_)) {
            return;
        }
        let opened = if on { File::open(folder).ok() } else { None };
        self.written = opened.filter(|opened| sys::notify(opened.as_fd(), true).is_ok());
    }

    /// Something for other threads to ring; one that was made before rings no more.
    pub(crate) fn bell(&mut self) -> io::Result<Bell> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        self.bell = Some(read);
        Ok(Bell(write))
    }

    /// The next event, or [`Event::Time`] at `until`.
    pub(crate) fn next(&mut self, until: Option<Instant>) -> io::Result<Event> {
        loop {
            if let Some(event) = self.pending()? {
                return Ok(event);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Event::Time);
            }
            let blind = matches!(self.watch, Watch::Nothing);
            let timeout = if blind { Some(left.map_or(FALLBACK, |left| left.min(FALLBACK))) } else { left };
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let instance = match &self.watch {
                Watch::Inotify(instance) => instance,
                _ => &self.signals,
            };
            let bell = self.bell.as_ref().unwrap_or(&self.signals);
            let mut sources = [&self.signals, instance, bell].map(|source| PollFd::new(source, PollFlags::IN));
            match rustix::event::poll(&mut sources, timeout.as_ref()) {
                Ok(0) if blind => return Ok(Event::File),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What has come already, signals before files.
    fn pending(&mut self) -> io::Result<Option<Event>> {
        // `signalfd_siginfo` has this size, and begins with the number, an error, and who sent it (`signalfd(2)`).
        let mut record = [0; 128];
        match rustix::io::read(&self.signals, &mut record) {
            Ok(_) => {
                let [a, b, c, d, _, _, _, _, e, f, g, h, ..] = record;
                let by_kernel = i32::from_ne_bytes([e, f, g, h]) > 0;
                return Ok(Some(match i32::from_ne_bytes([a, b, c, d]) {
                    libc::SIGCHLD => Event::Child,
                    sys::NOTIFIED if by_kernel => Event::File,
                    number => Event::Signal(number),
                }));
            }
            Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        let mut found = self.bell.as_ref().is_some_and(drained);
        if let Watch::Inotify(instance) = &self.watch {
            found |= drained(instance);
        }
        Ok(found.then_some(Event::File))
    }
}

/// Reads all that there is; whether there was anything.
fn drained(source: &OwnedFd) -> bool {
    let mut bytes = [0; 4096];
    let mut found = false;
    while rustix::io::read(source, &mut bytes).is_ok_and(|count| count > 0) {
        found = true;
    }
    found
}
