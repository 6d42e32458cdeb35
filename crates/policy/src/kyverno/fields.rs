//! The checks of the Pod Security Standards as Kyverno makes them: each violation by the field that has it.
//!
//! They are the API server's of Kubernetes 1.34 with three differences: a check that is newer than the version that is asked for is
//! made all the same, by its oldest rules; a stricter check stands beside the one of baseline and not in its place; and at the level
//! privileged all are made.

use crate::pod::{Container, Pod, Profile, SecurityContext};
use crate::pss::{DEFAULT_CAPABILITIES, HARMLESS_VOLUMES, Level, RESTRICTED_VOLUMES, Standard};
use std::collections::BTreeSet;

/// What a check has against a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) check: &'static str,
    pub(super) reason: &'static str,
    pub(super) errors: Vec<FieldError>,
}

/// A field that should be otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    pub(super) path: String,
    pub(super) value: Bad,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bad {
    /// It is missing.
    Missing,
    /// Its value; empty where the check tells none.
    Value(String),
    /// Several.
    Values(Vec<String>),
}

impl FieldError {
    fn new(path: String, value: impl ToString) -> Self {
        Self { path, value: Bad::Value(value.to_string()) }
    }

    fn missing(path: String) -> Self {
        Self { path, value: Bad::Missing }
    }

    /// Sorted, each once.
    fn values<'v>(path: String, values: impl IntoIterator<Item = &'v str>) -> Self {
        let values: BTreeSet<&str> = values.into_iter().collect();
        Self { path, value: Bad::Values(values.into_iter().map(str::to_owned).collect()) }
    }

    /// The values that an exclusion has to allow.
    pub(super) fn bad_values(&self) -> Vec<&str> {
        match &self.value {
            Bad::Missing => Vec::new(),
            Bad::Value(value) => Some(value.as_str()).filter(|value| !value.is_empty()).into_iter().collect(),
            Bad::Values(values) => values.iter().map(String::as_str).collect(),
        }
    }

    pub(super) fn told(&self) -> String {
        let path = self.path.replace("metadata", "spec.template.metadata");
        match &self.value {
            Bad::Missing => format!("{path}: Required value"),
            Bad::Value(value) if value.is_empty() => format!("{path}: Forbidden"),
            Bad::Value(value) => format!("{path} is forbidden, forbidden values found: {value}"),
            Bad::Values(values) => format!("{path} is forbidden, forbidden values found: [{}]", values.join(" ")),
        }
    }
}

type Finding = Option<(&'static str, Vec<FieldError>)>;
/// Rules from a minor version on.
type Since = (u32, fn(&Pod<'_>) -> Finding);

struct Check {
    id: &'static str,
    is_restricted: bool,
    since: &'static [Since],
}

const fn baseline(id: &'static str, since: &'static [Since]) -> Check {
    Check { id, is_restricted: false, since }
}

const fn restricted(id: &'static str, since: &'static [Since]) -> Check {
    Check { id, is_restricted: true, since }
}

/// In Kyverno's order.
const CHECKS: [Check; 18] = [
    restricted(
        "allowPrivilegeEscalation",
        &[(8, privilege_escalation), (25, |pod| unless_windows(pod, privilege_escalation))],
    ),
    baseline("appArmorProfile", &[(0, app_armor)]),
    baseline("capabilities_baseline", &[(0, capabilities_baseline)]),
    restricted(
        "capabilities_restricted",
        &[(22, capabilities_restricted), (25, |pod| unless_windows(pod, capabilities_restricted))],
    ),
    baseline("hostNamespaces", &[(0, host_namespaces)]),
    baseline("hostPathVolumes", &[(0, host_paths)]),
    baseline("hostPorts", &[(0, host_ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, hosts)]),
    baseline("privileged", &[(0, privileged)]),
    baseline("procMount", &[(0, proc_mount)]),
    restricted("restrictedVolumes", &[(0, restricted_volumes)]),
    restricted("runAsNonRoot", &[(0, run_as_non_root)]),
    restricted("runAsUser", &[(23, run_as_user)]),
    baseline("seLinuxOptions", &[(0, |pod| se_linux(pod, 4)), (31, |pod| se_linux(pod, 5))]),
    baseline("seccompProfile_baseline", &[(0, seccomp_annotations), (19, seccomp)]),
    restricted(
        "seccompProfile_restricted",
        &[(19, seccomp_restricted), (25, |pod| unless_windows(pod, seccomp_restricted))],
    ),
    baseline(
        "sysctls",
        &[
            (0, |pod| sysctls(pod, 5)),
            (27, |pod| sysctls(pod, 6)),
            (29, |pod| sysctls(pod, 10)),
            (32, |pod| sysctls(pod, 12)),
        ],
    ),
    baseline("windowsHostProcess", &[(0, host_process)]),
];

/// What a standard has against a pod.
pub(super) fn violations(standard: Standard, pod: &Pod<'_>) -> Vec<Violation> {
    let minor = standard.version.minor();
    let made = CHECKS.iter().filter(|check| standard.level != Level::Baseline || !check.is_restricted);
    let found = made.filter_map(|check| {
        let newest = check.since.iter().rev().find(|(since, _)| minor >= *since).or(check.since.first());
        let (reason, errors) = newest?.1(pod)?;
        Some(Violation { check: check.id, reason, errors })
    });
    found.collect()
}

fn unless_windows(pod: &Pod<'_>, rules: fn(&Pod<'_>) -> Finding) -> Finding {
    if pod.spec.is_windows() { None } else { rules(pod) }
}

/// Where the `n`th container stands.
fn place(pod: &Pod<'_>, n: usize) -> String {
    let (init, main) = (pod.spec.init_count, pod.spec.main_count());
    match n {
        n if n < init => format!("spec.initContainers[{n}]"),
        n if n < init + main => format!("spec.containers[{}]", n - init),
        n => format!("spec.ephemeralContainers[{}]", n - init - main),
    }
}

fn finding(reason: &'static str, errors: Vec<FieldError>) -> Finding {
    (!errors.is_empty()).then_some((reason, errors))
}

/// An error a container that has one; `field` is below its security context.
fn each<'a>(
    pod: &Pod<'a>,
    field: &str,
    error: impl Fn(&Container<'a>, String) -> Option<FieldError>,
) -> Vec<FieldError> {
    let containers = pod.spec.containers.iter().enumerate();
    let at = |n| format!("{}.securityContext.{field}", place(pod, n));
    containers.filter_map(|(n, container)| error(container, at(n))).collect()
}

/// Of the pod itself; `field` is below its security context.
fn of_pod<'a>(pod: &Pod<'a>, field: &str, value: impl Fn(&SecurityContext<'a>) -> Option<String>) -> Vec<FieldError> {
    let value = pod.spec.security.as_ref().and_then(value);
    value.map(|value| FieldError::new(format!("spec.securityContext.{field}"), value)).into_iter().collect()
}

fn privilege_escalation(pod: &Pod<'_>) -> Finding {
    let errors = each(pod, "allowPrivilegeEscalation", |container, path| match &container.security {
        None => Some(FieldError::missing(path)),
        Some(security) => match security.allow_privilege_escalation {
            None => Some(FieldError::new(path, "nil")),
            Some(true) => Some(FieldError::new(path, true)),
            Some(false) => None,
        },
    });
    finding("allowPrivilegeEscalation != false", errors)
}

const CONFINED: [&str; 2] = ["RuntimeDefault", "Localhost"];

fn unconfined(profile: Option<Profile<'_>>) -> Option<String> {
    profile.map(|profile| profile.kind).filter(|kind| !CONFINED.contains(kind)).map(str::to_owned)
}

fn app_armor(pod: &Pod<'_>) -> Finding {
    const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
    let mut errors = of_pod(pod, "appArmorProfile.type", |security| unconfined(security.app_armor));
    errors.extend(each(pod, "appArmorProfile.type", |container, path| {
        Some(FieldError::new(path, unconfined(container.security.as_ref()?.app_armor)?))
    }));
    let kinds: BTreeSet<&Bad> = errors.iter().map(|error| &error.value).collect();
    let mut count = kinds.len();
    let is_allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    for (key, value) in pod.annotations.iter().filter(|(key, value)| key.starts_with(ANNOTATION) && !is_allowed(value))
    {
        errors.push(FieldError::new(format!("metadata.annotations[{key}]"), value));
        count += 1;
    }
    finding(if count == 1 { "forbidden AppArmor profile" } else { "forbidden AppArmor profiles" }, errors)
}

fn adding(pod: &Pod<'_>, is_allowed: impl Fn(&str) -> bool) -> Vec<FieldError> {
    each(pod, "capabilities.add", |container, path| {
        let added = container.security.as_ref()?.capabilities.as_ref()?.add.iter().copied();
        let mut wrong = added.filter(|name| !is_allowed(name)).peekable();
        wrong.peek()?;
        Some(FieldError::values(path, wrong))
    })
}

fn capabilities_baseline(pod: &Pod<'_>) -> Finding {
    finding("non-default capabilities", adding(pod, |name| DEFAULT_CAPABILITIES.contains(&name)))
}

fn capabilities_restricted(pod: &Pod<'_>) -> Finding {
    let mut errors = each(pod, "capabilities.drop", |container, path| {
        let capabilities = container.security.as_ref().and_then(|security| security.capabilities.as_ref());
        let dropped = capabilities.map_or(&[][..], |capabilities| &capabilities.drop);
        match dropped {
            [] => Some(FieldError::missing(path)),
            dropped if dropped.contains(&"ALL") => None,
            dropped => Some(FieldError::values(path, dropped.iter().copied())),
        }
    });
    errors.extend(adding(pod, |name| name == "NET_BIND_SERVICE"));
    finding("unrestricted capabilities", errors)
}

fn host_namespaces(pod: &Pod<'_>) -> Finding {
    let spec = &pod.spec;
    let shared = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    let errors = shared.into_iter().filter(|(_, is_shared)| *is_shared);
    finding("host namespaces", errors.map(|(name, _)| FieldError::new(format!("spec.{name}"), true)).collect())
}

fn host_paths(pod: &Pod<'_>) -> Finding {
    let errors = pod.spec.volumes.iter().enumerate().filter_map(|(n, volume)| {
        let path = volume.source("hostPath")?.get("path").and_then(|path| path.as_str()).unwrap_or_default();
        Some(FieldError::new(format!("spec.volumes[{n}].hostPath"), path))
    });
    finding("hostPath volumes", errors.collect())
}

fn host_ports(pod: &Pod<'_>) -> Finding {
    let errors = pod.spec.containers.iter().enumerate().flat_map(|(n, container)| {
        let ports = container.host_ports.iter().enumerate().filter(|(_, port)| **port != 0);
        let at = place(pod, n);
        ports.map(move |(port, number)| FieldError::new(format!("{at}.ports[{port}].hostPort"), number))
    });
    finding("hostPort", errors.collect())
}

/// It names no fields.
fn hosts(pod: &Pod<'_>) -> Finding {
    let has_host = pod.spec.containers.iter().any(|container| !container.hosts.is_empty());
    has_host.then(|| ("probe or lifecycle host", Vec::new()))
}

fn privileged(pod: &Pod<'_>) -> Finding {
    let errors = each(pod, "privileged", |container, path| {
        (container.security.as_ref()?.privileged == Some(true)).then(|| FieldError::new(path, true))
    });
    finding("privileged", errors)
}

fn proc_mount(pod: &Pod<'_>) -> Finding {
    let errors = each(pod, "procMount", |container, path| {
        Some(FieldError::new(path, container.security.as_ref()?.proc_mount.filter(|kind| *kind != "Default")?))
    });
    finding("procMount", errors)
}

fn restricted_volumes(pod: &Pod<'_>) -> Finding {
    let volumes = pod.spec.volumes.iter().enumerate();
    let bad = volumes.filter(|(_, volume)| !HARMLESS_VOLUMES.iter().any(|kind| volume.source(kind).is_some()));
    let errors = bad.map(|(n, volume)| {
        let kind = RESTRICTED_VOLUMES.into_iter().find(|kind| volume.source(kind).is_some()).unwrap_or("unknown");
        FieldError::new(format!("spec.volumes[{n}].{kind}"), "")
    });
    finding("restricted volume types", errors.collect())
}

fn run_as_non_root(pod: &Pod<'_>) -> Finding {
    let of_the_pod = pod.spec.security.as_ref().and_then(|security| security.run_as_non_root);
    let of = |container: &Container<'_>| container.security.as_ref().and_then(|security| security.run_as_non_root);
    let mut errors =
        of_pod(pod, "runAsNonRoot", |security| security.run_as_non_root.filter(|is| !is).map(|is| is.to_string()));
    errors.extend(each(pod, "runAsNonRoot", |container, path| {
        (of(container) == Some(false)).then(|| FieldError::new(path, false))
    }));
    errors.extend(each(pod, "runAsNonRoot", |container, path| {
        (of(container).is_none() && of_the_pod != Some(true)).then(|| FieldError::missing(path))
    }));
    finding("runAsNonRoot != true", errors)
}

fn run_as_user(pod: &Pod<'_>) -> Finding {
    let mut errors =
        of_pod(pod, "runAsUser", |security| security.run_as_user.filter(|id| *id == 0).map(|id| id.to_string()));
    errors.extend(each(pod, "runAsUser", |container, path| {
        (container.security.as_ref()?.run_as_user == Some(0)).then(|| FieldError::new(path, 0))
    }));
    finding("runAsUser=0", errors)
}

const SE_LINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

fn se_linux(pod: &Pod<'_>, types: usize) -> Finding {
    let wrong = |security: Option<&SecurityContext<'_>>, at: &str| -> Vec<FieldError> {
        let Some(options) = security.and_then(|security| security.se_linux) else { return Vec::new() };
        let is_allowed = SE_LINUX_TYPES.iter().take(types).any(|known| *known == options.kind);
        let kind = Some(options.kind).filter(|_| !is_allowed);
        let set = |value| Some(value).filter(|value: &&str| !value.is_empty());
        let all = [("type", kind), ("user", set(options.user)), ("role", set(options.role))];
        let told = |(field, value): (&str, Option<&str>)| {
            Some(FieldError::new(format!("{at}.securityContext.seLinuxOptions.{field}"), value?))
        };
        all.into_iter().filter_map(told).collect()
    };
    let mut errors = wrong(pod.spec.security.as_ref(), "spec");
    for (n, container) in pod.spec.containers.iter().enumerate() {
        errors.extend(wrong(container.security.as_ref(), &place(pod, n)));
    }
    finding("seLinuxOptions", errors)
}

fn seccomp_annotations(pod: &Pod<'_>) -> Finding {
    const OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    let is_allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let of_containers = pod.spec.containers.iter().map(|container| format!("{OF_CONTAINER}{}", container.name));
    let errors = std::iter::once(OF_POD.to_owned()).chain(of_containers).filter_map(|key| {
        let value = pod.annotations.get(&key).filter(|value| !is_allowed(value))?;
        Some(FieldError::new(format!("metadata.annotations[{key}]"), value))
    });
    finding("seccompProfile", errors.collect())
}

fn seccomp_set(pod: &Pod<'_>) -> Vec<FieldError> {
    let mut errors = of_pod(pod, "seccompProfile.type", |security| unconfined(security.seccomp));
    errors.extend(each(pod, "seccompProfile.type", |container, path| {
        Some(FieldError::new(path, unconfined(container.security.as_ref()?.seccomp)?))
    }));
    errors
}

fn seccomp(pod: &Pod<'_>) -> Finding {
    finding("seccompProfile", seccomp_set(pod))
}

fn seccomp_restricted(pod: &Pod<'_>) -> Finding {
    let explicit = seccomp_set(pod);
    if !explicit.is_empty() {
        return finding("seccompProfile", explicit);
    }
    let has_profile =
        |security: Option<&SecurityContext<'_>>| security.is_some_and(|security| security.seccomp.is_some());
    if has_profile(pod.spec.security.as_ref()) {
        return None;
    }
    let errors = each(pod, "seccompProfile.type", |container, path| {
        (!has_profile(container.security.as_ref())).then(|| FieldError::missing(path))
    });
    finding("seccompProfile", errors)
}

const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn sysctls(pod: &Pod<'_>, safe: usize) -> Finding {
    let all = pod.spec.security.iter().flat_map(|security| security.sysctls.iter().enumerate());
    let bad = all.filter(|(_, name)| !SAFE_SYSCTLS.iter().take(safe).any(|known| known == *name));
    let errors = bad.map(|(n, name)| FieldError::new(format!("spec.securityContext.sysctls[{n}].name"), name));
    finding("forbidden sysctls", errors.collect())
}

fn host_process(pod: &Pod<'_>) -> Finding {
    let field = "windowsOptions.hostProcess";
    let is_set = |security: &SecurityContext<'_>| security.host_process.filter(|is| *is).map(|is| is.to_string());
    let mut errors = of_pod(pod, field, is_set);
    errors
        .extend(each(pod, field, |container, path| Some(FieldError::new(path, is_set(container.security.as_ref()?)?))));
    finding("hostProcess", errors)
}
