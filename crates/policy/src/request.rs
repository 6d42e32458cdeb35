use serde_json::{Map, Value, json};

/// What the API server asks of admission (Kubernetes API, `AdmissionRequest`), after the defaults that it fills in.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is done to the object.
    pub operation: Operation,
    /// The object's kind.
    pub kind: Kind,
    /// The resource, in the plural: `pods`.
    pub resource: String,
    /// Such as `status`; empty for the object itself.
    pub sub_resource: String,
    /// The object's name; empty where the API server is to make one of `generateName`.
    pub name: String,
    /// The namespace's name; empty for objects of the cluster.
    pub namespace: String,
    /// The namespace itself, if it is known.
    pub namespace_object: Option<Namespace>,
    /// Who asks.
    pub user: User,
    /// The object; null where it is deleted.
    pub object: Value,
    /// The object as it was; null where it is created.
    pub old_object: Value,
    /// Whether nothing is stored.
    pub dry_run: bool,
}

impl Request {
    /// As the API server writes it, less what the request leaves out.
    pub fn to_json(&self) -> Value {
        let mut json = self.to_json_without_objects();
        json["object"] = self.object.clone();
        json["oldObject"] = self.old_object.clone();
        json
    }

    /// The same with null for the objects, which are as large as they like.
    pub(crate) fn to_json_without_objects(&self) -> Value {
        let Self {
            operation,
            kind,
            resource,
            sub_resource,
            name,
            namespace,
            namespace_object: _,
            user,
            object: _,
            old_object: _,
            dry_run,
        } = self;
        let kind_json = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        let resource = json!({"group": kind.group, "version": kind.version, "resource": resource});
        let mut json = json!({
            "kind": kind_json,
            "resource": resource,
            "requestKind": kind_json,
            "requestResource": resource,
            "operation": operation.as_str(),
            "userInfo": {"username": user.name, "groups": user.groups},
            "object": null,
            "oldObject": null,
            "dryRun": dry_run,
            "options": null,
        });
        if !user.uid.is_empty() {
            json["userInfo"]["uid"] = Value::from(user.uid.as_str());
        }
        for (key, value) in [("subResource", sub_resource), ("name", name), ("namespace", namespace)] {
            if !value.is_empty() {
                json[key] = Value::from(value.as_str());
            }
        }
        json
    }
}

/// What is done to an object (Kubernetes API, `AdmissionRequest.operation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `CREATE`.
    Create,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `CONNECT`.
    Connect,
}

impl Operation {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Group, version and kind (Kubernetes API, `GroupVersionKind`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// Such as `Pod`.
    pub kind: String,
}

/// A namespace, as far as policies read it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Namespace {
    /// The whole object, as the API server has it.
    pub object: Map<String, Value>,
}

impl Namespace {
    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.object.get("metadata")?.get("labels")?.get(key)?.as_str()
    }
}

/// Who asks (Kubernetes API, `UserInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Such as `system:serviceaccount:argo:argo`.
    pub name: String,
    /// Unique over time.
    pub uid: String,
    /// Such as `system:serviceaccounts`.
    pub groups: Vec<String>,
}
