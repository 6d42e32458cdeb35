use std::fmt;
use std::io;

/// For whom a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs: a list with an object for each.
    Json,
}

/// A text in a colour; `anstream` takes the colour off where nobody sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Styled<T>(pub(super) &'static str, pub(super) T);

pub(super) const RED: &str = "\x1b[31m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const YELLOW: &str = "\x1b[33m";
pub(super) const CYAN: &str = "\x1b[36m";
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const DIM: &str = "\x1b[2m";

pub(super) const ERROR: Styled<&str> = Styled("\x1b[1;31m", "error:");
pub(super) const WARNING: Styled<&str> = Styled("\x1b[1;33m", "warning:");

impl<T: fmt::Display> fmt::Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}\x1b[0m", self.0, self.1)
    }
}

/// Whether the reader of our output has gone, as `| head` does: no failure of ours.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// A unified diff of two texts, coloured.
pub(super) fn diff(before: &str, after: &str, names: (&str, &str)) -> String {
    let diff = similar::TextDiff::from_lines(before, after);
    let mut text = String::new();
    for line in diff.unified_diff().context_radius(3).header(names.0, names.1).to_string().lines() {
        let colour = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => BOLD,
            [b'+', ..] => GREEN,
            [b'-', ..] => RED,
            [b'@', ..] => CYAN,
            _ => "",
        };
        if colour.is_empty() {
            text.push_str(line);
        } else {
            text.push_str(&Styled(colour, line).to_string());
        }
        text.push('\n');
    }
    text
}
