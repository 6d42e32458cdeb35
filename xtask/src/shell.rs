//! Text for a POSIX shell.

use std::path::Path;

use anyhow::Context as _;

/// A path as one word.
///
/// # Errors
/// Where it is not UTF-8.
pub(crate) fn word(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_ends_no_word() {
        assert_eq!(word(Path::new("/a b/it's")).unwrap(), r"'/a b/it'\''s'");
    }
}
