use super::*;
use crate::manifest::Place;
use crate::settings::snapshot::{Belonging, Decisions};
use emissary_core::image::Reference;
use std::fmt::Write;
use tempfile::TempDir;

/// A composer over one settings file.
struct Bench {
    folder: TempDir,
    composer: Composer,
    snapshot: Snapshot,
    report: Report,
}

fn name(text: &str) -> ObjectName {
    let (namespace, name) = text.split_once('/').unwrap();
    ObjectName { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn map(key: &str, text: &str) -> ConfigMap {
    ConfigMap { data: BTreeMap::from([(key.to_owned(), text.to_owned())]), ..ConfigMap::default() }
}

impl Bench {
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.yaml");
        std::fs::write(&file, settings).unwrap();
        let sources = Sources { files: vec![file], ..Sources::default() };
        let (composer, snapshot, report) = Composer::start(&sources).unwrap();
        Self { folder, composer, snapshot, report }
    }

    /// Returns whether there is a new snapshot.
    fn refresh(&mut self, changes: Changes) -> bool {
        let (snapshot, report) = self.composer.refresh(changes);
        self.report = report;
        let new = snapshot.is_some();
        self.snapshot = snapshot.unwrap_or_else(|| self.snapshot.clone());
        new
    }

    fn settings(&mut self, settings: &str) -> bool {
        std::fs::write(self.folder.path().join("s.yaml"), settings).unwrap();
        self.refresh(Changes::new())
    }

    fn put(&mut self, role: Role, object: &str, map: ConfigMap) -> bool {
        self.refresh(Changes::from([((role, name(object)), Some(map))]))
    }

    fn remove(&mut self, role: Role, object: &str) -> bool {
        self.refresh(Changes::from([((role, name(object)), None)]))
    }

    fn decisions(&self, namespace: &str, instance: &'static str) -> Decisions<'_> {
        self.snapshot.decisions(namespace, || (!instance.is_empty()).then_some(instance.into()))
    }

    /// What an image runs for a namespace, and who says so.
    fn runs(&self, namespace: &str, image: &str) -> Option<String> {
        let Decisions { pod, indexes, .. } = self.decisions(namespace, "");
        let choice = indexes.known(&Reference::parse(image).unwrap(), &pod.platforms)?;
        let emissary_core::lookup::Choice::Process(process, source) = choice else { return None };
        Some(format!("{} by {}", process.cmd.join(" "), source.word()))
    }

    fn problems(&self) -> Vec<String> {
        self.report.objects.iter().map(|object| format!("{} {}", object.object, object.problem)).collect()
    }
}

#[test]
fn index_maps_are_merged_in_order_and_each_may_go() {
    let mut bench = Bench::start("");
    let image = |cmd: &str| map("index.yaml", &format!("app: {{cmd: [{cmd}]}}\n"));
    for (role, object, cmd, expected) in [
        (Role::Labelled, "w/z", "late", "late"),
        (Role::Labelled, "w/b", "early", "early"),
        (Role::Index, "w/image-index", "main", "main"),
    ] {
        assert!(bench.put(role, object, image(cmd)));
        assert_eq!(bench.runs("x", "app"), Some(format!("{expected} by index")));
    }
    let expected = "w/b ConfigMap w/b, key index.yaml:1:1: `app` is here already; remove one of the two \
                    (the first, ConfigMap w/image-index, key index.yaml:1:1, counts)";
    assert_eq!(bench.problems()[0], expected);
    assert!(!bench.put(Role::Index, "w/image-index", image("main")), "nothing has changed");
    assert!(bench.put(Role::Index, "w/image-index", map("index.yaml", "other: {cmd: [x]}\n")));
    assert_eq!(bench.runs("x", "app").as_deref(), Some("early by index"));
    assert!(bench.remove(Role::Index, "w/image-index"));
    assert_eq!(bench.runs("x", "other"), None, "who deletes an index means it");
    assert!(bench.remove(Role::Labelled, "w/b") && bench.remove(Role::Labelled, "w/z"));
    assert_eq!((bench.runs("x", "app"), bench.report.clone()), (None, Report::default()));
}

#[test]
fn an_invalid_edit_keeps_what_was_valid_and_the_next_mends_it() {
    let mut bench = Bench::start("");
    bench.put(Role::Index, "w/image-index", map("index.yaml", "app: {cmd: [x]}\n"));
    assert!(!bench.put(Role::Index, "w/image-index", map("index.yaml", "\napp: {cmd: 7}\n")));
    assert_eq!(bench.runs("x", "app").as_deref(), Some("x by index"));
    assert!(bench.problems()[0].starts_with("w/image-index ConfigMap w/image-index, key index.yaml:2:12: app: "));
    assert!(bench.put(Role::Index, "w/image-index", map("index.yaml", "app: {cmd: [z]}\n")));
    assert_eq!((bench.runs("x", "app").as_deref(), bench.problems().len()), (Some("z by index"), 0));
}

#[test]
fn the_shipped_entries_may_be_replaced() {
    let mut bench = Bench::start("");
    let own = bench.snapshot.shipped.len();
    assert!(own > 1 && bench.put(Role::Defaults, "w/image-index-defaults", map("images", "a: {cmd: [x]}\n")));
    assert_eq!(bench.snapshot.shipped.len(), 1);
    assert_eq!(bench.runs("x", "a"), None, "they come after the registry");
    assert!(bench.remove(Role::Defaults, "w/image-index-defaults"));
    assert_eq!(bench.snapshot.shipped.len(), own);
}

#[test]
fn a_namespaces_own_index_counts_as_far_as_it_is_granted() {
    let grants = |grants: &str| format!("imageIndex: {{namespaces: {{{grants}}}}}\n");
    let mut bench = Bench::start("");
    let own = || map("index.yaml", "app: {cmd: [own]}\nmine: {cmd: [own]}\n");
    bench.put(Role::Index, "w/image-index", map("index.yaml", "app: {cmd: [cluster]}\n"));
    assert!(!bench.put(Role::Namespace, "team-a/image-index", own()), "nobody granted it");
    assert!(bench.settings(&grants("add: [team-*]")));
    assert!(bench.put(Role::Namespace, "team-a/image-index", own()));
    let both = |bench: &Bench, namespace| (bench.runs(namespace, "app"), bench.runs(namespace, "mine"));
    let expect = |app: &str, mine: Option<&str>| (Some(app.to_owned()), mine.map(str::to_owned));
    assert_eq!(both(&bench, "team-a"), expect("cluster by index", Some("own by namespace")));
    assert_eq!(both(&bench, "team-b"), expect("cluster by index", None), "it is nobody else's");
    assert!(bench.settings(&grants("add: [team-*], override: [team-a]")));
    assert_eq!(both(&bench, "team-a"), expect("own by namespace", Some("own by namespace")));
    assert!(!bench.put(Role::Namespace, "team-a/image-index", map("index.yaml", "app: 1\nsecret: 2\n")));
    assert_eq!(both(&bench, "team-a"), expect("own by namespace", Some("own by namespace")));
    assert_eq!(bench.problems().len(), 2);
    let lines = bench.report.lines();
    assert_eq!(lines, ["not in effect: something in ConfigMap team-a/image-index; see its Events"]);
    assert!(bench.settings(&grants("override: [team-b]")));
    assert_eq!(both(&bench, "team-a"), expect("cluster by index", None));
    bench.settings(&grants("override: [team-a]"));
    assert_eq!(bench.runs("team-a", "mine"), None, "what is not granted is not kept");
}

#[test]
fn tenants_share_a_bounded_memory() {
    let mut bench = Bench::start("imageIndex: {namespaces: {add: ['*']}}\n");
    let word = "x".repeat(8000);
    let long = |bytes: usize| {
        let mut text = String::new();
        while text.len() + word.len() + 100 < bytes {
            let _ = writeln!(text, "app-{}: {{cmd: [{word}]}}", text.len());
        }
        map("index.yaml", &text)
    };
    bench.put(Role::Namespace, "a/image-index", long(LONGEST_OWN + 2 * word.len()));
    assert!(bench.problems()[0].contains("it is longer than the 262144 bytes that are left"), "{:?}", bench.problems());
    let fit = LONGEST_OWN_TOGETHER / long(LONGEST_OWN).data["index.yaml"].len();
    let all = (0..fit + 2).map(|n| ((Role::Namespace, name(&format!("n{n}/image-index"))), Some(long(LONGEST_OWN))));
    bench.refresh(all.collect());
    let counted = (0..fit + 2).filter(|n| bench.runs(&format!("n{n}"), "app-0").is_some()).count();
    assert_eq!(counted, fit);
    assert!(bench.composer.maps.values().map(IndexMap::size).sum::<usize>() <= LONGEST_OWN_TOGETHER);
}

const TWO: &str = "executor: {imagePullPolicy: Always}\ncontrollers:\n- namespace: blue\n- namespace: green\n  \
                   instanceID: green\n  managedNamespaces: [green-*]\n";

#[test]
fn each_controllers_configuration_counts_for_its_own() {
    let mut bench = Bench::start(TWO);
    let config = |config: &str| map("config", config);
    let object = |namespace: &str| format!("{namespace}/workflow-controller-configmap");
    bench.put(
        Role::Controller,
        &object("blue"),
        config("instanceID: blue\nexecutor: {image: corp/argoexec:blue, imagePullPolicy: Never}\nimages: {app: {cmd: [b]}}\n"),
    );
    bench.put(
        Role::Controller,
        &object("green"),
        config("instanceID: ignored\nexecutor: {image: corp/argoexec:green}\nworkflowDefaults: {spec: {podSpecPatch: '{}'}}\n"),
    );
    let image = |bench: &Bench, namespace, instance| {
        let decisions = bench.decisions(namespace, instance);
        let executor = &decisions.pod.executor;
        (executor.image.clone(), executor.image_pull_policy.clone(), decisions.belonging)
    };
    let default = Settings::default().executor.image.as_str().to_owned();
    let always = || Some("Always".to_owned());
    let table = [
        ("x", "blue", "corp/argoexec:blue", Belonging::One),
        ("green-1", "blue", "corp/argoexec:blue", Belonging::One),
        ("green-1", "green", "corp/argoexec:green", Belonging::One),
        ("x", "green", default.as_str(), Belonging::Nobody),
        ("green-1", "", default.as_str(), Belonging::Nobody),
    ];
    for (namespace, instance, expected, belonging) in table {
        let found = image(&bench, namespace, instance);
        assert_eq!(found, (expected.to_owned(), always(), belonging), "{namespace} {instance}: a file goes first");
    }
    let known = |bench: &Bench, instance| {
        let decisions = bench.decisions("x", instance);
        decisions.indexes.known(&Reference::parse("app").unwrap(), &decisions.pod.platforms).is_some()
    };
    assert!(known(&bench, "blue") && !known(&bench, ""));
    let green = bench.decisions("green-1", "green");
    assert_eq!(green.workflow.controller.pod_spec_patch.as_deref(), Some("{}"));
    assert_ne!(green.pod.stamp, bench.decisions("x", "blue").pod.stamp);

    assert!(!bench.put(Role::Controller, &object("blue"), config("instanceID: blue\nexecutor: {image: UPPER}\n")));
    assert_eq!(image(&bench, "x", "blue").0, "corp/argoexec:blue", "what was valid stays");
    assert!(bench.problems()[0].contains("blue/workflow-controller-configmap, key config:2:19: executor.image: "));
    assert!(bench.remove(Role::Controller, &object("blue")));
    assert_eq!(image(&bench, "x", "blue").2, Belonging::Nobody, "only its ConfigMap said that it is blue");
    assert!(bench.settings("controllers: [{namespace: a}, {namespace: b}]\n"));
    assert_eq!(bench.decisions("x", "").belonging, Belonging::Several);
    assert!(bench.settings(""));
    assert_eq!(bench.decisions("x", "").belonging, Belonging::Unasked);
}

#[test]
fn what_one_edit_touches_is_all_that_is_parsed() {
    let mut bench = Bench::start("");
    let long: String = (0..20_000).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "registry.example.com/app-{n}: {{cmd: [x]}}");
        text
    });
    bench.put(Role::Index, "w/image-index", map("index.yaml", &long));
    let place = |bench: &Bench| {
        let key = (Role::Index, name("w/image-index"));
        let file = bench.composer.maps[&key].files().next().unwrap();
        std::ptr::from_ref(&file.places[0]).addr()
    };
    let before = place(&bench);
    assert!(bench.put(Role::Labelled, "w/more", map("index.yaml", "more: {cmd: [x]}\n")));
    assert_eq!((bench.snapshot.index.len(), place(&bench)), (20_001, before), "the same parsed entries");
}

#[test]
fn what_the_documentation_shows_is_in_effect_as_it_stands() {
    #[derive(serde::Deserialize)]
    struct Manifest {
        kind: String,
        metadata: Metadata,
        data: BTreeMap<String, String>,
    }
    #[derive(serde::Deserialize)]
    struct Metadata {
        namespace: String,
        name: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configmaps.md")).unwrap();
    let blocks: Vec<&str> = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let (maps, settings): (Vec<&str>, Vec<&str>) = blocks.iter().partition(|block| block.contains("kind: "));
    assert_eq!((maps.len(), settings.len()), (4, 2));
    let mut bench = Bench::start(&settings.concat());
    let start = Place::whole("docs/configmaps.md");
    for block in maps {
        let Manifest { kind, metadata, data } = crate::manifest::parse_yaml(block, &start, 10).unwrap().value;
        let Metadata { namespace, name, labels } = metadata;
        let role = match name.as_str() {
            "image-index" => Role::Index,
            _ if labels.get(emissary_core::names::IMAGE_INDEX).is_some_and(|value| value == "true") => Role::Labelled,
            _ => Role::Controller,
        };
        let map = ConfigMap { data, ..ConfigMap::default() };
        assert!(kind == "ConfigMap" && bench.put(role, &format!("{namespace}/{name}"), map), "{block}");
    }
    assert_eq!(bench.report, Report::default());
    let image = |namespace, instance| {
        let decisions = bench.decisions(namespace, instance);
        (decisions.belonging, decisions.pod.executor.image.rsplit_once(':').unwrap().1.to_owned())
    };
    assert_eq!(image("x", "main"), (Belonging::One, "v4.1.2".to_owned()));
    assert_eq!(image("batch-1", "batch"), (Belonging::One, "v3.6.10".to_owned()));
    assert_eq!(image("x", "batch").0, Belonging::Nobody);
    assert_eq!(bench.runs("x", "registry.example.com/notebooks/a:1").as_deref(), Some(" by index"));
}
