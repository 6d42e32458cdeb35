//! The API server's own types that expressions are checked against.

use super::types::{Field, Object};

static GROUP_VERSION_KIND: Object = Object {
    name: "kubernetes.GroupVersionKind",
    fields: &[("group", Field::String), ("version", Field::String), ("kind", Field::String)],
};

static GROUP_VERSION_RESOURCE: Object = Object {
    name: "kubernetes.GroupVersionResource",
    fields: &[("group", Field::String), ("version", Field::String), ("resource", Field::String)],
};

static USER: Object = Object {
    name: "kubernetes.UserInfo",
    fields: &[
        ("username", Field::String),
        ("uid", Field::String),
        ("groups", Field::Strings),
        ("extra", Field::DynMap),
    ],
};

/// `request`: an AdmissionRequest without its objects.
pub(super) static REQUEST: Object = Object {
    name: "kubernetes.AdmissionRequest",
    fields: &[
        ("kind", Field::Object(&GROUP_VERSION_KIND)),
        ("resource", Field::Object(&GROUP_VERSION_RESOURCE)),
        ("subResource", Field::String),
        ("requestKind", Field::Object(&GROUP_VERSION_KIND)),
        ("requestResource", Field::Object(&GROUP_VERSION_RESOURCE)),
        ("requestSubResource", Field::String),
        ("name", Field::String),
        ("namespace", Field::String),
        ("operation", Field::String),
        ("userInfo", Field::Object(&USER)),
        ("dryRun", Field::Bool),
        ("options", Field::Dyn),
    ],
};

static NAMESPACE_METADATA: Object = Object {
    name: "kubernetes.NamespaceMetadata",
    fields: &[
        ("name", Field::String),
        ("generateName", Field::String),
        ("namespace", Field::String),
        ("labels", Field::StringMap),
        ("annotations", Field::StringMap),
        ("UID", Field::String),
        ("creationTimestamp", Field::Timestamp),
        ("deletionGracePeriodSeconds", Field::Int),
        ("deletionTimestamp", Field::Timestamp),
        ("generation", Field::Int),
        ("resourceVersion", Field::String),
        ("finalizers", Field::Strings),
    ],
};

static NAMESPACE_SPEC: Object = Object { name: "kubernetes.NamespaceSpec", fields: &[("finalizers", Field::Strings)] };

static NAMESPACE_CONDITION: Object = Object {
    name: "kubernetes.NamespaceCondition",
    fields: &[
        ("status", Field::String),
        ("type", Field::String),
        ("lastTransitionTime", Field::Timestamp),
        ("message", Field::String),
        ("reason", Field::String),
    ],
};

static NAMESPACE_STATUS: Object = Object {
    name: "kubernetes.NamespaceStatus",
    fields: &[("conditions", Field::Objects(&NAMESPACE_CONDITION)), ("phase", Field::String)],
};

/// `namespaceObject`.
pub(super) static NAMESPACE: Object = Object {
    name: "kubernetes.Namespace",
    fields: &[
        ("metadata", Field::Object(&NAMESPACE_METADATA)),
        ("spec", Field::Object(&NAMESPACE_SPEC)),
        ("status", Field::Object(&NAMESPACE_STATUS)),
    ],
};
