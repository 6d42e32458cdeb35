//! What a policy has against a pod that it has filled in.
//!
//! It is one file because a policy is read field by field beside its table in the Kubernetes API, and each field takes a few lines.

use std::fmt;

use serde_json::{Map, Value};

use super::error::FieldError;
use super::mutate::{APP_ARMOR_CONTAINER, SECCOMP_POD};
use super::policy::{GroupRule, HostPath, PodSecurityPolicy, Range, SeLinuxOptions, UserRule, in_ranges};
use super::subject::Subject;
use super::volumes;
use crate::pod::{At, Capabilities, Container, Misfit, Profile, SeLinux, SecurityContext, flag, object, text};
use crate::quote::quoted;

const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// What differs between the versions of Kubernetes that have policies.
pub(super) struct Rules {
    /// Sysctls that need no permission.
    pub(super) safe_sysctls: &'static [&'static str],
    /// Whether ephemeral containers exist.
    pub(super) has_ephemeral_containers: bool,
}

/// All errors, the pod's first, then each container's.
///
/// # Errors
/// A field that is judged has another type than in the API.
pub(super) fn validate(
    policy: &PodSecurityPolicy,
    subject: &Subject<'_>,
    rules: &Rules,
) -> Result<Vec<FieldError>, Misfit> {
    const PATH: &str = "spec.securityContext";
    let spec = &subject.pod.spec;
    let security = spec.security.clone().unwrap_or_default();
    let mut errors = Vec::new();
    let fs_group = security.fs_group.map(|group| vec![group]);
    validate_groups(&policy.fs_group, format!("{PATH}.fsGroup"), fs_group.as_deref(), &mut errors);
    let supplemental = security.supplemental_groups.as_deref();
    validate_groups(&policy.supplemental_groups, format!("{PATH}.supplementalGroups"), supplemental, &mut errors);
    validate_pod_seccomp(policy, subject, &mut errors);
    validate_se_linux(policy, &format!("{PATH}.seLinuxOptions"), security.se_linux, &mut errors);
    for (is_used, is_allowed, field, name) in [
        (spec.host_network, policy.host_network, "hostNetwork", "Host network"),
        (spec.host_pid, policy.host_pid, "hostPID", "Host PID"),
        (spec.host_ipc, policy.host_ipc, "hostIPC", "Host IPC"),
    ] {
        if is_used && !is_allowed {
            let detail = format_args!("{name} is not allowed to be used");
            errors.push(FieldError::invalid(format!("{PATH}.{field}"), true, detail));
        }
    }
    validate_sysctls(policy, &security.sysctls, rules, &mut errors);
    validate_volumes(policy, subject, rules, &mut errors)?;
    if let (Some(rule), Some(name)) = (&policy.runtime_class, spec.runtime_class)
        && !rule.allowed.iter().any(|known| known == "*" || known == name)
    {
        errors.push(FieldError::invalid_text("spec.runtimeClassName", name, ""));
    }
    for (path, container) in containers(subject, rules) {
        validate_container(policy, subject, container, &path, &mut errors);
    }
    Ok(errors)
}

/// The containers that are judged, with where they stand.
fn containers<'s, 'a>(subject: &'s Subject<'a>, rules: &Rules) -> impl Iterator<Item = (String, &'s Container<'a>)> {
    let spec = &subject.pod.spec;
    let (init, main) = (spec.init_count, spec.main_count());
    let judged = if rules.has_ephemeral_containers { spec.containers.len() } else { init + main };
    spec.containers.iter().take(judged).enumerate().map(move |(number, container)| {
        let path = match number {
            number if number < init => format!("spec.initContainers[{number}]"),
            number if number < init + main => format!("spec.containers[{}]", number - init),
            number => format!("spec.ephemeralContainers[{}]", number - init - main),
        };
        (path, container)
    })
}

fn validate_groups(rule: &GroupRule, path: String, groups: Option<&[i64]>, errors: &mut Vec<FieldError>) {
    let (ranges, is_required) = match rule {
        GroupRule::RunAsAny => return,
        GroupRule::MayRunAs(ranges) => (ranges, false),
        GroupRule::MustRunAs(ranges) => (ranges, true),
    };
    let written = GoList { kind: "int64", items: groups };
    let all = groups.unwrap_or_default();
    if is_required && all.is_empty() {
        let detail = "unable to validate empty groups against required ranges";
        errors.push(FieldError::invalid(path.as_str(), &written, detail));
    }
    for group in all.iter().filter(|group| !in_ranges(&ranges.all, **group)) {
        let detail = format_args!("group {group} must be in the ranges: {}", GoRanges(&ranges.all));
        errors.push(FieldError::invalid(path.as_str(), &written, detail));
    }
}

/// The annotation that says the same as a profile's field.
pub(super) fn annotation_of(profile: Profile<'_>) -> String {
    match (profile.kind, profile.localhost) {
        ("Unconfined", _) => "unconfined".to_owned(),
        ("RuntimeDefault", _) => "runtime/default".to_owned(),
        ("Localhost", Some(file)) => format!("localhost/{file}"),
        _ => String::new(),
    }
}

fn validate_pod_seccomp(policy: &PodSecurityPolicy, subject: &Subject<'_>, errors: &mut Vec<FieldError>) {
    let mut profile = subject.annotation(SECCOMP_POD).to_owned();
    if let Some(field) = subject.pod.spec.security.as_ref().and_then(|security| security.seccomp)
        && profile.is_empty()
    {
        profile = annotation_of(field);
    }
    validate_seccomp(policy, SECCOMP_POD, &profile, errors);
}

fn validate_container_seccomp(
    policy: &PodSecurityPolicy,
    subject: &Subject<'_>,
    container: &Container<'_>,
    errors: &mut Vec<FieldError>,
) {
    let field = |security: &Option<SecurityContext<'_>>| security.as_ref()?.seccomp.map(annotation_of);
    let key = format!("{SECCOMP_CONTAINER}{}", container.name);
    let profile = field(&container.security)
        .or_else(|| subject.annotation_if_set(&key).map(str::to_owned))
        .or_else(|| field(&subject.pod.spec.security))
        .unwrap_or_else(|| subject.annotation(SECCOMP_POD).to_owned());
    validate_seccomp(policy, &key, &profile, errors);
}

fn validate_seccomp(policy: &PodSecurityPolicy, key: &str, profile: &str, errors: &mut Vec<FieldError>) {
    let rule = &policy.seccomp;
    let path = || format!("pod.metadata.annotations[{key}]");
    if rule.allows_any || rule.allowed.contains(profile) {
        return;
    }
    match (rule.allowed.is_empty(), profile.is_empty()) {
        (true, true) => {}
        (true, false) => errors.push(FieldError::forbidden(path(), "seccomp may not be set")),
        (false, _) => {
            let written = &rule.written;
            let detail = format_args!("{profile} is not an allowed seccomp profile. Valid values are {written}");
            errors.push(FieldError::forbidden(path(), detail));
        }
    }
}

fn validate_se_linux(
    policy: &PodSecurityPolicy,
    path: &str,
    options: Option<SeLinux<'_>>,
    errors: &mut Vec<FieldError>,
) {
    let Some(SeLinuxOptions { user, role, kind, level }) = &policy.se_linux else { return };
    let Some(options) = options else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    for (field, is_equal, required, found) in [
        ("level", same_level(level, options.level), level, options.level),
        ("role", role == options.role, role, options.role),
        ("type", kind == options.kind, kind, options.kind),
        ("user", user == options.user, user, options.user),
    ] {
        if !is_equal {
            errors.push(FieldError::invalid_text(format!("{path}.{field}"), found, format_args!("must be {required}")));
        }
    }
}

/// Sensitivity and categories, these in any order.
fn same_level(required: &str, found: &str) -> bool {
    let sorted = |categories: &str| -> Vec<String> {
        let mut categories: Vec<String> = categories.split(',').map(str::to_owned).collect();
        categories.sort_unstable();
        categories
    };
    match (required.split_once(':'), found.split_once(':')) {
        _ if required == found => true,
        (Some(required), Some(found)) => required.0 == found.0 && sorted(required.1) == sorted(found.1),
        _ => false,
    }
}

fn validate_sysctls(policy: &PodSecurityPolicy, sysctls: &[&str], rules: &Rules, errors: &mut Vec<FieldError>) {
    let matches = |patterns: &[String], name: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    };
    for (index, name) in sysctls.iter().enumerate() {
        let is_known = || rules.safe_sysctls.contains(name) || matches(&policy.allowed_unsafe_sysctls, name);
        let kind = match matches(&policy.forbidden_sysctls, name) {
            true => "sysctl",
            false if is_known() => continue,
            false => "unsafe sysctl",
        };
        let path = format!("pod.spec.securityContext.sysctls[{index}]");
        errors.push(FieldError::forbidden(path, format_args!("{kind} {} is not allowed", quoted(name))));
    }
}

fn validate_volumes(
    policy: &PodSecurityPolicy,
    subject: &Subject<'_>,
    rules: &Rules,
    errors: &mut Vec<FieldError>,
) -> Result<(), Misfit> {
    for (index, volume) in subject.pod.spec.volumes.iter().enumerate() {
        let root = At::root("spec");
        let volumes = root.field("volumes");
        let at = volumes.index(index);
        let kind = volumes::kind(volume);
        let settings = |source: &str| volume.source(source);
        let is_allowed = policy.allows_all_volumes() || policy.volumes.contains(kind);
        if !is_allowed && !is_service_account(policy, kind, settings("projected"), &at)? {
            let detail = format_args!("{kind} volumes are not allowed to be used");
            errors.push(FieldError::invalid_text(at.to_string(), kind, detail));
            continue;
        }
        let at = at.field(kind);
        match kind {
            "hostPath" => {
                let path = field(settings(kind), "path", &at)?;
                validate_host_path(policy, subject, volume.name, (path, &at), rules, errors)?;
            }
            "flexVolume" => {
                let driver = field(settings(kind), "driver", &at)?;
                if !policy.flex_drivers.is_empty() && !policy.flex_drivers.iter().any(|known| known == driver) {
                    let path = format!("spec.volumes[{index}].driver");
                    errors.push(FieldError::invalid_text(path, driver, "Flexvolume driver is not allowed to be used"));
                }
            }
            "csi" => {
                let driver = field(settings(kind), "driver", &at)?;
                if !policy.csi_drivers.is_empty() && !policy.csi_drivers.iter().any(|known| known == driver) {
                    let path = at.field("driver").to_string();
                    errors.push(FieldError::invalid_text(path, driver, "Inline CSI driver is not allowed to be used"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A text of an object, empty if it is not there.
fn field<'a>(fields: Option<&'a Map<String, Value>>, name: &str, at: &At<'_>) -> Result<&'a str, Misfit> {
    match fields.and_then(|fields| fields.get(name)) {
        Some(value) => Ok(text(value, &at.field(name))?.unwrap_or_default()),
        None => Ok(""),
    }
}

fn validate_host_path(
    policy: &PodSecurityPolicy,
    subject: &Subject<'_>,
    volume: &str,
    (path, at): (&str, &At<'_>),
    rules: &Rules,
    errors: &mut Vec<FieldError>,
) -> Result<(), Misfit> {
    if policy.host_paths.is_empty() {
        return Ok(());
    }
    let matching = || policy.host_paths.iter().filter(|allowed| is_below(path, allowed));
    if matching().next().is_none() {
        let at = at.field("pathPrefix").to_string();
        errors.push(FieldError::invalid_text(at, path, "is not allowed to be used"));
        return Ok(());
    }
    if matching().any(|allowed| !allowed.read_only) {
        return Ok(());
    }
    for (path, container) in containers(subject, rules) {
        let root = At::root(&path);
        let at = root.field("volumeMounts");
        for (index, mount) in container.mounts.iter().enumerate() {
            let at = at.index(index);
            let mount = object(mount, &at)?;
            let is_read_only = match mount.and_then(|mount| mount.get("readOnly")) {
                Some(value) => flag(value, &at.field("readOnly"))?.unwrap_or_default(),
                None => false,
            };
            if field(mount, "name", &at)? == volume && !is_read_only {
                let at = at.field("readOnly").to_string();
                errors.push(FieldError::invalid(at, false, "must be read-only"));
            }
        }
    }
    Ok(())
}

/// A prefix ends where a segment of the path does.
fn is_below(path: &str, allowed: &HostPath) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let prefix = allowed.prefix.strip_suffix('/').unwrap_or(&allowed.prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a projected volume is what the API server itself mounts for a service account: where secrets may be mounted, that may.
fn is_service_account(
    policy: &PodSecurityPolicy,
    kind: &str,
    projected: Option<&Map<String, Value>>,
    at: &At<'_>,
) -> Result<bool, Misfit> {
    let Some(projected) = projected.filter(|_| kind == "projected" && policy.volumes.contains("secret")) else {
        return Ok(false);
    };
    let at = at.field("projected");
    let at = at.field("sources");
    let sources = crate::pod::list(projected.get("sources").unwrap_or(&Value::Null), &at)?;
    for (index, source) in sources.iter().enumerate() {
        if !is_of_service_account(source, &at.index(index))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_of_service_account(source: &Value, at: &At<'_>) -> Result<bool, Misfit> {
    let part = |name| match source.get(name) {
        Some(value) => object(value, &at.field(name)),
        None => Ok(None),
    };
    object(source, at)?;
    let (token, map, downward) = (part("serviceAccountToken")?, part("configMap")?, part("downwardAPI")?);
    let is = |fields, name, expected| Ok(field(fields, name, at)? == expected);
    if token.is_none() && map.is_none() && downward.is_none() {
        return Ok(false);
    }
    if token.is_some() && !(is(token, "path", "token")? && is(token, "audience", "")?) {
        return Ok(false);
    }
    if map.is_some() && !is(map, "name", "kube-root-ca.crt")? {
        return Ok(false);
    }
    let items = downward.and_then(|downward| downward.get("items")).unwrap_or(&Value::Null);
    for item in crate::pod::list(items, &at.field("downwardAPI"))? {
        let item = object(item, at)?;
        let reference = match item.and_then(|item| item.get("fieldRef")) {
            Some(value) => object(value, &at.field("fieldRef"))?,
            None => None,
        };
        // The API server fills in the version before anybody judges.
        let version = field(reference, "apiVersion", at)?;
        let is_namespace = is(reference, "fieldPath", "metadata.namespace")? && ["", "v1"].contains(&version);
        if !is(item, "path", "namespace")? || !is_namespace {
            return Ok(false);
        }
    }
    Ok(true)
}

fn validate_container(
    policy: &PodSecurityPolicy,
    subject: &Subject<'_>,
    container: &Container<'_>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let of_pod = subject.pod.spec.security.clone().unwrap_or_default();
    let own = container.security.clone().unwrap_or_default();
    let at = format!("{path}.securityContext");
    let user = own.run_as_user.or(of_pod.run_as_user);
    validate_user(policy, &at, own.run_as_non_root.or(of_pod.run_as_non_root), user, errors);
    let group = own.run_as_group.or(of_pod.run_as_group).map(|group| vec![group]);
    validate_groups(&policy.run_as_group, at.clone(), group.as_deref(), errors);
    validate_se_linux(policy, &format!("{at}.seLinuxOptions"), own.se_linux.or(of_pod.se_linux), errors);
    validate_app_armor(policy, subject, container.name, errors);
    validate_container_seccomp(policy, subject, container, errors);
    if own.privileged == Some(true) && !policy.privileged {
        errors.push(FieldError::invalid(format!("{at}.privileged"), true, "Privileged containers are not allowed"));
    }
    let proc_mount = own.proc_mount.unwrap_or("Default");
    let is_allowed = match policy.proc_mounts.as_slice() {
        [] => proc_mount == "Default",
        allowed => allowed.iter().any(|kind| kind == proc_mount),
    };
    if !is_allowed {
        errors.push(FieldError::invalid_text(format!("{at}.procMount"), proc_mount, "ProcMountType is not allowed"));
    }
    validate_capabilities(policy, &format!("{at}.capabilities"), own.capabilities.as_ref(), errors);
    let is_open = |port: i64| port <= 0 || in_ranges(&policy.host_ports, port);
    for port in container.host_ports.iter().filter(|port| !is_open(**port)) {
        let allowed = ports(&policy.host_ports);
        let detail = format_args!("Host port {port} is not allowed to be used. Allowed ports: [{allowed}]");
        errors.push(FieldError::invalid(format!("{path}.hostPort"), port, detail));
    }
    if policy.read_only_root_filesystem {
        let at = format!("{at}.readOnlyRootFilesystem");
        match own.read_only_root_filesystem {
            Some(true) => {}
            Some(false) => errors.push(FieldError::invalid(at, false, "ReadOnlyRootFilesystem must be set to true")),
            None => errors
                .push(FieldError::invalid_nothing(at, "ReadOnlyRootFilesystem may not be nil and must be set to true")),
        }
    }
    if !policy.allow_privilege_escalation {
        let at = format!("{at}.allowPrivilegeEscalation");
        let detail = "Allowing privilege escalation for containers is not allowed";
        match own.allow_privilege_escalation {
            Some(false) => {}
            Some(true) => errors.push(FieldError::invalid(at, true, detail)),
            None => errors.push(FieldError::invalid_nothing(at, detail)),
        }
    }
}

fn validate_user(
    policy: &PodSecurityPolicy,
    at: &str,
    non_root: Option<bool>,
    user: Option<i64>,
    errors: &mut Vec<FieldError>,
) {
    match (&policy.run_as_user, user) {
        (UserRule::RunAsAny, _) => {}
        (UserRule::MustRunAs(_), None) => errors.push(FieldError::required(format!("{at}.runAsUser"), "")),
        (UserRule::MustRunAs(ranges), Some(user)) => {
            if !in_ranges(&ranges.all, user) {
                let detail = format_args!("must be in the ranges: {}", GoRanges(&ranges.all));
                errors.push(FieldError::invalid(format!("{at}.runAsUser"), user, detail));
            }
        }
        (UserRule::MustRunAsNonRoot, user) => match (non_root, user) {
            (None, None) => errors.push(FieldError::required(format!("{at}.runAsNonRoot"), "must be true")),
            (Some(false), _) => {
                errors.push(FieldError::invalid(format!("{at}.runAsNonRoot"), false, "must be true"));
            }
            (_, Some(0)) => {
                let detail = "running with the root UID is forbidden";
                errors.push(FieldError::invalid(format!("{at}.runAsUser"), 0, detail));
            }
            _ => {}
        },
    }
}

fn validate_app_armor(
    policy: &PodSecurityPolicy,
    subject: &Subject<'_>,
    container: &str,
    errors: &mut Vec<FieldError>,
) {
    let Some(allowed) = &policy.app_armor.allowed else { return };
    let key = format!("{APP_ARMOR_CONTAINER}{container}");
    let profile = subject.annotation(&key);
    let path = format!("pod.metadata.annotations[{key}]");
    if profile.is_empty() {
        errors.push(FieldError::forbidden(path, "AppArmor profile must be set"));
    } else if !allowed.contains(profile) {
        let written = quoted(&policy.app_armor.written);
        let detail = format_args!("{profile} is not an allowed profile. Allowed values: {written}");
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn validate_capabilities(
    policy: &PodSecurityPolicy,
    path: &str,
    own: Option<&Capabilities<'_>>,
    errors: &mut Vec<FieldError>,
) {
    let rule = &policy.capabilities;
    let Some(own) = own else {
        if !rule.default_add.is_empty() || !rule.required_drop.is_empty() {
            let detail = "required capabilities are not set on the securityContext";
            errors.push(FieldError::invalid_nothing(path, detail));
        }
        return;
    };
    if rule.allowed.iter().any(|name| name == "*") {
        return;
    }
    for name in &own.add {
        if !rule.default_add.iter().chain(&rule.allowed).any(|allowed| allowed == name) {
            errors.push(FieldError::invalid_text(format!("{path}.add"), name, "capability may not be added"));
        }
    }
    for name in rule.required_drop.iter().filter(|name| !own.drop.contains(&name.as_str())) {
        let dropped: Vec<String> = own.drop.iter().map(|name| quoted(name)).collect();
        let dropped = GoList { kind: "core.Capability", items: own.has_drop.then_some(dropped.as_slice()) };
        let detail = format_args!("{name} is required to be dropped but was not found");
        errors.push(FieldError::invalid(format!("{path}.drop"), dropped, detail));
    }
}

fn ports(ranges: &[Range]) -> String {
    let ranges = ranges.iter().map(|Range { min, max }| match min == max {
        true => min.to_string(),
        false => format!("{min}-{max}"),
    });
    ranges.collect::<Vec<_>>().join(",")
}

/// A list as Go's `%#v` prints it, where none is not the same as an empty one.
struct GoList<'v, T> {
    kind: &'static str,
    items: Option<&'v [T]>,
}

impl<T: fmt::Display> fmt::Display for GoList<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(items) = self.items else { return write!(f, "[]{}(nil)", self.kind) };
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        write!(f, "[]{}{{{}}}", self.kind, items.join(", "))
    }
}

/// Ranges as Go's `%v` prints them.
struct GoRanges<'v>(&'v [Range]);

impl fmt::Display for GoRanges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> = self.0.iter().map(|Range { min, max }| format!("{{{min} {max}}}")).collect();
        write!(f, "[{}]", ranges.join(" "))
    }
}
