use crate::object::{Metadata, StringMap, Text, null_as_default};
use emissary_contract::{PROGRAM, path, verb};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A pod as it was sent, and a view of what the rewriting reads of it.
///
/// Opaque on purpose: everybody else sees the original text and gets [`Edits`](crate::edit::Edits) over it, so fields that
/// this build has never heard of survive, and nobody depends on which fields it has.
#[derive(Debug)]
pub struct Pod<'a> {
    text: &'a str,
    pub(super) metadata: Metadata<'a>,
    pub(super) spec: Spec<'a>,
}

/// Why a text is no pod: not JSON, or a field of another type than the Kubernetes API gives it.
#[derive(Debug, thiserror::Error)]
#[error("not a pod: {0}")]
pub struct NotAPod(#[from] serde_json::Error);

impl<'a> Pod<'a> {
    /// Reads a pod from JSON text, borrowing from it.
    ///
    /// # Errors
    /// [`NotAPod`] with line and column.
    pub fn parse(text: &'a str) -> Result<Self, NotAPod> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow, default, deserialize_with = "null_as_default")]
            metadata: Metadata<'a>,
            #[serde(borrow, default, deserialize_with = "null_as_default")]
            spec: Spec<'a>,
        }
        let Fields { metadata, spec } = serde_json::from_str(text)?;
        Ok(Self { text, metadata, spec })
    }

    /// The JSON text that the pod was read from.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// `metadata`, as far as it is read.
    pub fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// Where the pod says it will run: `spec.os`, `spec.nodeSelector` and required node affinity.
    pub fn spec(&self) -> &Spec<'a> {
        &self.spec
    }
}

/// `PodSpec`, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) containers: Vec<Container<'a>>,
    #[serde(borrow, default)]
    pub(super) init_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow, default)]
    pub(super) volumes: Option<Vec<Volume<'a>>>,
    #[serde(borrow, default)]
    pub(super) restart_policy: Option<Text<'a>>,
    #[serde(default)]
    pub(super) share_process_namespace: Option<bool>,
    #[serde(default)]
    pub(super) termination_grace_period_seconds: Option<i64>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) security_context: SecurityContext<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) node_selector: StringMap<'a>,
    #[serde(borrow, default)]
    pub(super) os: Option<OperatingSystem<'a>>,
    #[serde(borrow, default)]
    pub(super) affinity: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    image_pull_secrets: Vec<NamedReference<'a>>,
    #[serde(borrow, default)]
    service_account_name: Option<Text<'a>>,
}

impl<'a> Spec<'a> {
    /// The names in `imagePullSecrets`, in their order.
    pub fn image_pull_secrets(&self) -> impl Iterator<Item = &str> {
        self.image_pull_secrets.iter().map(|secret| secret.name.as_str())
    }

    /// `serviceAccountName`.
    pub fn service_account_name(&self) -> Option<&str> {
        self.service_account_name.as_deref()
    }

    pub(super) fn init_containers(&self) -> &[Container<'a>] {
        self.init_containers.as_deref().unwrap_or_default()
    }

    pub(super) fn volumes(&self) -> &[Volume<'a>] {
        self.volumes.as_deref().unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
struct NamedReference<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OperatingSystem<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
}

/// `Container`, as far as it is read. What is only copied, or read of few containers, stays raw.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) image: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) image_pull_policy: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) command: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) args: Option<Vec<Text<'a>>>,
    /// Raw: of most containers nothing is read, and a workflow's environment is its longest part.
    #[serde(borrow, default)]
    pub(super) env: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) resources: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) security_context: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) volume_mounts: Option<Vec<Mount<'a>>>,
    #[serde(borrow, default)]
    pub(super) restart_policy: Option<Text<'a>>,
}

impl<'a> Container<'a> {
    pub(super) fn command(&self) -> &[Text<'a>] {
        self.command.as_deref().unwrap_or_default()
    }

    pub(super) fn args(&self) -> &[Text<'a>] {
        self.args.as_deref().unwrap_or_default()
    }

    pub(super) fn pull_policy(&self) -> Option<String> {
        self.image_pull_policy.and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    pub(super) fn mounts(&self) -> &[Mount<'a>] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }

    /// The environment; an empty list, or `None` where the field is absent.
    pub(super) fn environment(&self) -> Result<Option<Vec<Variable<'a>>>, serde_json::Error> {
        self.env.map(|raw| serde_json::from_str::<Option<_>>(raw.get())).transpose().map(Option::flatten)
    }

    /// Whether the command is one of Argo's own: `argoexec VERB …`.
    pub(super) fn argoexec_verb(&self) -> Option<&str> {
        match self.command() {
            [program, verb, ..] if is_argoexec(program) => Some(verb),
            _ => None,
        }
    }

    /// Whether the user's command is wrapped already.
    pub(super) fn is_wrapped(&self) -> bool {
        matches!(self.command(), [program, verb, ..]
            if (program == path::EXECUTOR || program == path::EXECUTOR_IN_IMAGE) && verb == verb::EMISSARY)
    }

    pub(super) fn mount_at(&self, path: &str) -> Option<&Mount<'a>> {
        self.mounts().iter().find(|mount| mount.mount_path.trim_end_matches('/') == path)
    }

    /// A restartable init container: a sidecar of Kubernetes' own making.
    pub(super) fn is_native_sidecar(&self) -> bool {
        self.restart_policy.as_ref().is_some_and(|policy| policy == "Always")
    }
}

fn is_argoexec(program: &str) -> bool {
    program.rsplit('/').next() == Some(PROGRAM)
}

/// `EnvVar`, as far as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Variable<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) value: Option<Text<'a>>,
}

/// `VolumeMount`, as far as it is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) mount_path: Text<'a>,
    #[serde(borrow, default)]
    pub(super) sub_path: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) sub_path_expr: Option<Text<'a>>,
    #[serde(default)]
    pub(super) read_only: Option<bool>,
}

impl Mount<'_> {
    /// Whether it shows all of its volume, not a part of it.
    pub(super) fn is_whole(&self) -> bool {
        [&self.sub_path, &self.sub_path_expr].into_iter().flatten().all(|part| part.is_empty())
    }
}

/// `Volume`: its name, and which two of its many sources it has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) empty_dir: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) host_path: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) image: Option<&'a RawValue>,
}

/// The fields that a pod's and a container's security context share, and that the profiles ask about.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecurityContext<'a> {
    #[serde(default)]
    pub(super) run_as_non_root: Option<bool>,
    #[serde(default)]
    pub(super) run_as_user: Option<i64>,
    #[serde(borrow, default)]
    pub(super) seccomp_profile: Option<&'a RawValue>,
}
