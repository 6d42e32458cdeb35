use super::native::{InvalidNative, Native};
use super::text;
use crate::rego::{CompileError, Host, Input, Module, Modules, Version};
use crate::request::Operation;
use serde_json::Value;
use std::sync::Arc;

/// Gatekeeper's one target.
const TARGET: &str = "admission.k8s.gatekeeper.sh";

/// A constraint template, compiled.
#[derive(Debug, Clone)]
pub(super) struct Template {
    /// The kind of its constraints.
    pub(super) kind: String,
    /// What `spec.parameters` of a constraint may hold.
    pub(super) schema: Value,
    /// Whether a field that the schema does not list is refused: templates of `v1` have it so.
    pub(super) structural: bool,
    pub(super) program: Program,
    /// The operations that it is asked about; none for all.
    operations: Vec<String>,
}

/// What a template runs.
#[derive(Debug, Clone)]
pub(super) enum Program {
    /// Rego, and the reference of its `violation`.
    Rego { modules: Box<Modules>, rule: String },
    /// Common Expression Language (`K8sNativeValidation`).
    Native(Arc<Native>),
}

/// Why a template is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidTemplate {
    #[error("spec.crd.spec.names.kind is missing")]
    Kind,
    #[error("the name is {name:?} and has to be the kind in lower case, {expected:?}")]
    Name { name: String, expected: String },
    #[error("spec.targets has to have one element")]
    Targets,
    #[error("spec.targets[0].target is {0:?} and has to be {TARGET:?}")]
    Target(String),
    #[error("spec.targets[0] holds no source: neither rego nor code")]
    NoSource,
    #[error("the code's engine {0:?} is neither Rego nor K8sNativeValidation")]
    Engine(String),
    #[error("the package defines no rule `violation`")]
    NoViolation,
    #[error("a library's package has to be below `lib`, and {0:?} is not")]
    LibraryPackage(String),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Native(#[from] InvalidNative),
}

impl Template {
    pub(super) fn compile(document: &Value, data: &Input) -> Result<Self, InvalidTemplate> {
        let of = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (of("/spec/crd/spec/names/kind"), of("/metadata/name"));
        if kind.is_empty() {
            return Err(InvalidTemplate::Kind);
        }
        if name != kind.to_lowercase() {
            return Err(InvalidTemplate::Name { name: name.to_owned(), expected: kind.to_lowercase() });
        }
        let Some([target]) = document.pointer("/spec/targets").and_then(Value::as_array).map(Vec::as_slice) else {
            return Err(InvalidTemplate::Targets);
        };
        if text(target, "target") != TARGET {
            return Err(InvalidTemplate::Target(text(target, "target").to_owned()));
        }
        let validation = document.pointer("/spec/crd/spec/validation");
        let schema =
            validation.and_then(|validation| validation.get("openAPIV3Schema")).cloned().unwrap_or(Value::Null);
        let legacy = validation.and_then(|validation| validation.get("legacySchema")).and_then(Value::as_bool);
        let v1 = text(document, "apiVersion") == "templates.gatekeeper.sh/v1";
        let operations = target.get("operations").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            kind: kind.to_owned(),
            schema,
            structural: !legacy.unwrap_or(!v1),
            program: Program::compile(target, data)?,
            operations: operations.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }

    pub(super) fn is_for(&self, operation: Operation) -> bool {
        let wanted = |one: &String| one == "*" || one == operation.as_str();
        self.operations.is_empty() || self.operations.iter().any(wanted)
    }
}

impl Program {
    /// The source that Gatekeeper runs: where a template has both, that in CEL.
    fn compile(target: &Value, data: &Input) -> Result<Self, InvalidTemplate> {
        let code = target.get("code").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let engine = |name| code.iter().find(|code| text(code, "engine") == name);
        if let Some(code) = engine("K8sNativeValidation") {
            let native = Native::compile(code.get("source").unwrap_or(&Value::Null))?;
            return Ok(Self::Native(Arc::new(native)));
        }
        if let Some(code) = engine("Rego") {
            return Self::rego(code.get("source").unwrap_or(&Value::Null), data);
        }
        match code.first() {
            Some(code) => Err(InvalidTemplate::Engine(text(code, "engine").to_owned())),
            None if target.get("rego").is_some() => Self::rego(target, data),
            None => Err(InvalidTemplate::NoSource),
        }
    }

    fn rego(source: &Value, data: &Input) -> Result<Self, InvalidTemplate> {
        let version = if text(source, "version") == "v1" { Version::V1 } else { Version::V0 };
        let libraries = source.get("libs").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let named = libraries.enumerate().map(|(n, text)| (format!("libs[{n}]"), text));
        let all: Vec<Module> = [("template".to_owned(), text(source, "rego"))]
            .into_iter()
            .chain(named)
            .map(|(name, text)| Module { name, text: text.to_owned() })
            .collect();
        let modules = Modules::compile(&all, version, Host::Gatekeeper, data)?;
        let (Some(package), libraries) = (modules.packages().first(), modules.packages().iter().skip(1)) else {
            return Err(InvalidTemplate::NoSource);
        };
        for library in libraries {
            if !library.starts_with("data.lib.") {
                return Err(InvalidTemplate::LibraryPackage(library.clone()));
            }
        }
        let rule = format!("{package}.violation");
        if !modules.rules().contains(&rule) {
            return Err(InvalidTemplate::NoViolation);
        }
        Ok(Self::Rego { modules: Box::new(modules), rule })
    }
}
