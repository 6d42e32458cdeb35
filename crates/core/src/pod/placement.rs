use super::context::Context;
use super::options::Options;
use super::view::Pod;
use crate::image::Platform;
use crate::names;
use crate::object::{Affinity, StringMap};
use crate::outcome::Problem;

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
    /// Whether they are those of the nodes that there are now. Others may come, so nothing is denied for them.
    pub(super) of_nodes: bool,
}

/// Reads `spec.os`, `spec.nodeSelector`, required node affinity and, where allowed, our annotation; what they leave open
/// comes from the operator's list.
pub(super) fn placement(pod: &Pod<'_>, context: &Context<'_>, options: &Options) -> Result<Placement, Problem> {
    if options.overrides.platform
        && let Some(text) = pod.metadata.annotation(names::PLATFORM)
    {
        let platform = Platform::parse(text)
            .map_err(|error| Problem::Annotation { key: names::PLATFORM, why: error.to_string() })?;
        let windows = platform.os == "windows";
        return Ok(Placement { windows, platforms: vec![platform], stated: true, of_nodes: false });
    }
    let affinity = Affinity::read(pod.spec.affinity);
    let stated_os = pod.spec.os.as_ref().map(|os| os.name.as_str());
    let selected = Selected::of(Some(&pod.spec.node_selector), &affinity);
    let (os, architecture) = (stated_os.or(selected.os), selected.architecture);
    let of_nodes = options.platforms_assumed && architecture.is_none() && !context.node_platforms.is_empty();
    if !of_nodes {
        return Ok(Placement::of(os, architecture, options));
    }
    // With our own, which decide where the nodes' do not agree.
    let mut known = options.platforms.clone();
    known.extend(context.node_platforms.iter().filter(|platform| !options.platforms.contains(platform)).cloned());
    Ok(Placement { of_nodes, ..Placement::among(&known, os, architecture) })
}

impl Placement {
    /// Where an object may run that says this much of it.
    pub(crate) fn of(os: Option<&str>, architecture: Option<&str>, options: &Options) -> Self {
        Self::among(&options.platforms, os, architecture)
    }

    fn among(known: &[Platform], os: Option<&str>, architecture: Option<&str>) -> Self {
        let fits = |platform: &&Platform| {
            os.is_none_or(|os| platform.os == os)
                && architecture.is_none_or(|architecture| platform.architecture == architecture)
        };
        let mut platforms: Vec<Platform> = known.iter().filter(fits).cloned().collect();
        if platforms.is_empty() {
            // The operator's list does not foresee this: believe the object, and keep the list's other half.
            let os = os.unwrap_or("linux");
            platforms = match architecture {
                Some(architecture) => vec![Platform::new(os, architecture, None)],
                None => known.iter().map(|known| Platform::new(os, &known.architecture, None)).collect(),
            };
            platforms.dedup();
        }
        let windows = platforms.iter().all(|platform| platform.os == "windows");
        Self { platforms, stated: architecture.is_some(), windows, of_nodes: false }
    }
}

/// What node selector and required node affinity say of the node, the selector first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selected<'s> {
    pub(crate) os: Option<&'s str>,
    pub(crate) architecture: Option<&'s str>,
}

impl<'s> Selected<'s> {
    pub(crate) fn of(selector: Option<&'s StringMap<'_>>, affinity: &'s Affinity<'_>) -> Self {
        let selected =
            |keys: [&str; 2]| keys.iter().find_map(|key| selector?.get(key)).or_else(|| affinity.demanded(&keys));
        Self { os: selected(OS), architecture: selected(ARCHITECTURE) }
    }
}
