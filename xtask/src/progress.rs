//! What a task says about itself while it works: one line a component that is overwritten on a terminal, a line a step
//! elsewhere, so that a log has no control characters in it.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Instant;

/// The running account of one component, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    subject: &'static str,
    started: Instant,
    overwrites: bool,
}

impl Progress {
    /// An account of `subject` that starts now.
    pub(crate) fn of(subject: &'static str) -> Self {
        Self { subject, started: Instant::now(), overwrites: stderr().is_terminal() }
    }

    /// Says what is being done now.
    pub(crate) fn step(&self, doing: &str) {
        if self.overwrites {
            self.write(&format!("\r\x1b[2K{}: {doing} …", self.subject));
        } else {
            self.write(&format!("{}: {doing}\n", self.subject));
        }
    }

    /// Says something that has to stay on the screen.
    pub(crate) fn note(&self, text: &str) {
        self.write(&format!("{}{}: {text}\n", self.line_start(), self.subject));
    }

    /// Closes the account.
    pub(crate) fn end(self, result: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        // What was found at once is not worth a time.
        let took = if seconds < 0.1 { String::new() } else { format!(" ({seconds:.1} s)") };
        self.write(&format!("{}{}: {result}{took}\n", self.line_start(), self.subject));
    }

    fn line_start(&self) -> &'static str {
        if self.overwrites { "\r\x1b[2K" } else { "" }
    }

    fn write(&self, text: &str) {
        // A task goes on when nobody reads what it says any more.
        let _ = stderr().write_all(text.as_bytes()).and_then(|()| stderr().flush());
    }
}
