//! The verbs of `index` as people type them, against a registry on loopback and files in a folder of their own.

use sample_registry::{Image, Index, RunningRegistry, SampleRegistry};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A registry, and a folder to work in.
struct Desk {
    runtime: Runtime,
    registry: RunningRegistry,
    folder: TempDir,
}

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let image = |platform: &str, program: &str| Image::new(platform).entrypoint(&[program]);
        let registry = SampleRegistry::new()
            .put("team/app:1", image("linux/amd64", "/app"))
            .put("team/both:1", Index::oci().image(image("linux/amd64", "/x")).image(image("linux/arm64", "/x")))
            .put("team/differ:1", Index::oci().image(image("linux/amd64", "/x")).image(image("linux/arm64", "/y")))
            .put("team/words:1", Image::new("linux/amd64").cmd(&["nginx", "-g", "daemon off;", "yes"]));
        let registry = runtime.block_on(registry.start()).unwrap();
        Self { runtime, registry, folder: tempfile::tempdir().unwrap() }
    }

    fn image(&self, name: &str) -> String {
        self.registry.reference(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Runs `index` with these words; those that ask registries are told to use no TLS.
    fn run(&self, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"));
        command.current_dir(self.folder.path()).arg("index").args(words).env("NO_PROXY", "127.0.0.1");
        if ["add", "from", "verify"].contains(&words[0]) {
            let host = self.registry.address().to_string();
            command.args(["--plain-http", &host, "--allow-network", "127.0.0.0/8"]);
        }
        // The registry runs on the runtime's own threads meanwhile.
        let _guard = self.runtime.enter();
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let said = Said { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) };
        println!("$ index {}\n{}{}-> {}", words.join(" "), said.stdout, said.stderr, said.code);
        said
    }
}

#[test]
fn add_writes_what_the_registry_says_and_keeps_what_is_there() {
    let desk = Desk::new();
    let [app, both, differ, words] =
        ["team/app:1", "team/both:1", "team/differ:1", "team/words:1"].map(|name| desk.image(name));
    let before = "# ours\nalpine: # by hand\n  cmd: [/bin/ash]\n";
    desk.write("image-index.yaml", before);
    let said = desk.run(&["add", &app, &both, &differ, &words, &app]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let expected = format!(
        "{before}{app}: {{entrypoint: [/app]}}\n{both}: {{entrypoint: [/x]}}\n\
         {differ}: {{entrypoint: [/x], platforms: {{linux/arm64: {{entrypoint: [/y]}}}}}}\n\
         {words}: {{cmd: [nginx, -g, \"daemon off;\", \"yes\"]}}\n"
    );
    assert_eq!(desk.text("image-index.yaml"), expected);

    let said = desk.run(&["add", &app]);
    assert_eq!((said.code, said.stderr.as_str()), (0, "image-index.yaml: 0 added, 0 replaced, 1 there already\n"));
    desk.registry.put("team/app:1", Image::new("linux/amd64").entrypoint(&["/new"]));
    let said = desk.run(&["add", &app]);
    assert_eq!(said.code, 1);
    for part in ["image-index.yaml:4:1: ", "--force", "- ", "[/app]", "+ ", "[/new]"] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    assert_eq!(desk.text("image-index.yaml"), expected);
    assert_eq!(desk.run(&["add", "--force", &app]).code, 0);
    assert_eq!(desk.text("image-index.yaml"), expected.replace("[/app]", "[/new]"));
}

#[test]
fn add_prints_pins_and_says_what_is_not_there() {
    let desk = Desk::new();
    let (app, none) = (desk.image("team/app:1"), desk.image("team/none:1"));
    let digest = desk.registry.digest("team/app:1").unwrap();
    let said = desk.run(&["add", "--file", "-", "--pin", &app, &none]);
    assert_eq!(said.code, 1);
    assert_eq!(said.stdout, format!("{app}@{digest}: {{entrypoint: [/app]}}\n"));
    assert!(said.stderr.contains(&format!("{none}: the registry has no such image")), "{}", said.stderr);
    assert_eq!(desk.run(&["add", "UPPER"]).code, 2);

    desk.write("known.yaml", &format!("{app}: {{cmd: [x]}}\n"));
    let said = desk.run(&["add", "--file", "-", "--image-index", "known.yaml", &app]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    assert!(said.stderr.contains("left out"), "{}", said.stderr);
}

#[test]
fn from_finds_the_images_of_manifests() {
    let desk = Desk::new();
    let [app, both, words] = ["team/app:1", "team/both:1", "team/words:1"].map(|name| desk.image(name));
    fs::create_dir_all(desk.folder.path().join("manifests/deep")).unwrap();
    let workflow = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {"templates": [
        {"name": "a", "container": {"image": app}},
        {"name": "b", "dag": {"tasks": [{"name": "t", "inline": {"container": {"image": both}}}]}},
        {"name": "c", "container": {"image": "{{inputs.parameters.image}}"}},
        {"name": "d", "container": {"image": "never/asked:1", "command": ["x"]}}]}});
    desk.write("manifests/deep/workflow.yaml", &workflow.to_string());
    let job = json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": words}]}}}}}});
    desk.write("manifests/job.json", &job.to_string());
    let said = desk.run(&["from", "manifests", "--file", "made.yaml"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("workflow.yaml:1:1: image {{inputs.parameters.image}} has parameters"));
    let text = desk.text("made.yaml");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!([app, both, words].iter().all(|image| text.contains(&format!("{image}: "))), "{text}");
}

#[test]
fn verify_finds_drift() {
    let desk = Desk::new();
    let [app, both, differ, none] =
        ["team/app:1", "team/both:1", "team/differ:1", "team/none:1"].map(|name| desk.image(name));
    let host = desk.registry.address();
    let good = format!("{app}: {{entrypoint: [/app]}}\n{both}: {{entrypoint: [/x]}}\n\"{host}/**\": {{cmd: [x]}}\n");
    desk.write("image-index.yaml", &good);
    let said = desk.run(&["verify"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    assert_eq!(said.stderr, "2 same, 0 drifted, 0 unknown, 1 skipped\n");

    desk.write("gone.yaml", &format!("{none}: {{entrypoint: [/app]}}\n"));
    let said = desk.run(&["verify", "gone.yaml"]);
    assert_eq!(said.code, 3);
    assert!(said.stdout.contains("the registry has no such image"), "{}", said.stdout);

    desk.write(
        "drift.yaml",
        &format!("# a\n{differ}: {{entrypoint: [/x]}}\n{app}: {{platforms: {{linux/s390x: {{cmd: [x]}}}}}}\n"),
    );
    let said = desk.run(&["verify", "drift.yaml", "gone.yaml", "-o", "json"]);
    assert_eq!(said.code, 1);
    let verdicts: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(verdicts[0]["state"], "drift");
    assert_eq!((verdicts[0]["line"].as_u64(), verdicts[0]["column"].as_u64()), (Some(2), Some(1)));
    assert_eq!(
        verdicts[0]["differences"],
        json!([{"platform": "linux/arm64", "index": {"entrypoint": ["/x"], "cmd": []}, "registry": {"entrypoint": ["/y"], "cmd": []}}])
    );
    assert_eq!(verdicts[1]["differences"][0]["registry"], Value::Null);
    assert_eq!(verdicts[2]["state"], "unknown");
    let said = desk.run(&["verify", "drift.yaml"]);
    assert!(said.stdout.contains("drift.yaml:2") && said.stdout.contains("no such platform"), "{}", said.stdout);
}

#[test]
fn lint_says_file_line_and_column() {
    let desk = Desk::new();
    desk.write("a.yaml", "alpine:3.20.1: {cmd: [/bin/sh]}\nr.io/*b: {cmd: [x]}\nr.io/**b: {cmd: [x]}\n");
    desk.write("b.yaml", "library/alpine:3.20.1: {cmd: [x]}\nb:\n  cmd: 7\n");
    let said = desk.run(&["lint", "a.yaml", "b.yaml"]);
    assert_eq!(said.code, 1);
    let starts: Vec<String> =
        said.stdout.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(starts, ["a.yaml:2:1: shadowed:", "b.yaml:1:1: duplicate:", "b.yaml:3:8: malformed:"]);
    let said = desk.run(&["lint", "a.yaml", "-o", "json", "--immutable"]);
    let findings: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(findings[0]["rule"], "floating");
    assert_eq!(desk.run(&["lint", "nowhere.yaml"]).code, 2);
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/image-index.yaml"), desk.folder.path().join("image-index.yaml"))
        .unwrap();
    let said = desk.run(&["lint", "--immutable"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""), "what is shipped is clean");
}

#[test]
fn import_and_export_carry_an_index_both_ways() {
    let desk = Desk::new();
    let old = "kind: ConfigMap\ndata:\n  config: |\n    parallelism: 5\n    images:\n      a:1: {command: [/a], args: [b]}\n      c:1:\n        command: [/c]\n";
    let new =
        "kind: ConfigMap\ndata:\n  images: |\n    a:1: {entrypoint: [/a], cmd: [b]}\n    c:1: {entrypoint: [/c]}\n";
    for (name, text) in [("old.yaml", old), ("new.yaml", new)] {
        desk.write(name, text);
        let made = format!("from-{name}");
        assert_eq!(desk.run(&["import", name, "--file", &made]).code, 0);
        assert_eq!(desk.text(&made), "a:1: {entrypoint: [/a], cmd: [b]}\nc:1: {entrypoint: [/c]}\n");
        let said = desk.run(&["export", &made, "--format", "argo", "--argo-version", "3.3"]);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (0, "images: |\n  a:1: {command: [/a], args: [b]}\n  c:1: {command: [/c]}\n")
        );
    }
    desk.write("globs.yaml", "r.io/*: {cmd: [x]}\na:1: {cmd: [x]}\n");
    let said = desk.run(&["export", "globs.yaml", "--format", "argo"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, "images: |\n  a:1: {cmd: [x]}\n"));
    assert!(said.stderr.contains("r.io/*: left out: a glob"), "{}", said.stderr);
    let said = desk.run(&["export", "globs.yaml", "-n", "argo"]);
    desk.write("shards.yaml", &said.stdout);
    assert!(said.stdout.contains("name: image-index-000\n  namespace: argo\n"), "{}", said.stdout);
    assert_eq!(desk.run(&["import", "shards.yaml", "--file", "back.yaml"]).code, 0);
    assert_eq!(desk.text("back.yaml"), "a:1: {cmd: [x]}\nr.io/*: {cmd: [x]}\n");
}
