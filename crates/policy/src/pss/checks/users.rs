//! As whom containers run.

use super::Finding;
use super::setters::Setters;
use crate::pod::{Container, Pod};

pub(super) fn run_as_non_root(pod: &Pod<'_>) -> Finding {
    const REASON: &str = "runAsNonRoot != true";
    let of_pod = pod.spec.security.as_ref().and_then(|security| security.run_as_non_root);
    let of = |container: &Container<'_>| container.security.as_ref().and_then(|security| security.run_as_non_root);
    let explicit = Setters::of(&pod.spec.containers, |container| of(container) == Some(false));
    let explicit = explicit.with_pod(of_pod == Some(false));
    if !explicit.is_empty() {
        return explicit.finding(REASON, |who| format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = Setters::of(&pod.spec.containers, |container| of_pod != Some(true) && of(container).is_none());
    silent.finding(REASON, |who| format!("pod or {who} must set securityContext.runAsNonRoot=true"))
}

pub(super) fn run_as_user(pod: &Pod<'_>) -> Finding {
    let of_pod = pod.spec.security.as_ref().and_then(|security| security.run_as_user);
    let of = |container: &Container<'_>| container.security.as_ref().and_then(|security| security.run_as_user);
    Setters::of(&pod.spec.containers, |container| of(container) == Some(0))
        .with_pod(of_pod == Some(0))
        .finding("runAsUser=0", |who| format!("{who} must not set runAsUser=0"))
}
