//! Each file under `examples/` is what its README says, by `rewrite` and without a registry.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

/// Settings with which an example is rewritten.
#[derive(Clone, Copy)]
enum With {
    /// `examples/settings.yaml`.
    Settings,
    /// The image index alone.
    Index,
}

/// Every example but the two that the others are rewritten with: the file, its exit code, and what is told of it.
const EXAMPLES: &[(&str, With, i32, &[&str])] = &[
    ("pods/bare.yaml", With::Settings, 0, &["rewritten", r#"runs ["/usr/bin/report","--format","text"]"#]),
    ("pods/own-command.yaml", With::Settings, 0, &["rewritten"]),
    ("pods/restarts.yaml", With::Settings, 1, &["denied", "spec.restartPolicy is OnFailure"]),
    ("pods/not-ours.yaml", With::Settings, 0, &["left alone (not-a-workflow-pod)"]),
    ("workflows/workflow.yaml", With::Settings, 0, &["rewritten", "report/main", "serve/main", "has parameters"]),
    ("workflows/cron-workflow.yaml", With::Settings, 0, &["rewritten", "main/main"]),
    ("workflows/cron-workflow.yaml", With::Index, 0, &["left alone (kind-not-listed)"]),
    ("reviews/01-bare-pod.json", With::Index, 0, &["rewritten", r#"runs ["/usr/bin/report","--format","text"]"#]),
    ("reviews/02-argo-3.3-docker.json", With::Index, 0, &["rewritten", r#"runs ["/bin/convert","--strict","--from""#]),
    ("reviews/03-argo-3.3-pns-sidecar.json", With::Index, 0, &["rewritten", "container upload", "$$(hostname)"]),
    ("reviews/04-argo-3.1-kubelet-script.json", With::Index, 0, &["rewritten", r#"["/opt/arm64/bin/python3","/argo/"#]),
    ("reviews/05-argo-3.1-k8sapi-private.json", With::Index, 0, &["rewritten", r#"["/ledger","close","--month"]"#]),
    ("reviews/06-image-not-there.json", With::Index, 1, &["denied", "image registry.example.com/shop/imports:1.0"]),
    ("reviews/07-workflow.json", With::Index, 0, &["rewritten", "report/main", "serve/main", "has parameters"]),
    ("reviews/08-agent.json", With::Index, 0, &["left alone (argo-component)"]),
];

fn rewrite(with: With, arguments: &[&str]) -> Output {
    let with = match with {
        With::Settings => ["--settings", "examples/settings.yaml"],
        With::Index => ["--image-index", "examples/image-index.yaml"],
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["rewrite", "--offline"]).args(with).args(arguments);
    command.output().unwrap()
}

#[test]
fn each_comes_out_as_it_is_described() {
    for (file, with, code, told) in EXAMPLES {
        let path = format!("examples/{file}");
        let output = rewrite(*with, &["-o", "explain", &path]);
        let text = String::from_utf8_lossy(&output.stdout);
        let told = told.iter().all(|told| text.contains(told));
        assert!(told && output.status.code() == Some(*code), "{file}: {:?}, {text}", output);
    }
}

#[test]
fn what_comes_out_needs_nothing_more() {
    for (file, with, ..) in EXAMPLES.iter().filter(|(.., code, _)| *code == 0) {
        let once = rewrite(*with, &["-o", "yaml", &format!("examples/{file}")]);
        let folder = tempfile::tempdir().unwrap();
        let rewritten = folder.path().join("rewritten.yaml");
        std::fs::write(&rewritten, &once.stdout).unwrap();
        let twice = rewrite(*with, &["-o", "patch", rewritten.to_str().unwrap()]);
        assert_eq!(String::from_utf8_lossy(&twice.stdout), "[]\n", "{file}");
    }
}

#[test]
fn each_is_described() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let mut found = BTreeSet::new();
    for folder in ["pods", "workflows", "reviews"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let short = if folder == "reviews" { name.clone() } else { format!("{folder}/{name}") };
            assert!(readme.contains(&format!("| `{short}` |")), "{short} is not in examples/README.md");
            found.insert(format!("{folder}/{name}"));
        }
    }
    let tried: BTreeSet<String> = EXAMPLES.iter().map(|(file, ..)| (*file).to_owned()).collect();
    assert_eq!(found, tried);
}
