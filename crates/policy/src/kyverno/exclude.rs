//! `exclude` of `validate.podSecurity`: what of a standard a rule lets pass.

use super::fields::{FieldError, Violation, violations};
use super::{fits, text, texts};
use crate::pod::{Container, Pod, Spec};
use crate::pss::Standard;
use serde_json::Value;

/// One exclusion: a control, or some of its fields, values and images.
#[derive(Debug, Clone)]
pub(super) struct Exclusion {
    control: String,
    images: Vec<String>,
    restricted_field: String,
    values: Vec<String>,
}

/// The checks of each control, by the name that policies use.
const CONTROLS: [(&str, &[&str]); 15] = [
    ("Capabilities", &["capabilities_baseline", "capabilities_restricted"]),
    ("Seccomp", &["seccompProfile_baseline", "seccompProfile_restricted"]),
    ("Privileged Containers", &["privileged"]),
    ("Host Ports", &["hostPorts"]),
    ("/proc Mount Type", &["procMount"]),
    ("HostProcess", &["windowsHostProcess"]),
    ("SELinux", &["seLinuxOptions"]),
    ("Host Namespaces", &["hostNamespaces"]),
    ("HostPath Volumes", &["hostPathVolumes"]),
    ("Sysctls", &["sysctls"]),
    ("AppArmor", &["appArmorProfile"]),
    ("Privilege Escalation", &["allowPrivilegeEscalation"]),
    ("Running as Non-root", &["runAsNonRoot"]),
    ("Running as Non-root user", &["runAsUser"]),
    ("Volume Types", &["restrictedVolumes"]),
];

impl Exclusion {
    pub(super) fn read(value: &Value) -> Self {
        Self {
            control: text(value, "controlName").to_owned(),
            images: texts(value, "images"),
            restricted_field: text(value, "restrictedField").to_owned(),
            values: texts(value, "values"),
        }
    }

    /// Takes out of `found` what is excluded: each field that violates the same check in a pod of the excluded parts alone.
    pub(super) fn apply(&self, standard: Standard, pod: &Pod<'_>, found: &mut Vec<Violation>) {
        let checks =
            CONTROLS.iter().find(|(control, _)| *control == self.control).map_or(&[][..], |(_, checks)| checks);
        let part = self.part(pod);
        for excluded in violations(standard, &part).into_iter().filter(|one| checks.contains(&one.check)) {
            for error in excluded.errors.iter().filter(|error| self.allows(error)) {
                let Some(at) = found.iter().position(|one| one.check == excluded.check) else { break };
                let Some(violation) = found.get_mut(at) else { break };
                let same = |other: &FieldError| self.is_same(error, &part, other, pod);
                if let Some(place) = violation.errors.iter().position(same) {
                    violation.errors.swap_remove(place);
                }
                if violation.errors.is_empty() {
                    found.remove(at);
                }
            }
        }
    }

    /// The pod without containers, or the containers whose images are excluded without the pod.
    fn part<'a>(&self, pod: &Pod<'a>) -> Pod<'a> {
        let spec = &pod.spec;
        if self.images.is_empty() {
            let fake = Container { name: "fake", ..Container::default() };
            let spec = Spec { containers: vec![fake], init_count: 0, ephemeral_count: 0, ..spec.clone() };
            return Pod { spec, annotations: pod.annotations };
        }
        let is_excluded = |container: &&Container<'a>| self.images.iter().any(|image| fits(image, container.image));
        let (init, main) = (spec.init_count, spec.main_count());
        let count = |skip: usize, take: usize| spec.containers.iter().skip(skip).take(take).filter(is_excluded).count();
        let part = Spec {
            containers: spec.containers.iter().filter(is_excluded).cloned().collect(),
            init_count: count(0, init),
            ephemeral_count: count(init + main, spec.ephemeral_count),
            ..Spec::default()
        };
        Pod { spec: part, ..Pod::default() }
    }

    fn allows(&self, error: &FieldError) -> bool {
        let is_field = self.restricted_field.is_empty() || starred(&error.path) == self.restricted_field;
        let is_allowed = |value: &&str| self.values.iter().any(|pattern| fits(pattern, value));
        is_field && (self.values.is_empty() || error.bad_values().iter().all(is_allowed))
    }

    /// Whether an error of the part is this one of the pod: of the same field, and of the container of that name.
    fn is_same(&self, error: &FieldError, part: &Pod<'_>, other: &FieldError, pod: &Pod<'_>) -> bool {
        let of_part = container(&error.path, part).filter(|_| !self.images.is_empty());
        let of_pod = container(&other.path, pod).filter(|_| !self.images.is_empty());
        starred(&error.path) == starred(&other.path) && (of_pod.is_none() || of_part == of_pod)
    }
}

/// A path with a star for each number.
fn starred(path: &str) -> String {
    let mut starred = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            c if !c.is_ascii_digit() => starred.push(c),
            _ if starred.ends_with('*') => {}
            _ => starred.push('*'),
        }
    }
    starred
}

/// The name of the container that a path is about.
fn container<'a>(path: &str, pod: &Pod<'a>) -> Option<&'a str> {
    let (list, rest) = path.strip_prefix("spec.")?.split_once('[')?;
    let n: usize = rest.split_once(']')?.0.parse().ok()?;
    let (init, main) = (pod.spec.init_count, pod.spec.main_count());
    let at = match list {
        "initContainers" => n,
        "containers" => init + n,
        "ephemeralContainers" => init + main + n,
        _ => return None,
    };
    pod.spec.containers.get(at).map(|container| container.name)
}
