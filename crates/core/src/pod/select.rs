use super::context::Context;
use super::options::{Options, Overrides};
use super::view::Pod;
use crate::names;
use crate::outcome::{Skip, Warning};
use emissary_contract::label;

/// The kubelet's mark on the API object of a static pod (Kubernetes API, `kubernetes.io/config.mirror`).
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether a pod is ours at all.
///
/// The opt-in label decides before Argo's own, in both directions.
pub(super) fn select(pod: &Pod<'_>, context: &Context<'_>, options: &Options) -> Result<Vec<Warning>, Skip> {
    let metadata = pod.metadata();
    let mut warnings = Vec::new();
    match metadata.label(names::INJECT) {
        Some("false") => return Err(Skip::OptedOut),
        Some("true") => {}
        Some(other) => warnings.push(Warning::InjectValue(other.to_owned())),
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
    warnings.extend(ignored(pod, options.overrides).map(Warning::AnnotationIgnored));
    if options.overrides.executor || !options.executors.others.is_empty() {
        warnings.extend(left_to_another(pod, context, options)?);
    }
    Ok(warnings)
}

/// The annotations of ours that the operator lets nobody decide by.
fn ignored<'p>(pod: &'p Pod<'_>, overrides: Overrides) -> impl Iterator<Item = &'static str> + 'p {
    let Overrides { mode, executor, platform, wrap } = overrides;
    let all = [(names::MODE, mode), (names::EXECUTOR, executor), (names::PLATFORM, platform), (names::WRAP, wrap)];
    all.into_iter().filter(|(key, counts)| !counts && pod.metadata().annotation(key).is_some()).map(|(key, _)| key)
}

/// Whether the pod is for another executor that the operator allows: by its annotation where that counts, else by what the
/// controller's configuration says of its Workflow.
fn left_to_another(pod: &Pod<'_>, context: &Context<'_>, options: &Options) -> Result<Option<Warning>, Skip> {
    let executors = &options.executors;
    let annotation = pod.metadata().annotation(names::EXECUTOR).filter(|_| options.overrides.executor);
    let warning = match annotation {
        Some(name) if executors.leaves(name) => return Err(Skip::OtherExecutor),
        Some("emissary") => return Ok(None),
        Some(name) => Some(Warning::ExecutorNotAllowed(name.to_owned())),
        None => None,
    };
    if executors.leaves(executors.choice.choose(context.workflow_labels)) {
        return Err(Skip::OtherExecutor);
    }
    Ok(warning)
}
