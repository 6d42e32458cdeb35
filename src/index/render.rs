use emissary_core::image::{ImageProcess, IndexEntry, Platform};

/// What an image runs on its platforms, as an entry: once where they agree, and apart only where they differ from what
/// most of them run.
pub fn entry_of(processes: &[(Platform, ImageProcess)]) -> IndexEntry {
    // An entry says nothing of users.
    let runs = |process: &ImageProcess| ImageProcess { user: None, ..process.clone() };
    let votes = |of: &ImageProcess| processes.iter().filter(|(_, process)| runs(process) == runs(of)).count();
    let mut common: Option<&ImageProcess> = None;
    for (_, process) in processes {
        if common.is_none_or(|best| votes(process) > votes(best)) {
            common = Some(process);
        }
    }
    let common = common.map(runs);
    let platforms = processes
        .iter()
        .map(|(platform, process)| (platform.clone(), runs(process)))
        .filter(|(_, process)| Some(process) != common.as_ref())
        .collect();
    IndexEntry { process: common, platforms }
}

/// An entry on one line, `alpine:3.20: {cmd: [/bin/sh]}`.
pub fn line(key: &str, entry: &IndexEntry) -> String {
    named(key, entry, ["entrypoint", "cmd"])
}

/// As [`line`], with other names for the two lists.
pub(super) fn named(key: &str, entry: &IndexEntry, names: [&str; 2]) -> String {
    let mut members = entry.process.iter().flat_map(|process| lists(process, names)).collect::<Vec<_>>();
    if !entry.platforms.is_empty() {
        let platforms = entry.platforms.iter().map(|(platform, process)| {
            let lists = lists(process, names).join(", ");
            format!("{}: {{{lists}}}", scalar(&platform.to_string()))
        });
        members.push(format!("platforms: {{{}}}", platforms.collect::<Vec<_>>().join(", ")));
    }
    format!("{}: {{{}}}", scalar(key), members.join(", "))
}

/// At least one of the lists, as an entry has to give.
fn lists(process: &ImageProcess, [entrypoint, cmd]: [&str; 2]) -> Vec<String> {
    let list = |name: &str, words: &[String]| {
        let words: Vec<String> = words.iter().map(|word| scalar(word)).collect();
        format!("{name}: [{}]", words.join(", "))
    };
    let mut lists = Vec::with_capacity(2);
    if !process.entrypoint.is_empty() || process.cmd.is_empty() {
        lists.push(list(entrypoint, &process.entrypoint));
    }
    if !process.cmd.is_empty() {
        lists.push(list(cmd, &process.cmd));
    }
    lists
}

/// Text as YAML, in double quotes wherever some version of YAML could take it for anything else.
fn scalar(text: &str) -> String {
    const TAKEN: [&str; 12] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "infinity", "nan"];
    let stem = text.trim_start_matches('-');
    // No number and no date has a slash.
    let address = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('/');
    let begins = stem.starts_with(|c: char| c.is_ascii_alphabetic()) || text.starts_with('/') || address;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@+=:*".contains(&byte);
    let taken = TAKEN.iter().any(|word| word.eq_ignore_ascii_case(stem));
    if begins && !taken && !text.ends_with(':') && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // What YAML has for a line break, and what it does not print.
            '\u{2028}' | '\u{2029}' | '\u{feff}' => quoted.push_str(&format!("\\u{:04X}", u32::from(character))),
            _ if character.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parse_index;
    use proptest::prelude::*;

    fn process(entrypoint: &[&str], cmd: &[&str]) -> ImageProcess {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        ImageProcess { entrypoint: own(entrypoint), cmd: own(cmd), user: Some("65532".to_owned()) }
    }

    #[test]
    fn platforms_stand_apart_only_where_they_differ() {
        let on = |platform: &str, process: ImageProcess| (platform.parse().unwrap(), process);
        let table = [
            (vec![on("linux/amd64", process(&["/a"], &["b"]))], "x: {entrypoint: [/a], cmd: [b]}"),
            (vec![on("linux/amd64", process(&[], &["b"])), on("linux/arm64", process(&[], &["b"]))], "x: {cmd: [b]}"),
            (
                vec![
                    on("windows/amd64", process(&["c.exe"], &[])),
                    on("linux/amd64", process(&[], &["b"])),
                    on("linux/arm64", process(&[], &["b"])),
                ],
                "x: {cmd: [b], platforms: {windows/amd64: {entrypoint: [c.exe]}}}",
            ),
            (vec![on("linux/amd64", process(&[], &[]))], "x: {entrypoint: []}"),
        ];
        for (processes, expected) in table {
            assert_eq!(line("x", &entry_of(&processes)), expected);
        }
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for text in
            ["yes", "1", "-1", "--", "-", "daemon off;", "a:", "~", "", "*", "a: b", "[", "é", "a\u{85}b", "-inf"]
        {
            assert!(scalar(text).starts_with('"'), "{text}");
        }
        for text in ["/bin/sh", "-c", "--port", "nginx", "quay.io/a/b:1@sha256:00", "127.0.0.1:5000/a:1", "r.io/*"] {
            assert_eq!(scalar(text), text);
        }
    }

    proptest! {
        #[test]
        fn an_entry_is_read_back_as_it_was(
            entrypoint in proptest::collection::vec(any::<String>(), 0..3),
            cmd in proptest::collection::vec("[-a-z/:$\\\\\"'{}#,&*! ]{0,6}", 0..3),
        ) {
            let entry = IndexEntry::from(ImageProcess { entrypoint, cmd, user: None });
            let text = line("a:1", &entry);
            let index = parse_index(&text, &"i".into()).map_err(|problems| TestCaseError::fail(format!("{text}: {problems:?}")))?;
            prop_assert_eq!(index.iter().map(|hit| hit.entry.clone()).collect::<Vec<_>>(), [entry]);
        }
    }
}
