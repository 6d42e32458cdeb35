//! YAML as kubectl reads it, as far as the parser's options go.

use super::{Place, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Options, Spanned};

/// Parses one YAML document, the root with its position.
///
/// kubectl reads YAML 1.1 scalars (sigs.k8s.io/yaml), and so does this: `yes`, `no`, `on`, `off`, `y` and `n` are
/// booleans, `0755` is 493, `1_000` is 1000; dates stay text. It differs in what hardly anybody writes: mixed case
/// (`yEs`) is a boolean too, `1__0` is text, and an integer beyond 64 bits is a floating-point number. A key that
/// occurs twice is an error, and an application's tag is ignored.
///
/// `depth` bounds the nesting: the parser's stack grows with it, by some KiB a level.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, start: &Place, depth: usize) -> Result<Spanned<T>, Problem> {
    serde_saphyr::from_str_with_options(text, options(depth)).map_err(|error| problem(&error, start))
}

/// Makes whole numbers of `1.0` and `1e3`, which is what becomes of them on the way through Go's float64 to JSON, and
/// what an integer field needs.
pub(super) fn whole_floats(value: &mut Value) {
    /// Up to here every whole float64 is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT);
            // The cast is exact within these bounds.
            whole.into_iter().for_each(|float| *number = (float as i64).into());
        }
        Value::Array(items) => items.iter_mut().for_each(whole_floats),
        Value::Object(entries) => entries.values_mut().for_each(whole_floats),
        _ => {}
    }
}

/// Bounds beyond what a cluster's largest objects need, and an end to documents that grow by their aliases.
fn options(max_depth: usize) -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: max_depth,
            max_events: 8_000_000,
            max_nodes: 4_000_000,
        },
    }
}

fn problem(error: &serde_saphyr::Error, start: &Place) -> Problem {
    let mut text = match error {
        serde_saphyr::Error::Budget { .. } => {
            "nests too deeply, has too many values, or grows by its aliases".to_owned()
        }
        error => error.to_string(),
    };
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
