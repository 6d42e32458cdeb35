//! What a policy fills in where a pod leaves it open.

use std::collections::BTreeSet;

use serde_json::json;

use super::policy::{PodSecurityPolicy, UserRule};
use super::subject::{Subject, se_linux};
use super::validate::annotation_of;
use crate::pod::{Capabilities, SecurityContext};

pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(super) const APP_ARMOR_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Fills in the pod, then its containers in order; those see what the pod has been given.
pub(super) fn mutate<'a>(policy: &'a PodSecurityPolicy, subject: &mut Subject<'a>) {
    let security = subject.pod.spec.security.clone().unwrap_or_default();
    if let Some(group) = policy.supplemental_groups.default()
        && security.supplemental_groups.is_none()
    {
        subject.set_pod("supplementalGroups", json!([group])).supplemental_groups = Some(vec![group]);
    }
    if let Some(group) = policy.fs_group.default()
        && security.fs_group.is_none()
    {
        subject.set_pod("fsGroup", json!(group)).fs_group = Some(group);
    }
    if let Some(options) = &policy.se_linux
        && security.se_linux.is_none()
    {
        subject.set_pod("seLinuxOptions", se_linux(options.view())).se_linux = Some(options.view());
    }
    seccomp(policy, subject, &security);
    if let Some(name) = policy.runtime_class.as_ref().and_then(|rule| rule.default.as_deref())
        && subject.pod.spec.runtime_class.is_none()
    {
        subject.set_runtime_class(name);
    }
    for index in 0..subject.pod.spec.containers.len() {
        mutate_container(policy, subject, index);
    }
}

/// The pod's profile goes into its annotation, whether it comes from the field or from the policy.
fn seccomp<'a>(policy: &'a PodSecurityPolicy, subject: &mut Subject<'a>, security: &SecurityContext<'a>) {
    if !subject.annotation(SECCOMP_POD).is_empty() {
        return;
    }
    let profile = match security.seccomp {
        Some(profile) => annotation_of(profile),
        None => policy.seccomp.default.clone(),
    };
    if !profile.is_empty() {
        subject.annotate(SECCOMP_POD.to_owned(), profile);
    }
}

fn mutate_container<'a>(policy: &'a PodSecurityPolicy, subject: &mut Subject<'a>, index: usize) {
    let Some(container) = subject.pod.spec.containers.get(index) else { return };
    let name = container.name;
    let own = container.security.clone().unwrap_or_default();
    let of_pod = subject.pod.spec.security.clone().unwrap_or_default();

    let mut user = own.run_as_user.or(of_pod.run_as_user);
    if let UserRule::MustRunAs(ranges) = &policy.run_as_user
        && user.is_none()
    {
        user = Some(ranges.default);
        set(subject, index, "runAsUser", ranges.default, |security| security.run_as_user = user);
    }
    if let Some(group) = policy.run_as_group.default()
        && own.run_as_group.or(of_pod.run_as_group).is_none()
    {
        set(subject, index, "runAsGroup", group, |security| security.run_as_group = Some(group));
    }
    app_armor(policy, subject, name);
    let says_nothing = own.run_as_non_root.or(of_pod.run_as_non_root).is_none() && user.is_none();
    if policy.run_as_user == UserRule::MustRunAsNonRoot && says_nothing {
        set(subject, index, "runAsNonRoot", true, |security| security.run_as_non_root = Some(true));
    }
    if let Some(capabilities) = capabilities(policy, own.capabilities.as_ref()) {
        subject.set_capabilities(index, capabilities);
    }
    if policy.read_only_root_filesystem && own.read_only_root_filesystem.is_none() {
        set(subject, index, "readOnlyRootFilesystem", true, |security| {
            security.read_only_root_filesystem = Some(true);
        });
    }
    let allow = policy.default_allow_privilege_escalation.or((!policy.allow_privilege_escalation).then_some(false));
    if let Some(allow) = allow
        && own.allow_privilege_escalation.is_none()
    {
        set(subject, index, "allowPrivilegeEscalation", allow, |security| {
            security.allow_privilege_escalation = Some(allow);
        });
    }
}

fn set<'a>(
    subject: &mut Subject<'a>,
    index: usize,
    name: &'static str,
    value: impl Into<serde_json::Value>,
    to: impl FnOnce(&mut SecurityContext<'a>),
) {
    if let Some(security) = subject.set_container(index, name, value) {
        to(security);
    }
}

fn app_armor<'a>(policy: &'a PodSecurityPolicy, subject: &mut Subject<'a>, container: &str) {
    let key = format!("{APP_ARMOR_CONTAINER}{container}");
    if !policy.app_armor.default.is_empty() && subject.annotation(&key).is_empty() {
        subject.annotate(key, policy.app_armor.default.clone());
    }
}

/// What the container adds and drops, joined with what the policy wants; sorted, and nothing if that is what it has.
fn capabilities<'a>(policy: &'a PodSecurityPolicy, own: Option<&Capabilities<'a>>) -> Option<Capabilities<'a>> {
    let set = |names: Option<&Vec<&'a str>>| -> BTreeSet<&'a str> { names.into_iter().flatten().copied().collect() };
    let mut add = set(own.map(|capabilities| &capabilities.add));
    let mut drop = set(own.map(|capabilities| &capabilities.drop));
    let before = (add.len(), drop.len());
    let rule = &policy.capabilities;
    add.extend(rule.default_add.iter().map(String::as_str).filter(|name| !drop.contains(name)));
    drop.extend(rule.required_drop.iter().map(String::as_str));
    ((add.len(), drop.len()) != before).then(|| Capabilities {
        add: add.into_iter().collect(),
        drop: drop.into_iter().collect(),
        has_drop: true,
    })
}
