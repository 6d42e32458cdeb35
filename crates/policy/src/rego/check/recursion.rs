//! Rules that need themselves.

use super::names::Names;
use super::scope::each_expression;
use super::{Parsed, Problem};
use crate::rego::syntax::Parts;
use regorus::unstable::{Expr, Span};
use std::collections::{BTreeMap, BTreeSet};

/// What a rule needs, and where it stands.
struct Node<'m> {
    at: &'m Span,
    needs: BTreeSet<String>,
}

pub(super) fn problems(modules: &[Parsed<'_>], names: &Names<'_>) -> Vec<Problem> {
    let mut nodes: BTreeMap<String, Node<'_>> = BTreeMap::new();
    for (module, Parsed { syntax, .. }) in modules.iter().enumerate() {
        for rule in &syntax.policy {
            let name = Parts::of(rule).name;
            let Some(path) = names.meaning(module, name, &Default::default()) else { continue };
            let node = nodes.entry(path).or_insert_with(|| Node { at: name.span(), needs: BTreeSet::new() });
            each_expression(rule, &mut |expression, scope| {
                let reference = if let Expr::Call { fcn, .. } = expression { fcn } else { expression };
                if let Some(path) = names.meaning(module, reference, scope) {
                    node.needs.extend(names.met(&path).map(str::to_owned));
                }
            });
        }
    }
    let mut problems = Vec::new();
    for (path, Node { at, .. }) in &nodes {
        if let Some(way) = way_back(path, &nodes) {
            let what = format!("rule {path} is recursive: {}", way.join(" -> "));
            problems.push(Problem::at(at, "recursion_error", &what));
        }
    }
    problems
}

/// The shortest way from a rule to itself.
fn way_back<'n>(start: &'n str, nodes: &'n BTreeMap<String, Node<'_>>) -> Option<Vec<&'n str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut todo = vec![start];
    let mut at = 0;
    while let Some(path) = todo.get(at).copied() {
        at += 1;
        for next in nodes.get(path).into_iter().flat_map(|node| &node.needs) {
            if next == start {
                let mut way = vec![start, path];
                let mut last = path;
                while last != start {
                    last = came_from.get(last)?;
                    way.push(last);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, path);
                todo.push(next);
            }
        }
    }
    None
}
