//! `glob.match` as OPA has it: `*` and `?` stop at the delimiters, `**` does not.

use regex::Regex;
use regorus::Value;
use std::collections::HashMap;

/// How many patterns are kept compiled: a policy has few, unless the pattern is a stranger's.
const KEPT: usize = 256;
/// How large a compiled pattern may be.
const SIZE: usize = 1 << 20;

/// Patterns by delimiters and text; `None` for one that is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Compiled(HashMap<(String, String), Option<Regex>>);

impl Compiled {
    /// `glob.match(pattern, delimiters, text)`; undefined where the types are wrong or the pattern is none.
    pub(super) fn matches(&mut self, arguments: &[Value]) -> Value {
        let [Value::String(pattern), delimiters, Value::String(text)] = arguments else { return Value::Undefined };
        let delimiters = match delimiters {
            Value::Null => String::new(),
            // No delimiters given are those of a domain's name.
            Value::Array(all) if all.is_empty() => ".".to_owned(),
            Value::Array(all) => {
                match all.iter().map(|one| one.as_string().map(|one| one.as_ref())).collect::<Result<String, _>>() {
                    Ok(all) => all,
                    Err(_) => return Value::Undefined,
                }
            }
            _ => return Value::Undefined,
        };
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        let key = (delimiters, pattern.to_string());
        let compiled = self.0.entry(key).or_insert_with_key(|(delimiters, pattern)| compile(pattern, delimiters));
        compiled.as_ref().map_or(Value::Undefined, |regex| Value::from(regex.is_match(text)))
    }
}

fn compile(pattern: &str, delimiters: &str) -> Option<Regex> {
    let text = format!("^(?s:{})$", translate(pattern, delimiters)?);
    regex::RegexBuilder::new(&text).size_limit(SIZE).build().ok()
}

/// The pattern as a regular expression.
fn translate(pattern: &str, delimiters: &str) -> Option<String> {
    let escaped: String = delimiters.chars().map(|c| regex::escape(&c.to_string())).collect();
    let one = if delimiters.is_empty() { ".".to_owned() } else { format!("[^{escaped}]") };
    let mut result = String::with_capacity(pattern.len() * 2);
    let mut alternatives = 0_u32;
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '*' if characters.next_if_eq(&'*').is_some() => {
                while characters.next_if_eq(&'*').is_some() {}
                result.push_str(".*");
            }
            '*' => {
                result.push_str(&one);
                result.push('*');
            }
            '?' => result.push_str(&one),
            '{' => {
                alternatives += 1;
                result.push_str("(?:");
            }
            '}' if alternatives > 0 => {
                alternatives -= 1;
                result.push(')');
            }
            ',' if alternatives > 0 => result.push('|'),
            '[' => {
                result.push('[');
                if characters.next_if_eq(&'!').is_some() {
                    result.push('^');
                }
                loop {
                    match characters.next()? {
                        ']' => break,
                        '-' => result.push('-'),
                        '\\' => result.push_str(&regex::escape(&characters.next()?.to_string())),
                        c => result.push_str(&regex::escape(&c.to_string())),
                    }
                }
                result.push(']');
            }
            '\\' => result.push_str(&regex::escape(&characters.next()?.to_string())),
            c => result.push_str(&regex::escape(&c.to_string())),
        }
    }
    (alternatives == 0).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::Compiled;
    use regorus::Value;

    #[test]
    fn delimiters_stop_a_star() {
        let mut globs = Compiled::default();
        for (pattern, delimiters, text, expected) in [
            ("*.github.com", "[]", "api.github.com", "true"),
            ("*.github.com", "[]", "api.cdn.github.com", "false"),
            ("**.github.com", "[]", "api.cdn.github.com", "true"),
            ("*.github.com", "null", "api.cdn.github.com", "true"),
            ("*:github:com", "[\":\"]", "api:github:com", "true"),
            ("quay.io/**", "[]", "quay.io/argoproj/argoexec:v3.3.10", "true"),
            ("{gcr,ghcr}.io/*/*", "[\"/\", \".\"]", "ghcr.io/a/b", "true"),
            ("{gcr,ghcr}.io/*/*", "[\"/\", \".\"]", "ghcr.io/a/b/c", "false"),
            ("[!ab]?t", "[]", "cat", "true"),
            ("[a-c]at", "[]", "dat", "false"),
            ("a\\*b", "[]", "a*b", "true"),
            ("a\\*b", "[]", "axb", "false"),
        ] {
            let arguments = [Value::from(pattern), Value::from_json_str(delimiters).unwrap(), Value::from(text)];
            assert_eq!(globs.matches(&arguments).to_string(), expected, "{pattern} {delimiters} {text}");
        }
        for (pattern, delimiters) in [("{a", "[]"), ("[a", "[]"), ("a", "1"), ("a", "[1]")] {
            let arguments = [Value::from(pattern), Value::from_json_str(delimiters).unwrap(), Value::from("a")];
            assert_eq!(globs.matches(&arguments), Value::Undefined, "{pattern} {delimiters}");
        }
    }
}
