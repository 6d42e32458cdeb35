use super::CompileError;
use super::edits::{Replacement, apply};
use regorus::Source;
use regorus::unstable::{Lexer, Span, TokenKind};
use std::num::NonZeroU32;

/// The longest line that is read: generated policies hold whole lists in one.
pub(super) const COLUMNS: NonZeroU32 = NonZeroU32::new(1 << 20).expect("is not zero");

pub(super) fn source(name: &str, text: &str) -> Result<Source, CompileError> {
    Source::from_contents(name.to_owned(), text.to_owned()).map_err(CompileError::new)
}

/// The two rewritings for which there is no syntax tree yet, since without them the text does not parse.
pub(super) fn split(name: &str, text: &str) -> Result<String, CompileError> {
    let source = source(name, text)?;
    let mut lexer = Lexer::new(&source);
    lexer.set_max_col(COLUMNS);
    let mut edits = Vec::new();
    let mut depth = 0_u32;
    // Where the head of the rule that is being read begins, and where its first body does.
    let (mut head, mut body) = (None, None);
    let mut before: Option<(TokenKind, Span)> = None;
    loop {
        let token = lexer.next_token().map_err(CompileError::new)?;
        if token.0 == TokenKind::Eof {
            break;
        }
        let (kind, span) = (token.0, token.1);
        let symbol = if kind == TokenKind::Symbol { span.text() } else { "" };
        if depth == 0 {
            let ends_a_body =
                matches!(&before, Some((TokenKind::Symbol, last)) if last.text() == "}") && body.is_some();
            match symbol {
                "{" if ends_a_body => {
                    if let (Some(start), Some(end)) = (head, body) {
                        let head = text.get(start..end).unwrap_or_default().trim_end();
                        edits.push(Replacement::insert(span.start as usize, format!(" {head} ")));
                    }
                }
                // A brace after an operator opens a set or an object, not a body.
                "{" if before.as_ref().is_some_and(|(kind, last)| ends_a_term(kind, last)) => {
                    body = Some(span.start as usize)
                }
                _ if is_a_new_line(&before, &span) && !matches!(symbol, "{" | "[" | "(" | "}" | "]" | ")") => {
                    (head, body) = (Some(span.start as usize), None);
                }
                _ => {}
            }
        } else if symbol == "("
            && is_a_new_line(&before, &span)
            && let Some((kind, last)) = &before
            && ends_a_term(kind, last)
        {
            edits.push(Replacement::insert(last.end as usize, ";".to_owned()));
        }
        match symbol {
            "{" | "[" | "(" => depth += 1,
            "}" | "]" | ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = Some((kind, span));
    }
    Ok(apply(text, edits))
}

fn is_a_new_line(before: &Option<(TokenKind, Span)>, span: &Span) -> bool {
    before.as_ref().is_none_or(|(_, last)| last.line < span.line)
}

/// Whether a token can be the last one of a term.
fn ends_a_term(kind: &TokenKind, span: &Span) -> bool {
    const KEYWORDS: [&str; 9] = ["as", "contains", "default", "every", "in", "not", "some", "with", "import"];
    match kind {
        TokenKind::Symbol => matches!(span.text(), "]" | ")" | "}"),
        TokenKind::Ident => !KEYWORDS.contains(&span.text()),
        TokenKind::String | TokenKind::RawString | TokenKind::Number => true,
        TokenKind::Eof => false,
    }
}
