use std::borrow::Cow;

use crate::pod::Container;

/// Who has set something that is not allowed: the pod, and containers by name.
#[derive(Default)]
pub(super) struct Setters<'a> {
    pub(super) pod: bool,
    pub(super) containers: Vec<&'a str>,
}

impl<'a> Setters<'a> {
    pub(super) fn of(containers: &[Container<'a>], is_bad: impl Fn(&Container<'a>) -> bool) -> Self {
        let containers = containers.iter().filter(|container| is_bad(container)).map(|container| container.name);
        Self { pod: false, containers: containers.collect() }
    }

    pub(super) fn with_pod(self, pod: bool) -> Self {
        Self { pod, ..self }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.pod && self.containers.is_empty()
    }

    /// `pod and containers "a", "b"`.
    pub(super) fn text(&self) -> String {
        match (self.pod, self.containers.is_empty()) {
            (true, true) => "pod".to_owned(),
            (true, false) => format!("pod and {}", containers(&self.containers)),
            (false, _) => containers(&self.containers),
        }
    }

    /// The violation where somebody has; `detail` begins with who.
    pub(super) fn finding(&self, reason: &'static str, detail: impl FnOnce(String) -> String) -> super::Finding {
        (!self.is_empty()).then(|| (reason, detail(self.text())))
    }
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural(names.len(), "container", "containers"), in_quotes(names))
}

pub(super) fn plural<'t>(count: usize, one: &'t str, more: &'t str) -> &'t str {
    if count == 1 { one } else { more }
}

/// `"a", "b"`, without escapes, as the API server has them here.
pub(super) fn in_quotes<T: AsRef<str>>(texts: &[T]) -> String {
    let mut quoted = String::new();
    for text in texts {
        quoted.push_str(if quoted.is_empty() { "\"" } else { "\", \"" });
        quoted.push_str(text.as_ref());
    }
    if !texts.is_empty() {
        quoted.push('"');
    }
    quoted
}

/// Values without those that are there twice, sorted.
pub(super) fn set<'a, T: Into<Cow<'a, str>>>(values: impl Iterator<Item = T>) -> Vec<Cow<'a, str>> {
    let mut values: Vec<Cow<'a, str>> = values.map(Into::into).collect();
    values.sort_unstable();
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::{Setters, in_quotes};

    #[test]
    fn who_it_was_is_told_in_the_singular_or_plural() {
        let cases: [(bool, &[&str], &str); 4] = [
            (true, &[], "pod"),
            (false, &["a"], r#"container "a""#),
            (true, &["a"], r#"pod and container "a""#),
            (true, &["a", "b"], r#"pod and containers "a", "b""#),
        ];
        for (pod, containers, expected) in cases {
            assert_eq!(Setters { pod, containers: containers.to_vec() }.text(), expected);
        }
        assert_eq!(in_quotes::<&str>(&[]), "");
        assert_eq!(in_quotes(&["", "a"]), r#""", "a""#);
    }
}
