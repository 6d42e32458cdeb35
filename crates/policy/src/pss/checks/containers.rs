//! What is judged of containers one by one.

use super::Finding;
use super::setters::{Setters, containers, in_quotes, plural, set};
use crate::pod::{Capabilities, Container, Pod, SecurityContext};

/// What container runtimes give by default, but for NET_RAW.
pub(crate) const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A flag of a container's security context.
fn is(container: &Container<'_>, flag: fn(&SecurityContext<'_>) -> Option<bool>, value: bool) -> bool {
    container.security.as_ref().and_then(flag) == Some(value)
}

fn added<'c, 'a>(container: &'c Container<'a>) -> &'c [&'a str] {
    capabilities(container).map_or(&[], |capabilities| &capabilities.add)
}

fn capabilities<'c, 'a>(container: &'c Container<'a>) -> Option<&'c Capabilities<'a>> {
    container.security.as_ref()?.capabilities.as_ref()
}

pub(super) fn capabilities_baseline(pod: &Pod<'_>) -> Finding {
    adding(pod, |name| DEFAULT_CAPABILITIES.contains(&name)).map(|detail| ("non-default capabilities", detail))
}

pub(super) fn capabilities_restricted(pod: &Pod<'_>) -> Finding {
    let drops_all = |container: &Container<'_>| capabilities(container).is_some_and(|c| c.drop.contains(&"ALL"));
    let keeping = Setters::of(&pod.spec.containers, |container| !drops_all(container));
    let keeping = (!keeping.is_empty())
        .then(|| format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", keeping.text()));
    let adding = adding(pod, |name| name == "NET_BIND_SERVICE");
    let details: Vec<String> = keeping.into_iter().chain(adding).collect();
    (!details.is_empty()).then(|| ("unrestricted capabilities", details.join("; ")))
}

/// Who adds capabilities that are not allowed, and which.
fn adding(pod: &Pod<'_>, is_allowed: impl Fn(&str) -> bool) -> Option<String> {
    let forbidden = |container: &Container<'_>| added(container).iter().any(|name| !is_allowed(name));
    let setters = Setters::of(&pod.spec.containers, forbidden);
    if setters.is_empty() {
        return None;
    }
    let names = pod.spec.containers.iter().flat_map(added).copied().filter(|name| !is_allowed(name));
    let names = in_quotes(&set(names));
    Some(format!("{} must not include {names} in securityContext.capabilities.add", setters.text()))
}

pub(super) fn host_ports(pod: &Pod<'_>) -> Finding {
    let taken = |container: &Container<'_>| container.host_ports.iter().any(|port| *port != 0);
    let setters = Setters::of(&pod.spec.containers, taken);
    if setters.is_empty() {
        return None;
    }
    let ports = pod.spec.containers.iter().flat_map(|container| &container.host_ports).filter(|port| **port != 0);
    let ports = set(ports.map(ToString::to_string));
    let count = setters.containers.len();
    let detail = format!(
        "{} {} {} {}",
        setters.text(),
        plural(count, "uses", "use"),
        plural(ports.len(), "hostPort", "hostPorts"),
        ports.join(", ")
    );
    Some(("hostPort", detail))
}

/// Hosts of probes and lifecycle hooks: with them the kubelet can be made to ask any address. Unlike everywhere else the names of
/// the containers are sorted.
pub(super) fn hosts(pod: &Pod<'_>) -> Finding {
    let mut names = Setters::of(&pod.spec.containers, |container| !container.hosts.is_empty()).containers;
    if names.is_empty() {
        return None;
    }
    names.sort_unstable();
    names.dedup();
    let hosts = set(pod.spec.containers.iter().flat_map(|container| &container.hosts).copied());
    let detail = format!(
        "{} {} {} {}",
        containers(&names),
        plural(names.len(), "uses", "use"),
        plural(hosts.len(), "probe or lifecycle host", "probe or lifecycle hosts"),
        in_quotes(&hosts)
    );
    Some(("probe or lifecycle host", detail))
}

pub(super) fn privileged(pod: &Pod<'_>) -> Finding {
    Setters::of(&pod.spec.containers, |container| is(container, |security| security.privileged, true))
        .finding("privileged", |who| format!("{who} must not set securityContext.privileged=true"))
}

pub(super) fn privilege_escalation(pod: &Pod<'_>) -> Finding {
    let is_off = |container: &Container<'_>| is(container, |security| security.allow_privilege_escalation, false);
    Setters::of(&pod.spec.containers, |container| !is_off(container))
        .finding("allowPrivilegeEscalation != false", |who| {
            format!("{who} must set securityContext.allowPrivilegeEscalation=false")
        })
}

fn unusual_proc_mount<'a>(container: &Container<'a>) -> Option<&'a str> {
    container.security.as_ref()?.proc_mount.filter(|kind| *kind != "Default")
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Finding {
    let setters = Setters::of(&pod.spec.containers, |container| unusual_proc_mount(container).is_some());
    setters.finding("procMount", |who| {
        let kinds = in_quotes(&set(pod.spec.containers.iter().filter_map(unusual_proc_mount)));
        format!("{who} must not set securityContext.procMount to {kinds}")
    })
}

pub(super) fn host_process(pod: &Pod<'_>) -> Finding {
    let of_pod = pod.spec.security.as_ref().and_then(|security| security.host_process) == Some(true);
    Setters::of(&pod.spec.containers, |container| is(container, |security| security.host_process, true))
        .with_pod(of_pod)
        .finding("hostProcess", |who| format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
