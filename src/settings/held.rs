//! What a source last said that was valid, kept while what it says now is not.

use crate::manifest::Problem;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One source's part of the settings.
#[derive(Debug)]
pub(super) struct Held<T> {
    /// A hash of the content that the fields below are about.
    seen: Option<u64>,
    /// What is in effect of it.
    pub(super) good: Option<T>,
    /// Whether all of it was ever valid. Until then what is right of it counts, since there is nothing to stay with.
    sound: bool,
    /// What is wrong with it now.
    pub(super) problems: Vec<Problem>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { seen: None, good: None, sound: false, problems: Vec::new() }
    }
}

impl<T> Held<T> {
    /// Takes new content: parses it if it is another than last time. `parse` returns what is right of it and what is wrong.
    /// Returns whether what is in effect may have changed.
    pub(super) fn update(&mut self, content: &impl Hash, parse: impl FnOnce() -> (Option<T>, Vec<Problem>)) -> bool {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        if self.seen.replace(hasher.finish()) == Some(hasher.finish()) {
            return false;
        }
        let (value, problems) = parse();
        let valid = problems.is_empty();
        self.problems = problems;
        let taken = valid || !self.sound;
        if taken {
            self.good = value;
        }
        self.sound |= valid;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Place;

    #[test]
    fn what_was_valid_stays_and_before_that_what_is_right_counts() {
        let wrong = || vec![Problem::new(Place::whole("x"), "wrong")];
        let mut held = Held::default();
        let table = [
            ("a", Some(1), wrong(), true, Some(1)),
            ("b", Some(2), wrong(), true, Some(2)),
            ("c", Some(3), Vec::new(), true, Some(3)),
            ("d", Some(4), wrong(), false, Some(3)),
            ("e", None, wrong(), false, Some(3)),
            ("f", Some(5), Vec::new(), true, Some(5)),
        ];
        for (content, value, problems, changed, good) in table {
            let said = problems.clone();
            assert_eq!(held.update(&content, || (value, problems)), changed, "{content}");
            assert_eq!((held.good, &held.problems), (good, &said), "{content}");
        }
        assert!(!held.update(&"f", || unreachable!("the same content is not parsed again")));
    }
}
