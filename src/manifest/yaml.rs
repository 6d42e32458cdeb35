//! YAML as kubectl reads it, as far as the parser's options go.

use super::{Place, Problem};
use serde::de::DeserializeOwned;
use serde_saphyr::{Options, Spanned};

/// Parses one YAML document, the root with its position.
///
/// kubectl reads YAML 1.1 scalars (sigs.k8s.io/yaml), and so does this: `yes`, `no`, `on`, `off`, `y` and `n` are booleans,
/// `0755` is 493, `1_000` is 1000; dates stay text. It differs in what hardly anybody writes: mixed case (`yEs`) is a boolean
/// too, `1__0` is text, and an integer beyond 64 bits is a floating-point number. A key that occurs twice is an error, and an
/// application's tag is ignored.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, start: &Place) -> Result<Spanned<T>, Problem> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| problem(&error, start))
}

/// Bounds beyond what a cluster's largest objects need, and an end to documents that grow by their aliases.
fn options() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 128,
            max_events: 8_000_000,
            max_nodes: 4_000_000,
        },
    }
}

fn problem(error: &serde_saphyr::Error, start: &Place) -> Problem {
    let mut text = error.to_string();
    let mut place = start.clone();
    if let Some(location) = error.location() {
        let suffix = format!(" at line {}, column {}", location.line(), location.column());
        if let Some(message) = text.strip_suffix(&suffix) {
            text = message.to_owned();
        }
        place.line = start.line.max(1) + location.line().saturating_sub(1);
        place.column = location.column();
    }
    Problem::new(place, text)
}
