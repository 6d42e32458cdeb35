//! Waiting for other containers of the pod.

use std::io;
use std::path::Path;

use emissary_contract::file;

use crate::failure::{Doing as _, Failure};
use crate::files;
use crate::inputs::ends;
use crate::report;
use crate::shared::{Shared, read_text};
use crate::wake::{Event, Wake};

/// Containers whose exit codes are waited for.
pub(crate) struct Awaited(Vec<String>);

impl Awaited {
    /// Watches the folder of each, which is made where the container has not begun yet.
    pub(crate) fn watch<'a>(
        names: impl Iterator<Item = &'a str>,
        shared: &Shared,
        wake: &mut Wake,
    ) -> io::Result<Self> {
        let mut awaited = Vec::new();
        for name in names.filter(|name| is_name(name)) {
            let folder = shared.container(name);
            files::make_folder(&folder, 0o777)?;
            wake.watch(&folder);
            awaited.push(name.to_owned());
        }
        Ok(Self(awaited))
    }

    /// Whether all have ended, well or not.
    pub(crate) fn have_ended(&self, shared: &Shared) -> bool {
        self.0.iter().all(|name| report::read(&shared.exit_code(name)).is_some())
    }

    /// Waits until all have succeeded.
    ///
    /// # Errors
    /// Where one has failed, or a signal comes that would end the process.
    pub(crate) fn succeed(&self, shared: &Shared, own: &Path, wake: &mut Wake) -> Result<(), Failure> {
        wait(own, wake, || {
            let mut all = true;
            for name in &self.0 {
                match report::read(&shared.exit_code(name)) {
                    Some(0) => {}
                    None => all = false,
                    Some(code) => {
                        return Err(Failure::own(format!(
                            "the container {name}, which this one depends on, ended with exit code {code}"
                        )));
                    }
                }
            }
            Ok(all)
        })
    }
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
