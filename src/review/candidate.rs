use super::bounds::Bounds;
use super::built::Rendered;
use super::templates::Templates;
use crate::manifest::{Document, Place, Problem};
use crate::mutation;
use emissary_core::workflow;
use emissary_policy::limits::Limits;
use emissary_policy::{Kind, Namespace, Operation, Request, User};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request for a pod.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// `kind/name`, for people and as the key of a row.
    pub title: String,
    /// Where it stands.
    pub place: Place,
    /// Where it is to be; empty where a review says none.
    pub namespace: String,
    /// The namespace itself, if a document before has it.
    pub namespace_object: Option<Arc<Namespace>>,
    /// What bounds its pods, if documents before have it.
    pub bounds: Option<Arc<Bounds>>,
    /// What is done to it.
    pub operation: Operation,
    /// Such as `ephemeralcontainers`; empty for the pod itself.
    pub sub_resource: String,
    /// The pod as it was sent; null where it is deleted. Of a template the one that is rendered for emissary, where that is asked for.
    pub object: Value,
    /// The pod as it was; null where it is created.
    pub old_object: Value,
    /// Who asks.
    pub user: User,
    /// Whether nothing is stored.
    pub dry_run: bool,
    /// Whether the API server's defaults are in it: what a recorded review has is what admission saw.
    pub is_defaulted: bool,
    /// The pods that a template comes to; `None` for a pod that was sent.
    pub rendered: Option<Arc<Rendered>>,
}

/// What holds where an object does not say it.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who asks.
    pub user: User,
    /// The namespace of pods that name none.
    pub namespace: String,
}

/// What a document of the input is to a review.
#[derive(Debug)]
pub enum Input {
    /// To be judged.
    Pod(Box<Candidate>),
    /// To be rendered, and judged.
    Templates(Box<Templates>),
    /// Known from here on.
    Namespace(String, Namespace),
    /// A LimitRange or a ResourceQuota, known from here on.
    Bounds(Value),
    /// Of a kind that is not judged.
    Other(String),
}

impl Input {
    /// Reads a document: a Pod, a workflow kind, an AdmissionReview of one of these, or what holds for those behind: a
    /// Namespace, LimitRange or ResourceQuota. `namespaces` are those of the documents before.
    ///
    /// # Errors
    /// A [`Problem`] for what is no object, or a review without one.
    pub fn of(
        document: Document,
        asker: &Asker,
        namespaces: &BTreeMap<String, Arc<Namespace>>,
    ) -> Result<Self, Problem> {
        let Document { place, mut value, .. } = document;
        match (text(&value, "/apiVersion"), text(&value, "/kind")) {
            (_, "") => Err(Problem::new(place, "not a Kubernetes object: it has no kind; add apiVersion and kind")),
            ("v1", "Namespace") => {
                let name = text(&value, "/metadata/name").to_owned();
                let object = value.as_object().cloned().unwrap_or_default();
                Ok(Self::Namespace(name, Namespace { object }))
            }
            ("v1", "LimitRange" | "ResourceQuota") => match Limits::new([&value]).1.first() {
                None => Ok(Self::Bounds(value)),
                Some(refusal) => {
                    Err(Problem::new(place, format!("{}/{}: {}", refusal.kind, refusal.name, refusal.why)))
                }
            },
            ("v1", "Pod") => {
                let namespace = asker.namespace_of(&value);
                Ok(Self::Pod(Box::new(Candidate {
                    title: title(&value, ""),
                    place,
                    namespace_object: namespaces.get(&namespace).cloned(),
                    bounds: None,
                    namespace,
                    operation: Operation::Create,
                    sub_resource: String::new(),
                    object: value,
                    old_object: Value::Null,
                    user: asker.user.clone(),
                    dry_run: false,
                    is_defaulted: false,
                    rendered: None,
                })))
            }
            (_, "AdmissionReview") => {
                let request = value.get_mut("request").map(Value::take).unwrap_or_default();
                Self::review(request, place, asker, namespaces)
            }
            (api_version, kind) => match mutation::Kind::of_manifest(api_version, kind) {
                mutation::Kind::Workflow(kind) => {
                    let namespace = asker.namespace_of(&value);
                    Ok(Self::templates(kind, (value, Value::Null), place, namespace, asker, namespaces))
                }
                _ => Ok(Self::Other(kind.to_owned())),
            },
        }
    }

    /// An object of a workflow kind, and what it was. Its pods are asked for by Argo's controller, whoever sends it.
    fn templates(
        kind: workflow::Kind,
        (object, old_object): (Value, Value),
        place: Place,
        namespace: String,
        asker: &Asker,
        namespaces: &BTreeMap<String, Arc<Namespace>>,
    ) -> Self {
        Self::Templates(Box::new(Templates {
            kind,
            object,
            old_object,
            place,
            namespace_object: namespaces.get(&namespace).cloned(),
            bounds: None,
            namespace,
            user: asker.user.clone(),
        }))
    }

    fn review(
        mut request: Value,
        place: Place,
        asker: &Asker,
        namespaces: &BTreeMap<String, Arc<Namespace>>,
    ) -> Result<Self, Problem> {
        let mut take = |key: &str| request.get_mut(key).map(Value::take).unwrap_or_default();
        let (object, old_object) = (take("object"), take("oldObject"));
        let operation = match text(&request, "/operation") {
            "CREATE" | "" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            "CONNECT" => Operation::Connect,
            other => {
                let text = format!("request.operation is {other:?}; the API knows CREATE, UPDATE, DELETE and CONNECT");
                return Err(Problem::new(place, text));
            }
        };
        let judged = if operation == Operation::Delete { &old_object } else { &object };
        if !judged.is_object() {
            let field = if operation == Operation::Delete { "oldObject" } else { "object" };
            return Err(Problem::new(place, format!("the AdmissionReview has no request.{field}; record it in full")));
        }
        let kind = match text(&request, "/kind/kind") {
            "" => text(judged, "/kind"),
            kind => kind,
        };
        let namespace = match (request.get("namespace"), text(judged, "/metadata/namespace")) {
            (Some(stated), _) => stated.as_str().unwrap_or_default().to_owned(),
            (None, own) => own.to_owned(),
        };
        let is_stored = matches!(operation, Operation::Create | Operation::Update);
        match mutation::Kind::of(text(&request, "/kind/group"), kind) {
            mutation::Kind::Pod => {}
            mutation::Kind::Workflow(kind) if is_stored => {
                let namespace = if namespace.is_empty() { asker.namespace.clone() } else { namespace };
                return Ok(Self::templates(kind, (object, old_object), place, namespace, asker, namespaces));
            }
            _ => return Ok(Self::Other(kind.to_owned())),
        }
        let user = match request.get("userInfo") {
            None => asker.user.clone(),
            Some(user) => User {
                name: text(user, "/username").to_owned(),
                uid: text(user, "/uid").to_owned(),
                groups: texts(user.get("groups")),
            },
        };
        Ok(Self::Pod(Box::new(Candidate {
            title: title(judged, text(&request, "/name")),
            place,
            namespace_object: namespaces.get(&namespace).cloned(),
            bounds: None,
            namespace,
            operation,
            sub_resource: text(&request, "/subResource").to_owned(),
            object,
            old_object,
            user,
            dry_run: request.get("dryRun").and_then(Value::as_bool).unwrap_or(false),
            is_defaulted: true,
            rendered: None,
        })))
    }
}

impl Asker {
    /// The namespace of an object: its own, or the one that holds where it names none.
    fn namespace_of(&self, object: &Value) -> String {
        match text(object, "/metadata/namespace") {
            "" => self.namespace.clone(),
            own => own.to_owned(),
        }
    }
}

impl Candidate {
    /// The same request for another pod, without the API server's defaults.
    pub(super) fn with(&self, object: Value, old_object: Value) -> Self {
        Self {
            title: self.title.clone(),
            place: self.place.clone(),
            namespace: self.namespace.clone(),
            namespace_object: self.namespace_object.clone(),
            bounds: self.bounds.clone(),
            operation: self.operation,
            sub_resource: self.sub_resource.clone(),
            object,
            old_object,
            user: self.user.clone(),
            dry_run: self.dry_run,
            is_defaulted: false,
            rendered: None,
        }
    }

    /// The request that policies are asked about, for a pod that may have been changed since.
    pub(super) fn request(&self, object: Value) -> Request {
        let judged = if object.is_null() { &self.old_object } else { &object };
        Request {
            operation: self.operation,
            kind: Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() },
            resource: "pods".to_owned(),
            sub_resource: self.sub_resource.clone(),
            name: text(judged, "/metadata/name").to_owned(),
            namespace: self.namespace.clone(),
            namespace_object: self.namespace_object.as_deref().cloned(),
            user: self.user.clone(),
            object,
            old_object: self.old_object.clone(),
            dry_run: self.dry_run,
        }
    }
}

fn title(object: &Value, by_request: &str) -> String {
    let own = [by_request, text(object, "/metadata/name")].into_iter().find(|name| !name.is_empty());
    match (own, text(object, "/metadata/generateName")) {
        (Some(name), _) => format!("pod/{name}"),
        (None, "") => "pod".to_owned(),
        (None, prefix) => format!("pod/{prefix}…"),
    }
}

/// A string by its pointer; empty where there is none.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
