//! Waiting for other containers of the pod.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use emissary_contract::file;

use crate::exit_code::{self, PENDING};
use crate::failure::{Doing as _, Failure};
use crate::files;
use crate::inputs::ends;
use crate::shared::{Shared, read_text};
use crate::wake::{Bell, Event, Wake};

/// Containers whose exit codes are waited for.
pub(crate) struct Awaited {
    containers: Vec<Container>,
    bell: Bell,
}

/// One of them.
struct Container {
    name: String,
    /// Whether its executor has ended, in whatever way; nothing while none is known to run.
    gone: OnceCell<Arc<AtomicBool>>,
}

/// How a container has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With an exit code.
    Code(i64),
    /// Killed together with its executor.
    Killed,
}

impl Awaited {
    /// Watches the folder of each, which is made where the container has not begun yet.
    pub(crate) fn watch<'a>(
        names: impl Iterator<Item = &'a str>,
        shared: &Shared,
        wake: &mut Wake,
    ) -> io::Result<Self> {
        let mut containers = Vec::new();
        for name in names.filter(|name| is_name(name)) {
            let folder = shared.container(name);
            files::make_folder(&folder, 0o777)?;
            wake.watch(&folder);
            containers.push(Container { name: name.to_owned(), gone: OnceCell::new() });
        }
        Ok(Self { containers, bell: wake.bell()? })
    }

    /// Whether all have ended, well or not.
    pub(crate) fn have_ended(&self, shared: &Shared) -> bool {
        self.containers.iter().all(|container| container.end(shared, &self.bell).is_some())
    }

    /// Waits until all have succeeded.
    ///
    /// # Errors
    /// Where one has failed, or a signal comes that would end the process.
    pub(crate) fn succeed(&self, shared: &Shared, own: &Path, wake: &mut Wake) -> Result<(), Failure> {
        wait(own, wake, || {
            let mut all = true;
            for container in &self.containers {
                let how = match container.end(shared, &self.bell) {
                    Some(End::Code(0)) => continue,
                    None => {
                        all = false;
                        continue;
                    }
                    Some(End::Code(code)) => format!("ended with exit code {code}"),
                    Some(End::Killed) => "was killed together with its executor (out of memory, or SIGKILL)".to_owned(),
                };
                let name = &container.name;
                return Err(Failure::own(format!("the container {name}, which this one depends on, {how}")));
            }
            Ok(all)
        })
    }
}

impl Container {
    /// How it has ended, if it has; else takes care that the bell rings when its executor goes.
    fn end(&self, shared: &Shared, bell: &Bell) -> Option<End> {
        // In this order: who goes has left the exit code before.
        let gone = self.gone.get().is_some_and(|gone| gone.load(Ordering::Acquire));
        if let Some(code) = exit_code::read(&shared.exit_code(&self.name)) {
            return Some(End::Code(code));
        }
        if gone {
            return Some(End::Killed);
        }
        if self.gone.get().is_none()
            && let Ok(pending) = open(&shared.container(&self.name).join(PENDING))
            && let Ok(bell) = bell.try_clone()
        {
            let gone = Arc::new(AtomicBool::new(false));
            let tell = Arc::clone(&gone);
            let watched = exit_code::when_released(pending, move || {
                tell.store(true, Ordering::Release);
                bell.ring();
            });
            if watched.is_ok() {
                let _ = self.gone.set(gone);
            }
        }
        None
    }
}

/// Opens a file that others may have put something else in place of.
fn open(file: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags).open(file)
}

/// Waits, without a process to hand signals to, until `done`.
///
/// # Errors
/// Those of `done`; and a signal, sent or left as a file in `own`, that would end a process.
pub(crate) fn wait(
    own: &Path,
    wake: &mut Wake,
    mut done: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut came = None;
    loop {
        if let Some(signal) = came.or_else(|| take_signal(own, wake)).filter(|signal| ends(*signal)) {
            return Err(Failure::signalled(signal));
        }
        if done()? {
            return Ok(());
        }
        came = match wake.next(None).doing(|| "cannot wait".to_owned())? {
            Event::Signal(signal) => Some(signal),
            _ => None,
        };
    }
}

/// The signal that somebody has left as a file, and takes it away. What is no signal, or none yet, stays, and is looked at
/// again when it is written to.
pub(crate) fn take_signal(folder: &Path, wake: &mut Wake) -> Option<i32> {
    let file = folder.join(file::SIGNAL);
    let read = || read_text(&file, 16).ok();
    let number = |text: &str| text.trim().parse().ok().filter(|signal| (1..=64).contains(signal));
    let mut text = read();
    let is_none_yet = text.as_deref().is_some_and(|text| number(text).is_none());
    wake.watch_writes(folder, is_none_yet);
    if is_none_yet {
        // It may have been written before that was noticed.
        text = read();
    }
    let signal = number(&text?)?;
    // Whoever may write there may also remove; else the next look would send it again.
    let _ = std::fs::remove_file(&file);
    Some(signal)
}

/// Whether a name is one part of a path, as names of containers are.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}
