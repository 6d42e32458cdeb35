use super::{fits, items, text, texts};
use crate::request::Request;
use crate::selector::LabelSelector;
use serde_json::{Map, Value};

/// `match` and `exclude` of a rule.
#[derive(Debug)]
pub(super) struct Matching {
    included: Blocks,
    excluded: Blocks,
}

/// Blocks, of which any or all have to fit.
#[derive(Debug)]
struct Blocks {
    are_all: bool,
    blocks: Vec<Block>,
}

/// What is said of resources and of who asks.
#[derive(Debug)]
struct Block {
    kinds: Vec<String>,
    names: Vec<String>,
    namespaces: Vec<String>,
    operations: Vec<String>,
    annotations: Vec<(String, String)>,
    selector: Option<Value>,
    namespace_selector: Option<Value>,
    subjects: Vec<Subject>,
    /// Whether roles are asked for, of which nothing is known here.
    has_roles: bool,
    is_empty: bool,
}

#[derive(Debug)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

/// Whether a rule is about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// Nobody here knows.
    Unknown(&'static str),
}

impl Match {
    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            unknown => {
                if other() == Self::No {
                    Self::No
                } else {
                    unknown
                }
            }
        }
    }

    fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes => Self::Yes,
            Self::No => other(),
            unknown => {
                if other() == Self::Yes {
                    Self::Yes
                } else {
                    unknown
                }
            }
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown => unknown,
        }
    }
}

impl From<bool> for Match {
    fn from(is: bool) -> Self {
        if is { Self::Yes } else { Self::No }
    }
}

impl Matching {
    pub(super) fn read(rule: &Value) -> Self {
        Self { included: Blocks::read(rule.get("match")), excluded: Blocks::read(rule.get("exclude")) }
    }

    pub(super) fn matches(&self, request: &Request) -> Match {
        self.included.match_with(request).and(|| self.excluded.match_with(request).not())
    }

    /// Whether a rule asks for an operation by its name.
    pub(super) fn names_operation(&self, operation: &str) -> bool {
        self.included.blocks.iter().any(|block| block.operations.iter().any(|one| one == operation))
    }
}

impl Blocks {
    fn read(value: Option<&Value>) -> Self {
        let value = value.unwrap_or(&Value::Null);
        let of = |key| items(value, key).iter().map(Block::read).collect::<Vec<_>>();
        match (of("any"), of("all")) {
            (any, _) if !any.is_empty() => Self { are_all: false, blocks: any },
            (_, all) if !all.is_empty() => Self { are_all: true, blocks: all },
            _ => Self { are_all: false, blocks: vec![Block::read(value)] },
        }
    }

    fn match_with(&self, request: &Request) -> Match {
        let mut blocks = self.blocks.iter().map(|block| block.matches(request));
        match self.are_all {
            true => blocks.fold(Match::Yes, |all, one| all.and(|| one)),
            false => {
                let first = blocks.next().unwrap_or(Match::No);
                blocks.fold(first, |any, one| any.or(|| one))
            }
        }
    }
}

impl Block {
    fn read(value: &Value) -> Self {
        let resources = value.get("resources").unwrap_or(&Value::Null);
        let mut names = texts(resources, "names");
        names.extend(Some(text(resources, "name").to_owned()).filter(|name| !name.is_empty()));
        let annotations = resources.get("annotations").and_then(Value::as_object).into_iter().flatten();
        let subjects = items(value, "subjects").iter().map(|subject| Subject {
            kind: text(subject, "kind").to_owned(),
            name: text(subject, "name").to_owned(),
            namespace: text(subject, "namespace").to_owned(),
        });
        let selector = |key| resources.get(key).filter(|given| given.is_object()).cloned();
        let mut block = Self {
            kinds: texts(resources, "kinds"),
            names,
            namespaces: texts(resources, "namespaces"),
            operations: texts(resources, "operations"),
            annotations: annotations
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            selector: selector("selector"),
            namespace_selector: selector("namespaceSelector"),
            subjects: subjects.collect(),
            has_roles: !items(value, "roles").is_empty() || !items(value, "clusterRoles").is_empty(),
            is_empty: false,
        };
        block.is_empty = block.kinds.is_empty()
            && block.names.is_empty()
            && block.namespaces.is_empty()
            && block.operations.is_empty()
            && block.annotations.is_empty()
            && block.selector.is_none()
            && block.namespace_selector.is_none()
            && block.subjects.is_empty()
            && !block.has_roles;
        block
    }

    fn matches(&self, request: &Request) -> Match {
        let Self { kinds, names, namespaces, operations, annotations, selector, namespace_selector, subjects, .. } =
            self;
        // An empty block matches nothing, and excludes nothing.
        if self.is_empty {
            return Match::No;
        }
        let object = if request.object.is_null() { &request.old_object } else { &request.object };
        let metadata = object.get("metadata").unwrap_or(&Value::Null);
        let name = match text(metadata, "name") {
            "" => text(metadata, "generateName"),
            name => name,
        };
        let of_any =
            |patterns: &[String], text: &str| patterns.is_empty() || patterns.iter().any(|one| fits(one, text));
        let map = |key: &str| metadata.get(key).and_then(Value::as_object);
        let has_annotation = |(key, value): &(String, String)| {
            let all = map("annotations").into_iter().flatten();
            all.filter_map(|(k, v)| Some((k, v.as_str()?))).any(|(k, v)| fits(key, k) && fits(value, v))
        };
        let plain = (operations.is_empty() || operations.iter().any(|one| one == request.operation.as_str()))
            && (kinds.is_empty() || kinds.iter().any(|kind| is_kind(kind, request)))
            && of_any(names, name)
            && of_any(namespaces, &request.namespace)
            && annotations.iter().all(has_annotation)
            && selector.as_ref().is_none_or(|selector| selects(selector, map("labels")))
            && (subjects.is_empty() || subjects.iter().any(|subject| subject.is_asker(request)));
        let by_namespace = || match (namespace_selector, &request.namespace_object) {
            (None, _) => Match::Yes,
            (Some(selector), Some(namespace)) => {
                let labels = namespace.object.get("metadata").and_then(|metadata| metadata.get("labels"));
                selects(selector, labels.and_then(Value::as_object)).into()
            }
            (Some(_), None) => Match::Unknown("the labels of the request's namespace are not known"),
        };
        let by_roles = || match self.has_roles {
            true => Match::Unknown("it asks for the roles of who asks, which are not known"),
            false => Match::Yes,
        };
        Match::from(plain).and(by_namespace).and(by_roles)
    }
}

impl Subject {
    fn is_asker(&self, request: &Request) -> bool {
        let Self { kind, name, namespace } = self;
        match kind.as_str() {
            "ServiceAccount" => fits(&format!("system:serviceaccount:{namespace}:{name}"), &request.user.name),
            "Group" => request.user.groups.iter().any(|group| fits(name, group)),
            "User" => fits(name, &request.user.name),
            _ => false,
        }
    }
}

/// `Pod`, `v1/Pod`, `apps/v1/Deployment`, `Pod/exec`, `*`.
fn is_kind(selector: &str, request: &Request) -> bool {
    let (front, last) = selector.rsplit_once('/').map_or(("", selector), |(front, last)| (front, last));
    let mut parts: Vec<&str> = front.split('/').filter(|part| !part.is_empty()).collect();
    parts.extend(last.split('.'));
    let is_version = |part: &str| {
        part == "*" || part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let (group, version, kind, sub_resource) = match parts[..] {
        [kind] => ("*", "*", kind, ""),
        ["*", "*"] => ("*", "*", "*", "*"),
        ["*", sub] if sub.to_lowercase() == sub => ("*", "*", "*", sub),
        [version, kind] if is_version(version) => ("*", version, kind, ""),
        [kind, sub] => ("*", "*", kind, sub),
        [version, kind, sub] if is_version(version) => ("*", version, kind, sub),
        [group, version, kind] => (group, version, kind, ""),
        [group, version, kind, sub] => (group, version, kind, sub),
        _ => return false,
    };
    let of = &request.kind;
    // Ephemeral containers are the pod's, whoever asks for pods.
    let is_sub = fits(sub_resource, &request.sub_resource)
        || (request.sub_resource == "ephemeralcontainers" && of.group.is_empty() && of.kind == "Pod");
    fits(group, &of.group) && fits(version, &of.version) && fits(kind, &of.kind) && is_sub
}

/// A label selector, whose `matchLabels` may have patterns; one that does not hold selects nothing.
pub(super) fn selects(selector: &Value, labels: Option<&Map<String, Value>>) -> bool {
    let pairs = || labels.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let given = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    for (key, value) in given {
        let value = value.as_str().unwrap_or_default();
        if !pairs().any(|(k, v)| fits(key, k) && fits(value, v)) {
            return false;
        }
    }
    let mut rest = selector.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("matchLabels");
    }
    let label = |key: &str| pairs().find(|(k, _)| *k == key).map(|(_, v)| v.to_owned());
    LabelSelector::read(&rest).is_ok_and(|selector| selector.matches(label))
}
