use std::time::SystemTime;

use k8s_openapi::ByteString;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Api;

use super::reach::called;
use super::{Check, Doctor, Finding, ask};
use crate::certificate::{CERTIFICATE, KEY, Pair, Standing};
use crate::cluster::registration::bundle_of;

/// A Lease that was not renewed for so long has no holder, in seconds.
const ABANDONED: i64 = 30;

impl Doctor {
    pub(super) async fn certificate(&self) -> Finding {
        let check = Check::Certificate.name();
        let mut finding = Finding::ok(check, "");
        let (namespace, secret) = (self.namespace(), &self.options.installation.secret);
        let pair = match self.served().await {
            Ok(pair) => Some(pair),
            Err((true, why)) => {
                finding.fail(why, format!("kubectl -n {namespace} logs -l app.kubernetes.io/name=emissary-webhook"));
                None
            }
            Err((false, why)) => {
                finding.details.push(why);
                None
            }
        };
        if let Some(pair) = &pair {
            let now = SystemTime::now();
            let left = pair.validity().not_after.duration_since(now).unwrap_or_default().as_secs() / 86_400;
            finding.summary = format!("every caBundle trusts the certificate served, which expires in {left} d");
            if pair.validity().standing(now) != Standing::Valid {
                finding.fail(
                    format!("the certificate in Secret {namespace}/{secret} is not valid now"),
                    format!("kubectl -n {namespace} delete secret {secret}, and it is made again"),
                );
            }
        }
        for (registration, place, entry) in self.entries() {
            let name = &entry.name;
            let mend = match &self.options.lease {
                Some(lease) => format!(
                    "the webhook sets it within a second where it may: see rights below, kubectl -n {namespace} get lease \
                     {lease}, and kubectl -n {namespace} logs -l app.kubernetes.io/name=emissary-webhook"
                ),
                None => format!(
                    "set /webhooks/{place}/clientConfig/caBundle of {registration} to the authority of the certificate \
                     served, or annotate it for cert-manager's injector"
                ),
            };
            let (host, _) = called(entry);
            match (bundle_of(entry), &pair) {
                (None, _) => finding.fail(format!("{name} has no caBundle that could be read"), mend),
                (Some(bundle), Some(pair)) if !bundle.trusts(pair) => {
                    finding.fail(format!("the caBundle of {name} does not trust the certificate served"), mend);
                }
                (Some(_), Some(pair)) if !pair.is_for(&host) => {
                    finding.fail(
                        format!("{name} calls {host}, which is not in the certificate"),
                        format!("add {host} to server.selfManaged.extraNames, or to the names of your certificate"),
                    );
                }
                (Some(bundle), _) => {
                    finding.details.push(format!(
                        "{name}: {} trusted",
                        super::registrations::count(bundle.len(), "authority", "authorities")
                    ));
                }
            }
        }
        if let Some(lease) = &self.options.lease {
            self.holder(lease, &mut finding).await;
        }
        if finding.summary.is_empty() {
            return finding.given_up("the certificate served is not known");
        }
        finding
    }

    /// What is served, as far as a Secret says it. Else why it is not known, and whether that is a fault.
    async fn served(&self) -> Result<Pair, (bool, String)> {
        let (namespace, name) = (self.namespace(), &self.options.installation.secret);
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = ask(api.get_opt(name)).await.map_err(|why| (false, why))?;
        let self_managed = self.options.lease.is_some();
        let secret = secret.ok_or_else(|| (self_managed, format!("there is no Secret {namespace}/{name}")))?;
        let value = |key: &str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            value.map(|ByteString(value)| value.as_slice()).unwrap_or_default()
        };
        if value(CERTIFICATE).is_empty() {
            return Err((self_managed, format!("Secret {namespace}/{name} is empty: nobody has filled it yet")));
        }
        Pair::from_pem(value(CERTIFICATE), value(KEY))
            .map_err(|error| (self_managed, format!("Secret {namespace}/{name} holds no certificate: {error}")))
    }

    /// Who writes.
    async fn holder(&self, name: &str, finding: &mut Finding) {
        let namespace = self.namespace();
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let lease = match ask(api.get_opt(name)).await {
            Ok(lease) => lease,
            Err(why) => return finding.details.push(format!("Lease {name} may not be read by you: {why}")),
        };
        let is_there = lease.is_some();
        let spec = lease.and_then(|lease| lease.spec).unwrap_or_default();
        let renewed = spec.renew_time.map(|time| Timestamp::now().duration_since(time.0).as_secs());
        let why = match (spec.holder_identity.filter(|holder| !holder.is_empty()), renewed) {
            (Some(holder), Some(ago)) if ago < ABANDONED => {
                return finding.details.push(format!("Lease {name}: held by {holder}, renewed {ago} s ago"));
            }
            (Some(holder), Some(ago)) => format!("{holder} held it, and has not renewed it for {ago} s"),
            _ if is_there => "it is there and nobody's".to_owned(),
            _ => "there is none".to_owned(),
        };
        finding.fail(
            format!("no replica holds the Lease {namespace}/{name} ({why}): certificate and caBundle are not kept"),
            format!(
                "kubectl -n {namespace} get pods -l app.kubernetes.io/name=emissary-webhook; where replicas run, see rights \
                 below, and the line lease of their /readyz?verbose"
            ),
        );
    }
}
