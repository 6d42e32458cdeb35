use crate::manifest::{self, Document};
use emissary_policy::gatekeeper::{Gatekeeper, Refusal};
use emissary_policy::psp::{Authorisation, PodSecurityPolicy, Psp, Rbac, Release};
use emissary_policy::pss::{Configuration, Pss, Standard};
use emissary_policy::{Namespace, rego};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Everything that judges, and what it knows of the cluster.
#[derive(Debug)]
pub struct Policies {
    pub(super) psp: Option<Psp>,
    pub(super) pss: Vec<Pss>,
    pub(super) gatekeeper: Gatekeeper,
    pub(super) rego: Option<rego::Policies>,
    pub(super) namespaces: BTreeMap<String, Namespace>,
    refusals: Vec<Refusal>,
}

/// What is assumed where no document says it.
#[derive(Debug, Clone, Default)]
pub struct Assumed {
    /// Standards that every pod is held to, besides its namespace's labels.
    pub standards: Vec<Standard>,
    /// Which PodSecurityPolicies everybody may use; `None` for what the roles among the documents say.
    pub usable: Option<Usable>,
}

/// See [`Assumed::usable`].
#[derive(Debug, Clone)]
pub enum Usable {
    /// Every one.
    All,
    /// These.
    These(BTreeSet<String>),
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
    /// Reads policies and whatever they need from files, and from folders with all that is below them: PodSecurityPolicies,
    /// roles and bindings, a PodSecurityConfiguration, Gatekeeper's templates and constraints, Rego modules, namespaces. Any
    /// other document is what Gatekeeper has synced of the cluster.
    ///
    /// # Errors
    /// [`LoadError`]: nothing is judged by half of what was given.
    pub fn load(paths: &[PathBuf], assumed: Assumed) -> Result<Self, LoadError> {
        let mut files = Vec::new();
        for path in paths {
            collect(path, &mut files)?;
        }
        let (mut documents, mut modules) = (Vec::new(), Vec::new());
        for file in files {
            if file.extension().is_some_and(|extension| extension == "rego") {
                let name = file.display().to_string();
                // Tests of the policies' own author are no policies.
                if !name.ends_with("_test.rego") {
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

    fn of(
        documents: &[(manifest::Place, Value)],
        modules: &[rego::Module],
        assumed: Assumed,
    ) -> Result<Self, LoadError> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (mut policies, mut roles, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let (mut namespaces, mut configuration) = (BTreeMap::new(), None);
        for (place, value) in documents {
            let wrong = |error: &dyn std::fmt::Display| LoadError::Document(format!("{place}: {error}"));
            let (api_version, kind) = (text(value, "apiVersion"), text(value, "kind"));
            let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
            match (group, kind.as_str()) {
                ("policy" | "extensions", "PodSecurityPolicy") => {
                    policies.push(PodSecurityPolicy::parse(value).map_err(|error| wrong(&error))?);
                }
                ("rbac.authorization.k8s.io", _) => roles.push(value),
                ("pod-security.admission.config.k8s.io", _) => {
                    configuration = Some(Configuration::parse(value).map_err(|error| wrong(&error))?);
                }
                ("", "Namespace") => {
                    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
                    let object = value.as_object().cloned().unwrap_or_default();
                    namespaces.insert(name, Namespace { object });
                    others.push(value);
                }
                _ => others.push(value),
            }
        }
        let authorisation = match assumed.usable {
            Some(Usable::All) => Authorisation::Everything,
            Some(Usable::These(names)) => Authorisation::Policies(names),
            None => Authorisation::Rbac(Rbac::parse(roles).map_err(|error| LoadError::Document(error.to_string()))?),
        };
        let psp = (!policies.is_empty()).then(|| Psp::new(policies, authorisation, Release::V1_23));
        // Labels hold wherever there are namespaces; a configuration without any is a cluster's defaults.
        let by_labels =
            (!namespaces.is_empty() || configuration.is_some()).then(|| Pss::new(configuration.unwrap_or_default()));
        let pss = by_labels.into_iter().chain(assumed.standards.into_iter().map(Pss::fixed)).collect();
        let (gatekeeper, refusals) = Gatekeeper::new(others);
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
        Ok(Self { psp, pss, gatekeeper, rego, namespaces, refusals })
    }

    /// What a cluster would not have taken, so that it judges nothing here either.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// Whether there is nothing that judges.
    pub fn is_empty(&self) -> bool {
        self.psp.is_none() && self.pss.is_empty() && self.gatekeeper.is_empty() && self.rego.is_none()
    }
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
        let extension = entry.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if entry.is_dir() || extension == "rego" || DOCUMENTS.contains(&extension) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
