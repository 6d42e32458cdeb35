use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_saphyr::DoubleQuoted;

/// Writes a value as one YAML document that kubectl reads back to the same value.
///
/// Text that YAML 1.1 would take for something else (`yes`, `0755`, `null`, a date) is quoted. Ends with a line break.
pub fn to_yaml(value: &Value) -> String {
    // Writing to memory does not fail, and neither has a JSON value a form that YAML lacks; JSON is YAML, should that
    // change.
    serde_saphyr::to_string(&Written(value)).unwrap_or_else(|_| format!("{value}\n"))
}

/// A value with the style of each text chosen.
struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) if starts_with_tab(text) => DoubleQuoted(text).serialize(serializer),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Written)),
            Value::Object(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, Written(value)))),
            other => other.serialize(serializer),
        }
    }
}

/// Whether a text of several lines starts with a tab: kubectl's parser takes that for indentation where the text is a
/// block (`|`), and refuses it.
fn starts_with_tab(text: &str) -> bool {
    text.trim_start_matches([' ', '\n']).starts_with('\t') && text.contains('\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Place, parse_yaml};
    use proptest::prelude::*;
    use serde_json::json;

    fn back(value: &Value) -> Value {
        let yaml = to_yaml(value);
        match parse_yaml::<Value>(&yaml, &Place::whole("test"), 64) {
            Ok(parsed) => parsed.value,
            Err(problem) => panic!("{problem} in\n{yaml}"),
        }
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for text in [
            "yes",
            "No",
            "on",
            "y",
            "N",
            "true",
            "null",
            "~",
            "",
            "0755",
            "0o17",
            "0x1f",
            "1_000",
            "1e3",
            ".5",
            "+1",
            "-0",
            ".inf",
            ".NaN",
            "2001-01-01",
            "2001-01-01T00:00:00Z",
            "12:30:45",
            "<<",
            "=",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "- a",
            "a: b",
            "a #b",
            " a",
            "a ",
            "---",
            "...",
            "|",
            ">",
            "[a",
            "{a",
            "'",
            "\"",
            "a\tb",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "0b1",
            "08",
            "1__0",
            "0x_1",
            "190:20:30",
            "6.8523015e+5",
        ] {
            let yaml = to_yaml(&json!(text));
            assert!(yaml.starts_with(['"', '\'']), "{text:?} as {yaml}");
            let value = json!({"key": text, "list": [text], text: 1});
            assert_eq!(back(&value), value, "{text:?}");
        }
    }

    #[test]
    fn reads_like_what_a_person_would_write() {
        let value = json!({"spec": {"containers": [{"name": "a", "args": ["-c", "x"], "env": []}]}, "text": "a\nb\n"});
        let expected =
            "spec:\n  containers:\n  - args:\n    - -c\n    - x\n    env: []\n    name: a\ntext: |\n  a\n  b\n";
        assert_eq!(to_yaml(&value), expected);
    }

    #[test]
    fn text_that_starts_with_a_tab_is_no_block() {
        for text in ["\tmake\n", " \n\tmake\n", "\n\tmake\n\tall\n"] {
            let value = json!({"source": text});
            let yaml = to_yaml(&value);
            assert!(!yaml.contains(['|', '>']), "{yaml}");
            assert_eq!(back(&value), value);
        }
        assert!(to_yaml(&json!("all:\n\tmake\n")).starts_with('|'), "a later line may");
    }

    fn json() -> impl Strategy<Value = Value> {
        let text =
            prop_oneof![any::<String>(), "[-+0-9_.xeEobyn:~ ]{0,6}", "([ \n\ta#:|>'\"-]){0,8}", "[a-z ]{70,120}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(|number: f64| Value::from(number)),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((text.clone(), inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_back_to_the_same_value(value in json()) {
            prop_assert_eq!(back(&value), value);
        }
    }
}
