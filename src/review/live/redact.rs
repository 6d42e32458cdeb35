//! What is left out of a record: values that are secrets more often than not, and which few policies read.
//!
//! | where | what goes |
//! |---|---|
//! | `env`, `httpHeaders` | every value; names, `valueFrom` and `envFrom` stay |
//! | `metadata.managedFields` | all |
//! | annotations | what repeats the object (`last-applied-configuration`, Argo's template); values by the name of a credential; credentials in a value |
//! | `command`, `args` | credentials in a word, and the word behind an option by the name of one |
//! | `volumeAttributes`, `options` of drivers | as in annotations |
//!
//! Everything else is what policies judge, and stays.

use super::case::{Case, Made};
use serde_json::Value;

/// What stands in the place of what was left out.
const REDACTED: &str = "REDACTED";

/// Annotations that repeat the object, values of variables included.
const COPIES: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", "workflows.argoproj.io/template"];

/// Parts of names that credentials go by, in small letters and without `-` and `_`.
const NAMES: [&str; 9] =
    ["password", "passwd", "passphrase", "token", "secret", "apikey", "accesskey", "privatekey", "credential"];

/// How credentials begin that can be told by it, and how long they are at least: JSON Web Tokens, AWS, GitHub, GitLab, Slack,
/// Hugging Face, Google.
const PREFIXES: [(&str, usize); 13] = [
    ("eyJ", 30),
    ("AKIA", 20),
    ("ASIA", 20),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghs_", 20),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("hf_", 20),
    ("AIza", 30),
    ("ya29.", 20),
];

/// The case without them.
pub(super) fn redacted(case: &Case) -> Case {
    let mut case = case.clone();
    pod(&mut case.candidate.object);
    if let Made::Rewritten(rewritten) = &mut case.made {
        pod(rewritten);
    }
    case
}

fn pod(pod: &mut Value) {
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations") {
            named_values(annotations);
        }
    }
    if let Some(spec) = pod.get_mut("spec") {
        fields(spec);
    }
}

fn fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "env" | "httpHeaders" => {
                        let items = value.as_array_mut().into_iter().flatten();
                        items.filter_map(|item| item.get_mut("value")).for_each(redact);
                    }
                    "command" | "args" => words(value),
                    "volumeAttributes" | "options" => named_values(value),
                    _ => self::fields(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(fields),
        _ => {}
    }
}

fn redact(value: &mut Value) {
    // An empty value says nothing, and policies tell it from one that is there.
    if value.as_str() != Some("") {
        *value = Value::from(REDACTED);
    }
}

/// A mapping of texts, such as annotations.
fn named_values(values: &mut Value) {
    for (key, value) in values.as_object_mut().into_iter().flatten() {
        if COPIES.contains(&key.as_str()) || is_name(key) {
            redact(value);
        } else if let Value::String(text) = value {
            *text = scrubbed(text);
        }
    }
}

/// The words of a command.
fn words(value: &mut Value) {
    let mut is_next = false;
    for word in value.as_array_mut().into_iter().flatten() {
        let Value::String(text) = word else { continue };
        if is_next {
            *text = REDACTED.to_owned();
            is_next = false;
            continue;
        }
        is_next = text.starts_with('-') && !text.contains(['=', ' ', '\n']) && is_name(text);
        *text = scrubbed(text);
    }
}

fn is_name(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !"-_".contains(*c)).flat_map(char::to_lowercase).collect();
    NAMES.iter().any(|name| plain.contains(name))
}

/// A text without the credentials that can be told in it.
fn scrubbed(text: &str) -> String {
    if text.contains("-----BEGIN") {
        return REDACTED.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut before = Before::Nothing;
    for piece in pieces(text) {
        let Piece::Word(word) = piece else {
            let Piece::Between(between) = piece else { continue };
            out.push_str(between);
            // `password: x`, `"password": "x"`, `password=x`, `Bearer x`; another sentence is none.
            before = match before {
                Before::Name if between.contains(['=', ':']) => Before::Value,
                Before::Value if between.trim_matches(['"', '\'', ' ', '=', ':', '\\']).is_empty() => Before::Value,
                Before::Scheme if between.trim_matches(' ').is_empty() => Before::Value,
                _ => Before::Nothing,
            };
            continue;
        };
        let is_scheme = ["Bearer", "Basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        let is_credential = PREFIXES.iter().any(|(prefix, length)| word.starts_with(prefix) && word.len() >= *length);
        let is_user = user_information(word);
        out.push_str(match (before == Before::Value && !is_scheme) || is_credential {
            true => REDACTED,
            false => is_user.map_or(word, |_| ""),
        });
        if let Some((scheme, host)) = is_user.filter(|_| before != Before::Value && !is_credential) {
            out.extend([scheme, REDACTED, "@", host]);
        }
        before = match () {
            () if is_scheme => Before::Scheme,
            () if is_name(word) => Before::Name,
            () => Before::Nothing,
        };
    }
    out
}

/// What stands before a piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// The name of a credential.
    Name,
    /// The same, and what stands between a name and its value.
    Value,
    /// `Bearer`.
    Scheme,
}

enum Piece<'t> {
    Word(&'t str),
    Between(&'t str),
}

/// Words, which credentials are made of, and what stands between.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let is_word = |c: char| !c.is_whitespace() && !"\"'=,;(){}[]<>|\\".contains(c);
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let of_words = is_word(first) && !starts_value(rest);
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(at, c)| (is_word(*c) && !starts_value(rest.get(*at..).unwrap_or_default())) != of_words)
            .map_or(rest.len(), |(at, _)| at);
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(if of_words { Piece::Word(piece) } else { Piece::Between(piece) })
    })
}

/// Whether a colon stands between a name and its value, and not within an address or an image.
fn starts_value(text: &str) -> bool {
    text.starts_with(':') && text.get(1..).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '"', '\'']))
}

/// A URL with a user in it: what comes before the user, and what comes behind.
fn user_information(word: &str) -> Option<(&str, &str)> {
    let at = word.find("://")? + 3;
    let (scheme, rest) = word.split_at(at);
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rfind('@')?;
    Some((scheme, rest.get(user + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_in_texts_go_and_others_stay() {
        let jwt = format!("eyJ{}", "a.b".repeat(20));
        let table = [
            ("echo hello", "echo hello"),
            ("--password=hunter2", "--password=REDACTED"),
            ("PASSWORD=hunter2 run", "PASSWORD=REDACTED run"),
            (r#"{"api_key": "x1", "a": 1}"#, r#"{"api_key": "REDACTED", "a": 1}"#),
            ("token: abc", "token: REDACTED"),
            ("curl -H 'Authorization: Bearer abc'", "curl -H 'Authorization: Bearer REDACTED'"),
            ("git clone https://me:pw@github.com/a/b", "git clone https://REDACTED@github.com/a/b"),
            ("s3://bucket/key@1", "s3://bucket/key@1"),
            (&jwt, REDACTED),
            ("AKIAIOSFODNN7EXAMPLE", REDACTED),
            ("corp/token:1.0", "corp/token:1.0"),
            ("-----BEGIN PRIVATE KEY-----\nx", REDACTED),
            ("the token is kept in a file", "the token is kept in a file"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(scrubbed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_policies_judge_stays() {
        let mut value = json!({
            "metadata": {
                "name": "p", "labels": {"token": "team"}, "managedFields": [{"a": 1}],
                "annotations": {
                    "container.apparmor.security.beta.kubernetes.io/main": "runtime/default",
                    "corp/registry-token": "x", "workflows.argoproj.io/template": "{}",
                },
            },
            "spec": {
                "containers": [{
                    "name": "main", "image": "corp/token:1.0", "command": ["run", "--token", "x", "--verbose"],
                    "env": [{"name": "A", "value": "x"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s"}}}, {"name": "C", "value": ""}],
                    "securityContext": {"runAsUser": 1},
                    "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "x"}]}},
                }],
                "volumes": [{"secret": {"secretName": "s"}}, {"csi": {"volumeAttributes": {"accessKey": "x", "size": "1"}}}],
            },
        });
        pod(&mut value);
        assert_eq!(
            value,
            json!({
                "metadata": {
                    "name": "p", "labels": {"token": "team"},
                    "annotations": {
                        "container.apparmor.security.beta.kubernetes.io/main": "runtime/default",
                        "corp/registry-token": REDACTED, "workflows.argoproj.io/template": REDACTED,
                    },
                },
                "spec": {
                    "containers": [{
                        "name": "main", "image": "corp/token:1.0", "command": ["run", "--token", REDACTED, "--verbose"],
                        "env": [{"name": "A", "value": REDACTED}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s"}}}, {"name": "C", "value": ""}],
                        "securityContext": {"runAsUser": 1},
                        "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": REDACTED}]}},
                    }],
                    "volumes": [{"secret": {"secretName": "s"}}, {"csi": {"volumeAttributes": {"accessKey": REDACTED, "size": "1"}}}],
                },
            })
        );
    }
}
