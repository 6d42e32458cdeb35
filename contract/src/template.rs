//! The template of a step: what Argo's controller tells the executor.
//!
//! A [`Template`] keeps the text that it was read from, so that fields of versions to come are passed on as they are, and
//! gives a typed view of the fields that an executor acts on. Lists and objects that Go writes as `null` are empty here.
//! The fields are those of Argo Workflows 3.3 to 4.1 (`Template` in its API).

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{container, go_duration};

/// A template as it was sent, and what an executor reads of it.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    fields: Fields,
}

impl Template {
    /// Reads a template's JSON.
    ///
    /// # Errors
    /// Where it is not JSON, or a field that is known here has another type.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        let fields = serde_json::from_str(&text)?;
        Ok(Self { text, fields })
    }

    /// The text as it was sent.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fields that are known here.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Every field, known here or not. It is read anew from the text each time.
    #[must_use]
    pub fn value(&self) -> Value {
        // The text has been read before, so there is no other case.
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// The fields of a template that an executor acts on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fields {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What comes in.
    #[serde(deserialize_with = "or_default")]
    pub inputs: Inputs,
    /// What goes out.
    #[serde(deserialize_with = "or_default")]
    pub outputs: Outputs,
    /// Of a template of the kind `container`.
    pub container: Option<Container>,
    /// Of a template of the kind `script`.
    pub script: Option<Script>,
    /// Of a template of the kind `containerSet`.
    pub container_set: Option<ContainerSet>,
    /// Of a template of the kind `resource`.
    pub resource: Option<Resource>,
    /// The user's sidecars.
    #[serde(deserialize_with = "or_default")]
    pub sidecars: Vec<Named>,
    /// Where outputs go.
    #[serde(deserialize_with = "or_default")]
    pub archive_location: ArchiveLocation,
}

/// What comes into a step.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Inputs {
    /// Files and folders.
    #[serde(deserialize_with = "or_default")]
    pub artifacts: Vec<Artifact>,
}

/// What goes out of a step.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Outputs {
    /// Short texts.
    #[serde(deserialize_with = "or_default")]
    pub parameters: Vec<Parameter>,
    /// Files and folders.
    #[serde(deserialize_with = "or_default")]
    pub artifacts: Vec<Artifact>,
}

/// An output parameter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Parameter {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Where its value comes from.
    #[serde(deserialize_with = "or_default")]
    pub value_from: ValueFrom,
}

/// Where a parameter's value comes from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ValueFrom {
    /// A file in the container; empty where it comes from elsewhere.
    #[serde(deserialize_with = "or_default")]
    pub path: String,
}

/// An input or output artifact, without where it is stored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Artifact {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// A file or folder in the container; empty where there is none.
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    /// Whether the step may do without.
    #[serde(deserialize_with = "or_default")]
    pub optional: bool,
    /// How it is packed; a gzipped tar where nothing is said.
    pub archive: Option<Archive>,
}

/// How an artifact is packed: one of the fields, or none of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Archive {
    /// As a tar.
    pub tar: Option<Tar>,
    /// Not at all.
    pub none: Option<Empty>,
    /// As a zip: 3.4 and later.
    pub zip: Option<Empty>,
}

/// How a tar is packed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tar {
    /// gzip's level, -1 to 9; 0 is no compression, and nothing said is gzip's own choice.
    pub compression_level: Option<i32>,
}

/// A choice that has no fields.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Empty {}

/// A container, as far as its mounts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Declared mounts.
    #[serde(deserialize_with = "or_default")]
    pub volume_mounts: Vec<VolumeMount>,
}

/// A script and its container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Script {
    /// The script.
    #[serde(deserialize_with = "or_default")]
    pub source: String,
    /// Declared mounts.
    #[serde(deserialize_with = "or_default")]
    pub volume_mounts: Vec<VolumeMount>,
}

/// Containers of one pod that wait for each other.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerSet {
    /// The containers.
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<Member>,
    /// Mounts of all of them.
    #[serde(deserialize_with = "or_default")]
    pub volume_mounts: Vec<VolumeMount>,
    /// How often each is tried.
    pub retry_strategy: Option<RetryStrategy>,
}

/// A container of a set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Those that must have succeeded before it starts.
    #[serde(deserialize_with = "or_default")]
    pub dependencies: Vec<String>,
}

/// How often a set's containers are tried, as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RetryStrategy {
    /// A number, or a text that is one.
    #[serde(deserialize_with = "or_default")]
    pub retries: Value,
    /// How long to wait between two tries, as Go writes durations.
    #[serde(deserialize_with = "or_default")]
    pub duration: String,
}

/// What a resource template applies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    /// The manifest itself; empty where it comes from elsewhere.
    #[serde(deserialize_with = "or_default")]
    pub manifest: String,
    /// Another source of the manifest.
    pub manifest_from: Option<Value>,
}

/// Something of which only the name counts here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

/// A declared mount.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount {
    /// Where it is.
    #[serde(deserialize_with = "or_default")]
    pub mount_path: String,
}

/// Where outputs go, as far as logs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArchiveLocation {
    /// Whether logs are an artifact.
    #[serde(deserialize_with = "or_default")]
    pub archive_logs: bool,
}

impl Fields {
    /// The containers that are the step: the set's, or `main`.
    pub fn main_containers(&self) -> impl Iterator<Item = &str> {
        let set = self.container_set.as_ref();
        let members = set.into_iter().flat_map(|set| set.containers.iter().map(|member| member.name.as_str()));
        members.chain(set.is_none().then_some(container::MAIN))
    }

    /// Those that must have succeeded before a container of the set starts.
    #[must_use]
    pub fn dependencies(&self, name: &str) -> &[String] {
        let member = self.container_set.iter().flat_map(|set| &set.containers).find(|member| member.name == name);
        member.map_or(&[], |member| &member.dependencies)
    }

    /// Whether a container is one of the user's sidecars.
    #[must_use]
    pub fn is_sidecar(&self, name: &str) -> bool {
        self.sidecars.iter().any(|sidecar| sidecar.name == name)
    }

    /// How often a container runs at most, and how long it waits between two runs. What Argo calls retries is the number
    /// of runs; none at all is taken for one.
    #[must_use]
    pub fn attempts(&self) -> (u64, Duration) {
        let Some(strategy) = self.container_set.as_ref().and_then(|set| set.retry_strategy.as_ref()) else {
            return (1, Duration::ZERO);
        };
        let runs = match &strategy.retries {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_u64(),
        };
        (runs.unwrap_or(1).max(1), go_duration(&strategy.duration).unwrap_or_default())
    }

    /// The deepest declared mount that a path is, or is under: such a path is not in the container's own layer, and `wait`
    /// sees it by itself. Mounts of sidecars and of a set's single containers do not count.
    #[must_use]
    pub fn mount_over(&self, path: &str) -> Option<&str> {
        let mounts = self.container.iter().flat_map(|container| &container.volume_mounts);
        let mounts = mounts.chain(self.script.iter().flat_map(|script| &script.volume_mounts));
        let mounts = mounts.chain(self.container_set.iter().flat_map(|set| &set.volume_mounts));
        let path = normal(path);
        mounts
            .map(|mount| mount.mount_path.as_str())
            .filter(|mount| {
                let mount = normal(mount);
                mount.is_empty() || path == mount || path.strip_prefix(&mount).is_some_and(|rest| rest.starts_with('/'))
            })
            .max_by_key(|mount| normal(mount).len())
    }
}

/// A path without `.`, `..`, doubled or trailing slashes, and without the first slash: what can be put behind a folder and
/// stays in it. Empty for the root.
#[must_use]
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Go writes an empty list or object as `null` where it does not leave it out.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn template(text: &str) -> Template {
        Template::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn unknown_fields_are_kept() {
        let text = r#"{"name":"t","new":{"z":1,"a":[null]},"outputs":{"artifacts":[{"name":"a","s3":{"key":"k"}}]}}"#;
        let template = template(text);
        assert_eq!(template.text(), text);
        assert_eq!(template.value()["outputs"]["artifacts"][0]["s3"]["key"], "k");
        assert_eq!(template.value()["new"]["z"], 1);
    }

    #[test]
    fn nulls_are_empty() {
        let names = ["name", "inputs", "outputs", "container", "script", "containerSet", "resource", "sidecars"];
        for name in names.iter().chain(&["archiveLocation"]) {
            template(&format!("{{\"{name}\":null}}"));
        }
        let fields = template(r#"{"outputs":{"parameters":null,"artifacts":[{"name":null,"archive":null}]}}"#);
        assert_eq!(fields.fields().outputs.artifacts.len(), 1);
    }

    #[test]
    fn runs_are_what_argo_calls_retries() {
        let cases = [
            ("", 1, 0),
            (r#""retryStrategy":{"retries":"2"},"#, 2, 0),
            (r#""retryStrategy":{"retries":3,"duration":"5s"},"#, 3, 5),
            (r#""retryStrategy":{"retries":0},"#, 1, 0),
            (r#""retryStrategy":{"retries":"many"},"#, 1, 0),
            (r#""retryStrategy":{},"#, 1, 0),
        ];
        for (strategy, runs, seconds) in cases {
            let template = template(&format!(r#"{{"containerSet":{{{strategy}"containers":[]}}}}"#));
            assert_eq!(template.fields().attempts(), (runs, Duration::from_secs(seconds)), "{strategy}");
        }
    }

    #[test]
    fn main_is_the_set_or_main() {
        let set = template(r#"{"containerSet":{"containers":[{"name":"a"},{"name":"b","dependencies":["a"]}]}}"#);
        assert_eq!(set.fields().main_containers().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(set.fields().dependencies("b"), ["a"]);
        assert_eq!(template(r#"{"sidecars":[{"name":"s"}]}"#).fields().main_containers().collect::<Vec<_>>(), ["main"]);
    }

    #[test]
    fn the_deepest_mount_counts() {
        let text =
            r#"{"script":{"volumeMounts":[{"mountPath":"/data"},{"mountPath":"/data/deep/"},{"mountPath":"/x"}]}}"#;
        let template = template(text);
        let cases = [
            ("/data", Some("/data")),
            ("/data/a", Some("/data")),
            ("/data/./deep//a", Some("/data/deep/")),
            ("/data/deep/../a", Some("/data")),
            ("/database", None),
            ("/tmp/a", None),
            ("/", None),
        ];
        for (path, mount) in cases {
            assert_eq!(template.fields().mount_over(path), mount, "{path}");
        }
    }

    #[test]
    fn a_normal_path_stays_where_it_is_put() {
        let cases = [("/a//b/./c/", "a/b/c"), ("/a/../../b", "b"), ("/", ""), ("..", ""), ("a", "a")];
        for (path, expected) in cases {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Template::parse(String::from_utf8_lossy(&bytes).into_owned());
        }

        #[test]
        fn anything_in_a_known_field_is_read_or_refused(
            field in "(name|inputs|outputs|container|script|containerSet|resource|sidecars|archiveLocation)",
            value in "[\\[\\]{}\":,a-z0-9n]{0,20}|null|\\[\\]|\\{\\}|1|\"x\"",
        ) {
            if let Ok(template) = Template::parse(format!("{{\"{field}\":{value}}}")) {
                let fields = template.fields();
                prop_assert!(fields.attempts().0 > 0);
                let _ = fields.mount_over("/a");
                fields.main_containers().count();
            }
        }

        #[test]
        fn no_path_leaves_its_folder(path in "[/.a]{0,12}") {
            prop_assert!(!normal(&path).split('/').any(|part| part == ".."));
            prop_assert!(!normal(&path).starts_with('/'));
        }
    }
}
