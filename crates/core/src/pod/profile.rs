use super::limits::Limits;
use super::options::Profile;
use super::view::SecurityContext;
use crate::edit::{Edits, Path};
use emissary_contract::USER;
use serde_json::{Map, Value, json};

/// Whose container is hardened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Injected by us.
    Ours,
    /// Made by Argo's controller. It keeps its uid, since a `wait` of another one cannot read what a root main wrote for
    /// itself alone, and gets no limits, since nobody has measured it.
    Argos,
}

/// What decides on a container's security fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hardening<'p, 'a> {
    pub(super) profile: Profile,
    pub(super) pod: &'p SecurityContext<'a>,
    pub(super) windows: bool,
    pub(super) limits: Option<&'p Limits>,
    /// Whether the container writes below `/tmp` without a volume there.
    pub(super) writes_tmp: bool,
}

impl Hardening<'_, '_> {
    /// The fields that the profile wants, less what the pod's own security context already provides.
    fn wanted(&self, whose: Whose) -> Map<String, Value> {
        let Self { profile, pod, windows, limits: _, writes_tmp } = *self;
        let mut fields = Map::new();
        if profile == Profile::None {
            return fields;
        }
        if pod.run_as_non_root != Some(true) {
            fields.insert("runAsNonRoot".to_owned(), json!(true));
        }
        if windows {
            return fields;
        }
        fields.insert("allowPrivilegeEscalation".to_owned(), json!(false));
        fields.insert("capabilities".to_owned(), json!({"drop": ["ALL"]}));
        if !writes_tmp && whose == Whose::Ours {
            fields.insert("readOnlyRootFilesystem".to_owned(), json!(true));
        }
        if whose == Whose::Ours && profile != Profile::Openshift && pod.run_as_user.unwrap_or(0) == 0 {
            fields.insert("runAsUser".to_owned(), json!(USER));
        }
        if profile != Profile::PspLegacy && pod.seccomp_profile.is_none() {
            fields.insert("seccompProfile".to_owned(), json!({"type": "RuntimeDefault"}));
        }
        fields
    }

    /// Completes an injected container's security context.
    pub(super) fn complete(&self, context: &mut Map<String, Value>) {
        for (field, value) in self.wanted(Whose::Ours) {
            match context.get_mut(&field) {
                None | Some(Value::Null) => {
                    context.insert(field, value);
                }
                Some(Value::Object(present)) if field == "capabilities" && !present.contains_key("drop") => {
                    present.insert("drop".to_owned(), json!(["ALL"]));
                }
                Some(_) => {}
            }
        }
    }

    /// The edits that complete the security context of a container that Argo made.
    pub(super) fn edit(&self, path: &Path, present: Option<&Map<String, Value>>, edits: &mut Edits) {
        let wanted = self.wanted(Whose::Argos);
        let Some(present) = present else {
            if !wanted.is_empty() {
                edits.add(path, Value::Object(wanted));
            }
            return;
        };
        for (field, value) in wanted {
            match present.get(&field) {
                None | Some(Value::Null) => edits.add(&path.member(&field), value),
                Some(Value::Object(inner)) if field == "capabilities" && !inner.contains_key("drop") => {
                    edits.add(&path.member(&field).member("drop"), json!(["ALL"]));
                }
                Some(_) => {}
            }
        }
    }

    /// The resources of an injected container: requests and limits each from `stated` where it has them, else from the
    /// profile, which gives what argoexec was measured to use, and no limit on CPU, since that would only slow a step's
    /// start. `limits: {}` says that there are to be none. All of it within what the namespace's LimitRanges allow beside
    /// `others`, the resources of the containers that run at the same time.
    pub(super) fn resources<'o>(&self, stated: Option<&Value>, others: impl Iterator<Item = &'o str>) -> Option<Value> {
        let profiles = match self.profile {
            Profile::None => json!({}),
            _ => json!({"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}),
        };
        let mut resources = match stated {
            Some(Value::Object(fields)) => fields.clone(),
            _ => Map::new(),
        };
        for (field, value) in profiles.as_object().into_iter().flatten() {
            resources.entry(field.clone()).or_insert_with(|| value.clone());
        }
        resources.retain(|_, quantities| quantities.as_object().is_none_or(|quantities| !quantities.is_empty()));
        let resources = (!resources.is_empty()).then_some(Value::Object(resources));
        match self.limits {
            Some(limits) => limits.clamp(resources, others),
            None => resources,
        }
    }
}
