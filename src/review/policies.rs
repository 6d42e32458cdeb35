use super::identity;
use crate::manifest::{self, Document, Place};
use crate::settings::StandardName;
use emissary_policy::gatekeeper::Gatekeeper;
use emissary_policy::kyverno::Kyverno;
use emissary_policy::limits::Limits;
use emissary_policy::psp::{Authorisation, PodSecurityPolicy, Psp, Rbac, Release};
use emissary_policy::pss::{Configuration, Pss, Standard};
use emissary_policy::vap::Vap;
use emissary_policy::{Namespace, Request, Verdict, rego};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything that judges, and what it knows of the cluster. A clone judges independently of the others, and shares what is
/// compiled.
#[derive(Debug, Clone)]
pub struct Policies {
    pub(super) psp: Option<Psp>,
    /// Standards for every pod.
    fixed: Vec<Pss>,
    /// Standards by a namespace's labels.
    labelled: Pss,
    /// Whether a pod of an unknown namespace is a question, and not just none of theirs.
    has_labels: bool,
    pub(super) vap: Vap,
    pub(super) gatekeeper: Gatekeeper,
    pub(super) kyverno: Kyverno,
    pub(super) rego: Option<rego::Policies>,
    namespaces: BTreeMap<String, Arc<Namespace>>,
    /// LimitRanges and ResourceQuotas.
    bounds: Vec<Value>,
    /// Whether some policy can read by which name a pod goes.
    pub(super) reads_identity: bool,
    /// Whether some constraint says what it could not match, with the pod's name, where the namespace is not known.
    pub(super) selects_namespaces: bool,
    refusals: Vec<Refusal>,
    /// The documents of which everything but programs is made.
    native: Arc<Vec<Value>>,
}

/// What native documents may take as JSON, in bytes, for another process to judge by them.
const NATIVE: usize = 1 << 20;

/// A policy that a cluster would not have taken, so that nothing follows from it here either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Where it stands.
    pub place: String,
    /// `Kind/name`.
    pub policy: String,
    /// What is wrong with it.
    pub why: String,
}

/// What is assumed where no document says it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Assumed {
    /// Standards that every pod is held to, besides its namespace's labels: `restricted:v1.30`.
    pub standards: Vec<String>,
    /// Which PodSecurityPolicies everybody may use; `None` for what the roles among the documents say.
    pub usable: Option<Usable>,
    /// The cluster's version, 1.N, as far as PodSecurityPolicy differs; `None` for the last that has it, 1.24.
    pub minor: Option<u32>,
}

/// See [`Assumed::usable`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Usable {
    /// Every one.
    All,
    /// These.
    These(BTreeSet<String>),
}

impl Usable {
    /// As people name them: `all` for every one, nobody for what the roles say.
    pub fn of(names: &[String]) -> Option<Self> {
        match names {
            [] => None,
            names if names.iter().any(|name| name == "all") => Some(Self::All),
            names => Some(Self::These(names.iter().cloned().collect())),
        }
    }
}

/// Why policies cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A folder or file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A document is not what it says it is, with its place where there is one.
    #[error("{0}")]
    Document(String),
}

/// The extensions of files that may hold policies.
const DOCUMENTS: [&str; 3] = ["yaml", "yml", "json"];

impl Policies {
    /// The files that paths name, those of a folder in the order of their names.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
        let mut files = Vec::new();
        for path in paths {
            collect(path, &mut files)?;
        }
        Ok(files)
    }

    /// Reads policies and whatever they need from files, and from folders with all that is below them: PodSecurityPolicies,
    /// roles and bindings, a PodSecurityConfiguration, ValidatingAdmissionPolicies and their bindings, Gatekeeper's templates and
    /// constraints, Kyverno's policies, Rego modules, namespaces, LimitRanges, ResourceQuotas. Any
    /// other document is what Gatekeeper has synced of the cluster.
    ///
    /// # Errors
    /// [`LoadError`]: nothing is judged by half of what was given.
    pub fn load(paths: &[PathBuf], assumed: Assumed) -> Result<Self, LoadError> {
        let files = Self::files(paths)?;
        let (mut documents, mut modules) = (Vec::new(), Vec::new());
        for file in files {
            if file.extension().is_some_and(|extension| extension == "rego") {
                if is_module(&file) {
                    let name = file.display().to_string();
                    let text = fs::read_to_string(&file).map_err(|source| LoadError::Read { path: file, source })?;
                    modules.push(rego::Module { name, text });
                }
                continue;
            }
            for document in manifest::read([file], io::empty()) {
                let Document { place, value, .. } =
                    document.map_err(|problem| LoadError::Document(problem.to_string()))?;
                documents.push((place, value));
            }
        }
        Self::of(&documents, &modules, assumed)
    }

    fn of(documents: &[(Place, Value)], modules: &[rego::Module], assumed: Assumed) -> Result<Self, LoadError> {
        let mut refusals = Vec::new();
        let documents = distinct(documents, &mut refusals);
        let (mut policies, mut roles, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let (mut namespaces, mut configuration, mut bounds) = (BTreeMap::new(), None, Vec::new());
        for (place, value) in &documents {
            let wrong = |error: &dyn std::fmt::Display| LoadError::Document(format!("{place}: {error}"));
            let (group, kind, name) = names(value);
            match (group, kind) {
                ("policy" | "extensions", "PodSecurityPolicy") => match PodSecurityPolicy::parse(value) {
                    Ok(policy) => policies.push(policy),
                    Err(error) => refusals.push(Refusal {
                        place: place.to_string(),
                        policy: format!("{kind}/{name}"),
                        why: error.to_string(),
                    }),
                },
                ("rbac.authorization.k8s.io", _) => roles.push(*value),
                ("pod-security.admission.config.k8s.io", _) => {
                    configuration = Some(Configuration::parse(value).map_err(|error| wrong(&error))?);
                }
                ("", "Namespace") => {
                    let object = value.as_object().cloned().unwrap_or_default();
                    namespaces.insert(name.to_owned(), Arc::new(Namespace { object }));
                    others.push(*value);
                }
                _ => {
                    if Limits::is_one(value) {
                        bounds.push((*value).clone());
                    }
                    others.push(*value);
                }
            }
        }
        let authorisation = match assumed.usable {
            Some(Usable::All) => Authorisation::Everything,
            Some(Usable::These(names)) => Authorisation::Policies(names),
            None => Authorisation::Rbac(Rbac::parse(roles).map_err(|error| LoadError::Document(error.to_string()))?),
        };
        let is_native = |value: &&Value| {
            let (group, kind, _) = names(value);
            matches!(
                (group, kind),
                ("policy" | "extensions", "PodSecurityPolicy")
                    | ("rbac.authorization.k8s.io" | "pod-security.admission.config.k8s.io", _)
                    | ("", "Namespace")
            )
        };
        let native = Arc::new(documents.iter().map(|(_, value)| *value).filter(is_native).cloned().collect());
        let release = match assumed.minor.unwrap_or(24) {
            ..22 => Release::V1_20,
            22 => Release::V1_22,
            23.. => Release::V1_23,
        };
        let psp = (!policies.is_empty()).then(|| Psp::new(policies, authorisation, release));
        // Labels hold wherever there are namespaces; a configuration without any is a cluster's defaults.
        let has_labels = !namespaces.is_empty() || configuration.is_some();
        let reads_identity = others.iter().any(|document| identity::document_reads_it(document))
            || modules.iter().any(|module| identity::module_reads_it(&module.text));
        let selects_namespaces =
            others.iter().any(|document| document.pointer("/spec/match/namespaceSelector").is_some());
        let is_of = |document: &&Value, group: &str| names(document).0 == group;
        let by_api_server: Vec<&Value> = others.clone();
        others.retain(|document| !is_of(document, "admissionregistration.k8s.io"));
        let (vap, not_taken) = Vap::new(by_api_server);
        let (kyverno, not_simulated) = Kyverno::new(others.iter().copied());
        let (gatekeeper, refused) = Gatekeeper::new(others);
        let (_, unbounded) = Limits::new(&bounds);
        refusals.extend(not_taken.into_iter().chain(refused).chain(not_simulated).chain(unbounded).map(|refusal| {
            let is_it = |value: &Value| {
                let (_, kind, name) = names(value);
                kind == refusal.kind && name == refusal.name
            };
            let place = documents.iter().find(|(_, value)| is_it(value)).map(|(place, _)| place.to_string());
            Refusal {
                place: place.unwrap_or_default(),
                policy: format!("{}/{}", refusal.kind, refusal.name),
                why: refusal.why,
            }
        }));
        let replicated: Map<String, Value> = namespaces
            .iter()
            .map(|(name, namespace)| (name.clone(), Value::Object(namespace.object.clone())))
            .collect();
        let data = json!({"kubernetes": {"namespaces": replicated}});
        let rego = match modules {
            [] => None,
            modules => {
                Some(rego::Policies::compile(modules, &data).map_err(|error| LoadError::Document(error.to_string()))?)
            }
        };
        Ok(Self {
            psp,
            fixed: assumed.standards.iter().filter_map(|text| standard(text)).map(Pss::fixed).collect(),
            labelled: Pss::new(configuration.unwrap_or_default()),
            has_labels,
            vap,
            gatekeeper,
            kyverno,
            rego,
            namespaces,
            bounds,
            reads_identity,
            selects_namespaces,
            refusals,
            native,
        })
    }

    /// What judges without programs alone, of documents that [`Policies::load`] has read elsewhere.
    ///
    /// # Errors
    /// [`LoadError`].
    pub(super) fn of_native(documents: &[Value], assumed: Assumed) -> Result<Self, LoadError> {
        let placed: Vec<(Place, Value)> =
            documents.iter().map(|value| (Place::whole("policies"), value.clone())).collect();
        Self::of(&placed, &[], assumed)
    }

    /// The documents for [`Policies::of_native`]; `None` where they are larger than another process should have to hold.
    pub(super) fn native_documents(&self) -> Option<Vec<Value>> {
        let size: usize = self.native.iter().map(|document| document.to_string().len()).sum();
        (size <= NATIVE).then(|| (*self.native).clone())
    }

    /// `engine policy` of what strangers' code decides: only that can run away.
    pub(super) fn programs(&self) -> Vec<String> {
        let constraints = self.gatekeeper.names().map(|name| format!("gatekeeper {name}"));
        let rules = self.rego.iter().flat_map(|rego| rego.names().map(|name| format!("rego {name}")));
        let bound = self.vap.names().map(|name| format!("vap {name}"));
        let kyverno = self.kyverno.names().map(|name| format!("kyverno {name}"));
        bound.chain(constraints).chain(kyverno).chain(rules).collect()
    }

    /// Keeps those of the programs that are wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.vap.retain(|name| wanted(&format!("vap {name}")));
        self.gatekeeper.retain(|name| wanted(&format!("gatekeeper {name}")));
        self.kyverno.retain(|name| wanted(&format!("kyverno {name}")));
        if let Some(rego) = &mut self.rego {
            rego.retain(|name| wanted(&format!("rego {name}")));
        }
    }

    /// Forgets what is judged without programs.
    pub(super) fn programs_alone(&mut self) {
        (self.psp, self.has_labels) = (None, false);
        self.fixed.clear();
        self.labelled = Pss::new(Configuration::default());
    }

    /// The namespaces that are known from the start.
    pub fn namespaces(&self) -> &BTreeMap<String, Arc<Namespace>> {
        &self.namespaces
    }

    /// The LimitRanges and ResourceQuotas that are known from the start.
    pub(super) fn bounds(&self) -> &[Value] {
        &self.bounds
    }

    /// What the standards say, those of the namespace's labels first.
    pub(super) fn pss(&self, request: &Request) -> Vec<Verdict> {
        let is_asked = self.has_labels || request.namespace_object.is_some();
        let labelled = is_asked.then_some(&self.labelled);
        labelled.into_iter().chain(&self.fixed).flat_map(|pss| pss.judge(request)).collect()
    }

    /// What a cluster would not have taken, so that it judges nothing here either.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// Whether there is nothing that judges.
    pub fn is_empty(&self) -> bool {
        let by_standards = self.has_labels || !self.fixed.is_empty() || !self.bounds.is_empty();
        !by_standards
            && self.psp.is_none()
            && self.vap.is_empty()
            && self.gatekeeper.is_empty()
            && self.kyverno.is_empty()
            && self.rego.is_none()
    }
}

/// `restricted`, or `restricted:v1.30`.
pub fn standard(text: &str) -> Option<Standard> {
    text.parse().ok().map(|StandardName(standard)| standard)
}

/// Group, kind and name of an object.
fn names(object: &Value) -> (&str, &str, &str) {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    (group, text("/kind"), text("/metadata/name"))
}

/// The documents less those that a later one replaces: of two objects of one kind, name and namespace the last counts, as
/// with `kubectl apply`. Where they differ, that is said.
fn distinct<'d>(documents: &'d [(Place, Value)], refusals: &mut Vec<Refusal>) -> Vec<(&'d Place, &'d Value)> {
    let mut at = BTreeMap::new();
    let mut kept: Vec<Option<(&Place, &Value)>> = Vec::with_capacity(documents.len());
    for (place, value) in documents {
        let (group, kind, name) = names(value);
        let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        let before = (!name.is_empty()).then(|| at.insert((group, kind, namespace, name), kept.len())).flatten();
        if let Some((earlier, other)) = before.and_then(|before| kept.get_mut(before)).and_then(Option::take)
            && other != value
        {
            refusals.push(Refusal {
                place: earlier.to_string(),
                policy: format!("{kind}/{name}"),
                why: format!("{place} has another of that name, which counts; remove one of them"),
            });
        }
        kept.push(Some((place, value)));
    }
    kept.into_iter().flatten().collect()
}

/// Whether a file is Rego that judges: tests of the policies' own author are no policies.
pub(super) fn is_module(file: &Path) -> bool {
    let name = file.to_string_lossy();
    name.ends_with(".rego") && !name.ends_with("_test.rego")
}

/// The files that a path names, those of a folder in the order of their names.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort_unstable();
    for entry in entries {
        // A mounted ConfigMap keeps its versions in folders of such names, and links to the current one (kubelet).
        if entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"..")) {
            continue;
        }
        let extension = entry.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if entry.is_dir() || extension == "rego" || DOCUMENTS.contains(&extension) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
