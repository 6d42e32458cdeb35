//! `argoexec kill SIGNAL PID`: what the controller runs in a container that is to end.

use emissary_contract::file;

use crate::arguments::Arguments;
use crate::environment::Environment;
use crate::failure::{Doing as _, Failure};
use crate::files;
use crate::shared::Shared;
use crate::sys;

/// Names that people type; controllers write numbers.
const NAMES: [(&str, i32); 9] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("TERM", libc::SIGTERM),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
];

/// Sends the signal.
///
/// # Errors
/// Where the words are no signal and no process, or the system refuses.
pub(crate) fn run(arguments: &Arguments, environment: &Environment, shared: &Shared) -> Result<u8, Failure> {
    let usage = || Failure::own("usage: argoexec kill SIGNAL PID, such as: argoexec kill 15 1");
    // Argo took the signal as a flag before it took it as a word.
    let (signal, process) = match &arguments.signal {
        Some(signal) => (signal.as_str(), arguments.word(0).ok_or_else(usage)?),
        None => (arguments.word(0).ok_or_else(usage)?, arguments.word(1).ok_or_else(usage)?),
    };
    let signal = number(signal).ok_or_else(usage)?;
    let process: i32 = process.parse().map_err(|_| usage())?;
    // The kernel keeps SIGKILL from process 1 of a container where it comes from the container itself, and says nothing.
    // Whoever wraps the container's process takes it as a file.
    if signal == libc::SIGKILL
        && process == 1
        && let Some(folder) = environment.container.as_deref().map(|name| shared.container(name))
        && folder.is_dir()
    {
        files::write(&folder.join(file::SIGNAL), signal.to_string().as_bytes(), 0o666)
            .doing(|| "cannot leave the signal".to_owned())?;
    }
    sys::kill(process, signal).doing(|| format!("cannot send signal {signal} to process {process}"))?;
    Ok(0)
}

fn number(text: &str) -> Option<i32> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    known.or_else(|| text.parse().ok().filter(|number| (0..=64).contains(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        let cases = [
            ("15", Some(15)),
            ("TERM", Some(15)),
            ("SIGTERM", Some(15)),
            ("0", Some(0)),
            ("64", Some(64)),
            ("65", None),
            ("-1", None),
            ("term", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
