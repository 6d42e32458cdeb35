//! Flag, variable, file, default: laid over each other in this order of rank.

use super::de::{from_node, nearest};
use super::keys::{KEYS, SCHEMA};
use super::options::Settings;
use super::tree::{Content, Node};
use crate::manifest::{Place, Problem};
use serde_json::Value;
use std::sync::Arc;

/// Variables named so, with a key's path in capitals after it, set scalars: `EMISSARY_WEBHOOK_SERVER_MAX_BODY=16Mi`.
pub const VARIABLE_PREFIX: &str = "EMISSARY_WEBHOOK_";

/// One key set on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// `server.maxBody`; a dot within a key is written `\.`.
    pub path: String,
    /// As YAML.
    pub value: String,
    /// How messages call it: `--mode`, `--set server.maxBody=16Mi`.
    pub source: Arc<str>,
}

impl Override {
    /// Reads `--set`'s `path=value`.
    ///
    /// # Errors
    /// No `=`, or nothing before it.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let source: Arc<str> = format!("--set {text}").into();
        match text.split_once('=') {
            Some((path, value)) if !path.is_empty() => {
                Ok(Self { path: path.to_owned(), value: value.to_owned(), source })
            }
            _ => Err(Problem::new(Place::whole(source), "write path=value, such as server.maxBody=16Mi")),
        }
    }

    fn layer(&self) -> Result<Node, Problem> {
        let segments = split(&self.path);
        Ok(Node::at_path(&segments, Node::value_of(&self.value, &self.source)?))
    }
}

impl Node {
    /// A value that was typed where there are no lines.
    fn value_of(text: &str, source: &Arc<str>) -> Result<Self, Problem> {
        let whole = Place::whole(Arc::clone(source));
        let mut node = Self::parse(text, source).map_err(|problem| Problem::new(whole.clone(), problem.text))?;
        node.set_place(&whole);
        Ok(node)
    }

    fn set_place(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.value {
            Content::List(items) => items.iter_mut().for_each(|item| item.set_place(place)),
            Content::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.place = place.clone();
                entry.value.set_place(place);
            }),
            _ => {}
        }
    }
}

/// Cuts a path at its dots; `\.` is a dot within a key.
fn split(path: &str) -> Vec<String> {
    path.replace("\\.", "\0").split('.').map(|segment| segment.replace('\0', ".")).collect()
}

/// The layer of one settings file.
///
/// # Errors
/// What is wrong in this file alone.
pub(super) fn of_file(text: &str, source: &Arc<str>) -> Result<Node, Problem> {
    let mut node = Node::parse(text, source)?;
    if node.value == Content::Null {
        node.value = Content::Map(Vec::new());
    }
    prune(&mut node, &SCHEMA);
    check(&node).map(|_| node)
}

/// The layers of variables and of the command line, lowest first.
pub(super) fn of_process(variables: &[(String, String)], overrides: &[Override]) -> (Vec<Node>, Vec<Problem>) {
    let variables = variables.iter().filter_map(|(name, value)| of_variable(name, value));
    let typed = overrides.iter().map(Override::layer);
    let (mut layers, mut problems) = (Vec::new(), Vec::new());
    for layer in variables.chain(typed) {
        let checked = layer.and_then(|mut layer| {
            prune(&mut layer, &SCHEMA);
            check(&layer).map(|_| layer)
        });
        match checked {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
    }
    (layers, problems)
}

/// `None` for what is no setting: other programs' variables, and those that the kubelet makes of a Service's name
/// (`EMISSARY_WEBHOOK_SERVICE_HOST`, `EMISSARY_WEBHOOK_PORT_443_TCP`).
fn of_variable(name: &str, value: &str) -> Option<Result<Node, Problem>> {
    let typed = name.strip_prefix(VARIABLE_PREFIX)?;
    let words: Vec<&str> = typed.split('_').collect();
    let of_service = words.iter().enumerate().any(|(at, word)| {
        (*word == "SERVICE" && matches!(words.get(at + 1), Some(&"HOST" | &"PORT"))) || *word == "PORT"
    });
    let source: Arc<str> = name.into();
    let scalars = || KEYS.iter().filter(|key| key.scalar);
    if let Some(key) = scalars().find(|key| key.variable() == typed) {
        return Some(Node::value_of(value, &source).map(|value| Node::at_path(&key.path, value)));
    }
    if of_service {
        return None;
    }
    let known: Vec<String> = scalars().map(super::keys::Key::variable).collect();
    let is_key = KEYS.iter().any(|key| key.variable() == typed);
    let text = match nearest(typed, known.iter().map(String::as_str)) {
        Some(nearest) if !is_key => format!("no such setting; did you mean `{VARIABLE_PREFIX}{nearest}`?"),
        _ => "no such setting; only keys with a single value have a variable, lists and mappings go into a file"
            .to_owned(),
    };
    Some(Err(Problem::new(Place::whole(source), text)))
}

/// Takes out known keys that have no value (`server:`): they set nothing.
fn prune(node: &mut Node, schema: &Value) {
    let Content::Map(entries) = &mut node.value else { return };
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    entries.retain(|entry| entry.value.value != Content::Null || !properties.contains_key(&entry.key));
    for entry in entries {
        properties.get(&entry.key).into_iter().for_each(|schema| prune(&mut entry.value, schema));
    }
}

/// Reads a tree as settings and checks the ranges.
pub(super) fn check(node: &Node) -> Result<Settings, Problem> {
    let settings = from_node(node)?;
    KEYS.iter().filter_map(|key| Some((key, node.at(&key.path)?))).try_for_each(|(key, node)| key.check(node))?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Mode, Size};

    fn file(text: &str) -> Result<Node, String> {
        of_file(text, &"s.yaml".into()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_wrong_setting_says_where_and_what_is_right() {
        let table = [
            ("mode: dryrun", "s.yaml:1:7: mode: \"dryrun\" is not one of enforce, dry-run, off"),
            ("modus: off", "s.yaml:1:1: unknown key `modus`; did you mean `mode`?"),
            ("nonsense: 1", "s.yaml:1:1: unknown key `nonsense`; known here: "),
            ("server:\n  maxbody: 1Mi", "s.yaml:2:3: server: unknown key `maxbody`; did you mean `maxBody`?"),
            ("server:\n  maxBody: 8MB", "s.yaml:2:12: server.maxBody: \"8MB\" is no size: a size is"),
            ("server:\n  maxBody: 1Ki", "s.yaml:2:12: server.maxBody: 1Ki is not from 64Ki to 64Mi"),
            ("server: {lameDuck: 1h}", "s.yaml:1:20: server.lameDuck: 1h is not at most 5m"),
            ("server: {listen: nowhere}", "s.yaml:1:18: server.listen: "),
            ("server: {maxConnections: 0}", "s.yaml:1:26: server.maxConnections: 0 is not from 1 to 65536"),
            (
                "server: {maxConnections: many}",
                "s.yaml:1:26: server.maxConnections: expected a whole number, found \"many\"",
            ),
            ("server: 1", "s.yaml:1:9: server: expected a mapping of keys, found the number 1"),
            ("executor: {image: Alpine}", "s.yaml:1:19: executor.image: \"Alpine\" is no image"),
            ("executor:\n  args: [a, 1]", "s.yaml:2:13: executor.args.1: expected text, found the number 1"),
            ("executor: {args: a}", "s.yaml:1:18: executor.args: expected a list, found \"a\""),
            ("rewrite: {wrap: [A]}", "s.yaml:1:18: rewrite.wrap.0: \"A\" is no name or pattern"),
            ("platforms: [linux]", "s.yaml:1:13: platforms.0: "),
            (
                "registry: {allowNetworks: [10.0.0.0/99]}",
                "s.yaml:1:28: registry.allowNetworks.0: \"10.0.0.0/99\" is no network",
            ),
            ("mode: off\nmode: off", "s.yaml:2:1: "),
            ("mode: [", "s.yaml:"),
            ("[]", "s.yaml:1:1: expected a mapping of keys, found a list"),
        ];
        for (text, expected) in table {
            let problem = file(text).unwrap_err();
            assert!(problem.starts_with(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn what_is_empty_sets_nothing() {
        for text in ["", "# nothing\n", "server:\nmode:\n", "server: {maxBody: }\n"] {
            assert_eq!(check(&file(text).unwrap()), Ok(Settings::default()), "{text}");
        }
        assert!(file("servr:\n").is_err(), "an unknown key stays one");
    }

    #[test]
    fn off_is_a_mode() {
        assert_eq!(check(&file("mode: off").unwrap()).unwrap().mode, Mode::Off);
    }

    #[test]
    fn flags_go_before_variables_before_files() {
        let variables = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut merged = file("mode: off\nserver: {maxBody: 1Mi, maxConnections: 5}").unwrap();
        let variables = variables(&[
            ("HOME", "/"),
            ("EMISSARY_WEBHOOK_MODE", "enforce"),
            ("EMISSARY_WEBHOOK_SERVER_MAX_BODY", "2Mi"),
            ("EMISSARY_WEBHOOK_SERVICE_HOST", "10.0.0.1"),
            ("EMISSARY_WEBHOOK_METRICS_PORT_443_TCP_ADDR", "10.0.0.1"),
        ]);
        let set = ["server.maxBody=3Mi", "executor.resources.limits.nvidia\\.com/gpu=1", "rewrite.wrap=[a, b-*]"];
        let overrides: Vec<_> = set.iter().map(|text| Override::parse(text).unwrap()).collect();
        let (layers, problems) = of_process(&variables, &overrides);
        assert_eq!(problems, []);
        layers.into_iter().for_each(|layer| merged.overlay(layer));
        let settings = check(&merged).unwrap();
        assert_eq!(
            (settings.mode, settings.server.max_body, settings.server.max_connections),
            (Mode::Enforce, Size(3 << 20), 5)
        );
        assert_eq!(settings.executor.resources["limits"]["nvidia.com/gpu"], 1);
        assert_eq!(settings.rewrite.wrap.len(), 2);
    }

    #[test]
    fn a_wrong_flag_or_variable_is_named() {
        let overrides = ["server.maxbody=3Mi", "mode=[", "mode=on"].map(|text| Override::parse(text).unwrap());
        let variable = |name: &str| (format!("{VARIABLE_PREFIX}{name}"), "x".to_owned());
        let (_, problems) =
            of_process(&[variable("MODES"), variable("SERVER_MAX_CONNECTIONS"), variable("REWRITE_WRAP")], &overrides);
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let expected = [
            "EMISSARY_WEBHOOK_MODES: no such setting; did you mean `EMISSARY_WEBHOOK_MODE`?",
            "EMISSARY_WEBHOOK_SERVER_MAX_CONNECTIONS: server.maxConnections: expected a whole number",
            "EMISSARY_WEBHOOK_REWRITE_WRAP: no such setting; only keys with a single value",
            "--set server.maxbody=3Mi: server: unknown key `maxbody`; did you mean `maxBody`?",
            "--set mode=[: ",
            "--set mode=on: mode: expected one of enforce, dry-run, off, found a boolean",
        ];
        for (text, expected) in texts.iter().zip(expected) {
            assert!(text.starts_with(expected), "{text}");
        }
        assert_eq!(texts.len(), expected.len());
        assert!(Override::parse("mode").is_err());
    }
}
