//! The configuration of Argo's workflow controller, as far as the webhook goes by it.
//!
//! Argo takes a ConfigMap in two encodings: one key `config` with everything in it, or a key for each field, whose value is
//! YAML. The fields are those of Argo 2.12 to 4.1; of what changed its name the newer goes first.

use super::de::from_node;
use super::feed::{ConfigMap, ObjectName};
use super::index_file;
use super::index_map::source;
use super::layers;
use super::rules::OfController;
use super::tree::{Content, Entry, Node};
use crate::manifest::{Place, Problem};
use emissary_core::image::ImageIndex;
use emissary_core::pod::ExecutorChoice;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one controller's ConfigMap says.
#[derive(Debug, Clone)]
pub(super) struct ControllerLayer {
    /// Settings that rank below every file: `executor`.
    pub(super) settings: Node,
    /// `images`.
    pub(super) images: Arc<ImageIndex>,
    /// What has no setting: `mainContainer`, `workflowDefaults`, `containerRuntimeExecutor` and `containerRuntimeExecutors`.
    pub(super) adds: OfController,
    /// `instanceID`.
    pub(super) instance_id: Option<String>,
}

/// What a controller without a ConfigMap says.
impl Default for ControllerLayer {
    fn default() -> Self {
        Self { settings: Node::empty(), images: Arc::default(), adds: OfController::default(), instance_id: None }
    }
}

/// The fields that are looked at. What is wrong with any other is Argo's to say.
const FIELDS: [&str; 10] = [
    "images",
    "executor",
    "executorImage",
    "executorImagePullPolicy",
    "executorResources",
    "mainContainer",
    "workflowDefaults",
    "containerRuntimeExecutor",
    "containerRuntimeExecutors",
    "instanceID",
];

/// Fields of Argo's `executor` (a Kubernetes `Container`) that are settings of ours by the same name.
const OF_EXECUTOR: [&str; 6] = ["image", "imagePullPolicy", "args", "env", "resources", "securityContext"];

/// What those were called at the top, before there was an `executor`.
const OLDER: [(&str, &str); 3] =
    [("executorImage", "image"), ("executorImagePullPolicy", "imagePullPolicy"), ("executorResources", "resources")];

/// Reads a controller's ConfigMap: what is right in it, and what is wrong.
pub(super) fn parse(object: &ObjectName, map: &ConfigMap) -> (ControllerLayer, Vec<Problem>) {
    let mut problems = Vec::new();
    let fields = Fields::read(object, map, &mut problems);
    let mut layer = ControllerLayer::default();

    if let Some((images, lines)) = fields.get("images") {
        let (file, mut wrong) = index_file::read_images(images, lines);
        layer.images = Arc::new(file.index);
        problems.append(&mut wrong);
    }
    let settings = fields.settings();
    match layers::check(&settings) {
        Ok(_) => layer.settings = settings,
        Err(problem) => problems.push(problem),
    }
    let mut read = |read: Result<(), Problem>| problems.extend(read.err());
    read(fields.read_into("instanceID", &mut layer.instance_id));
    let mut main = None;
    read(fields.read_into("mainContainer", &mut main));
    layer.adds.defaults.main_container = main.map(Value::Object);
    if let Some(spec) = fields.get("workflowDefaults").and_then(|(defaults, _)| defaults.get("spec")) {
        read(read_into(spec.get("podSpecPatch"), &mut layer.adds.defaults.pod_spec_patch));
        let mut defaults: Option<serde_json::Map<String, Value>> = None;
        read(read_into(spec.get("templateDefaults"), &mut defaults));
        layer.adds.defaults.template_defaults = defaults.map(|defaults| Value::Object(defaults).to_string());
    }
    let (mut default, mut selected): (Option<String>, Option<Value>) = (None, None);
    read(fields.read_into("containerRuntimeExecutor", &mut default));
    read(fields.read_into("containerRuntimeExecutors", &mut selected));
    let (choice, wrong) = ExecutorChoice::read(&selected.unwrap_or_default(), default.as_deref());
    layer.adds.choice = choice;
    let place = fields.get("containerRuntimeExecutors").map(|(node, _)| node.place.clone());
    problems.extend(place.into_iter().flat_map(|place| wrong.iter().map(move |why| Problem::new(place.clone(), why))));
    (layer, index_file::first(problems))
}

/// The fields of a controller's ConfigMap that would count here, were it named in the settings.
pub fn counting_fields(object: &ObjectName, map: &ConfigMap) -> Vec<&'static str> {
    let fields = Fields::read(object, map, &mut Vec::new());
    FIELDS.into_iter().filter(|field| fields.get(field).is_some()).collect()
}

/// Whether a controller's ConfigMap has everything in one key, and not a key for each field.
pub fn is_one_key(map: &ConfigMap) -> bool {
    map.data.contains_key("config")
}

/// The fields of either encoding, each with the text that it stands in.
struct Fields<'a>(BTreeMap<&'static str, (Node, &'a str)>);

impl<'a> Fields<'a> {
    fn read(object: &ObjectName, map: &'a ConfigMap, problems: &mut Vec<Problem>) -> Self {
        let Some(config) = map.data.get("config") else {
            let given = FIELDS.iter().filter_map(|field| Some((*field, map.data.get(*field)?)));
            let mut fields = BTreeMap::new();
            for (field, text) in given {
                match index_file::node(text, &source(object, field)) {
                    Ok(node) => drop(fields.insert(field, (node, text.as_str()))),
                    Err(problem) => problems.push(problem),
                }
            }
            return Self(fields);
        };
        if let Some(other) = map.data.keys().find(|key| *key != "config") {
            let text = "stands beside `config`, which Argo's controller refuses: put it inside, or take `config` apart";
            problems.push(Problem::new(Place::whole(source(object, other)), text));
        }
        let root = match index_file::node(config, &source(object, "config")) {
            Ok(Node { value: Content::Map(entries), .. }) => entries,
            Ok(Node { value: Content::Null, .. }) => Vec::new(),
            Ok(other) => {
                problems.push(other.problem(format!("expected a mapping of keys, found {}", other.kind())));
                Vec::new()
            }
            Err(problem) => {
                problems.push(problem);
                Vec::new()
            }
        };
        let known = |entry: Entry| {
            let field = FIELDS.iter().find(|field| **field == entry.key)?;
            Some((*field, (entry.value, config.as_str())))
        };
        Self(root.into_iter().filter_map(known).collect())
    }

    /// A field that says something.
    fn get(&self, field: &str) -> Option<(&Node, &'a str)> {
        let (node, lines) = self.0.get(field)?;
        (node.value != Content::Null).then_some((node, lines))
    }

    fn read_into<T: serde::de::DeserializeOwned>(&self, field: &str, into: &mut Option<T>) -> Result<(), Problem> {
        read_into(self.get(field).map(|(node, _)| node), into).map_err(|mut problem| {
            problem.text = format!("{field}: {}", problem.text);
            problem
        })
    }

    /// The executor as settings have it.
    fn settings(&self) -> Node {
        let executor = self.get("executor").map(|(executor, _)| executor);
        let older = OLDER.iter().filter_map(|(field, name)| Some((*name, self.get(field)?.0)));
        let newer = OF_EXECUTOR.iter().filter_map(|name| Some((*name, executor?.get(name)?)));
        let mut settings = Node::empty();
        for (name, value) in older.chain(newer) {
            // One replaces the other as a whole: Argo does not mix their resources.
            settings.set(&["executor", name], value.clone());
        }
        match executor {
            Some(executor) if !matches!(executor.value, Content::Map(_)) => {
                settings.set(&["executor"], executor.clone());
            }
            _ => {}
        }
        settings
    }
}

fn read_into<T: serde::de::DeserializeOwned>(node: Option<&Node>, into: &mut Option<T>) -> Result<(), Problem> {
    *into = node.map(from_node::<Option<T>>).transpose()?.flatten();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use emissary_core::image::Reference;

    fn map(data: &[(&str, &str)]) -> ConfigMap {
        let data = data.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        ConfigMap { data, ..ConfigMap::default() }
    }

    fn read(data: &[(&str, &str)]) -> (ControllerLayer, Settings, Vec<String>) {
        let object = ObjectName { namespace: "argo".to_owned(), name: "c".to_owned() };
        let (layer, problems) = parse(&object, &map(data));
        let settings = layers::check(&layer.settings).unwrap();
        (layer, settings, problems.iter().map(ToString::to_string).collect())
    }

    const FIELDS_APART: [(&str, &str); 7] = [
        ("instanceID", "blue"),
        ("images", "tool:1:\n  command: [/tool]\n"),
        (
            "executor",
            "image: corp/argoexec:v3.5.2\nimagePullPolicy: Never\nargs: [--loglevel, debug]\n\
             resources: {limits: {cpu: 1}}\nsecurityContext: {runAsUser: 8737}\nname: ignored\n",
        ),
        ("mainContainer", "command: [x]\n"),
        (
            "workflowDefaults",
            "metadata: {}\nspec:\n  podSpecPatch: '{}'\n  templateDefaults:\n    container: {command: [z]}\n",
        ),
        ("parallelism", "5"),
        ("sso", ": [ broken, and nobody's business here"),
    ];

    fn check_all(layer: &ControllerLayer, settings: &Settings) {
        assert_eq!(layer.instance_id.as_deref(), Some("blue"));
        assert!(layer.images.find(&Reference::parse("tool:1").unwrap()).is_some());
        let executor = &settings.executor;
        assert_eq!(executor.image.as_str(), "corp/argoexec:v3.5.2");
        assert_eq!(executor.args, ["--loglevel", "debug"]);
        assert_eq!(
            (&executor.resources["limits"]["cpu"], &executor.security_context["runAsUser"]),
            (&1.into(), &8737.into())
        );
        assert_eq!(layer.adds.defaults.main_container.as_ref().unwrap()["command"][0], "x");
        assert_eq!(layer.adds.defaults.pod_spec_patch.as_deref(), Some("{}"));
        assert_eq!(layer.adds.defaults.template_defaults.as_deref(), Some(r#"{"container":{"command":["z"]}}"#));
    }

    #[test]
    fn both_encodings_are_read() {
        let (layer, settings, problems) = read(&FIELDS_APART);
        assert_eq!(problems, [""; 0]);
        check_all(&layer, &settings);
        // As Argo itself joins them.
        let config: String = FIELDS_APART
            .iter()
            .filter(|(name, _)| *name != "sso")
            .map(|(name, text)| match text.contains('\n') {
                true => format!("{name}:\n  {}\n", text.trim_matches('\n').replace('\n', "\n  ")),
                false => format!("{name}: {text}\n"),
            })
            .collect();
        let (layer, settings, problems) = read(&[("config", &config)]);
        assert_eq!(problems, [""; 0]);
        check_all(&layer, &settings);
    }

    #[test]
    fn what_old_controllers_are_given_is_read() {
        let old = [
            ("executorImage", "corp/argoexec:v2.12.0"),
            ("executorImagePullPolicy", "Always"),
            ("executorResources", "limits: {cpu: 1}\nrequests: {cpu: 1}\n"),
            ("containerRuntimeExecutor", "docker"),
            ("containerRuntimeExecutors", "- {name: pns, selector: {matchLabels: {executor: pns}}}\n"),
        ];
        let (layer, settings, problems) = read(&old);
        assert_eq!(problems, [""; 0]);
        let choice = &layer.adds.choice;
        assert_eq!(
            (choice.choose(Some(&[])), choice.choose(Some(&[("executor".into(), "pns".into())]))),
            ("docker", "pns")
        );
        assert_eq!(settings.executor.image.as_str(), "corp/argoexec:v2.12.0");
        assert_eq!(settings.executor.resources.len(), 2);
        let (_, settings, _) = read(&[&old[..], &[("executor", "resources: {limits: {cpu: 2}}\n")]].concat());
        assert_eq!(settings.executor.image.as_str(), "corp/argoexec:v2.12.0", "what the newer does not say");
        assert_eq!(settings.executor.resources, serde_json::json!({"limits": {"cpu": 2}}).as_object().unwrap().clone());
    }

    #[test]
    fn what_is_wrong_says_where_and_the_rest_is_right() {
        let (layer, settings, problems) = read(&[
            ("instanceID", "[blue]"),
            ("images", "# tools\ntool:1: {cmd: [x]}\nother: {cmd: x}\n"),
            ("executor", "imagePullPolicy: Never\nimage: corp/Argoexec\n"),
            ("mainContainer", "[]\n"),
            ("workflowDefaults", "spec:\n  podSpecPatch: {a: b}\n"),
            ("containerRuntimeExecutors", "- {selector: {}}\n"),
        ]);
        let expected = [
            "ConfigMap argo/c, key images:3:14: other: expected a list of words",
            "ConfigMap argo/c, key executor:2:8: executor.image: \"corp/Argoexec\" is no image",
            "ConfigMap argo/c, key instanceID:1:1: instanceID: expected text, found a list",
            "ConfigMap argo/c, key mainContainer:1:1: mainContainer: expected a mapping of keys, found a list",
            "ConfigMap argo/c, key workflowDefaults:2:17: expected text, found a mapping",
            "ConfigMap argo/c, key containerRuntimeExecutors:1:1: containerRuntimeExecutors[0]: missing field `name`",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(expected), "{problem}");
        }
        assert_eq!((layer.images.len(), &settings), (1, &Settings::default()));
    }

    #[test]
    fn what_argo_refuses_is_said() {
        let (layer, _, problems) = read(&[("config", "instanceID: blue\n"), ("parallelism", "5")]);
        assert!(problems[0].starts_with("ConfigMap argo/c, key parallelism: stands beside `config`"), "{problems:?}");
        assert_eq!(layer.instance_id.as_deref(), Some("blue"));
        for (config, expected) in [("- a\n", "key config:1:1: expected a mapping"), ("a: [", "key config:1:")] {
            let (_, _, problems) = read(&[("config", config)]);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
        }
        for empty in [&[][..], &[("config", "")], &[("images", ""), ("executor", "\n")]] {
            let (layer, settings, problems) = read(empty);
            assert_eq!((layer.images.len(), settings, problems), (0, Settings::default(), Vec::new()));
        }
    }

    #[test]
    fn what_real_controllers_ran_with_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracles/argo/controller-configs.json");
        let recorded: serde_json::Map<String, Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(recorded.len() > 5);
        for (run, config) in recorded {
            let text = crate::manifest::to_yaml(&config);
            let (layer, settings, problems) = read(&[("config", &text)]);
            assert_eq!(problems, [""; 0], "{run}");
            assert_eq!(layer.images.len(), config["images"].as_object().unwrap().len(), "{run}");
            let executor = &config["executor"];
            assert_eq!(
                Value::Object(settings.executor.resources.clone()),
                executor.get("resources").cloned().unwrap_or(serde_json::json!({})),
                "{run}"
            );
            assert_eq!(settings.executor.args.len(), executor["args"].as_array().map_or(0, Vec::len), "{run}");
            assert_eq!(layer.instance_id.as_deref(), config["instanceID"].as_str(), "{run}");
        }
    }
}
