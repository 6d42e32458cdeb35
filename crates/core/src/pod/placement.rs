use super::options::Options;
use super::view::Pod;
use crate::image::Platform;
use crate::names;
use crate::object::{StringMap, Text, null_as_default};
use crate::outcome::Problem;
use serde::Deserialize;

const OS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];
const ARCHITECTURE: [&str; 2] = ["kubernetes.io/arch", "beta.kubernetes.io/arch"];

/// Where a pod may run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Never empty.
    pub(crate) platforms: Vec<Platform>,
    /// Whether the pod itself names the architecture.
    pub(crate) stated: bool,
    pub(super) windows: bool,
}

/// Reads `spec.os`, `spec.nodeSelector`, required node affinity and, where allowed, our annotation; what they leave open
/// comes from the operator's list.
pub(super) fn placement(pod: &Pod<'_>, options: &Options) -> Result<Placement, Problem> {
    if options.overrides.platform
        && let Some(text) = pod.metadata.annotation(names::PLATFORM)
    {
        let platform = Platform::parse(text)
            .map_err(|error| Problem::Annotation { key: names::PLATFORM, why: error.to_string() })?;
        return Ok(Placement { windows: platform.os == "windows", platforms: vec![platform], stated: true });
    }
    let required = required_affinity(pod);
    let affinity =
        |keys: [&str; 2]| required.iter().find(|(key, _)| keys.contains(&key.as_str())).map(|(_, v)| v.clone());
    let selector = &pod.spec.node_selector;
    let stated_os = pod.spec.os.as_ref().map(|os| os.name.as_str()).or_else(|| selected_os(selector));
    let os = stated_os.map(str::to_owned).or_else(|| affinity(OS));
    let architecture = selected_architecture(selector).map(str::to_owned).or_else(|| affinity(ARCHITECTURE));

    Ok(Placement::of(os.as_deref(), architecture.as_deref(), options))
}

impl Placement {
    /// Where an object may run that says this much of it.
    pub(crate) fn of(os: Option<&str>, architecture: Option<&str>, options: &Options) -> Self {
        let fits = |platform: &&Platform| {
            os.is_none_or(|os| platform.os == os)
                && architecture.is_none_or(|architecture| platform.architecture == architecture)
        };
        let mut platforms: Vec<Platform> = options.platforms.iter().filter(fits).cloned().collect();
        if platforms.is_empty() {
            // The operator's list does not foresee this: believe the object, and keep the list's other half.
            let os = os.unwrap_or("linux");
            platforms = match architecture {
                Some(architecture) => vec![Platform::new(os, architecture, None)],
                None => options.platforms.iter().map(|known| Platform::new(os, &known.architecture, None)).collect(),
            };
            platforms.dedup();
        }
        let windows = platforms.iter().all(|platform| platform.os == "windows");
        Self { platforms, stated: architecture.is_some(), windows }
    }
}

/// The value that a node selector gives to the node's operating system.
pub(crate) fn selected_os<'s>(selector: &'s StringMap<'_>) -> Option<&'s str> {
    OS.iter().find_map(|key| selector.get(key))
}

/// The value that a node selector gives to the node's architecture.
pub(crate) fn selected_architecture<'s>(selector: &'s StringMap<'_>) -> Option<&'s str> {
    ARCHITECTURE.iter().find_map(|key| selector.get(key))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Affinity<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    node_affinity: NodeAffinity<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeAffinity<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    required_during_scheduling_ignored_during_execution: Selector<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    node_selector_terms: Vec<Term<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    match_expressions: Vec<Expression<'a>>,
}

#[derive(Debug, Deserialize)]
struct Expression<'a> {
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(borrow, default)]
    operator: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    values: Vec<Text<'a>>,
}

/// The pairs that every term of the required affinity demands (terms are alternatives, so all must agree).
fn required_affinity(pod: &Pod<'_>) -> Vec<(String, String)> {
    let Some(raw) = pod.spec.affinity else { return Vec::new() };
    // The API server has validated it; what it let through that is not readable here decides nothing.
    let Ok(Some(affinity)) = serde_json::from_str::<Option<Affinity<'_>>>(raw.get()) else { return Vec::new() };
    let terms = affinity.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms;
    let demands = |term: &Term<'_>| -> Vec<(String, String)> {
        let single = term.match_expressions.iter().filter(|e| e.operator == "In" && e.values.len() == 1);
        single.map(|e| (e.key.to_string(), e.values[0].to_string())).collect()
    };
    let Some((first, rest)) = terms.split_first() else { return Vec::new() };
    let mut common = demands(first);
    for term in rest {
        let others = demands(term);
        common.retain(|pair| others.contains(pair));
    }
    common
}
