use super::*;
use crate::cluster::facts::{self, Options};
use crate::cluster::tests::Fake;
use crate::cluster::watch::Watches;
use crate::settings::{Sources, Watch};
use emissary_registry::{Keyring, PrefetchOptions, Resolver};
use prometheus_client::registry::Registry;
use sample_registry::{Access, Image, RunningRegistry, SampleRegistry};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const WORKFLOW_TEMPLATES: &str = "/apis/argoproj.io/v1alpha1/workflowtemplates";
const CLUSTER_TEMPLATES: &str = "/apis/argoproj.io/v1alpha1/clusterworkflowtemplates";
const CRON_WORKFLOWS: &str = "/apis/argoproj.io/v1alpha1/cronworkflows";
const SECRETS: &str = "/api/v1/namespaces/team-a/secrets";

/// What follows stored templates, between a pretended API server and a registry.
struct Bench {
    fake: Fake,
    registry: RunningRegistry,
    prefetch: Prefetch,
    watches: Watches,
    _folder: TempDir,
}

impl Bench {
    /// `stored` puts what is there at the start.
    async fn start(stored: impl FnOnce(&Fake, &RunningRegistry)) -> Self {
        let image = || Image::new("linux/amd64").cmd(&["x"]);
        let registry = SampleRegistry::new().put("one:1", image()).put("two:1", image()).put("private:1", image());
        let registry = registry.access("private", Access::basic("ci", "hunter2")).start().await.unwrap();
        let fake = Fake::start().await;
        stored(&fake, &registry);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.yaml");
        let address = registry.address();
        let text = format!(
            "platforms: [linux/amd64]\n\
             cluster: {{pullSecrets: named-namespaces, pullSecretNamespaces: [team-a]}}\n\
             registry: {{plainHTTP: ['{address}'], allowNetworks: [127.0.0.0/8]}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        let sources = Sources { files: vec![file], ..Sources::default() };
        let settings = Watch::start(&sources, Watch::PERIOD, &tracker, cancel.clone()).unwrap();
        let snapshot = settings.snapshot();
        let watches = Watches::default();
        let dependencies = fake.dependencies(&watches).await;
        let operator: facts::OperatorKeyring = Arc::new(|_| Keyring::anonymous());
        let options = Options { cluster: snapshot.settings.cluster.clone(), operator };
        let known = facts::start(options, &dependencies, &mut Registry::default());
        assert!(watches.settled(Duration::from_secs(10)).await);
        let resolver = Resolver::new(snapshot.registry(), tracker.clone()).unwrap();
        let prefetch = Prefetch::start(resolver, PrefetchOptions::default(), &tracker, cancel);
        let ahead = Ahead { settings, known, prefetch: prefetch.clone() };
        let mut templates = Templates::follow(ahead, &dependencies);
        templates.settled().await;
        tokio::spawn(templates.keep_up());
        Self { fake, registry, prefetch, watches, _folder: folder }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what}: {:?}, {}", self.prefetch.counts(), facts::told(&self.watches));
    }
}

fn spec(registry: &RunningRegistry, image: &str) -> Value {
    json!({"templates": [{"name": "a", "container": {"image": registry.reference(image)}}]})
}

fn template(namespace: Option<&str>, name: &str, spec: &Value) -> Value {
    let mut object = json!({"metadata": {"name": name}, "spec": spec});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

#[tokio::test]
async fn what_is_stored_is_looked_up_and_what_is_gone_forgotten() {
    let bench = Bench::start(|fake, registry| {
        fake.put(WORKFLOW_TEMPLATES, template(Some("team-a"), "t", &spec(registry, "one:1")));
        fake.put(WORKFLOW_TEMPLATES, template(Some("team-a"), "odd", &json!({"templates": 7})));
        fake.put(CLUSTER_TEMPLATES, template(None, "t", &spec(registry, "two:1")));
        let cron = json!({"workflowSpec": spec(registry, "two:1")});
        fake.put(CRON_WORKFLOWS, template(Some("team-b"), "t", &cron));
    })
    .await;
    bench.until("all are found", |bench| bench.prefetch.counts().found == 3).await;
    // One and two for nobody's namespace and for team-b's; the second is in memory by then, or joins the first.
    assert_eq!(bench.prefetch.counts().images, 3);
    let asked = bench.registry.requests().len();
    assert!((4..=6).contains(&asked), "{asked}");
    let unreadable: u64 = bench.watches.statuses().iter().map(|status| status.unreadable).sum();
    assert_eq!(unreadable, 1, "one that cannot be read leaves the others be");

    // Changed, deleted, refused.
    let again = template(Some("team-a"), "t", &spec(&bench.registry, "two:1"));
    bench.fake.put(WORKFLOW_TEMPLATES, again);
    bench.until("the change", |bench| bench.prefetch.counts().found == 4).await;
    assert_eq!(bench.prefetch.counts().images, 3);
    bench.fake.delete(WORKFLOW_TEMPLATES, "team-a", "t");
    bench.until("the end of one", |bench| bench.prefetch.counts().images == 2).await;
    bench.fake.refuse(CRON_WORKFLOWS, 403);
    bench.fake.hang_up(CRON_WORKFLOWS);
    bench.until("the refusal", |bench| bench.prefetch.counts().images == 1).await;
    assert!(facts::told(&bench.watches).contains("cron-workflows forbidden"), "{}", facts::told(&bench.watches));
}

#[tokio::test]
async fn kinds_that_are_not_there_or_not_granted_are_shown_and_fail_nothing() {
    let bench = Bench::start(|fake, registry| {
        fake.refuse(WORKFLOW_TEMPLATES, 404);
        fake.refuse(CLUSTER_TEMPLATES, 403);
        fake.put(CRON_WORKFLOWS, template(Some("a"), "t", &json!({"workflowSpec": spec(registry, "one:1")})));
    })
    .await;
    bench.until("the third kind", |bench| bench.prefetch.counts().found == 1).await;
    let told = facts::told(&bench.watches);
    for state in ["workflow-templates absent (", "cluster-workflow-templates forbidden ("] {
        assert!(told.contains(state), "{told}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_off_has_nothing_looked_up() {
    let bench = Bench::start(|fake, registry| {
        let off = json!({"metadata": {"name": "team-a", "labels": {"emissary-webhook.io/mode": "off"}}});
        fake.put("/api/v1/namespaces", off);
        fake.put(WORKFLOW_TEMPLATES, template(Some("team-a"), "t", &spec(registry, "one:1")));
        fake.put(WORKFLOW_TEMPLATES, template(Some("team-b"), "t", &spec(registry, "two:1")));
    })
    .await;
    bench.until("the other's", |bench| bench.prefetch.counts().found == 1).await;
    assert_eq!(bench.prefetch.counts().images, 1);
    assert!(bench.registry.requests().iter().all(|request| request.path.contains("/two/")));
}

#[tokio::test]
async fn a_secret_that_comes_later_has_what_failed_tried_again() {
    let bench = Bench::start(|fake, registry| {
        let mut private = spec(registry, "private:1");
        private["imagePullSecrets"] = json!([{"name": "login"}]);
        fake.put(WORKFLOW_TEMPLATES, template(Some("team-a"), "t", &private));
        // Of the same name elsewhere: it gets nobody's secret.
        fake.put(WORKFLOW_TEMPLATES, template(Some("team-b"), "t", &private));
        fake.put(CLUSTER_TEMPLATES, template(None, "t", &private));
    })
    .await;
    bench.until("all are refused", |bench| bench.prefetch.counts().given_up == 3).await;
    let auths = json!({"auths": {bench.registry.address().to_string(): {"username": "ci", "password": "hunter2"}}});
    let data = json!({".dockerconfigjson": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, auths.to_string())});
    let metadata = json!({"namespace": "team-a", "name": "login"});
    bench.fake.put(SECRETS, json!({"metadata": metadata, "type": "kubernetes.io/dockerconfigjson", "data": data}));
    bench.until("the owner's is found", |bench| bench.prefetch.counts().found == 1).await;
    bench.until("the others' are not", |bench| bench.prefetch.counts().given_up == 2).await;
}
