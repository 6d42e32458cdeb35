//! What a repository says of others in it: the file `.gitmodules`.

use reqwest::Url;

/// A repository in another one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) url: String,
}

/// Reads the file. What is not understood is passed over, as git does it with fields that it does not know.
pub(super) fn parse(text: &str) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    let mut is_module = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.split_once(']').map_or(section, |(section, _)| section);
            let (kind, name) = section.split_once(char::is_whitespace).unwrap_or((section, ""));
            is_module = kind.eq_ignore_ascii_case("submodule");
            if is_module {
                modules.push(Module { name: value(name), ..Module::default() });
            }
            continue;
        }
        let Some(module) = modules.last_mut().filter(|_| is_module) else { continue };
        let Some((field, text)) = line.split_once('=') else { continue };
        match field.trim().to_ascii_lowercase().as_str() {
            "path" => module.path = value(text).trim_end_matches('/').to_owned(),
            "url" => module.url = value(text),
            _ => {}
        }
    }
    modules
}

/// A value: what is in quotes as it is, a comment left out.
fn value(text: &str) -> String {
    let mut value = String::new();
    let mut is_quoted = false;
    // What is at the end and not in quotes does not count if it is space.
    let mut kept = 0;
    let mut characters = text.trim_start().chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '#' | ';' if !is_quoted => break,
            '\\' => match characters.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some(other) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
        if is_quoted || !character.is_whitespace() {
            kept = value.len();
        }
    }
    value.truncate(kept);
    value
}

/// A value as it is written into git's own file of settings.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A submodule's URL: what begins with a dot is beside the repository that it is in. Nothing where it is no place on the web.
pub(super) fn url(of: &Url, text: &str) -> Option<Url> {
    if !(text.starts_with("./") || text.starts_with("../")) {
        return Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    }
    let mut url = of.clone();
    let mut rest = text;
    loop {
        if let Some(below) = rest.strip_prefix("./") {
            rest = below;
        } else if let Some(above) = rest.strip_prefix("../") {
            rest = above;
            if url.path().trim_matches('/').is_empty() {
                return None;
            }
            url.path_segments_mut().ok()?.pop_if_empty().pop();
        } else {
            break;
        }
    }
    url.path_segments_mut().ok()?.pop_if_empty().extend(rest.split('/').filter(|part| !part.is_empty()));
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_file_is_read_as_git_reads_it() {
        let text = "[core]\n\tpath = no\n# x\n[submodule \"a \\\"b\\\"\"]\n\tpath = lib/a ; why\n  url=\"../a b.git\" # c\n\
                    \tbranch = x\n[submodule \"c\"]\npath = c/\nURL = https://h/c\\\\d\n[other \"x\"]\nurl = no\n";
        let module =
            |name: &str, path: &str, url: &str| Module { name: name.into(), path: path.into(), url: url.into() };
        assert_eq!(parse(text), [module("a \"b\"", "lib/a", "../a b.git"), module("c", "c", "https://h/c\\d")]);
    }

    #[test]
    fn a_url_is_beside_its_repository() {
        let of = Url::parse("https://u@host/group/repo.git/").unwrap();
        let cases = [
            ("../other.git", Some("https://u@host/group/other.git")),
            ("../../x/y", Some("https://u@host/x/y")),
            ("./in", Some("https://u@host/group/repo.git/in")),
            ("../../../x", None),
            ("https://else/x", Some("https://else/x")),
            ("git@host:x", None),
            ("ssh://host/x", None),
            ("file:///etc", None),
            ("/etc", None),
            ("ext::sh -c x", None),
            ("--upload-pack=x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(url(&of, text).map(|url| url.to_string()).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            parse(&text);
        }

        #[test]
        fn what_is_quoted_is_one_value(text: String) {
            // What ends a line is not what a name or URL has; a line of its own it never becomes.
            let quoted = quoted(&text);
            prop_assert!(!quoted.contains('\n'));
            prop_assert_eq!(value(&quoted), text);
        }
    }
}
