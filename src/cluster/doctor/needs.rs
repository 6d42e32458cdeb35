//! Which rights an installation needs by its settings, and which nobody needs.

use super::DoctorOptions;
use super::maps::served;
use crate::cluster::config_maps::wanted;
use crate::cluster::facts::{accounts, secrets, within};
use crate::cluster::watch::Target;
use crate::cluster::{objects, templates};
use crate::settings::{PullSecrets, Role, Snapshot, WorkflowLabels};

/// Something that the webhook may or may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) verbs: &'static [&'static str],
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    /// `None` is the whole cluster.
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) weight: Weight,
}

/// What having a right, or not, comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Without it something does not work.
    Needed(&'static str),
    /// Without it something is left out.
    Helpful(&'static str),
    /// Nobody needs it, and whoever takes the webhook over has it.
    Excess(&'static str),
}

impl Right {
    /// What a watch needs.
    fn to_watch(target: &Target, weight: Weight) -> Self {
        Self {
            verbs: &["list", "watch"],
            group: target.resource.group,
            resource: target.resource.plural,
            namespace: target.namespace.clone(),
            name: target.only().map(str::to_owned),
            weight,
        }
    }
}

/// What the settings in effect need, and what nobody needs.
pub(super) fn table(options: &DoctorOptions, snapshot: &Snapshot) -> Vec<Right> {
    let mut table = of_certificate(options);
    for right in watched(&options.installation.service.namespace, snapshot) {
        // Secrets of two types are two watches and one right.
        if !table.contains(&right) {
            table.push(right);
        }
    }
    let here = Some(options.installation.service.namespace.clone());
    let said = Weight::Helpful("what is wrong is not said on the object");
    table.push(Right {
        verbs: &["create", "patch"],
        group: "events.k8s.io",
        resource: "events",
        namespace: here,
        name: None,
        weight: said,
    });
    let reads_all = snapshot.settings.cluster.pull_secrets == PullSecrets::EverySecretInTheCluster
        && snapshot.settings.cluster.namespaces.is_empty();
    table.extend(excess(reads_all));
    table
}

/// A certificate that is self-managed.
fn of_certificate(options: &DoctorOptions) -> Vec<Right> {
    let Some(lease) = &options.lease else { return Vec::new() };
    let installation = &options.installation;
    let here = Some(installation.service.namespace.clone());
    let kept = Weight::Needed("the certificate cannot be kept");
    let right = |verbs, group, resource, namespace: &Option<String>, name: &str, weight| Right {
        verbs,
        group,
        resource,
        namespace: namespace.clone(),
        name: Some(name.to_owned()),
        weight,
    };
    let mut all = vec![
        right(&["list", "watch", "create", "update", "patch"], "", "secrets", &here, &installation.secret, kept),
        right(&["get", "create", "update", "patch"], "coordination.k8s.io", "leases", &here, lease, kept),
    ];
    let trusted = Weight::Needed("its caBundle cannot be kept");
    let (group, plural) = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations");
    let names = installation.registrations.iter();
    all.extend(names.map(|name| right(&["list", "watch", "patch"], group, plural, &None, name, trusted)));
    all
}

/// What is watched, by the same tables by which the watches are started.
fn watched(own: &str, snapshot: &Snapshot) -> Vec<Right> {
    let settings = &snapshot.settings;
    let cluster = &settings.cluster;
    let own = cluster.namespace.as_ref().map_or(own, |namespace| namespace.as_str());
    let mut maps: Vec<_> = wanted(settings, own, &served(settings)).into_iter().collect();
    maps.sort_by_cached_key(|one| (one.role, one.target().namespace, one.target().fields));
    let mut all: Vec<(Target, Weight)> = maps
        .into_iter()
        .map(|one| {
            let weight = match one.role {
                Role::Controller => Weight::Needed("what that workflow controller is configured with is not known"),
                Role::Index | Role::Labelled | Role::Defaults => Weight::Helpful("that image index is not seen"),
                Role::Namespace => Weight::Helpful("that namespace's own image index is not seen"),
            };
            (one.target(), weight)
        })
        .collect();
    let mut add = |targets: Vec<Target>, weight| all.extend(targets.into_iter().map(|target| (target, weight)));
    let in_served = |target: Target| {
        within(cluster).into_iter().map(|namespace| Target { namespace, ..target.clone() }).collect::<Vec<_>>()
    };
    if cluster.namespaces.is_empty() {
        let labels = Weight::Helpful("a namespace's label that sets the mode is not seen");
        add(vec![objects::NAMESPACES], labels);
    }
    add(secrets(cluster), Weight::Needed("images behind these pull secrets cannot be looked up"));
    add(accounts(cluster), Weight::Helpful("pull secrets that a ServiceAccount names are not used"));
    if cluster.limit_ranges {
        let clamped = Weight::Helpful("what is injected may be more than a LimitRange lets in");
        add(in_served(objects::LIMIT_RANGES), clamped);
    }
    let asks_labels = match cluster.workflow_labels {
        WorkflowLabels::Auto => snapshot.depends_on_workflow_labels(),
        WorkflowLabels::Always => true,
        WorkflowLabels::Never => false,
    };
    if asks_labels {
        let chosen = Weight::Needed("pods of Workflows that select an executor by labels get the default one");
        add(in_served(objects::WORKFLOWS), chosen);
    }
    if settings.registry.prefetch.enabled {
        let ahead = Weight::Helpful("images of stored templates are looked up only when a pod needs them");
        add(templates::stored(cluster).into_iter().map(|(_, target)| target).collect(), ahead);
    }
    if cluster.node_platforms {
        add(vec![objects::NODES], Weight::Helpful("platforms of nodes are not seen"));
    }
    all.iter().map(|(target, weight)| Right::to_watch(target, *weight)).collect()
}

/// What nobody needs; the secrets of everybody only where the settings ask for them.
fn excess(reads_every_secret: bool) -> Vec<Right> {
    /// Verbs, group, resource, namespace, and what having it comes to.
    type Row = (&'static [&'static str], &'static str, &'static str, Option<&'static str>, &'static str);
    let everybodys = "it reads every Secret of the cluster, which cluster.pullSecrets does not ask for";
    let rows: [Row; 7] = [
        (&["list"], "", "secrets", None, everybodys),
        (&["get"], "", "secrets", Some("kube-system"), "it reads the Secrets of the control plane"),
        (&["create"], "", "pods", None, "a webhook creates none"),
        (&["create"], "", "pods/exec", None, "a webhook executes nothing"),
        (
            &["create"],
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            None,
            "it could send itself anything",
        ),
        (&["bind"], "rbac.authorization.k8s.io", "clusterroles", None, "it could give itself any right"),
        (&["*"], "*", "*", None, "it may do everything"),
    ];
    let counts = |row: &Row| !(reads_every_secret && row.2 == "secrets");
    let right = |(verbs, group, resource, namespace, why): Row| Right {
        verbs,
        group,
        resource,
        namespace: namespace.map(str::to_owned),
        name: None,
        weight: Weight::Excess(why),
    };
    rows.into_iter().filter(counts).map(right).collect()
}
