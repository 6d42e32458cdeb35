use futures_util::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::Api;
use kube::api::PostParams;

use super::registrations::count;
use super::{Check, Doctor, Finding, ask};

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
    /// `configmaps`, `leases.coordination.k8s.io`.
    fn dotted(&self) -> String {
        let Self { group, resource, .. } = self;
        if group.is_empty() { (*resource).to_owned() } else { format!("{resource}.{group}") }
    }

    /// What, and where, less the verbs.
    fn text(&self) -> String {
        let named = self.name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let place = self.namespace.as_ref().map_or_else(|| "everywhere".to_owned(), |place| format!("in {place}"));
        format!("{}{named} {place}", self.dotted())
    }

    /// The commands that grant these verbs.
    fn grant(&self, verbs: &[&str], namespace: &str, account: &str) -> String {
        let (dotted, verbs) = (self.dotted(), verbs.join(","));
        let named = self.name.as_ref().map(|name| format!(" --resource-name={name}")).unwrap_or_default();
        let role = format!("emissary-webhook-{}", self.resource);
        let (scope, kind) = match &self.namespace {
            Some(place) => (format!("kubectl -n {place} create"), ""),
            None => ("kubectl create".to_owned(), "cluster"),
        };
        format!(
            "{scope} {kind}role {role} --verb={verbs} --resource={dotted}{named} && {scope} {kind}rolebinding {role} \
             --{kind}role={role} --serviceaccount={namespace}:{account}"
        )
    }
}

impl Doctor<'_> {
    pub(super) async fn rights(&self) -> Finding {
        let check = Check::Rights.name();
        let (namespace, account) = (self.namespace(), &self.options.account);
        let table = self.table();
        let questions = table.iter().flat_map(|right| right.verbs.iter().map(move |verb| self.may(verb, right)));
        let mut answers = join_all(questions).await.into_iter();
        let user = format!("ServiceAccount {namespace}/{account}");
        let mut finding =
            Finding::ok(check, format!("{user} may do what is needed, and no more of what is looked for"));
        let mut asked = 0;
        for right in &table {
            let (mut granted, mut missing) = (Vec::new(), Vec::new());
            for (verb, answer) in right.verbs.iter().zip(answers.by_ref()) {
                match answer {
                    Ok(true) => granted.push(*verb),
                    Ok(false) => missing.push(*verb),
                    Err(why) => finding.details.push(format!("not known: {verb} {}: {why}", right.text())),
                }
            }
            asked += granted.len() + missing.len();
            let text = right.text();
            let lacks = |why| format!("it may not {} {text}: {why}", missing.join(", "));
            match right.weight {
                Weight::Needed(why) if !missing.is_empty() => {
                    finding.fail(lacks(why), right.grant(&missing, namespace, account));
                }
                Weight::Helpful(why) if !missing.is_empty() => {
                    finding.warn(lacks(why), right.grant(&missing, namespace, account));
                }
                Weight::Excess(why) if !granted.is_empty() => finding.warn(
                    format!("it may {} {text}: {why}", granted.join(", ")),
                    format!("take that out of the roles that bind {namespace}:{account}"),
                ),
                Weight::Needed(_) | Weight::Helpful(_) | Weight::Excess(_) => {}
            }
        }
        if asked == 0 {
            return finding.given_up(format!("what {user} may do could not be asked"));
        }
        finding.with(format!("{} asked", count(asked, "right was", "rights were")))
    }

    /// What the settings in effect need, and what nobody needs.
    pub(super) fn table(&self) -> Vec<Right> {
        let options = &self.options.installation;
        let here = Some(options.service.namespace.clone());
        let right = |verbs, (group, resource), namespace: &Option<String>, name: Option<&String>, weight| Right {
            verbs,
            group,
            resource,
            namespace: namespace.clone(),
            name: name.cloned(),
            weight,
        };
        let mut table = Vec::new();
        if let Some(lease) = &self.options.lease {
            let kept = Weight::Needed("the certificate cannot be kept");
            let (secrets, leases) = (("", "secrets"), ("coordination.k8s.io", "leases"));
            let (all, some): (&[&str], &[&str]) =
                (&["list", "watch", "create", "update", "patch"], &["get", "create", "update", "patch"]);
            table.push(right(all, secrets, &here, Some(&options.secret), kept));
            table.push(right(some, leases, &here, Some(lease), kept));
            let trusted = Weight::Needed("its caBundle cannot be kept");
            let configurations = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations");
            for name in &options.registrations {
                table.push(right(&["list", "watch", "patch"], configurations, &None, Some(name), trusted));
            }
        }
        let labels = Weight::Helpful("a namespace's label that sets the mode is not seen");
        let indexes = Weight::Helpful("ConfigMaps with image indexes are not seen");
        let said = Weight::Helpful("what is wrong is not said on the object");
        table.push(right(&["list", "watch"], ("", "namespaces"), &None, None, labels));
        table.push(right(&["list", "watch"], ("", "configmaps"), &here, None, indexes));
        table.push(right(&["create", "patch"], ("events.k8s.io", "events"), &here, None, said));
        let secrets =
            Weight::Excess("it reads every Secret of the cluster; meant only where look-ups use all pull secrets");
        let system = Some("kube-system".to_owned());
        let more: [(&[&str], _, &Option<String>, _); 7] = [
            (&["list"], ("", "secrets"), &None, secrets),
            (&["get"], ("", "secrets"), &system, Weight::Excess("it reads the Secrets of the control plane")),
            (&["create"], ("", "pods"), &None, Weight::Excess("a webhook creates none")),
            (&["create"], ("", "pods/exec"), &None, Weight::Excess("a webhook executes nothing")),
            (
                &["create"],
                ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
                &None,
                Weight::Excess("it could send itself anything"),
            ),
            (
                &["bind"],
                ("rbac.authorization.k8s.io", "clusterroles"),
                &None,
                Weight::Excess("it could give itself any right"),
            ),
            (&["*"], ("*", "*"), &None, Weight::Excess("it may do everything")),
        ];
        table.extend(more.map(|(verbs, resource, namespace, weight)| right(verbs, resource, namespace, None, weight)));
        table
    }

    /// Asks for the webhook's account; where that may not be asked, and we are that account, for ourselves.
    async fn may(&self, verb: &str, right: &Right) -> Result<bool, String> {
        let Right { verbs: _, group, resource, namespace, name, weight: _ } = right;
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (*resource, None),
        };
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some((*group).to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            namespace: namespace.clone(),
            name: name.clone(),
            ..ResourceAttributes::default()
        };
        let (home, account) = (self.namespace(), &self.options.account);
        let user = format!("system:serviceaccount:{home}:{account}");
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{home}"),
            "system:authenticated".to_owned(),
        ];
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user),
                groups: Some(groups.into()),
                resource_attributes: Some(attributes.clone()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let (parameters, answered) = (PostParams::default(), |status: Option<SubjectAccessReviewStatus>| {
            status.map(|status| status.allowed).ok_or_else(|| "no answer".to_owned())
        });
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        match ask(api.create(&parameters, &review)).await {
            Ok(review) => answered(review.status),
            Err(_) if self.options.is_account => {
                let review = SelfSubjectAccessReview {
                    spec: SelfSubjectAccessReviewSpec {
                        resource_attributes: Some(attributes),
                        ..SelfSubjectAccessReviewSpec::default()
                    },
                    ..SelfSubjectAccessReview::default()
                };
                let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
                answered(ask(api.create(&parameters, &review)).await?.status)
            }
            Err(why) => Err(why),
        }
    }
}
