use std::collections::BTreeMap;

use futures_util::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::Api;
use kube::api::PostParams;

use super::needs::{self, Right, Weight};
use super::registrations::{count, some};
use super::{Check, Doctor, Finding, ask};

/// More commands than these nobody types.
const MANY: usize = 6;

impl Right {
    /// `configmaps`, `leases.coordination.k8s.io`.
    fn dotted(&self) -> String {
        let Self { group, resource, .. } = self;
        if group.is_empty() { (*resource).to_owned() } else { format!("{resource}.{group}") }
    }

    /// What, and where, less the verbs.
    pub(super) fn text(&self) -> String {
        let named = self.name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let place = self.namespace.as_ref().map_or_else(|| "everywhere".to_owned(), |place| format!("in {place}"));
        format!("{}{named} {place}", self.dotted())
    }

    /// The commands that grant these verbs.
    fn grant(&self, verbs: &[&str], namespace: &str, account: &str) -> String {
        let (dotted, verbs) = (self.dotted(), verbs.join(","));
        let named = self.name.as_ref().map(|name| format!(" --resource-name={name}")).unwrap_or_default();
        // No two of these commands make a role of one name.
        let role =
            self.name.iter().fold(format!("emissary-webhook-{}", self.resource), |role, name| format!("{role}-{name}"));
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

impl Doctor {
    pub(super) async fn rights(&self) -> Finding {
        let check = Check::Rights.name();
        let (namespace, account) = (self.namespace(), &self.options.account);
        let table = needs::table(&self.options, &self.snapshot);
        let questions = table.iter().flat_map(|right| right.verbs.iter().map(move |verb| self.may(verb, right)));
        let mut answers = join_all(questions).await.into_iter();
        let user = format!("ServiceAccount {namespace}/{account}");
        let mut finding =
            Finding::ok(check, format!("{user} may do what is needed, and no more of what is looked for"));
        let (mut asked, mut unknown) = (0, BTreeMap::<String, Vec<String>>::new());
        for right in &table {
            let (mut granted, mut missing) = (Vec::new(), Vec::new());
            for (verb, answer) in right.verbs.iter().zip(answers.by_ref()) {
                match answer {
                    Ok(true) => granted.push(*verb),
                    Ok(false) => missing.push(*verb),
                    Err(why) => unknown.entry(why).or_default().push(format!("{verb} {}", right.text())),
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
        for (why, rights) in &unknown {
            let number = count(rights.len(), "right is", "rights are");
            finding.details.push(format!("{number} not known ({}): {why}", some(rights)));
        }
        if asked == 0 {
            return finding.given_up(format!("what {user} may do could not be asked"));
        }
        if finding.mend.len() > MANY {
            finding.mend = vec![
                "most of its roles are missing, or not bound: install it as at first, by helm or kubectl apply -k"
                    .to_owned(),
            ];
        }
        finding.with(format!("{} asked about, for {user}", count(asked, "right was", "rights were")))
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
