//! Whether an installation is as it should be, asked of the API server: what is wrong, and what mends it.
//!
//! Nothing is changed: all is read, but for one pod that is created under the API server's `dryRun`. What may not be read
//! is said, and is no fault of the installation.

mod configuration;
mod controllers;
mod finding;
mod maps;
mod needs;
mod reach;
mod registrations;
mod rights;
mod selector;
mod templates;
mod trust;

#[cfg(test)]
mod tests;

pub use finding::{Finding, Status};

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::certificate::CertificateOptions;
use super::registration::is_ours;
use crate::settings::{Report, Snapshot, Sources, load_with};
use maps::Maps;

/// How long one question to the API server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Objects a page.
const PAGE: u32 = 500;

/// The ConfigMap that the manifests make.
const SETTINGS: &str = "emissary-webhook-settings";
/// The key in it.
const SETTINGS_KEY: &str = "settings.yaml";

/// What is examined, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// There is a registration, and its entries are sound.
    Registration,
    /// Every entry's `caBundle` trusts what is served.
    Certificate,
    /// The webhook answers what the API server asks.
    Reachability,
    /// Which namespaces are covered, and that those that must not be are not.
    Selectors,
    /// Which other webhooks change pods, before us and after us.
    Order,
    /// What the ServiceAccount may do: what is missing, and what is too much.
    Rights,
    /// The ConfigMaps with image indexes are readable and valid.
    ImageIndexes,
    /// The ConfigMaps of Argo's workflow controllers are, and are those that the settings name.
    Controllers,
    /// How many containers of stored templates each way covers.
    Templates,
}

impl Check {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::Registration,
        Self::Certificate,
        Self::Reachability,
        Self::Selectors,
        Self::Order,
        Self::Rights,
        Self::ImageIndexes,
        Self::Controllers,
        Self::Templates,
    ];

    /// The word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Certificate => "certificate",
            Self::Reachability => "reachability",
            Self::Selectors => "selectors",
            Self::Order => "order",
            Self::Rights => "rights",
            Self::ImageIndexes => "image indexes",
            Self::Controllers => "controllers",
            Self::Templates => "templates",
        }
    }
}

/// What is examined.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// Names of the Service, the Secret, the registrations.
    pub installation: CertificateOptions,
    /// The Lease, where the certificate is self-managed.
    pub lease: Option<String>,
    /// The webhook's ServiceAccount, in the Service's namespace.
    pub account: String,
    /// Whether we are that account ourselves, as inside the pod.
    pub is_account: bool,
    /// Where a pod is created under `dryRun`.
    pub probe: String,
}

/// The API server does not answer, or does not let us in.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// Nothing came back in time.
    #[error("the API server does not answer")]
    Silent,
    /// It cannot be asked.
    #[error("the API server cannot be asked")]
    Refused(#[source] Box<kube::Error>),
}

/// The settings that an installation has in a ConfigMap, as its manifests make it; `None` where there are none.
///
/// # Errors
/// Why they cannot be read, in the API server's words.
pub async fn installed_settings(client: &Client, namespace: &str) -> Result<Option<String>, String> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = ask(api.get_opt(SETTINGS)).await?;
    Ok(map.and_then(|map| map.data?.remove(SETTINGS_KEY)))
}

/// One examination.
pub struct Doctor {
    client: Client,
    options: DoctorOptions,
    /// The settings with the ConfigMaps that they go by.
    snapshot: Snapshot,
    /// What of those is wrong.
    report: Report,
    maps: Maps,
    version: String,
    registrations: Vec<MutatingWebhookConfiguration>,
    /// Whether `registrations` has those of others too.
    all_seen: bool,
    /// Why one of ours may not be seen.
    unseen: Option<String>,
}

impl Doctor {
    /// Asks for what several checks need. `snapshot` is what `sources` come to without the cluster.
    ///
    /// # Errors
    /// [`Unreachable`] where the API server cannot be asked at all.
    pub async fn begin(
        client: Client,
        options: DoctorOptions,
        sources: &Sources,
        snapshot: Snapshot,
    ) -> Result<Self, Unreachable> {
        let version = timeout(PATIENCE, client.apiserver_version()).await.map_err(|_| Unreachable::Silent)?;
        let version = version.map_err(|error| Unreachable::Refused(Box::new(error)))?;
        let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        let mut unseen = None;
        let (mut registrations, all_seen) = match list(&api).await {
            Ok(all) => (all, true),
            // As the webhook itself may: by name.
            Err(_) => {
                let mut ours = Vec::new();
                for name in &options.installation.registrations {
                    match ask(api.get_opt(name)).await {
                        Ok(seen) => ours.extend(seen),
                        Err(why) => unseen = Some(why),
                    }
                }
                (ours, false)
            }
        };
        // As the API server calls them.
        registrations.sort_by_key(|registration| registration.name_any());
        let own = snapshot.settings.cluster.namespace.as_ref().map(ToString::to_string);
        let own = own.unwrap_or_else(|| options.installation.service.namespace.clone());
        let maps = Maps::read(&client, &snapshot.settings, &own).await;
        // The sources were valid a moment ago.
        let composed = load_with(sources, maps.there.clone()).unwrap_or_else(|_| (snapshot, Report::default()));
        let ((snapshot, report), version) = (composed, version.git_version);
        Ok(Self { client, options, snapshot, report, maps, version, registrations, all_seen, unseen })
    }

    /// The settings in effect, ConfigMaps included.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The API server's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Examines one thing.
    pub async fn examine(&self, check: Check) -> Finding {
        match check {
            Check::Registration => self.registration(),
            Check::Certificate => self.certificate().await,
            Check::Reachability => self.reachability().await,
            Check::Selectors => self.selectors().await,
            Check::Order => self.order(),
            Check::Rights => self.rights().await,
            Check::ImageIndexes => self.image_indexes(),
            Check::Controllers => self.controllers().await,
            Check::Templates => self.templates().await,
        }
    }

    /// The registrations that are ours by name.
    fn ours(&self) -> impl Iterator<Item = &MutatingWebhookConfiguration> {
        let names = &self.options.installation.registrations;
        self.registrations.iter().filter(|registration| names.contains(&registration.name_any()))
    }

    /// Our entries: the registration's name, the entry's place in it, the entry.
    fn entries(&self) -> impl Iterator<Item = (String, usize, &MutatingWebhook)> {
        let service = &self.options.installation.service;
        self.ours().flat_map(move |registration| {
            let entries = registration.webhooks.iter().flatten().enumerate();
            entries
                .filter(|(_, entry)| is_ours(entry, service))
                .map(|(place, entry)| (registration.name_any(), place, entry))
        })
    }

    /// What cannot be examined without an entry of ours, and why there is none.
    fn without_entry(&self, check: Check) -> Finding {
        match &self.unseen {
            Some(why) => Finding::skipped(check.name(), format!("the registration may not be read by you: {why}")),
            None => Finding::skipped(check.name(), "nothing is registered"),
        }
    }

    fn namespace(&self) -> &str {
        &self.options.installation.service.namespace
    }
}

/// An answer of the API server, or why there is none.
async fn ask<T>(question: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
    match timeout(PATIENCE, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(status.message),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the API server did not answer in time".to_owned()),
    }
}

/// All objects, page by page.
async fn list<K: Clone + DeserializeOwned + Debug>(api: &Api<K>) -> Result<Vec<K>, String> {
    list_by(api, ListParams::default()).await
}

/// Those that are selected.
async fn list_by<K>(api: &Api<K>, selected: ListParams) -> Result<Vec<K>, String>
where
    K: Clone + DeserializeOwned + Debug,
{
    let (mut all, mut parameters) = (Vec::new(), selected.limit(PAGE));
    loop {
        let page = ask(api.list(&parameters)).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(all),
        }
    }
}
