use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap as Listed;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::list_by;
use crate::cluster::config_maps::{Wanted, wanted};
use crate::settings::{ConfigMap, ObjectName, Role, Settings};

/// The ConfigMaps that the settings go by, as they are now, read in the way in which the webhook watches them.
#[derive(Debug, Default)]
pub(super) struct Maps {
    pub(super) there: BTreeMap<(Role, ObjectName), ConfigMap>,
    pub(super) unread: Vec<Unread>,
}

/// Something that could not be read.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) role: Role,
    /// What: `ConfigMap argo/image-index`.
    pub(super) what: String,
    pub(super) why: String,
}

impl Maps {
    /// `own` is the webhook's namespace.
    pub(super) async fn read(client: &Client, settings: &Settings, own: &str) -> Self {
        let mut all: Vec<Wanted> = wanted(settings, own, &served(settings)).into_iter().collect();
        all.sort_by_cached_key(|one| {
            let target = one.target();
            (one.role, target.namespace, target.fields)
        });
        let mut maps = Self::default();
        for one in all {
            let target = one.target();
            let api: Api<Listed> = match &target.namespace {
                Some(namespace) => Api::namespaced(client.clone(), namespace),
                None => Api::all(client.clone()),
            };
            let selected = ListParams {
                label_selector: target.labels.clone(),
                field_selector: target.fields.clone(),
                ..ListParams::default()
            };
            match list_by(&api, selected).await {
                Ok(found) => {
                    let found = found.into_iter().map(read).filter(|(object, _)| !one.except(own).contains(object));
                    maps.there.extend(found.map(|(object, map)| ((one.role, object), map)));
                }
                Err(why) => {
                    let what = match (&target.namespace, target.only()) {
                        (Some(namespace), Some(name)) => format!("ConfigMap {namespace}/{name}"),
                        (Some(namespace), None) => format!("what is labelled as an image index in {namespace}"),
                        (None, _) => "the namespaces' own image indexes".to_owned(),
                    };
                    maps.unread.push(Unread { role: one.role, what, why });
                }
            }
        }
        maps
    }
}

/// The only namespaces that are served; empty for all.
pub(super) fn served(settings: &Settings) -> Vec<String> {
    settings.cluster.namespaces.iter().map(ToString::to_string).collect()
}

pub(super) fn read(map: Listed) -> (ObjectName, ConfigMap) {
    let object = ObjectName { namespace: map.namespace().unwrap_or_default(), name: map.name_any() };
    let binary = map.binary_data.into_iter().flatten();
    let map = ConfigMap {
        data: map.data.unwrap_or_default(),
        binary_data: binary.map(|(key, ByteString(bytes))| (key, bytes)).collect(),
    };
    (object, map)
}
