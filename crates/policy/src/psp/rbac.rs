use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::request::User;

/// Who may use which policy.
#[derive(Debug, Clone)]
pub enum Authorisation {
    /// Everybody may use every policy.
    Everything,
    /// Everybody may use these.
    Policies(BTreeSet<String>),
    /// As roles and their bindings have it.
    Rbac(Rbac),
}

impl Authorisation {
    /// Whether a user may use a policy in a namespace.
    pub(super) fn allows(&self, user: &User, namespace: &str, policy: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Policies(policies) => policies.contains(policy),
            Self::Rbac(rbac) => rbac.allows(user, namespace, policy),
        }
    }
}

/// Roles and bindings of a cluster, as far as they are about policies.
///
/// `cluster-admin` and the group `system:masters` are there without a document, as in every cluster.
#[derive(Debug, Clone, Default)]
pub struct Rbac {
    bindings: Vec<Binding>,
    missing: BTreeSet<String>,
}

/// A document that is none of RBAC's, or not of its shape.
#[derive(Debug, thiserror::Error)]
pub enum RbacError {
    /// Another kind of document.
    #[error("{found} is no role or binding of rbac.authorization.k8s.io")]
    Kind {
        /// Its version and kind.
        found: String,
    },
    /// Not of the documented shape.
    #[error("{object}: {source}")]
    Shape {
        /// Its kind and name.
        object: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// A binding whose role lets its subjects use policies.
#[derive(Debug, Clone)]
struct Binding {
    /// Empty for the whole cluster.
    namespace: String,
    subjects: Vec<Subject>,
    uses: Vec<Use>,
}

/// What one rule lets somebody use.
#[derive(Debug, Clone)]
enum Use {
    All,
    Named(BTreeSet<String>),
}

const CLUSTER_ADMIN: &str = "cluster-admin";
const KINDS: [&str; 4] = ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"];

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    kind: String,
    metadata: Metadata,
    rules: Option<Vec<Rule>>,
    aggregation_rule: Option<AggregationRule>,
    subjects: Option<Vec<Subject>>,
    role_ref: RoleRef,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
    labels: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    api_groups: Option<Vec<String>>,
    resources: Option<Vec<String>>,
    resource_names: Option<Vec<String>>,
    verbs: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AggregationRule {
    cluster_role_selectors: Option<Vec<Selector>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    match_labels: Option<std::collections::BTreeMap<String, String>>,
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

impl Rbac {
    /// Reads roles and bindings.
    ///
    /// # Errors
    /// One is another kind of document, or not of its shape.
    pub fn parse<'d>(documents: impl IntoIterator<Item = &'d Value>) -> Result<Self, RbacError> {
        let documents: Vec<Document> = documents.into_iter().map(document).collect::<Result<_, _>>()?;
        let (roles, bindings): (Vec<Document>, Vec<Document>) =
            documents.into_iter().partition(|document| ["Role", "ClusterRole"].contains(&document.kind.as_str()));
        let mut rbac = Self::default();
        for binding in bindings {
            let is_cluster_wide = binding.kind == "ClusterRoleBinding";
            let namespace = if is_cluster_wide { String::new() } else { binding.metadata.namespace };
            let Some(uses) = uses(&roles, &binding.role_ref, &namespace) else {
                rbac.missing.insert(format!("{} {}", binding.role_ref.kind, binding.role_ref.name));
                continue;
            };
            if !uses.is_empty() {
                rbac.bindings.push(Binding { namespace, subjects: binding.subjects.unwrap_or_default(), uses });
            }
        }
        Ok(rbac)
    }

    /// Roles that are bound and were not there, by kind and name. What they allow is not known, and counts as nothing.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(String::as_str)
    }

    fn allows(&self, user: &User, namespace: &str, policy: &str) -> bool {
        user.groups.iter().any(|group| group == "system:masters")
            || self.bindings.iter().any(|binding| {
                (binding.namespace.is_empty() || binding.namespace == namespace)
                    && binding.uses.iter().any(|uses| uses.contains(policy))
                    && binding.subjects.iter().any(|subject| subject.is(user, &binding.namespace))
            })
    }
}

fn document(value: &Value) -> Result<Document, RbacError> {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("/apiVersion"), text("/kind"));
    if !version.starts_with("rbac.authorization.k8s.io/") || !KINDS.contains(&kind) {
        return Err(RbacError::Kind { found: format!("{version} {kind}") });
    }
    Document::deserialize(value)
        .map_err(|source| RbacError::Shape { object: format!("{kind} {}", text("/metadata/name")), source })
}

/// What a role lets use; none if there is no such role.
fn uses(roles: &[Document], reference: &RoleRef, namespace: &str) -> Option<Vec<Use>> {
    let role = roles.iter().find(|role| {
        let is_here = reference.kind == "ClusterRole" || role.metadata.namespace == namespace;
        role.kind == reference.kind && role.metadata.name == reference.name && is_here
    });
    let Some(role) = role else {
        return (reference.kind == "ClusterRole" && reference.name == CLUSTER_ADMIN).then(|| vec![Use::All]);
    };
    // A controller fills in the rules of a role that aggregates others, so what a manifest has there counts for nothing.
    let rules: Vec<&Rule> = match &role.aggregation_rule {
        None => role.rules.iter().flatten().collect(),
        Some(aggregation) => {
            let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
            let is_selected = |other: &&Document| selectors.iter().any(|selector| selector.matches(&other.metadata));
            let others = roles.iter().filter(|other| other.kind == "ClusterRole").filter(is_selected);
            others.flat_map(|other| other.rules.iter().flatten()).collect()
        }
    };
    Some(rules.into_iter().filter_map(Rule::uses).collect())
}

impl Use {
    fn contains(&self, policy: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(policy),
        }
    }
}

impl Rule {
    fn uses(&self) -> Option<Use> {
        let has =
            |list: &Option<Vec<String>>, any: &[&str]| list.iter().flatten().any(|item| any.contains(&item.as_str()));
        let is_about_policies = has(&self.api_groups, &["policy", "extensions", "*"])
            && has(&self.resources, &["podsecuritypolicies", "*"])
            && has(&self.verbs, &["use", "*"]);
        is_about_policies.then(|| match self.resource_names.as_deref() {
            None | Some([]) => Use::All,
            Some(names) => Use::Named(names.iter().cloned().collect()),
        })
    }
}

impl Subject {
    /// `namespace`: the binding's, for a service account that names none.
    fn is(&self, user: &User, namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => self.name == user.name,
            "Group" => user.groups.contains(&self.name),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() { namespace } else { &self.namespace };
                !namespace.is_empty() && user.name == service_account_name(namespace, &self.name)
            }
            _ => false,
        }
    }
}

impl Selector {
    fn matches(&self, metadata: &Metadata) -> bool {
        let value = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key));
        self.match_labels.iter().flatten().all(|(key, required)| value(key) == Some(required))
            && self.match_expressions.iter().flatten().all(|expression| {
                let Expression { key, operator, values } = expression;
                let is_in = |found: &String| values.iter().flatten().any(|value| value == found);
                match operator.as_str() {
                    "In" => value(key).is_some_and(is_in),
                    "NotIn" => !value(key).is_some_and(is_in),
                    "Exists" => value(key).is_some(),
                    "DoesNotExist" => value(key).is_none(),
                    _ => false,
                }
            })
    }
}

/// A service account as a user. Its groups are those that the plugin asks with: `system:authenticated` is none of them.
pub(super) fn service_account(namespace: &str, name: &str) -> User {
    let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    User { name: service_account_name(namespace, name), uid: String::new(), groups }
}

fn service_account_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}
