//! Conditions on an object: label selectors (Kubernetes API), of which the keys are paths.

use serde_json::Value;

use super::lookup;

/// What has to hold of a value.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
    Above(f64),
    Below(f64),
}

/// One part of a condition, as it was written and as it is meant.
#[derive(Debug, Clone, PartialEq)]
struct Requirement {
    written: String,
    path: String,
    test: Test,
}

/// Parts with commas between.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Condition(Vec<Requirement>);

impl Condition {
    /// Reads a condition; an empty one has no parts.
    ///
    /// # Errors
    /// Where a part is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut depth = 0u32;
        let mut begin = 0;
        for (place, character) in text.char_indices() {
            match character {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    parts.push(text.get(begin..place).unwrap_or_default());
                    begin = place + 1;
                }
                _ => {}
            }
        }
        parts.push(text.get(begin..).unwrap_or_default());
        let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
        parts.map(Requirement::parse).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first part that holds, as it was written.
    pub(super) fn any(&self, object: &Value) -> Option<&str> {
        self.0.iter().find(|part| part.holds(object)).map(|part| part.written.as_str())
    }

    /// Whether all parts hold.
    pub(super) fn all(&self, object: &Value) -> bool {
        self.0.iter().all(|part| part.holds(object))
    }
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, String> {
        let made = |path: &str, test| Self { written: text.to_owned(), path: path.trim().to_owned(), test };
        let wrong = || {
            format!(
                "{text:?} is no condition; one is such as: status.phase == Succeeded, status.count > 3, a in (b, c)"
            )
        };
        if let Some(path) = text.strip_prefix('!').filter(|path| !path.starts_with('=')) {
            return Ok(made(path, Test::Missing));
        }
        let one = |value: &str| vec![value.trim().to_owned()];
        let number = |value: &str| value.trim().parse::<f64>().map_err(|_| wrong());
        // Longer signs before those that they begin with.
        for (sign, place) in ["!=", "==", "=", ">", "<"].map(|sign| (sign, text.find(sign))) {
            let Some((path, rest)) = place.and_then(|place| text.split_at_checked(place)) else { continue };
            let value = rest.strip_prefix(sign).unwrap_or_default();
            if path.trim().is_empty() || path.contains(char::is_whitespace) && path.trim().contains(char::is_whitespace)
            {
                return Err(wrong());
            }
            return Ok(made(
                path,
                match sign {
                    "!=" => Test::NotIn(one(value)),
                    ">" => Test::Above(number(value)?),
                    "<" => Test::Below(number(value)?),
                    _ => Test::In(one(value)),
                },
            ));
        }
        let mut words = text.splitn(3, char::is_whitespace);
        let (path, word, list) = (words.next().unwrap_or_default(), words.next(), words.next().unwrap_or_default());
        let list = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
        let list = list.map(|list| list.split(',').map(|value| value.trim().to_owned()).collect());
        match (word, list) {
            (None, _) => Ok(made(path, Test::Exists)),
            (Some("in"), Some(list)) => Ok(made(path, Test::In(list))),
            (Some("notin"), Some(list)) => Ok(made(path, Test::NotIn(list))),
            _ => Err(wrong()),
        }
    }

    fn holds(&self, object: &Value) -> bool {
        let found = lookup::dotted(object, &self.path);
        let text = found.map(lookup::text);
        let number = || text.as_ref().and_then(|text| text.parse::<f64>().ok());
        match &self.test {
            Test::In(values) => text.is_some_and(|text| values.contains(&text)),
            // As for labels, what is not there is none of the values.
            Test::NotIn(values) => text.is_none_or(|text| !values.contains(&text)),
            Test::Exists => found.is_some(),
            Test::Missing => found.is_none(),
            Test::Above(limit) => number().is_some_and(|number| number > *limit),
            Test::Below(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn conditions_are_selectors() {
        let object = json!({ "status": { "phase": "Running", "count": 4, "ready": true, "list": [{ "type": "A" }] } });
        let cases = [
            ("status.phase == Running", true),
            ("status.phase=Running", true),
            ("status.phase != Running", false),
            ("status.none != x", true),
            ("status.count > 3", true),
            ("status.count > 4", false),
            ("status.count < 5, status.phase = Running", true),
            ("status.count < 5, status.phase = Failed", false),
            ("status.phase in (Failed, Running)", true),
            ("status.phase notin (Failed, Running)", false),
            ("status.ready", true),
            ("!status.ready", false),
            ("status.ready == true", true),
            ("status.list.0.type == A", true),
            ("status.none > 1", false),
            ("", true),
        ];
        for (text, expected) in cases {
            assert_eq!(Condition::parse(text).unwrap().all(&object), expected, "{text}");
        }
        for wrong in ["a b c", "a > b", "a in b", "= x", "a b = c"] {
            assert!(Condition::parse(wrong).is_err(), "{wrong}");
        }
        let failure = Condition::parse("status.phase == Failed, status.count > 3").unwrap();
        assert_eq!(failure.any(&object), Some("status.count > 3"));
    }

    proptest! {
        #[test]
        fn any_condition_is_read_or_refused(text in "[a.!=<>(), 0in]{0,16}|.*") {
            if let Ok(condition) = Condition::parse(&text) {
                condition.all(&json!({ "a": 1 }));
            }
        }
    }
}
