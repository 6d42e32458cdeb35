use crate::object::{StringMap, Text, null_as_default};
use serde::Deserialize;
use serde_json::value::RawValue;

/// `WorkflowSpec`, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) templates: Vec<Template<'a>>,
    #[serde(borrow, default)]
    pub(super) template_defaults: Option<Template<'a>>,
    #[serde(borrow, default)]
    pub(super) pod_spec_patch: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) node_selector: Option<StringMap<'a>>,
    #[serde(borrow, default)]
    pub(super) affinity: Option<&'a RawValue>,
}

/// `Template`, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Template<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) container: Option<Container<'a>>,
    #[serde(borrow, default)]
    pub(super) script: Option<Container<'a>>,
    #[serde(borrow, default)]
    pub(super) container_set: Option<ContainerSet<'a>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) sidecars: Vec<Container<'a>>,
    #[serde(borrow, default)]
    pub(super) pod_spec_patch: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) node_selector: Option<StringMap<'a>>,
    #[serde(borrow, default)]
    pub(super) affinity: Option<&'a RawValue>,
    /// A list of lists: steps of a list run at once.
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) steps: Vec<Vec<Step<'a>>>,
    #[serde(borrow, default)]
    pub(super) dag: Option<Dag<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ContainerSet<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) containers: Vec<Container<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Dag<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) tasks: Vec<Step<'a>>,
}

/// A step or a task, which may carry its template with it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Step<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) inline: Option<Box<Template<'a>>>,
}

/// `Container`, or `ScriptTemplate`, which has a container's fields beside its own.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Container<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) image: Option<Text<'a>>,
    #[serde(borrow, default, rename = "imagePullPolicy")]
    pub(super) image_pull_policy: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) command: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) args: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) source: Option<Text<'a>>,
}

impl<'a> Container<'a> {
    pub(super) fn image(&self) -> Option<&str> {
        self.image.as_deref().filter(|image| !image.is_empty())
    }

    pub(super) fn has_command(&self) -> bool {
        self.command.as_ref().is_some_and(|command| !command.is_empty())
    }

    pub(super) fn args(&self) -> &[Text<'a>] {
        self.args.as_deref().unwrap_or_default()
    }

    pub(super) fn has_source(&self) -> bool {
        self.source.as_deref().is_some_and(|source| !source.is_empty())
    }
}
