/// A part of a text, and what is put in its place.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) text: String,
}

impl Replacement {
    pub(super) fn insert(at: usize, text: String) -> Self {
        Self { start: at, end: at, text }
    }
}

/// The text with all replacements made; those at one place in the order in which they were asked for.
pub(super) fn apply(text: &str, mut edits: Vec<Replacement>) -> String {
    edits.sort_by_key(|edit| (edit.start, edit.end));
    let mut result = String::with_capacity(text.len() + 64 * edits.len());
    let mut at = 0;
    for edit in edits {
        result.push_str(text.get(at..edit.start).unwrap_or_default());
        result.push_str(&edit.text);
        at = edit.end.max(at);
    }
    result.push_str(text.get(at..).unwrap_or_default());
    result
}
