//! The paths that a Rust source names, found in its tokens: `use` trees spelt out, `self` and `super` resolved.
//!
//! Tokens and not lines, so that comments, strings and the ways to break a `use` over lines make no difference. Types are not
//! known here: `use a::B as C; C::d()` gives `a::B` and `C::d`.

use std::iter::Peekable;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream};

/// A path, segment by segment. One that begins with `crate` is absolute within its crate.
pub(crate) type Segments = Vec<String>;

/// Every path in `source`, which is the module `crate::MODULE…`, less what is compiled for tests only.
///
/// # Errors
/// Where the source is not made of Rust tokens.
pub(crate) fn paths(source: &str, module: &[String]) -> Result<Vec<Segments>, String> {
    let tokens = TokenStream::from_str(source).map_err(|error| error.to_string())?;
    let mut reader = Reader { module: module.to_vec(), found: Vec::new() };
    reader.items(tokens);
    Ok(reader.found)
}

type Tokens = Peekable<token_stream::IntoIter>;

struct Reader {
    module: Segments,
    found: Vec<Segments>,
}

impl Reader {
    fn items(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(hash) if hash.as_char() == '#' => self.attribute(&mut tokens),
                TokenTree::Ident(word) if word == "use" => self.tree(&mut Vec::new(), &mut tokens),
                TokenTree::Ident(word) if word == "mod" => self.module(&mut tokens),
                TokenTree::Ident(word) => {
                    let mut path = vec![word.to_string()];
                    while let Some(segment) = next_segment(&mut tokens) {
                        path.push(segment);
                    }
                    self.record(path);
                }
                TokenTree::Group(group) => self.items(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// After `#`. What stands behind `#[cfg(test)]` is passed over, up to its body or its semicolon.
    fn attribute(&mut self, tokens: &mut Tokens) {
        if next_is(tokens, '!') {
            tokens.next();
        }
        let Some(TokenTree::Group(attribute)) = tokens.next() else { return };
        if attribute.stream().to_string().replace(' ', "") != "cfg(test)" {
            return self.items(attribute.stream());
        }
        for token in tokens.by_ref() {
            match token {
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => return,
                TokenTree::Punct(end) if end.as_char() == ';' => return,
                _ => {}
            }
        }
    }

    /// After `mod`: a body is read as the module it is.
    fn module(&mut self, tokens: &mut Tokens) {
        let Some(TokenTree::Ident(name)) = tokens.next() else { return };
        if let Some(TokenTree::Group(body)) = tokens.peek() {
            let body = body.stream();
            tokens.next();
            self.module.push(name.to_string());
            self.items(body);
            self.module.pop();
        }
    }

    /// After `use`, after a `{` or a `,` of its tree: the rest of one branch, `so_far` being what stands before it.
    fn tree(&mut self, so_far: &mut Segments, tokens: &mut Tokens) {
        let before = so_far.len();
        let mut named = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(rename) if rename == "as" => {
                    tokens.next();
                }
                TokenTree::Ident(segment) => {
                    so_far.push(segment.to_string());
                    named = true;
                }
                TokenTree::Group(branches) => {
                    let mut branches = branches.stream().into_iter().peekable();
                    while branches.peek().is_some() {
                        self.tree(so_far, &mut branches);
                    }
                    named = false;
                }
                TokenTree::Punct(glob) if glob.as_char() == '*' => named = true,
                TokenTree::Punct(end) if matches!(end.as_char(), ',' | ';') => break,
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        if named {
            self.record(so_far.clone());
        }
        so_far.truncate(before);
    }

    fn record(&mut self, path: Segments) {
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let path = match path.first().map(String::as_str) {
            Some("super") => self.above(supers, &path[supers..]),
            // `self` alone is a method's receiver.
            Some("self") if path.len() > 1 => {
                let supers = path.iter().skip(1).take_while(|segment| *segment == "super").count();
                self.above(supers, &path[1 + supers..])
            }
            _ => path,
        };
        self.found.push(path);
    }

    fn above(&self, levels: usize, rest: &[String]) -> Segments {
        let kept = self.module.len().saturating_sub(levels);
        let mut path = vec!["crate".to_owned()];
        path.extend(self.module[..kept].iter().cloned());
        path.extend(rest.iter().filter(|segment| *segment != "self").cloned());
        path
    }
}

/// The identifier behind `::`, if that is what comes next.
fn next_segment(tokens: &mut Tokens) -> Option<String> {
    let mut ahead = tokens.clone();
    let colons = [ahead.next(), ahead.next()];
    if !colons.iter().all(|token| matches!(token, Some(TokenTree::Punct(colon)) if colon.as_char() == ':')) {
        return None;
    }
    let Some(TokenTree::Ident(segment)) = ahead.next() else { return None };
    *tokens = ahead;
    Some(segment.to_string())
}

fn next_is(tokens: &mut Tokens, punctuation: char) -> bool {
    matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == punctuation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_paths(source: &str, expected: &[&str]) {
        let module = ["server".to_owned(), "tls".to_owned()];
        let found: Vec<String> = paths(source, &module)
            .unwrap()
            .into_iter()
            .map(|path| path.join("::"))
            .filter(|path| path.contains("::") || path == "unsafe")
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_use_tree_is_spelt_out() {
        assert_paths(
            "pub(crate) use crate::{mutation::{self, Outcome as Result}, settings::*}; use std::io;",
            &["crate::mutation::self", "crate::mutation::Outcome", "crate::settings", "std::io"],
        );
    }

    #[test]
    fn self_and_super_are_resolved() {
        assert_paths(
            "use super::super::mutation::plan; use self::accept::Accept; mod inner { use super::{super::routes, *}; }",
            &[
                "crate::mutation::plan",
                "crate::server::tls::accept::Accept",
                "crate::server::routes",
                "crate::server::tls",
            ],
        );
    }

    #[test]
    fn a_path_in_an_expression_a_type_or_a_macro_counts() {
        assert_paths(
            "fn f(x: &crate::demo::Script) -> Vec<std::env::Args> { vec![::kube::Client::new(), a::<b::C>()] }",
            &["crate::demo::Script", "std::env::Args", "kube::Client::new", "b::C"],
        );
        assert_paths(
            "#[derive(serde::Serialize)] struct X; fn f() { unsafe { g() } }",
            &["serde::Serialize", "unsafe"],
        );
    }

    #[test]
    fn comments_strings_and_tests_do_not() {
        assert_paths("/// crate::cli::run\n// crate::cli\nconst X: &str = \"crate::cli\"; // unsafe", &[]);
        assert_paths("#[cfg(test)]\n#[allow(x)]\nmod tests { use crate::cli::run; } use a::b;", &["a::b"]);
        assert_paths("#[cfg(test)] use crate::cli::run; #[cfg(test)] mod tests; use a::b;", &["a::b"]);
    }

    #[test]
    fn what_is_no_rust_is_refused() {
        assert!(paths("fn f( {", &[]).is_err());
    }
}
