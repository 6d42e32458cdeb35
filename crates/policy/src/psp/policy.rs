use std::collections::BTreeSet;

use crate::pod::SeLinux;

/// A policy, checked when it was read: its rules exist, and what they need is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSecurityPolicy {
    pub(super) name: String,
    pub(super) privileged: bool,
    pub(super) capabilities: CapabilityRule,
    pub(super) volumes: BTreeSet<String>,
    pub(super) host_network: bool,
    pub(super) host_pid: bool,
    pub(super) host_ipc: bool,
    pub(super) host_ports: Vec<Range>,
    pub(super) se_linux: Option<SeLinuxOptions>,
    pub(super) run_as_user: UserRule,
    pub(super) run_as_group: GroupRule,
    pub(super) supplemental_groups: GroupRule,
    pub(super) fs_group: GroupRule,
    pub(super) read_only_root_filesystem: bool,
    pub(super) default_allow_privilege_escalation: Option<bool>,
    pub(super) allow_privilege_escalation: bool,
    pub(super) host_paths: Vec<HostPath>,
    pub(super) flex_drivers: Vec<String>,
    pub(super) csi_drivers: Vec<String>,
    pub(super) allowed_unsafe_sysctls: Vec<String>,
    pub(super) forbidden_sysctls: Vec<String>,
    pub(super) proc_mounts: Vec<String>,
    pub(super) runtime_class: Option<RuntimeClassRule>,
    pub(super) seccomp: SeccompRule,
    pub(super) app_armor: AppArmorRule,
}

impl PodSecurityPolicy {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn allows_all_volumes(&self) -> bool {
        self.volumes.contains("*")
    }
}

/// Identifiers or ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) min: i64,
    pub(super) max: i64,
}

impl Range {
    pub(super) fn contains(self, id: i64) -> bool {
        (self.min..=self.max).contains(&id)
    }
}

/// Whether an identifier is in any of some ranges.
pub(super) fn in_ranges(ranges: &[Range], id: i64) -> bool {
    ranges.iter().any(|range| range.contains(id))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UserRule {
    RunAsAny,
    MustRunAsNonRoot,
    MustRunAs(Ranges),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupRule {
    RunAsAny,
    MayRunAs(Ranges),
    MustRunAs(Ranges),
}

/// At least one range; the first one's lowest is what a pod gets that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranges {
    pub(super) all: Vec<Range>,
    pub(super) default: i64,
}

impl GroupRule {
    /// What a pod gets that says nothing.
    pub(super) fn default(&self) -> Option<i64> {
        match self {
            Self::MustRunAs(ranges) => Some(ranges.default),
            Self::RunAsAny | Self::MayRunAs(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeLinuxOptions {
    pub(super) user: String,
    pub(super) role: String,
    pub(super) kind: String,
    pub(super) level: String,
}

impl SeLinuxOptions {
    pub(super) fn view(&self) -> SeLinux<'_> {
        SeLinux { user: &self.user, role: &self.role, kind: &self.kind, level: &self.level }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CapabilityRule {
    pub(super) default_add: Vec<String>,
    pub(super) required_drop: Vec<String>,
    pub(super) allowed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPath {
    pub(super) prefix: String,
    pub(super) read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuntimeClassRule {
    pub(super) allowed: Vec<String>,
    pub(super) default: Option<String>,
}

/// From the policy's annotations. Without a list of allowed profiles nothing may be set at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SeccompRule {
    pub(super) default: String,
    pub(super) allowed: BTreeSet<String>,
    pub(super) allows_any: bool,
    /// The list as it was written, for messages.
    pub(super) written: String,
}

/// From the policy's annotations. Without a list of allowed profiles anything may be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AppArmorRule {
    pub(super) default: String,
    pub(super) allowed: Option<BTreeSet<String>>,
    /// The list as it was written, for messages.
    pub(super) written: String,
}
