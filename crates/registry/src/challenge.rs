//! `WWW-Authenticate`, as RFC 9110 §11.6.1 lets registries write it.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token is to be fetched first (distribution spec, "Token Authentication").
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// User name and password with each request.
    Basic,
}

impl Challenge {
    /// The one to answer: a token where one is offered, since it is what registries prefer.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let all: Vec<Self> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(Self::parse)
            .collect();
        let bearer = all.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or_else(|| all.first()).cloned()
    }

    /// All challenges of one header that we can answer.
    pub(crate) fn parse(header: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut rest = header.trim_start_matches(is_separator);
        while let Some((scheme, after)) = token(rest) {
            let mut parameters = Parameters::default();
            rest = after.trim_start_matches(is_space);
            while let Some((name, value, after)) = parameter(rest) {
                parameters.set(name, value);
                rest = after.trim_start_matches(is_separator);
            }
            rest = rest.trim_start_matches(is_separator);
            found.extend(parameters.challenge(scheme));
        }
        found
    }
}

#[derive(Default)]
struct Parameters {
    realm: Option<String>,
    service: Option<String>,
    scope: Option<String>,
}

impl Parameters {
    fn set(&mut self, name: &str, value: String) {
        let slot = match name.to_ascii_lowercase().as_str() {
            "realm" => &mut self.realm,
            "service" => &mut self.service,
            "scope" => &mut self.scope,
            _ => return,
        };
        slot.get_or_insert(value);
    }

    fn challenge(self, scheme: &str) -> Option<Challenge> {
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Some(Challenge::Bearer { realm: self.realm?, service: self.service, scope: self.scope })
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_separator(c: char) -> bool {
    is_space(c) || c == ','
}

/// A word of the header, and what stands behind it. Takes at least one character of anything, so that parsing ends.
fn token(text: &str) -> Option<(&str, &str)> {
    let first = text.chars().next()?;
    let end = text.find(|c: char| is_separator(c) || matches!(c, '=' | '"')).unwrap_or(text.len());
    Some(text.split_at(end.max(first.len_utf8())))
}

/// `name=value` or `name="quoted \" value"`, and what stands behind it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = token(text)?;
    let rest = rest.trim_start_matches(is_space).strip_prefix('=')?.trim_start_matches(is_space);
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(is_separator).unwrap_or(rest.len());
        let (value, rest) = rest.split_at(end);
        return Some((name, value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    // The closing quote is missing: what there is counts.
    Some((name, value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(Into::into), scope: scope.map(Into::into) }
    }

    #[test]
    fn reads_what_registries_write() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
        let table = [
            (
                hub,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/alpine:pull"),
                )],
            ),
            (r#"Basic realm="x""#, vec![Challenge::Basic]),
            ("Basic", vec![Challenge::Basic]),
            ("basic realm=x, charset=\"UTF-8\"", vec![Challenge::Basic]),
            (r#"bearer REALM = "https://r" , Service=s"#, vec![bearer("https://r", Some("s"), None)]),
            (
                r#"Bearer realm="a",scope="repository:x:pull,push""#,
                vec![bearer("a", None, Some("repository:x:pull,push"))],
            ),
            (r#"Bearer realm="a \"b\" c""#, vec![bearer("a \"b\" c", None, None)]),
            (r#"Basic realm="x", Bearer realm="y",service="z""#, vec![Challenge::Basic, bearer("y", Some("z"), None)]),
            (r#"Negotiate abc==, Basic realm="x""#, vec![Challenge::Basic]),
            (r#"Bearer realm="first",realm="second""#, vec![bearer("first", None, None)]),
            (r#"Bearer realm="unclosed"#, vec![bearer("unclosed", None, None)]),
            (r#"Bearer service="no realm""#, vec![]),
            ("", vec![]),
            ("====", vec![]),
            ("\"\"\"\"", vec![]),
            (",,, ,", vec![]),
        ];
        for (header, expected) in table {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }

    #[test]
    fn a_token_goes_before_a_password() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=\"x\"".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer realm=\"y\"".parse().unwrap());
        assert_eq!(Challenge::from_headers(&headers), Some(bearer("y", None, None)));
    }
}
