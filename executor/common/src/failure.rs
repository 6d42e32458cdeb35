//! How the executor itself fails, and whom it tells.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use emissary_contract::exit;

/// Why a verb ends with a code of ours and not with the user's process's.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What happened and what mends it. Empty where there is nothing to explain, such as after a signal.
    pub text: String,
}

impl Failure {
    /// A failure of our own.
    pub fn own(text: impl Into<String>) -> Self {
        Self { code: exit::FAILURE, text: text.into() }
    }

    /// A failure before the user's process could be started, which the supervisor explains.
    pub fn before_main(text: impl Into<String>) -> Self {
        Self { code: exit::BEFORE_MAIN, text: text.into() }
    }

    /// The end that a signal's number stands for.
    pub fn signalled(signal: i32) -> Self {
        let signal = u8::try_from(signal).unwrap_or_default() & 0x7f;
        Self { code: exit::SIGNALLED + signal, text: String::new() }
    }

    /// Leaves the text where the kubelet takes a container's last words from, and on standard error.
    pub fn tell(&self, termination_log: &Path) {
        if self.text.is_empty() {
            return;
        }
        // Neither can be told of its own failure.
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(termination_log);
        let _ = file.and_then(|mut file| file.write_all(self.text.as_bytes()));
        let _ = writeln!(std::io::stderr(), "argoexec: {self}");
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Says what was being done when an operation of the system failed.
pub trait Doing<T> {
    /// The failure's text is what `doing` says, a colon, and the system's reason.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::own(format!("{}: {error}", doing())))
    }
}
