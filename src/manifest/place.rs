use std::{fmt, sync::Arc};

/// A position in something that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as it was named, `standard input`, a flag or a variable.
    pub source: Arc<str>,
    /// From 1; 0 where the source has no lines.
    pub line: u64,
    /// In characters from 1; 0 where only the line, or nothing, is known.
    pub column: u64,
}

impl Place {
    /// A source as a whole.
    pub fn whole(source: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), line: 0, column: 0 }
    }
}

/// `file:line:column`, which terminals and editors can follow.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        for number in [self.line, self.column].iter().take_while(|number| **number > 0) {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

/// What is wrong with an input, where, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {text}")]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, for the person who wrote it.
    pub text: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: Place, text: impl Into<String>) -> Self {
        Self { place, text: text.into() }
    }
}
