//! Which rules there are, and what a reference means.

use super::scope::{Scope, each_expression};
use super::{Host, Parsed, Problem};
use crate::rego::syntax::{Parts, Path};
use regorus::unstable::{Expr, Rule, RuleHead, Span};
use std::collections::{BTreeMap, BTreeSet};

/// What a rule makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A value.
    Value,
    /// A set, element by element.
    Set,
    /// An object, part by part.
    Object,
    /// A value for so many arguments.
    Function(usize),
}

/// All rules of the same name.
#[derive(Debug)]
struct Named<'m> {
    kinds: BTreeSet<Kind>,
    defaults: usize,
    at: &'m Span,
}

/// Names of all modules, from `data` on, as `data.a.b`.
#[derive(Debug)]
pub(super) struct Names<'m> {
    rules: BTreeMap<String, Named<'m>>,
    packages: BTreeSet<String>,
    /// By module: what a name in it stands for.
    aliases: Vec<BTreeMap<&'m str, String>>,
}

/// A package, or what is imported, as a path.
fn absolute(expression: &Expr, below_data: bool) -> Option<String> {
    let Path { root, steps, .. } = Path::of(expression)?;
    let start = if below_data { format!("data.{}", root.text()) } else { root.text().to_owned() };
    Some(steps.iter().fold(start, |path, step| format!("{path}.{step}")))
}

impl<'m> Names<'m> {
    pub(super) fn of(modules: &[Parsed<'m>]) -> Self {
        let (mut rules, mut packages) = (BTreeMap::<String, Named<'m>>::new(), BTreeSet::new());
        let mut aliases = Vec::with_capacity(modules.len());
        for Parsed { syntax, .. } in modules {
            let package = absolute(&syntax.package.refr, true).unwrap_or_default();
            let mut meanings: BTreeMap<&'m str, String> = BTreeMap::new();
            for import in &syntax.imports {
                let Some(path) = absolute(&import.refr, false) else { continue };
                let alias = match &import.r#as {
                    Some(alias) => alias.text(),
                    None => Path::of(&import.refr).and_then(|path| path.steps.last().copied()).unwrap_or("input"),
                };
                if !matches!(path.split('.').next(), Some("future" | "rego")) {
                    meanings.insert(alias, path);
                }
            }
            for rule in &syntax.policy {
                let Some(Path { root, steps, is_whole }) = Path::of(Parts::of(rule).name) else { continue };
                let name = steps.iter().fold(root.text().to_owned(), |name, step| format!("{name}.{step}"));
                meanings.insert(root.text(), format!("{package}.{}", root.text()));
                let named = rules.entry(format!("{package}.{name}")).or_insert_with(|| Named {
                    kinds: BTreeSet::new(),
                    defaults: 0,
                    at: root,
                });
                match rule.as_ref() {
                    Rule::Default { .. } => named.defaults += 1,
                    Rule::Spec { .. } if !is_whole => _ = named.kinds.insert(Kind::Object),
                    Rule::Spec { head: RuleHead::Compr { .. }, .. } => _ = named.kinds.insert(Kind::Value),
                    Rule::Spec { head: RuleHead::Set { .. }, .. } => _ = named.kinds.insert(Kind::Set),
                    Rule::Spec { head: RuleHead::Func { args, .. }, .. } => {
                        _ = named.kinds.insert(Kind::Function(args.len()));
                    }
                }
            }
            packages.insert(package);
            aliases.push(meanings);
        }
        Self { rules, packages, aliases }
    }

    /// Whether a name in a module means something outside the rule.
    pub(super) fn is_global(&self, module: usize, name: &str) -> bool {
        matches!(name, "data" | "input") || self.aliases.get(module).is_some_and(|names| names.contains_key(name))
    }

    /// A reference from `data` on, as far as the text says where it leads; `None` where it leads elsewhere.
    pub(super) fn meaning(&self, module: usize, reference: &Expr, scope: &Scope<'_>) -> Option<String> {
        let Path { root, steps, .. } = Path::of(reference)?;
        let start = match root.text() {
            name if scope.has(name) => return None,
            "data" => "data",
            name => self.aliases.get(module)?.get(name)?,
        };
        let path = steps.iter().fold(start.to_owned(), |path, step| format!("{path}.{step}"));
        (path == "data" || path.starts_with("data.")).then_some(path)
    }

    /// Whether there is a rule of that path, function or not.
    pub(super) fn has(&self, path: &str) -> bool {
        self.rules.contains_key(path)
    }

    /// How many arguments a function of the modules takes, by its path.
    pub(super) fn arity(&self, path: &str) -> Option<usize> {
        self.rules.get(path)?.kinds.iter().find_map(|kind| match kind {
            Kind::Function(arity) => Some(*arity),
            _ => None,
        })
    }

    /// The rules that a reference may lead to: of the path, or of what is above or below it.
    pub(super) fn met(&self, path: &str) -> impl Iterator<Item = &str> {
        let is_below = |longer: &str, shorter: &str| {
            longer.strip_prefix(shorter).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.rules.keys().map(String::as_str).filter(move |rule| is_below(path, rule) || is_below(rule, path))
    }

    /// Rules of one name that cannot be together, and packages that are where a rule is.
    pub(super) fn conflicts(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (path, Named { kinds, defaults, at }) in &self.rules {
            if kinds.len() > 1 {
                problems.push(Problem::at(at, "type_error", &format!("conflicting rules {path} found")));
            }
            if *defaults > 1 {
                problems.push(Problem::at(at, "type_error", &format!("multiple default rules {path} found")));
            }
            let package = path.strip_prefix("data.").unwrap_or(path);
            if self.packages.contains(path) {
                let what = format!("package {package} conflicts with rule of that name");
                problems.push(Problem::at(at, "type_error", &what));
            }
            let below = format!("{path}.");
            let is_part = kinds.iter().all(|kind| *kind == Kind::Object) && *defaults == 0;
            let other = self.rules.range(below.clone()..).next().map(|(other, _)| other);
            if let Some(other) = other.filter(|other| !is_part && other.starts_with(&below)) {
                problems.push(Problem::at(at, "type_error", &format!("rule {path} conflicts with rule {other}")));
            }
        }
        problems
    }

    /// What Gatekeeper lets no template read.
    pub(super) fn forbidden(&self, modules: &[Parsed<'m>], host: Host) -> Vec<Problem> {
        let mut problems = Vec::new();
        if host != Host::Gatekeeper {
            return problems;
        }
        for Parsed { syntax, .. } in modules {
            for import in &syntax.imports {
                let path = absolute(&import.refr, false).unwrap_or_default();
                let is_library = path.starts_with("data.lib.") || path == "data.lib";
                if !is_library && !matches!(path.split('.').next(), Some("future" | "rego")) {
                    problems.push(Problem::at(&import.span, "compile_error", &format!("bad import: {path:?}")));
                }
            }
            for rule in &syntax.policy {
                each_expression(rule, &mut |expression, _| problems.extend(disallowed(expression)));
            }
        }
        problems
    }
}

/// A reference to `data` that is neither a library nor what is synced.
fn disallowed(expression: &Expr) -> Option<Problem> {
    let Path { root, steps, .. } = Path::of(expression)?;
    // What is above the reference that is looked at has been looked at.
    let is_allowed = matches!(steps.first(), Some(&("inventory" | "lib")));
    (root.text() == "data" && !is_allowed)
        .then(|| Problem::at(root, "compile_error", &format!("disallowed ref {}", expression.span().text())))
}
