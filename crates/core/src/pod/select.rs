use super::options::Options;
use super::view::Pod;
use crate::names;
use crate::outcome::{Skip, Warning};
use emissary_contract::label;

/// The kubelet's mark on the API object of a static pod (Kubernetes API, `kubernetes.io/config.mirror`).
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether a pod is ours at all.
///
/// The opt-in label decides before Argo's own, in both directions.
pub(super) fn select(pod: &Pod<'_>, options: &Options) -> Result<Option<Warning>, Skip> {
    let metadata = pod.metadata();
    let mut warning = None;
    match metadata.label(names::INJECT) {
        Some("false") => return Err(Skip::OptedOut),
        Some("true") => {}
        Some(other) => warning = Some(Warning::InjectValue(other.to_owned())),
        None if metadata.label(label::WORKFLOW).is_none() => return Err(Skip::NotAWorkflowPod),
        None => {}
    }
    if metadata.label(label::COMPONENT).is_some() {
        return Err(Skip::Component);
    }
    if metadata.annotation(MIRROR).is_some() {
        return Err(Skip::MirrorPod);
    }
    if options.overrides.mode && metadata.annotation(names::MODE) == Some("off") {
        return Err(Skip::OptedOut);
    }
    Ok(warning)
}
