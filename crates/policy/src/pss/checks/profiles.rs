//! AppArmor, seccomp and SELinux.

use super::Finding;
use super::setters::{Setters, in_quotes, plural, set};
use crate::pod::{Pod, Profile, SeLinux, SecurityContext};
use crate::quote::quoted;

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// The types of a profile that keep what the runtime or the node's administrator has set.
const CONFINED: [&str; 2] = ["RuntimeDefault", "Localhost"];

const SE_LINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// Who has profiles of other types, and which types.
struct Unconfined<'a> {
    setters: Setters<'a>,
    kinds: Vec<&'a str>,
}

impl<'a> Unconfined<'a> {
    fn of(pod: &Pod<'a>, profile: impl Fn(&SecurityContext<'a>) -> Option<Profile<'a>>) -> Self {
        let bad = |security: &Option<SecurityContext<'a>>| {
            let kind = profile(security.as_ref()?)?.kind;
            (!CONFINED.contains(&kind)).then_some(kind)
        };
        let of_pod = bad(&pod.spec.security);
        let of_containers = pod.spec.containers.iter().filter_map(|container| bad(&container.security));
        let kinds: Vec<&str> = of_pod.into_iter().chain(of_containers).collect();
        let setters = match kinds.is_empty() {
            true => Setters::default(),
            false => Setters::of(&pod.spec.containers, |container| bad(&container.security).is_some()),
        };
        Self { setters: setters.with_pod(of_pod.is_some()), kinds }
    }
}

pub(super) fn app_armor(pod: &Pod<'_>) -> Finding {
    let unconfined = Unconfined::of(pod, |security| security.app_armor);
    let is_allowed = |profile: &str| ["", "runtime/default"].contains(&profile) || profile.starts_with("localhost/");
    let annotations =
        pod.annotations.iter().filter(|(key, profile)| key.starts_with(APP_ARMOR_ANNOTATION) && !is_allowed(profile));
    let annotations = set(annotations.map(|(key, profile)| format!("{key}={}", quoted(profile))));
    if unconfined.setters.is_empty() && annotations.is_empty() {
        return None;
    }
    let mut who = Vec::new();
    if !unconfined.setters.is_empty() {
        who.push(unconfined.setters.text());
    }
    if !annotations.is_empty() {
        who.push(plural(annotations.len(), "annotation", "annotations").to_owned());
    }
    let mut values = set(unconfined.kinds.into_iter());
    values.extend(annotations);
    let reason = plural(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles");
    let detail = format!("{} must not set AppArmor profile type to {}", who.join(" and "), in_quotes(&values));
    Some((reason, detail))
}

/// Before there were fields (1.19), seccomp was set by annotations. Those of containers that do not exist count for nothing.
pub(super) fn seccomp_annotations(pod: &Pod<'_>) -> Finding {
    let is_allowed =
        |profile: &str| ["runtime/default", "docker/default"].contains(&profile) || profile.starts_with("localhost/");
    let forbidden = |key: &str| {
        let profile = pod.annotations.get(key).filter(|profile| !is_allowed(profile))?;
        Some(format!("{key}={}", quoted(profile)))
    };
    let of_containers = pod.spec.containers.iter();
    let of_containers =
        of_containers.filter_map(|container| forbidden(&format!("{SECCOMP_ANNOTATION}{}", container.name)));
    let found = set(forbidden(SECCOMP_POD_ANNOTATION).into_iter().chain(of_containers));
    let detail = || format!("forbidden {} {}", plural(found.len(), "annotation", "annotations"), found.join(", "));
    (!found.is_empty()).then(|| ("seccompProfile", detail()))
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Finding {
    let Unconfined { setters, kinds } = Unconfined::of(pod, |security| security.seccomp);
    setters.finding("seccompProfile", |who| {
        let kinds = in_quotes(&set(kinds.into_iter()));
        format!("{who} must not set securityContext.seccompProfile.type to {kinds}")
    })
}

pub(super) fn seccomp_restricted(pod: &Pod<'_>) -> Finding {
    let explicit = seccomp(pod);
    let has_profile = |security: &Option<SecurityContext<'_>>| security.as_ref().is_some_and(|s| s.seccomp.is_some());
    if explicit.is_some() || has_profile(&pod.spec.security) {
        return explicit;
    }
    Setters::of(&pod.spec.containers, |container| !has_profile(&container.security)).finding("seccompProfile", |who| {
        format!(r#"pod or {who} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost""#)
    })
}

pub(super) fn se_linux_v0(pod: &Pod<'_>) -> Finding {
    se_linux(pod, 4)
}

pub(super) fn se_linux_v31(pod: &Pod<'_>) -> Finding {
    se_linux(pod, 5)
}

/// `types`: how many of the allowed ones the version has.
fn se_linux(pod: &Pod<'_>, types: usize) -> Finding {
    let is_allowed = |kind: &str| SE_LINUX_TYPES.iter().take(types).any(|known| *known == kind);
    let is_bad =
        |options: &SeLinux<'_>| !is_allowed(options.kind) || !options.user.is_empty() || !options.role.is_empty();
    let of_pod = pod.spec.security.as_ref().and_then(|security| security.se_linux);
    let of_containers = || pod.spec.containers.iter().filter_map(|container| container.security.as_ref()?.se_linux);
    let bad = Setters::of(&pod.spec.containers, |container| {
        container.security.as_ref().and_then(|security| security.se_linux).is_some_and(|options| is_bad(&options))
    });
    bad.with_pod(of_pod.is_some_and(|options| is_bad(&options))).finding("seLinuxOptions", |who| {
        let all: Vec<SeLinux<'_>> = of_pod.into_iter().chain(of_containers()).collect();
        let kinds = set(all.iter().map(|options| options.kind).filter(|kind| !is_allowed(kind)));
        let mut what = Vec::new();
        if !kinds.is_empty() {
            what.push(format!("{} {}", plural(kinds.len(), "type", "types"), in_quotes(&kinds)));
        }
        if all.iter().any(|options| !options.user.is_empty()) {
            what.push("user may not be set".to_owned());
        }
        if all.iter().any(|options| !options.role.is_empty()) {
            what.push("role may not be set".to_owned());
        }
        format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "))
    })
}
