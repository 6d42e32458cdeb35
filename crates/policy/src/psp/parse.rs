//! Policies out of their documents, with the checks that the API server makes when one is stored.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::policy::{
    AppArmorRule, CapabilityRule, GroupRule, HostPath, PodSecurityPolicy, Range, Ranges, RuntimeClassRule,
    SeLinuxOptions, SeccompRule, UserRule,
};
use super::volumes::SOURCES;
use crate::pod::{At, Misfit, SeLinux, each, flag, integer, list, object, text, texts};

/// A policy that the API server would not store, or never use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Another kind of document.
    #[error("{found} is not a PodSecurityPolicy of policy/v1beta1")]
    Kind {
        /// Its version and kind.
        found: String,
    },
    /// A field of another type than in the API.
    #[error("PodSecurityPolicy {policy}: {misfit}")]
    Misfit {
        /// The policy's name.
        policy: String,
        /// Which field.
        misfit: Misfit,
    },
    /// Fields that do not hold.
    #[error("PodSecurityPolicy {policy}: {}", joined(problems))]
    Fields {
        /// The policy's name.
        policy: String,
        /// At least one.
        problems: Vec<FieldProblem>,
    },
}

/// A field of a policy that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Such as `spec.runAsUser.ranges[0]`.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

fn joined(problems: &[FieldProblem]) -> String {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    problems.join("; ")
}

const VERSIONS: [&str; 2] = ["policy/v1beta1", "extensions/v1beta1"];
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "apparmor.security.beta.kubernetes.io/";

impl PodSecurityPolicy {
    /// Reads a policy. Fields that the API does not know are skipped, as it skips them.
    ///
    /// # Errors
    /// It is another kind of document, a field has another type than in the API, or does not hold.
    pub fn parse(document: &Value) -> Result<Self, PolicyError> {
        let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if kind != "PodSecurityPolicy" || !VERSIONS.contains(&version) {
            return Err(PolicyError::Kind { found: format!("{version} {kind}") });
        }
        let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut problems = Problems::default();
        match read(document, &name, &mut problems) {
            Err(misfit) => Err(PolicyError::Misfit { policy: name, misfit }),
            Ok(_) if !problems.0.is_empty() => Err(PolicyError::Fields { policy: name, problems: problems.0 }),
            Ok(policy) => Ok(policy),
        }
    }
}

#[derive(Default)]
struct Problems(Vec<FieldProblem>);

impl Problems {
    fn add(&mut self, path: impl fmt::Display, problem: impl Into<String>) {
        self.0.push(FieldProblem { path: path.to_string(), problem: problem.into() });
    }
}

/// The fields of an object of the policy, and where it stands.
struct Fields<'a, 'p> {
    fields: Option<&'a Map<String, Value>>,
    at: At<'p>,
}

impl<'a, 'p> Fields<'a, 'p> {
    fn of(value: &'a Value, at: At<'p>) -> Result<Self, Misfit> {
        Ok(Self { fields: object(value, &at)?, at })
    }

    fn value(&self, name: &str) -> &'a Value {
        self.fields.and_then(|fields| fields.get(name)).unwrap_or(&Value::Null)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Misfit> {
        flag(self.value(name), &self.at.field(name))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Misfit> {
        text(self.value(name), &self.at.field(name))
    }

    fn owned(&self, name: &str) -> Result<String, Misfit> {
        Ok(self.text(name)?.unwrap_or_default().to_owned())
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Misfit> {
        Ok(texts(self.value(name), &self.at.field(name))?.into_iter().map(str::to_owned).collect())
    }

    /// One text of each object of a list.
    fn texts_of(&self, name: &str, field: &str) -> Result<Vec<String>, Misfit> {
        let found = each(self.value(name), &self.at.field(name), field, text)?;
        Ok(found.into_iter().map(str::to_owned).collect())
    }

    fn ranges(&self, name: &str) -> Result<Vec<Range>, Misfit> {
        let at = self.at.field(name);
        let bounds = |bound| each(self.value(name), &at, bound, integer);
        Ok(bounds("min")?.into_iter().zip(bounds("max")?).map(|(min, max)| Range { min, max }).collect())
    }
}

fn read(document: &Value, name: &str, problems: &mut Problems) -> Result<PodSecurityPolicy, Misfit> {
    let field = |name| document.get(name).unwrap_or(&Value::Null);
    if name.is_empty() {
        problems.add("metadata.name", "is required");
    }
    let metadata = Fields::of(field("metadata"), At::root("metadata"))?;
    let annotations = Fields::of(metadata.value("annotations"), metadata.at.field("annotations"))?;
    let spec = Fields::of(field("spec"), At::root("spec"))?;
    let policy = PodSecurityPolicy {
        name: name.to_owned(),
        privileged: spec.flag("privileged")?.unwrap_or_default(),
        capabilities: capabilities(&spec, problems)?,
        volumes: volumes(&spec, problems)?,
        host_network: spec.flag("hostNetwork")?.unwrap_or_default(),
        host_pid: spec.flag("hostPID")?.unwrap_or_default(),
        host_ipc: spec.flag("hostIPC")?.unwrap_or_default(),
        host_ports: spec.ranges("hostPorts")?,
        se_linux: se_linux(&spec, problems)?,
        run_as_user: user(&spec, problems)?,
        run_as_group: match spec.value("runAsGroup") {
            Value::Null => GroupRule::RunAsAny,
            _ => group(&spec, "runAsGroup", problems)?,
        },
        supplemental_groups: group(&spec, "supplementalGroups", problems)?,
        fs_group: group(&spec, "fsGroup", problems)?,
        read_only_root_filesystem: spec.flag("readOnlyRootFilesystem")?.unwrap_or_default(),
        default_allow_privilege_escalation: spec.flag("defaultAllowPrivilegeEscalation")?,
        allow_privilege_escalation: spec.flag("allowPrivilegeEscalation")?.unwrap_or(true),
        host_paths: host_paths(&spec, problems)?,
        flex_drivers: spec.texts_of("allowedFlexVolumes", "driver")?,
        csi_drivers: spec.texts_of("allowedCSIDrivers", "name")?,
        allowed_unsafe_sysctls: spec.texts("allowedUnsafeSysctls")?,
        forbidden_sysctls: spec.texts("forbiddenSysctls")?,
        proc_mounts: spec.texts("allowedProcMountTypes")?,
        runtime_class: runtime_class(&spec, problems)?,
        seccomp: seccomp(&annotations)?,
        app_armor: app_armor(&annotations)?,
    };
    if policy.default_allow_privilege_escalation == Some(true) && !policy.allow_privilege_escalation {
        problems.add("spec.defaultAllowPrivilegeEscalation", "is true, and allowPrivilegeEscalation is not");
    }
    for (field, drivers) in [("allowedFlexVolumes", &policy.flex_drivers), ("allowedCSIDrivers", &policy.csi_drivers)] {
        for (index, _) in drivers.iter().enumerate().filter(|(_, driver)| driver.is_empty()) {
            problems.add(format_args!("spec.{field}[{index}]"), "names no driver");
        }
    }
    for (index, kind) in policy.proc_mounts.iter().enumerate() {
        if !["Default", "Unmasked"].contains(&kind.as_str()) {
            problems.add(
                format_args!("spec.allowedProcMountTypes[{index}]"),
                format!("{kind:?} is neither Default nor Unmasked"),
            );
        }
    }
    Ok(policy)
}

fn capabilities(spec: &Fields<'_, '_>, problems: &mut Problems) -> Result<CapabilityRule, Misfit> {
    let rule = CapabilityRule {
        default_add: spec.texts("defaultAddCapabilities")?,
        required_drop: spec.texts("requiredDropCapabilities")?,
        allowed: spec.texts("allowedCapabilities")?,
    };
    if !rule.required_drop.is_empty() && rule.allowed.iter().any(|name| name == "*") {
        problems.add("spec.requiredDropCapabilities", "must be empty where allowedCapabilities has *");
    }
    for (field, names) in [("defaultAddCapabilities", &rule.default_add), ("allowedCapabilities", &rule.allowed)] {
        for name in names.iter().filter(|name| rule.required_drop.contains(name)) {
            problems.add(format_args!("spec.{field}"), format!("{name} is in requiredDropCapabilities too"));
        }
    }
    Ok(rule)
}

fn volumes(spec: &Fields<'_, '_>, problems: &mut Problems) -> Result<BTreeSet<String>, Misfit> {
    let volumes = spec.texts("volumes")?;
    for (index, kind) in volumes.iter().enumerate() {
        if kind != "*" && !SOURCES.iter().any(|source| source.kind == kind) {
            problems.add(format_args!("spec.volumes[{index}]"), format!("{kind:?} is no kind of volume"));
        }
    }
    Ok(volumes.into_iter().collect())
}

/// The rule of a field that has one; one of `known`, or a problem.
fn rule<'a>(
    rules: &Fields<'a, '_>,
    known: &[&'static str],
    problems: &mut Problems,
) -> Result<Option<&'static str>, Misfit> {
    let written = rules.text("rule")?.unwrap_or_default();
    let found = known.iter().copied().find(|rule| *rule == written);
    if found.is_none() {
        problems.add(format_args!("{}.rule", rules.at), format!("{written:?} is not one of {}", known.join(", ")));
    }
    Ok(found)
}

/// The ranges of a rule that needs some.
fn required_ranges(rules: &Fields<'_, '_>, problems: &mut Problems) -> Result<Ranges, Misfit> {
    let all = rules.ranges("ranges")?;
    if all.is_empty() {
        problems.add(format_args!("{}.ranges", rules.at), "is required by the rule");
    }
    for (index, range) in all.iter().enumerate() {
        if range.min < 0 || range.max < range.min {
            problems.add(
                format_args!("{}.ranges[{index}]", rules.at),
                format!("{} to {} is no range of identifiers", range.min, range.max),
            );
        }
    }
    Ok(Ranges { default: all.first().map_or(0, |range| range.min), all })
}

fn user(spec: &Fields<'_, '_>, problems: &mut Problems) -> Result<UserRule, Misfit> {
    let rules = Fields::of(spec.value("runAsUser"), spec.at.field("runAsUser"))?;
    Ok(match rule(&rules, &["MustRunAs", "MustRunAsNonRoot", "RunAsAny"], problems)? {
        Some("MustRunAs") => UserRule::MustRunAs(required_ranges(&rules, problems)?),
        Some("MustRunAsNonRoot") => UserRule::MustRunAsNonRoot,
        _ => UserRule::RunAsAny,
    })
}

fn group(spec: &Fields<'_, '_>, name: &str, problems: &mut Problems) -> Result<GroupRule, Misfit> {
    let rules = Fields::of(spec.value(name), spec.at.field(name))?;
    Ok(match rule(&rules, &["MayRunAs", "MustRunAs", "RunAsAny"], problems)? {
        Some("MustRunAs") => GroupRule::MustRunAs(required_ranges(&rules, problems)?),
        Some("MayRunAs") => GroupRule::MayRunAs(required_ranges(&rules, problems)?),
        _ => GroupRule::RunAsAny,
    })
}

/// The options that containers must run with, if there are some.
fn se_linux(spec: &Fields<'_, '_>, problems: &mut Problems) -> Result<Option<SeLinuxOptions>, Misfit> {
    let rules = Fields::of(spec.value("seLinux"), spec.at.field("seLinux"))?;
    if rule(&rules, &["MustRunAs", "RunAsAny"], problems)? != Some("MustRunAs") {
        return Ok(None);
    }
    let options = SeLinux::read(rules.value("seLinuxOptions"), &rules.at.field("seLinuxOptions"))?;
    if options.is_none() {
        problems.add(format_args!("{}.seLinuxOptions", rules.at), "is required by the rule");
    }
    Ok(options.map(|SeLinux { user, role, kind, level }| SeLinuxOptions {
        user: user.to_owned(),
        role: role.to_owned(),
        kind: kind.to_owned(),
        level: level.to_owned(),
    }))
}

fn host_paths(spec: &Fields<'_, '_>, problems: &mut Problems) -> Result<Vec<HostPath>, Misfit> {
    let at = spec.at.field("allowedHostPaths");
    let mut paths = Vec::new();
    for (index, item) in list(spec.value("allowedHostPaths"), &at)?.iter().enumerate() {
        let path = Fields::of(item, at.index(index))?;
        let prefix = path.owned("pathPrefix")?;
        if prefix.is_empty() {
            problems.add(format_args!("{}.pathPrefix", path.at), "is required");
        }
        if prefix.split('/').any(|segment| segment == "..") {
            problems.add(format_args!("{}.pathPrefix", path.at), "must not contain ..");
        }
        paths.push(HostPath { prefix, read_only: path.flag("readOnly")?.unwrap_or_default() });
    }
    Ok(paths)
}

fn runtime_class(spec: &Fields<'_, '_>, problems: &mut Problems) -> Result<Option<RuntimeClassRule>, Misfit> {
    let rules = Fields::of(spec.value("runtimeClass"), spec.at.field("runtimeClass"))?;
    if rules.fields.is_none() {
        return Ok(None);
    }
    let allowed = rules.texts("allowedRuntimeClassNames")?;
    let default = rules.text("defaultRuntimeClassName")?.map(str::to_owned);
    if let Some(name) = default.as_ref().filter(|name| !allowed.iter().any(|known| known == "*" || known == *name)) {
        problems
            .add(format_args!("{}.allowedRuntimeClassNames", rules.at), format!("the default {name:?} is not in it"));
    }
    Ok(Some(RuntimeClassRule { allowed, default }))
}

fn seccomp(annotations: &Fields<'_, '_>) -> Result<SeccompRule, Misfit> {
    const SAME: [&str; 2] = ["docker/default", "runtime/default"];
    let written = annotations.text(&format!("{SECCOMP}allowedProfileNames"))?;
    let mut allowed = BTreeSet::new();
    let mut allows_any = false;
    for profile in written.into_iter().flat_map(|names| names.split(',')) {
        match profile {
            "*" => allows_any = true,
            profile if SAME.contains(&profile) => allowed.extend(SAME.map(str::to_owned)),
            profile => {
                allowed.insert(profile.to_owned());
            }
        }
    }
    let default = annotations.owned(&format!("{SECCOMP}defaultProfileName"))?;
    Ok(SeccompRule { default, allowed, allows_any, written: written.unwrap_or_default().to_owned() })
}

fn app_armor(annotations: &Fields<'_, '_>) -> Result<AppArmorRule, Misfit> {
    let written = annotations.text(&format!("{APP_ARMOR}allowedProfileNames"))?;
    Ok(AppArmorRule {
        default: annotations.owned(&format!("{APP_ARMOR}defaultProfileName"))?,
        allowed: written.map(|names| names.split(',').map(str::to_owned).collect()),
        written: written.unwrap_or_default().to_owned(),
    })
}
