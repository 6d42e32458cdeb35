use emissary_core::object::Metadata;
use emissary_core::outcome::Skip;
use emissary_core::pod::NotAPod;
use emissary_core::workflow::{self, NotAWorkflow};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The object to mutate and what is asked of it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What it is.
    pub kind: Kind,
    /// `CREATE` or `UPDATE`; anything else is left alone.
    pub operation: &'a str,
    /// The subresource that is asked for.
    pub sub_resource: Option<&'a str>,
    /// The name by the request.
    pub name: Option<&'a str>,
    /// The namespace by the request.
    pub namespace: Option<&'a str>,
    /// The object, as JSON text.
    pub object: &'a str,
    /// What it was before an update.
    pub old_object: Option<&'a str>,
}

/// What an object is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A pod.
    Pod,
    /// One of Argo's kinds that hold templates.
    Workflow(workflow::Kind),
    /// Anything else.
    Other,
}

impl Kind {
    /// By the names that the API gives it.
    pub fn of(group: &str, kind: &str) -> Self {
        match group {
            "" if kind == "Pod" => Self::Pod,
            "argoproj.io" => workflow::Kind::of_name(kind).map_or(Self::Other, Self::Workflow),
            _ => Self::Other,
        }
    }

    /// By `apiVersion` and `kind`, as a manifest spells them.
    pub fn of_manifest(api_version: &str, kind: &str) -> Self {
        Self::of(api_version.rsplit_once('/').map_or("", |(group, _)| group), kind)
    }

    /// A word for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Workflow(kind) => kind.name(),
            Self::Other => "other",
        }
    }
}

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// As a pod.
    #[error(transparent)]
    Pod(#[from] NotAPod),
    /// As a workflow kind.
    #[error(transparent)]
    Workflow(#[from] NotAWorkflow),
    /// The old object of an update.
    #[error("the old object is not readable: {0}")]
    Old(serde_json::Error),
}

impl Unreadable {
    /// Whether the object is denied for it. A workflow kind is not: Argo says itself what it cannot read, and minimal
    /// resource definitions let through much that is mended later.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Pod(_))
    }
}

/// The Workflow that owns an object, by its owner reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its uid: another Workflow of that name is not it.
    pub uid: String,
}

impl Subject<'_> {
    /// The Workflow that owns the object, if one does.
    pub fn workflow_owner(&self) -> Option<Owner> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow, default)]
            metadata: Option<Metadata<'a>>,
        }
        let Fields { metadata } = serde_json::from_str(self.object).ok()?;
        let metadata = metadata?;
        let owner = metadata.workflow_owner()?;
        Some(Owner { name: owner.name.to_string(), uid: owner.uid.to_string() })
    }

    /// Whether a workflow kind is left alone for what is asked of it.
    ///
    /// Argo's controller updates Workflows all the time, so an update of one is never looked at; the long-lived kinds are
    /// when their spec changed.
    pub(super) fn workflow_skip(&self, kind: workflow::Kind) -> Result<Option<Skip>, Unreadable> {
        match self.operation {
            "CREATE" => Ok(None),
            "UPDATE" if kind.is_long_lived() => {
                let Some(old) = self.old_object else { return Ok(None) };
                let same = spec(old).map_err(Unreadable::Old)? == spec(self.object).map_err(Unreadable::Old)?;
                Ok(same.then_some(Skip::SpecUnchanged))
            }
            _ => Ok(Some(Skip::Operation)),
        }
    }
}

fn spec(object: &str) -> Result<Value, serde_json::Error> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow, default)]
        spec: Option<&'a RawValue>,
    }
    let Fields { spec } = serde_json::from_str(object)?;
    spec.map_or(Ok(Value::Null), |raw| serde_json::from_str(raw.get()))
}
