//! What a review reads of a cluster: its policies, and the pods and templates that they would judge.
//!
//! Everything is listed page by page and nothing is followed. Secrets are never read, whoever names them. What may not be
//! read, or cannot be, is an [`Unread`]; what a cluster does not serve has no policies there.

use super::watch::read::{Failure, page};
use hyper::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::timeout;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many objects are asked for at once; fewer where they are so large that a page would be too long.
const LIMIT: usize = 200;

/// Policies and what they read, by the path of their collection.
const POLICIES: [(&str, &str, &str); 8] = [
    ("/api/v1/namespaces", "v1", "Namespace"),
    ("/api/v1/limitranges", "v1", "LimitRange"),
    ("/api/v1/resourcequotas", "v1", "ResourceQuota"),
    (TEMPLATES, "templates.gatekeeper.sh/v1", "ConstraintTemplate"),
    ("/apis/kyverno.io/v1/clusterpolicies", "kyverno.io/v1", "ClusterPolicy"),
    ("/apis/kyverno.io/v1/policies", "kyverno.io/v1", "Policy"),
    (PSP, "policy/v1beta1", "PodSecurityPolicy"),
    ("/apis/config.gatekeeper.sh/v1alpha1/configs", "config.gatekeeper.sh/v1alpha1", "Config"),
];
const TEMPLATES: &str = "/apis/templates.gatekeeper.sh/v1/constrainttemplates";
const PSP: &str = "/apis/policy/v1beta1/podsecuritypolicies";
/// Where constraints are, one resource for each template.
const CONSTRAINTS: &str = "constraints.gatekeeper.sh/v1beta1";
/// The versions of ValidatingAdmissionPolicy, the one that counts first.
const ADMISSION: [&str; 2] = ["admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1beta1"];
/// Who may use a PodSecurityPolicy.
const RBAC: [(&str, &str); 4] = [
    ("clusterroles", "ClusterRole"),
    ("clusterrolebindings", "ClusterRoleBinding"),
    ("roles", "Role"),
    ("rolebindings", "RoleBinding"),
];
/// What is judged.
const SUBJECTS: [(&str, &str, &str); 5] = [
    ("/api/v1/pods?labelSelector=workflows.argoproj.io%2Fworkflow", "v1", "Pod"),
    ("/apis/argoproj.io/v1alpha1/clusterworkflowtemplates", ARGO, "ClusterWorkflowTemplate"),
    ("/apis/argoproj.io/v1alpha1/workflowtemplates", ARGO, "WorkflowTemplate"),
    ("/apis/argoproj.io/v1alpha1/cronworkflows", ARGO, "CronWorkflow"),
    ("/apis/argoproj.io/v1alpha1/workflows", ARGO, "Workflow"),
];
const ARGO: &str = "argoproj.io/v1alpha1";

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The collection, such as `/api/v1/pods`.
    pub what: String,
    /// Why, in the API server's words.
    pub why: String,
}

/// Reads a cluster for a review.
pub struct ReviewReader {
    client: Client,
    unread: Vec<Unread>,
}

/// The objects that are to be judged, page by page.
pub struct Subjects<'r> {
    reader: &'r mut ReviewReader,
    collections: VecDeque<Pages>,
}

/// A collection, page by page.
struct Pages {
    path: String,
    api_version: String,
    kind: String,
    limit: usize,
    next: Option<String>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMetadata {
    #[serde(rename = "continue")]
    next: String,
}

/// `APIResourceList` (Kubernetes API).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    kind: String,
}

impl Pages {
    fn new(path: impl Into<String>, api_version: &str, kind: &str) -> Self {
        let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
        Self { path: path.into(), api_version, kind, limit: LIMIT, next: Some(String::new()) }
    }

    /// The next page; `None` after the last.
    async fn next(&mut self, client: &Client) -> Result<Option<Vec<Value>>, Failure> {
        let Some(from) = self.next.clone() else { return Ok(None) };
        let list = loop {
            let joined = if self.path.contains('?') { '&' } else { '?' };
            match get(client, &format!("{}{joined}limit={}&continue={from}", self.path, self.limit)).await {
                // Objects are as large as they like.
                Err(Failure::TooLarge) if self.limit > 1 => self.limit = (self.limit / 4).max(1),
                other => break other?,
            }
        };
        let List { metadata, mut items } = list;
        for object in items.iter_mut().filter_map(Value::as_object_mut) {
            // Those of a list of the API server's own kinds do not say it.
            object.entry("apiVersion").or_insert_with(|| Value::from(self.api_version.as_str()));
            object.entry("kind").or_insert_with(|| Value::from(self.kind.as_str()));
        }
        self.next = Some(metadata.next).filter(|next| !next.is_empty());
        Ok(Some(items))
    }
}

async fn get<T: for<'de> Deserialize<'de>>(client: &Client, path: &str) -> Result<T, Failure> {
    let request = Request::get(path).header("accept", "application/json").body(Vec::new());
    let request = request.map_err(|error| Failure::Other(error.to_string()))?;
    let body = timeout(PATIENCE, page(client, request)).await.map_err(|_| Failure::late())??;
    serde_json::from_slice(&body).map_err(|error| Failure::Other(format!("it is not what was asked for: {error}")))
}

impl ReviewReader {
    /// By whoever the client is.
    pub fn new(client: Client) -> Self {
        Self { client, unread: Vec::new() }
    }

    /// What could not be read so far, each once.
    pub fn unread(&self) -> &[Unread] {
        &self.unread
    }

    fn cannot(&mut self, what: &str, why: String) {
        let what = what.split('?').next().unwrap_or_default().to_owned();
        let unread = Unread { what, why };
        if !self.unread.contains(&unread) {
            self.unread.push(unread);
        }
    }

    /// Notes a failure; what is not served is none.
    fn failed(&mut self, what: &str, failure: Failure) {
        match failure {
            Failure::Absent(_) => {}
            Failure::Forbidden(why) => self.cannot(what, format!("forbidden: {why}")),
            Failure::Gone => self.cannot(what, "it changed while it was read; the rest is missing".to_owned()),
            Failure::TooLarge => self.cannot(what, "one of its objects is too large".to_owned()),
            Failure::Other(why) => self.cannot(what, why),
        }
    }

    /// Hands over every policy, and whatever policies read: namespaces, parameters, what Gatekeeper has synced, rights.
    ///
    /// # Errors
    /// What `take` fails with.
    pub async fn policies<E>(&mut self, mut take: impl FnMut(&str, Value) -> Result<(), E>) -> Result<(), E> {
        let mut read = Vec::new();
        for (path, api_version, kind) in POLICIES {
            let all = self.all(Pages::new(path, api_version, kind)).await;
            read.push((path, all.len()));
            if kind == "Config" {
                for path in synced(&all) {
                    self.others(&path, "", &mut take).await?;
                }
                continue;
            }
            all.into_iter().try_for_each(|object| take(kind, without_noise(object)))?;
        }
        let has = |path: &str| read.iter().any(|(other, count)| *other == path && *count > 0);
        if has(TEMPLATES) {
            for Resource { name, kind } in self.resources(CONSTRAINTS).await {
                let pages = Pages::new(format!("/apis/{CONSTRAINTS}/{name}"), CONSTRAINTS, &kind);
                let all = self.all(pages).await;
                all.into_iter().try_for_each(|object| take("Constraint", without_noise(object)))?;
            }
        }
        if has(PSP) {
            let group = "rbac.authorization.k8s.io/v1";
            for (resource, kind) in RBAC {
                let all = self.all(Pages::new(format!("/apis/{group}/{resource}"), group, kind)).await;
                all.into_iter().try_for_each(|object| take(kind, without_noise(object)))?;
            }
        }
        self.admission_policies(&mut take).await
    }

    async fn admission_policies<E>(&mut self, take: &mut impl FnMut(&str, Value) -> Result<(), E>) -> Result<(), E> {
        for group in ADMISSION {
            let served = self.resources(group).await;
            if !served.iter().any(|resource| resource.name == "validatingadmissionpolicies") {
                continue;
            }
            let list = |resource: &str, kind: &str| Pages::new(format!("/apis/{group}/{resource}"), group, kind);
            let policies = self.all(list("validatingadmissionpolicies", "ValidatingAdmissionPolicy")).await;
            let bindings =
                self.all(list("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding")).await;
            for (kind, name) in parameters(&policies, &bindings) {
                let selector = name.map(|name| format!("fieldSelector=metadata.name%3D{name}")).unwrap_or_default();
                self.others(&kind, &selector, take).await?;
            }
            policies.into_iter().try_for_each(|object| take("ValidatingAdmissionPolicy", without_noise(object)))?;
            bindings
                .into_iter()
                .try_for_each(|object| take("ValidatingAdmissionPolicyBinding", without_noise(object)))?;
            return Ok(());
        }
        Ok(())
    }

    /// The objects of a kind, `group/version kind`.
    async fn others<E>(
        &mut self,
        kind: &str,
        selector: &str,
        take: &mut impl FnMut(&str, Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some((group, kind)) = kind.split_once(' ') else { return Ok(()) };
        if (group, kind) == ("v1", "Secret") {
            self.cannot("/api/v1/secrets", "a policy reads secrets, which a review does not".to_owned());
            return Ok(());
        }
        let resources = self.resources(group).await;
        let Some(resource) = resources.into_iter().find(|resource| resource.kind == kind) else {
            self.cannot(group, format!("a policy reads {kind}, which is not served"));
            return Ok(());
        };
        let path = format!("{}/{}?{selector}", root(group), resource.name);
        let all = self.all(Pages::new(path, group, kind)).await;
        all.into_iter().try_for_each(|object| take("Parameter", without_noise(object)))
    }

    /// What a group and version has, less subresources.
    async fn resources(&mut self, group: &str) -> Vec<Resource> {
        let path = root(group);
        match get::<Resources>(&self.client, &path).await {
            Ok(Resources { resources }) => {
                resources.into_iter().filter(|resource| !resource.name.contains('/')).collect()
            }
            Err(failure) => {
                self.failed(&path, failure);
                Vec::new()
            }
        }
    }

    async fn all(&mut self, mut pages: Pages) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            match pages.next(&self.client).await {
                Ok(Some(items)) => all.extend(items),
                Ok(None) => return all,
                Err(failure) => {
                    self.failed(&pages.path, failure);
                    return all;
                }
            }
        }
    }

    /// What is to be judged.
    pub fn subjects(&mut self) -> Subjects<'_> {
        let collections = SUBJECTS.map(|(path, api_version, kind)| Pages::new(path, api_version, kind));
        Subjects { reader: self, collections: collections.into() }
    }
}

impl Subjects<'_> {
    /// The next ones, as they would be asked for anew; `None` at the end.
    pub async fn next(&mut self) -> Option<Vec<Value>> {
        loop {
            let pages = self.collections.front_mut()?;
            match pages.next(&self.reader.client).await {
                Ok(Some(items)) if items.is_empty() => {}
                Ok(Some(items)) => return Some(items.into_iter().map(anew).collect()),
                Ok(None) => _ = self.collections.pop_front(),
                Err(failure) => {
                    let path = pages.path.clone();
                    self.collections.pop_front();
                    self.reader.failed(&path, failure);
                }
            }
        }
    }

    /// See [`ReviewReader::unread`].
    pub fn unread(&self) -> &[Unread] {
        self.reader.unread()
    }
}

fn root(group: &str) -> String {
    if group.contains('/') { format!("/apis/{group}") } else { format!("/api/{group}") }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Which kinds policies take parameters of, and by which names; `None` where by labels.
fn parameters(policies: &[Value], bindings: &[Value]) -> BTreeSet<(String, Option<String>)> {
    let mut found = BTreeSet::new();
    for policy in policies {
        let Some(kind) = policy.pointer("/spec/paramKind").filter(|kind| kind.is_object()) else { continue };
        let kind = format!("{} {}", text(kind, "/apiVersion"), text(kind, "/kind"));
        let name = text(policy, "/metadata/name");
        for binding in bindings.iter().filter(|binding| text(binding, "/spec/policyName") == name) {
            let by_name = Some(text(binding, "/spec/paramRef/name")).filter(|name| !name.is_empty());
            found.insert((kind.clone(), by_name.map(str::to_owned)));
        }
    }
    found
}

/// Which kinds Gatekeeper keeps for its policies, by its configuration.
fn synced(configurations: &[Value]) -> BTreeSet<String> {
    let kinds = configurations.iter().filter_map(|one| one.pointer("/spec/sync/syncOnly")?.as_array()).flatten();
    kinds
        .map(|kind| match text(kind, "/group") {
            "" => format!("{} {}", text(kind, "/version"), text(kind, "/kind")),
            group => format!("{group}/{} {}", text(kind, "/version"), text(kind, "/kind")),
        })
        .collect()
}

/// What no policy reads, and may be large.
fn without_noise(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// An object without what it has got since it was asked for. A pod comes as the review that admission saw: the API server's defaults
/// are in it.
fn anew(object: Value) -> Value {
    let mut object = without_noise(object);
    let fields = ["uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "deletionTimestamp"];
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        fields.iter().for_each(|field| _ = metadata.remove(*field));
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if text(&object, "/kind") != "Pod" {
        return object;
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        // By the scheduler.
        spec.remove("nodeName");
    }
    let (name, namespace) =
        (text(&object, "/metadata/name").to_owned(), text(&object, "/metadata/namespace").to_owned());
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": name,
            "namespace": namespace,
            "object": object,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::Fake;
    use crate::cluster::watch::Watches;

    fn pod(number: usize) -> Value {
        json!({
            "metadata": {"name": format!("p{number}"), "namespace": "a", "uid": "u", "managedFields": []},
            "spec": {"nodeName": "n", "containers": []}, "status": {"phase": "Running"},
        })
    }

    #[tokio::test]
    async fn pods_come_page_by_page_as_they_were_asked_for() {
        let fake = Fake::start().await;
        let client = fake.dependencies(&Watches::default()).await.client;
        (0..2 * LIMIT + 1).for_each(|number| fake.put("/api/v1/pods", pod(number)));
        let mut reader = ReviewReader::new(client);
        let mut subjects = reader.subjects();
        let mut pages = Vec::new();
        while let Some(page) = subjects.next().await {
            pages.push(page);
        }
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [LIMIT, LIMIT, 1]);
        assert_eq!(fake.requests("/api/v1/pods"), 3);
        let request = &pages[2][0]["request"];
        assert_eq!(
            (&request["name"], &request["namespace"], &request["object"]),
            (
                &json!(format!("p{}", 2 * LIMIT)),
                &json!("a"),
                &json!({
                    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{}", 2 * LIMIT), "namespace": "a"},
                    "spec": {"containers": []},
                }),
            )
        );
    }

    #[tokio::test]
    async fn what_is_refused_is_named_and_the_rest_is_read() {
        let fake = Fake::start().await;
        let client = fake.dependencies(&Watches::default()).await.client;
        fake.put("/api/v1/namespaces", json!({"metadata": {"name": "a"}}));
        fake.refuse("/api/v1/limitranges", 403);
        fake.refuse(TEMPLATES, 404);
        let mut reader = ReviewReader::new(client);
        let mut read = Vec::new();
        let take = |kind: &str, _: Value| {
            read.push(kind.to_owned());
            Ok::<(), std::convert::Infallible>(())
        };
        reader.policies(take).await.unwrap();
        assert_eq!(read, ["Namespace"]);
        let why = "forbidden: refused by the test".to_owned();
        assert_eq!(reader.unread(), [Unread { what: "/api/v1/limitranges".to_owned(), why }]);
    }

    #[test]
    fn parameters_are_read_by_name_where_they_are_named() {
        let policy = |name: &str, kind: &str| {
            let kind = json!({"apiVersion": "v1", "kind": kind});
            json!({"metadata": {"name": name}, "spec": {"paramKind": kind}})
        };
        let binding = |policy: &str, reference: Value| json!({"spec": {"policyName": policy, "paramRef": reference}});
        let found = parameters(
            &[policy("a", "ConfigMap"), policy("b", "ConfigMap"), policy("c", "ConfigMap"), json!({"spec": {}})],
            &[binding("a", json!({"name": "x"})), binding("b", json!({"selector": {}}))],
        );
        let kind = "v1 ConfigMap".to_owned();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(kind.clone(), None), (kind, Some("x".to_owned()))]);
    }
}
