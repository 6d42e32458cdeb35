//! A terminal for the user's process where the container has one (`tty: true`).
//!
//! The process is in a group of its own, and a group that is not the terminal's foreground may not read from it. So it gets a
//! terminal of its own, in a session of its own, and bytes and sizes are carried between the two.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use rustix::pty::{self, OpenptFlags};
use rustix::termios::{self, OptionalActions, Termios};

/// The container's terminal, which passes bytes on as they are until this is dropped.
pub(crate) struct Terminal {
    before: Termios,
    /// Our side of the process's terminal, while there is one.
    ours: Arc<Mutex<Option<File>>>,
}

impl Terminal {
    /// The terminal that standard input is, if it is one.
    pub(crate) fn of_stdin() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        let before = termios::isatty(stdin).then(|| termios::tcgetattr(stdin).ok())??;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        let ours = Arc::new(Mutex::new(None));
        let terminal = Self { before, ours: Arc::clone(&ours) };
        // It reads for as long as we are there; what comes while no process runs is nobody's.
        thread::Builder::new().stack_size(32 << 10).spawn(move || carry_in(&ours)).ok()?;
        Some(terminal)
    }

    /// A new terminal: the process's side of it, and ours to read from.
    pub(crate) fn open(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let ours = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        pty::grantpt(&ours)?;
        pty::unlockpt(&ours)?;
        let theirs = pty::ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        *self.ours.lock().unwrap_or_else(PoisonError::into_inner) = Some(File::from(ours.try_clone()?));
        self.resize();
        Ok((theirs, ours))
    }

    /// Gives the process's terminal the size of the container's; true, so that the signal about it has been dealt with.
    pub(crate) fn resize(&self) -> bool {
        if let Some(ours) = &*self.ours.lock().unwrap_or_else(PoisonError::into_inner)
            && let Ok(size) = termios::tcgetwinsize(rustix::stdio::stdin())
        {
            let _ = termios::tcsetwinsize(ours.as_fd(), size);
        }
        true
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

fn carry_in(ours: &Mutex<Option<File>>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = io::stdin().read(&mut bytes) {
        let terminal =
            ours.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|file| file.try_clone().ok());
        // Outside of the lock: a process that does not read keeps nobody else waiting.
        if let Some(mut terminal) = terminal {
            let _ = terminal.write_all(bytes.get(..count).unwrap_or_default());
        }
    }
}
