use super::*;
use crate::cluster::tests::Fake;
use crate::cluster::watch::Watches;
use crate::settings::Sources;
use emissary_core::image::Reference;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

fn settings(text: &str) -> (TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.yaml");
    std::fs::write(&file, text).unwrap();
    let (snapshot, _) = crate::settings::load(&Sources { files: vec![file], ..Sources::default() }).unwrap();
    (folder, snapshot.settings)
}

/// Role, where and by which name: `Namespace team-a/image-index`, `*` for everywhere and for a label.
fn watched(text: &str, namespaces: &[&str]) -> Vec<String> {
    let (_folder, settings) = settings(text);
    let namespaces: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
    let all = wanted(&settings, "hooks", &namespaces);
    let star = || "*".to_owned();
    let line = |one: Wanted| {
        format!("{:?} {}/{}", one.role, one.namespace.unwrap_or_else(star), one.name.unwrap_or_else(star))
    };
    let mut lines: Vec<String> = all.into_iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn no_more_is_watched_than_the_settings_ask_for() {
    const ALWAYS: [&str; 3] = ["Defaults hooks/image-index-defaults", "Index hooks/image-index", "Labelled hooks/*"];
    let grants = |grants: &str| format!("imageIndex: {{namespaces: {{{grants}}}}}");
    let two = "controllers: [{namespace: a}, {namespace: b, configMap: c}, {namespace: a, instanceID: x}]".to_owned();
    let table: [(String, &[&str], &[&str]); 7] = [
        (String::new(), &[], &[]),
        (two, &["other"], &["Controller a/workflow-controller-configmap", "Controller b/c"]),
        (
            grants("add: [team-a], override: [team-b, hooks]"),
            &[],
            &["Namespace team-a/image-index", "Namespace team-b/image-index"],
        ),
        (grants("add: ['team-*']"), &[], &["Namespace */image-index"]),
        (grants("add: [team-a], override: ['*']"), &[], &["Namespace */image-index"]),
        // A namespaced install asks for nothing in the whole cluster.
        (grants("add: ['team-*']"), &["team-a", "hooks", "x"], &["Namespace team-a/image-index"]),
        (grants("add: [team-a]"), &["x"], &[]),
    ];
    for (text, namespaces, expected) in table {
        let mut expected: Vec<&str> = ALWAYS.iter().chain(expected).copied().collect();
        expected.sort_unstable();
        assert_eq!(watched(&text, namespaces), expected, "{text} {namespaces:?}");
    }
}

/// The settings and what watches ConfigMaps for them, over a pretended API server.
struct Bench {
    fake: Fake,
    folder: TempDir,
    settings: Watch,
}

fn map(namespace: &str, name: &str, index: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{namespace}")}, "data": {"index.yaml": index}})
}

const EVERYWHERE: &str = "/api/v1/configmaps";

impl Bench {
    async fn start(text: &str) -> Self {
        let fake = Fake::start().await;
        for namespace in ["team-a", "team-b"] {
            fake.put(EVERYWHERE, map(namespace, INDEX, "app: {cmd: [own]}"));
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.yaml");
        std::fs::write(&file, format!("cluster: {{namespace: hooks}}\n{text}")).unwrap();
        let sources = Sources { files: vec![file], ..Sources::default() };
        let dependencies = fake.dependencies(&Watches::default()).await;
        let settings =
            Watch::start(&sources, Duration::from_millis(5), &TaskTracker::new(), dependencies.cancel.child_token());
        let settings = settings.unwrap();
        let recorder = Recorder::start(
            dependencies.client.clone(),
            "test".to_owned(),
            crate::cluster::EventMetrics::default(),
            &TaskTracker::new(),
            CancellationToken::new(),
        );
        let initial = ConfigMaps::start(settings.clone(), recorder, dependencies);
        assert!(initial.in_effect(Duration::from_secs(10)).await);
        Self { fake, folder, settings }
    }

    fn edit(&self, text: &str) {
        let (new, file) = (self.folder.path().join("new"), self.folder.path().join("s.yaml"));
        std::fs::write(&new, format!("cluster: {{namespace: hooks}}\n{text}")).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    fn knows(&self, namespace: &str) -> bool {
        let snapshot = self.settings.snapshot();
        let decisions = snapshot.decisions(namespace, || None);
        decisions.indexes.known(&Reference::parse("app").unwrap(), &decisions.pod.platforms).is_some()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what}: {:?}", self.settings.report().borrow());
    }
}

#[tokio::test]
async fn what_is_granted_later_is_listed_again_and_nothing_is_lost_meanwhile() {
    let bench = Bench::start("imageIndex: {namespaces: {add: ['*-a']}}\n").await;
    assert!(bench.knows("team-a") && !bench.knows("team-b"), "what is there is in effect when the start is over");
    let listed = bench.fake.requests(EVERYWHERE);
    let generation = bench.settings.generation().borrow().to_owned();
    bench.edit("imageIndex: {namespaces: {add: ['*-a', '*-b']}}\n");
    bench.until("the grant", |bench| bench.knows("team-b")).await;
    assert!(bench.knows("team-a") && bench.fake.requests(EVERYWHERE) > listed);
    assert!(bench.settings.generation().borrow().to_owned() > generation);
    bench.fake.delete(EVERYWHERE, "team-a", INDEX);
    bench.until("the loss", |bench| !bench.knows("team-a")).await;
    bench.edit("");
    bench.until("the end of the grant", |bench| !bench.knows("team-b")).await;
}

#[tokio::test]
async fn what_is_no_base64_is_left_out() {
    let bench = Bench::start("imageIndex: {namespaces: {add: ['*']}}\n").await;
    let mut broken = map("team-c", INDEX, "app: {cmd: [own]}");
    broken["binaryData"] = json!({"x.yaml": "?"});
    bench.fake.put(EVERYWHERE, broken);
    bench.fake.put(EVERYWHERE, map("team-d", INDEX, "app: {cmd: [own]}"));
    bench.until("the next one", |bench| bench.knows("team-d")).await;
    assert!(!bench.knows("team-c"));
}
