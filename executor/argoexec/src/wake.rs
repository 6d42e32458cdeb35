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

/// The sources of events of one process. Every signal has to be blocked before.
pub(crate) struct Wake {
    signals: OwnedFd,
    watch: Watch,
    /// A folder in which a file is being written that is waited for.
    written: Option<File>,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { signals: sys::signal_fd()?, watch: Watch::Folders(Vec::new()), written: None })
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
            let mut sources = [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(instance, PollFlags::IN)];
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
        let Watch::Inotify(instance) = &self.watch else { return Ok(None) };
        let mut records = [0; 4096];
        let mut found = false;
        while rustix::io::read(instance, &mut records).is_ok() {
            found = true;
        }
        Ok(found.then_some(Event::File))
    }
}
