use super::limits::Limits;
use crate::image::Platform;

/// What is known of a pod beside the pod itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The pod's name by the request, where the object has none. Absent with `generateName`.
    pub name: Option<&'a str>,
    /// Whether the namespace enforces Pod Security Standards' `restricted`.
    pub namespace_restricted: bool,
    /// What the namespace's LimitRanges allow; `None` where they are not known.
    pub limits: Option<&'a Limits>,
    /// The platforms of the cluster's nodes, where the operator wants them to count; empty otherwise.
    pub node_platforms: &'a [Platform],
    /// The labels of the Workflow that owns the pod; `None` where they are not known.
    pub workflow_labels: Option<&'a [(String, String)]>,
}
