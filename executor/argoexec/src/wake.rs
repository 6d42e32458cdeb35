//! What a waiting executor is woken by: signals, files that appear, and a time.
//!
//! Nothing here looks again and again: signals are read from a signalfd, files are told by inotify. Only where the kernel has
//! no inotify left for this user ([`FALLBACK`]) do files get looked at in turn.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::sys;

/// How often files are looked at where the kernel refuses to tell (`fs.inotify.max_user_instances` is reached).
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

/// The sources of events of one process. Every signal has to be blocked before.
pub(crate) struct Wake {
    signals: OwnedFd,
    files: Option<OwnedFd>,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        let files = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Ok(Self { signals: sys::signal_fd()?, files })
    }

    /// Tells of files that are made in, written in or moved into a folder from now on.
    pub(crate) fn watch(&mut self, folder: &Path) {
        let what = WatchFlags::CREATE | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
        if self.files.as_ref().is_some_and(|files| inotify::add_watch(files, folder, what).is_err()) {
            self.files = None;
        }
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
            let timeout = match &self.files {
                Some(_) => left,
                None => Some(left.map_or(FALLBACK, |left| left.min(FALLBACK))),
            };
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let mut sources = [
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::from_borrowed_fd(self.files.as_ref().unwrap_or(&self.signals).as_fd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut sources, timeout.as_ref()) {
                Ok(0) if self.files.is_none() => return Ok(Event::File),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What has come already, signals before files.
    fn pending(&mut self) -> io::Result<Option<Event>> {
        // `signalfd_siginfo` has this size and begins with the number.
        let mut record = [0; 128];
        match rustix::io::read(&self.signals, &mut record) {
            Ok(_) => {
                let [a, b, c, d, ..] = record;
                let number = i32::from_ne_bytes([a, b, c, d]);
                return Ok(Some(if number == libc::SIGCHLD { Event::Child } else { Event::Signal(number) }));
            }
            Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        let mut records = [0; 4096];
        let mut found = false;
        while let Some(files) = &self.files {
            match rustix::io::read(files, &mut records) {
                Ok(_) => found = true,
                Err(_) => break,
            }
        }
        Ok(found.then_some(Event::File))
    }
}
