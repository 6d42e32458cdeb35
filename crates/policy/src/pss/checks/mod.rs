//! The checks of the Pod Security Standards: which there are at which level and version, and what each says.
//!
//! Rules, order and texts are those of the API server's Pod Security Admission, whose checks are known up to 1.37: first those of
//! baseline, then those of restricted, each by name.

mod containers;
mod pod;
mod profiles;
mod setters;
mod users;

// Others who judge by the Standards have the same lists.
pub(crate) use containers::DEFAULT_CAPABILITIES;
pub(crate) use pod::{HARMLESS_VOLUMES, RESTRICTED_VOLUMES};

use super::level::{Level, Standard};
use crate::pod::Pod;

/// What a check has against a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The check's identifier, such as `capabilities_restricted`.
    pub check: &'static str,
    /// What is wrong, in a few words that are the same for every pod.
    pub reason: &'static str,
    /// Who does what; names what the pod's author wrote.
    pub detail: String,
}

/// A reason and a detail, or nothing.
type Finding = Option<(&'static str, String)>;

/// Rules from a minor version on.
type Since = (u32, fn(&Pod<'_>) -> Finding);

struct Check {
    id: &'static str,
    level: Level,
    /// The oldest first.
    since: &'static [Since],
    /// For one of baseline: from which minor version on a stricter check stands in its place at the level restricted.
    replaced: Option<u32>,
}

const CHECKS: [Check; 19] = [
    baseline("appArmorProfile", &[(0, profiles::app_armor)]),
    baseline("capabilities_baseline", &[(0, containers::capabilities_baseline)]).replaced(22),
    baseline("hostNamespaces", &[(0, pod::host_namespaces)]),
    baseline("hostPathVolumes", &[(0, pod::host_path_volumes)]).replaced(0),
    baseline("hostPorts", &[(0, containers::host_ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, containers::hosts)]),
    baseline("privileged", &[(0, containers::privileged)]),
    baseline("procMount", &[(0, containers::proc_mount), (35, |pod| on_host(pod, containers::proc_mount))])
        .replaced(35),
    baseline("seLinuxOptions", &[(0, profiles::se_linux_v0), (31, profiles::se_linux_v31)]),
    baseline("seccompProfile_baseline", &[(0, profiles::seccomp_annotations), (19, profiles::seccomp)]).replaced(19),
    baseline(
        "sysctls",
        &[
            (0, |pod| pod::sysctls(pod, 5)),
            (27, |pod| pod::sysctls(pod, 6)),
            (29, |pod| pod::sysctls(pod, 10)),
            (32, |pod| pod::sysctls(pod, 12)),
            (37, |pod| pod::sysctls(pod, 14)),
        ],
    ),
    baseline("windowsHostProcess", &[(0, containers::host_process)]),
    restricted(
        "allowPrivilegeEscalation",
        &[(8, containers::privilege_escalation), (25, |pod| unless_windows(pod, containers::privilege_escalation))],
    ),
    restricted(
        "capabilities_restricted",
        &[
            (22, containers::capabilities_restricted),
            (25, |pod| unless_windows(pod, containers::capabilities_restricted)),
        ],
    ),
    restricted("procMount_restricted", &[(35, containers::proc_mount)]),
    restricted("restrictedVolumes", &[(0, pod::restricted_volumes)]),
    restricted("runAsNonRoot", &[(0, users::run_as_non_root), (35, |pod| on_host(pod, users::run_as_non_root))]),
    restricted("runAsUser", &[(23, users::run_as_user), (35, |pod| on_host(pod, users::run_as_user))]),
    restricted(
        "seccompProfile_restricted",
        &[(19, profiles::seccomp_restricted), (25, |pod| unless_windows(pod, profiles::seccomp_restricted))],
    ),
];

const fn baseline(id: &'static str, since: &'static [Since]) -> Check {
    Check { id, level: Level::Baseline, since, replaced: None }
}

const fn restricted(id: &'static str, since: &'static [Since]) -> Check {
    Check { id, level: Level::Restricted, since, replaced: None }
}

impl Check {
    const fn replaced(self, since: u32) -> Self {
        Self { replaced: Some(since), ..self }
    }

    fn rules(&self, standard: Standard) -> Option<fn(&Pod<'_>) -> Finding> {
        let minor = standard.version.minor();
        let is_replaced = standard.level == Level::Restricted && self.replaced.is_some_and(|since| minor >= since);
        if standard.level < self.level || is_replaced {
            return None;
        }
        self.since.iter().rev().find(|(since, _)| minor >= *since).map(|(_, rules)| *rules)
    }
}

/// What a standard has against a pod, in the API server's order.
pub(super) fn violations(standard: Standard, pod: &Pod<'_>) -> Vec<Violation> {
    let judged = CHECKS.iter().filter_map(|check| {
        let (reason, detail) = check.rules(standard)?(pod)?;
        Some(Violation { check: check.id, reason, detail })
    });
    judged.collect()
}

/// Rules about what Windows does not have.
fn unless_windows(pod: &Pod<'_>, rules: fn(&Pod<'_>) -> Finding) -> Finding {
    if pod.spec.is_windows() { None } else { rules(pod) }
}

/// Rules that a user namespace makes needless: root in it is nobody outside.
fn on_host(pod: &Pod<'_>, rules: fn(&Pod<'_>) -> Finding) -> Finding {
    if pod.spec.host_users == Some(false) { None } else { rules(pod) }
}
