use std::sync::Arc;

use emissary_core::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _};

use super::registrations::count;
use super::{Check, Doctor, Finding, list};
use crate::settings::parse_index;

/// ConfigMaps that are indexes by their name.
const BY_NAME: [&str; 2] = ["image-index", "image-index-defaults"];

/// Problems that are written out for one ConfigMap.
const SAID: usize = 5;

impl Doctor<'_> {
    pub(super) async fn image_indexes(&self) -> Finding {
        let check = Check::ImageIndexes.name();
        let namespace = self.namespace();
        let maps = match list(&Api::<ConfigMap>::namespaced(self.client.clone(), namespace)).await {
            Ok(maps) => maps,
            Err(why) => return Finding::skipped(check, why),
        };
        let is_index = |map: &&ConfigMap| {
            BY_NAME.contains(&map.name_any().as_str())
                || map.labels().get(names::IMAGE_INDEX).map(String::as_str) == Some("true")
        };
        let (mut number, mut entries, mut finding) = (0, 0, Finding::ok(check, ""));
        for map in maps.iter().filter(is_index) {
            number += 1;
            let name = map.name_any();
            for (key, text) in map.data.iter().flatten() {
                let source: Arc<str> = format!("{namespace}/{name}/{key}").into();
                match parse_index(text, &source) {
                    Ok(index) => {
                        entries += index.len();
                        finding.details.push(format!("{source}: {}", count(index.len(), "entry", "entries")));
                    }
                    Err(problems) => {
                        for problem in problems.iter().take(SAID) {
                            finding.fail(problem.to_string(), format!("kubectl -n {namespace} edit configmap {name}"));
                        }
                    }
                }
            }
        }
        if finding.summary.is_empty() {
            finding.summary = format!(
                "{} with {} in {namespace}",
                count(number, "ConfigMap", "ConfigMaps"),
                count(entries, "entry", "entries")
            );
        }
        finding
    }
}
