//! `docs/messages.md` explains every text that a user of the cluster may be shown.

use std::path::Path;

const ENUMS: [&str; 3] = ["Skip", "Warning", "Problem"];

/// A variant, and the text it is shown as: its parts between what is filled in.
#[derive(Debug, PartialEq)]
struct Message {
    variant: String,
    parts: Vec<String>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The body of `pub enum NAME {…}`, which ends where a brace closes in the first column.
fn body<'a>(source: &'a str, name: &str) -> &'a str {
    let start = source.find(&format!("pub enum {name} {{\n")).unwrap_or_else(|| panic!("no enum {name}"));
    let rest = &source[start..];
    &rest[..rest.find("\n}").unwrap()]
}

/// The parts of a format string: what stands between `{…}`, at least a word long.
fn parts(format: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for character in format.chars() {
        match character {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                parts.push(String::new());
            }
            _ if depth == 0 => parts.last_mut().unwrap().push(character),
            _ => {}
        }
    }
    let parts = parts.iter().map(|part| part.trim_matches(|c: char| !c.is_alphanumeric() && c != '"').to_owned());
    parts.filter(|part| part.chars().any(char::is_alphabetic)).collect()
}

/// The variants of an enum with their `#[error("…")]`.
fn errors(body: &str) -> Vec<Message> {
    let pieces = body.split("#[error(").skip(1);
    pieces
        .map(|piece| {
            let (attribute, rest) = piece.split_once(")]\n").unwrap();
            let literal = attribute.trim().trim_start_matches('"').trim_end_matches(',').trim_end();
            let literal = literal.strip_suffix('"').unwrap_or(literal);
            let mut text = String::new();
            for (number, line) in literal.lines().enumerate() {
                // A backslash at a line's end takes the line break and the indentation out.
                text.push_str(if number == 0 { line } else { line.trim_start() }.trim_end_matches('\\'));
            }
            let name = rest.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap();
            Message { variant: name.to_owned(), parts: parts(&text.replace("\\\"", "\"")) }
        })
        .collect()
}

/// The words of `Skip`: `Self::Variant => "word",`.
fn words(source: &str) -> Vec<(String, String)> {
    let table = source.split("impl Skip {").nth(1).unwrap();
    let table = &table[..table.find("\n}").unwrap()];
    let rows =
        table.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.strip_suffix("\",")?.split_once(" => \""));
    rows.map(|(variant, word)| (variant.to_owned(), word.to_owned())).collect()
}

#[test]
fn every_message_is_explained() {
    let source = read("crates/core/src/outcome.rs");
    let doc = read("docs/messages.md");
    // One line a paragraph, so that a line break in the document is a space.
    let flat = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut missing = Vec::new();
    let mut count = 0;
    for name in ENUMS {
        for line in body(&source, name).lines() {
            // Variants are indented once, their fields twice.
            let Some(line) = line.strip_prefix("    ").filter(|line| line.starts_with(char::is_uppercase)) else {
                continue;
            };
            let variant: String = line.chars().take_while(|c| c.is_alphanumeric()).collect();
            count += 1;
            if !doc.contains(&format!("<a id=\"{}\"></a>", anchor(name, &variant))) {
                missing.push(format!("{name}::{variant} has no anchor {}", anchor(name, &variant)));
            }
        }
    }
    assert!(count > 25, "only {count} variants found: the sources are read wrongly");
    for name in ["Warning", "Problem"] {
        let messages = errors(body(&source, name));
        for Message { variant, parts } in messages {
            let absent = parts.iter().filter(|part| !flat.contains(part.as_str()));
            missing.extend(absent.map(|part| format!("{name}::{variant}: {part:?}")));
        }
    }
    missing.extend(
        words(&source)
            .iter()
            .filter(|(_, word)| !doc.contains(&format!("`{word}`")))
            .map(|(v, w)| format!("Skip::{v}: {w}")),
    );
    assert!(missing.is_empty(), "docs/messages.md lacks:\n{}", missing.join("\n"));
}

/// `Problem::RestartPolicy` is at `problem-restart-policy`.
fn anchor(name: &str, variant: &str) -> String {
    let mut anchor = name.to_lowercase();
    for character in variant.chars() {
        if character.is_uppercase() {
            anchor.push('-');
        }
        anchor.extend(character.to_lowercase());
    }
    anchor
}

#[test]
fn every_anchor_is_of_a_message() {
    let source = read("crates/core/src/outcome.rs");
    let doc = read("docs/messages.md");
    for anchor_of_doc in doc.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let known = ENUMS.iter().any(|name| {
            let variants = body(&source, name).lines().filter_map(|line| line.strip_prefix("    "));
            variants
                .filter(|line| line.starts_with(char::is_uppercase))
                .map(|line| line.chars().take_while(|c| c.is_alphanumeric()).collect::<String>())
                .any(|variant| anchor(name, &variant) == anchor_of_doc)
        });
        assert!(known, "{anchor_of_doc} is no message any more");
    }
}

#[test]
fn texts_are_read_as_the_compiler_does() {
    let source = "pub enum X {\n    #[error(\"a {b} has\")]\n    One,\n    #[error(\n        \"{0:?} is neither \\\"x\\\" \\\n         nor y\"\n    )]\n    Two(String),\n}\n";
    let message = |variant: &str, parts: &[&str]| Message {
        variant: variant.to_owned(),
        parts: parts.iter().map(|part| (*part).to_owned()).collect(),
    };
    assert_eq!(errors(body(source, "X")), [message("One", &["a", "has"]), message("Two", &["is neither \"x\" nor y"])]);
}
