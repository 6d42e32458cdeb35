//! The user's process: started in a group of its own, sent what we are sent, reaped.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use emissary_contract::exit;
use rustix::process::WaitOptions;

use crate::capture::{Capture, Pumps};
use crate::command::Words;
use crate::dependencies::{Awaited, take_signal};
use crate::failure::{Doing as _, Failure};
use crate::shared::Shared;
use crate::sys::{self, Image, Mask};
use crate::terminal::Terminal;
use crate::wake::{Event, Wake};

/// What a process runs with.
pub(crate) struct Surroundings<'a> {
    /// Where files of the pod are.
    pub(crate) shared: &'a Shared,
    /// The container's own folder.
    pub(crate) folder: &'a Path,
    /// The process's variables.
    pub(crate) variables: &'a [(OsString, OsString)],
    /// The signals that were blocked before we blocked all.
    pub(crate) mask: Mask,
    /// Where its output is kept, if it is.
    pub(crate) capture: Option<&'a Capture>,
    /// The terminal that it gets, where standard input is one.
    pub(crate) terminal: Option<&'a Terminal>,
    /// For a sidecar: the containers with whose end it ends, and how long that may take.
    pub(crate) ends_with: Option<(&'a Awaited, Duration)>,
    /// A signal that is not handed on: an artifact plugin stays while the pod is told to end.
    pub(crate) ignored: Option<i32>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code, or 128 and the signal's number.
    pub(crate) code: u8,
    /// Whether it was told to end, so that it must not be run again.
    pub(crate) told: bool,
}

/// Runs a program to its end.
///
/// # Errors
/// Where it cannot be started.
pub(crate) fn run(file: &Path, words: &Words, with: &Surroundings<'_>, wake: &mut Wake) -> Result<Ended, Failure> {
    let cannot = || format!("cannot start {}", file.display());
    let mut command = Command::new(file);
    let image = Image::new(file.as_os_str(), &words.0, with.variables).doing(cannot)?;
    let pumps = prepare(&mut command, image, with).doing(cannot)?;
    let child = command.spawn().map_err(|error| {
        let hint = match error.kind() {
            // The program itself has been found before.
            io::ErrorKind::NotFound => "; the interpreter that its first line or its format names is not there",
            _ if error.raw_os_error() == Some(libc::ENOEXEC) => {
                "; it is no program of this machine, and has no first line that names an interpreter"
            }
            _ => "",
        };
        Failure::own(format!("{}: {error}{hint}", cannot()))
    })?;
    // It holds our ends of what the child writes to.
    drop(command);
    let process = i32::try_from(child.id()).unwrap_or_default();
    let pumps = match pumps.map(Pumps::start).transpose() {
        Ok(pumps) => pumps,
        Err(error) => {
            let _ = sys::kill(-process, libc::SIGKILL);
            let _ = reap_until(process, wake);
            return Err(error).doing(|| "cannot read what the process writes".to_owned());
        }
    };
    let ended = attend(process, with, wake);
    if let Some(pumps) = pumps {
        pumps.finish();
    }
    ended
}

/// Says what the child inherits, and makes the pipes for it.
fn prepare(command: &mut Command, image: Image, with: &Surroundings<'_>) -> io::Result<Option<Pumps>> {
    if let Some(terminal) = with.terminal {
        let (child, ours) = terminal.open()?;
        command
            .stdin(Stdio::from(child.try_clone()?))
            .stdout(Stdio::from(child.try_clone()?))
            .stderr(Stdio::from(child));
        sys::become_program(command, image, with.mask, || {
            rustix::process::setsid()?;
            Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
        });
        return Pumps::of_terminal(ours, with.capture).map(Some);
    }
    command.process_group(0);
    sys::become_program(command, image, with.mask, || Ok(()));
    let Some(capture) = with.capture else { return Ok(None) };
    let (pumps, stdout, stderr) = Pumps::of_pipes(capture)?;
    command.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    Ok(Some(pumps))
}

/// Hands on signals until the process ends.
fn attend(process: i32, with: &Surroundings<'_>, wake: &mut Wake) -> Result<Ended, Failure> {
    let mut told = false;
    let mut send = |signal: i32| {
        told |= crate::inputs::ends(signal);
        // The group may be gone already, and then there is nobody to tell.
        let _ = sys::kill(-process, signal);
    };
    let mut ends_with = with.ends_with.map(|(awaited, grace)| (awaited, grace, None));
    // What was left before we watched; then whatever comes.
    let mut event = Event::File;
    loop {
        match event {
            Event::Child => {
                if let Some(code) = reap(process) {
                    return Ok(Ended { code, told });
                }
            }
            Event::Signal(libc::SIGWINCH) if with.terminal.is_some_and(Terminal::resize) => {}
            Event::Signal(signal) if with.ignored == Some(signal) => {}
            Event::Signal(signal) => send(signal),
            Event::File => {
                if let Some(signal) = take_signal(with.folder, wake) {
                    send(signal);
                }
                if let Some((awaited, grace, until @ None)) = &mut ends_with
                    && awaited.have_ended(with.shared)
                {
                    send(libc::SIGTERM);
                    *until = Some(Instant::now() + *grace);
                }
            }
            Event::Time => {
                send(libc::SIGKILL);
                ends_with = None;
            }
        }
        event = wake
            .next(ends_with.as_ref().and_then(|(_, _, until)| *until))
            .doing(|| "cannot wait for the process".to_owned())?;
    }
}

/// Reaps every child that has ended, ours or one that was left to us; the code of `process` if it was among them.
fn reap(process: i32) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((found, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if found.as_raw_nonzero().get() != process {
            continue;
        }
        if let Some(exited) = status.exit_status() {
            code = u8::try_from(exited).ok();
        } else if let Some(signal) = status.terminating_signal() {
            code = Some(exit::SIGNALLED + (u8::try_from(signal).unwrap_or_default() & 0x7f));
        }
    }
    code
}

fn reap_until(process: i32, wake: &mut Wake) -> io::Result<u8> {
    loop {
        if let Some(code) = reap(process) {
            return Ok(code);
        }
        wake.next(None)?;
    }
}
