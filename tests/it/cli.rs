//! The verbs that run and end: what they print, in which order, and how they end.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use sample_registry::{Image, Index, RunningRegistry, SampleRegistry};
use serde_json::{Deserializer, Value, json};
use tempfile::TempDir;

use crate::oracle::reviews;

/// One run of the program in a folder with an image index.
struct Run {
    folder: TempDir,
    arguments: Vec<String>,
    input: Option<String>,
}

/// How it ended, and what it wrote.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.yaml"), "example.com/app:1: {entrypoint: [/app], cmd: [serve]}\n").unwrap();
    Run { folder, arguments: arguments.iter().map(ToString::to_string).collect(), input: None }
}

/// `rewrite` that asks no registry.
fn rewrite(arguments: &[&str]) -> Run {
    run(&[&["rewrite", "--offline", "--image-index", "index.yaml", "--profile", "none"], arguments].concat())
}

impl Run {
    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"));
        command.env_clear().args(&self.arguments).current_dir(self.folder.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn end(&self) -> Ended {
        let mut command = self.command();
        match &self.input {
            None => command.stdin(Stdio::null()),
            // From a file: a pipe would have to be written and read at once.
            Some(text) => {
                let file = self.path("input");
                fs::write(&file, text).unwrap();
                command.stdin(fs::File::open(file).unwrap())
            }
        };
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(stdout), text(stderr));
        assert!(!format!("{stdout}{stderr}").contains('\u{1b}'), "colours where nobody sees them");
        Ended { code: status.code(), stdout, stderr }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Ended {
    #[track_caller]
    fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The JSON documents of its output.
    #[track_caller]
    fn documents(&self) -> Vec<Value> {
        Deserializer::from_str(&self.stdout).into_iter().collect::<Result<_, _>>().expect(&self.stdout)
    }
}

/// A pod that leaves its command to the image, opted in by label.
fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: ci\n  labels: {{emissary-webhook.io/inject: \"true\"}}\n\
         spec:\n  restartPolicy: Never\n  containers:\n  - name: main\n    image: {image}\n"
    )
}

fn workflow(name: &str, image: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  name: {name}\nspec:\n  entrypoint: a\n  templates:\n  - name: a\n    \
         container:\n      image: {image}\n"
    )
}

const APP: &str = "example.com/app:1";

/// What follows the wrapper in the main container's command.
#[track_caller]
fn runs(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let main = containers.iter().find(|container| container["name"] == "main").unwrap();
    let words: Vec<&str> =
        main["command"].as_array().expect("a command").iter().map(|word| word.as_str().unwrap()).collect();
    let end = words.iter().position(|word| *word == "--").expect("a wrapper");
    words[end + 1..].to_vec()
}

#[test]
fn every_form_of_output() {
    let input = || pod("one", APP);
    let ended = rewrite(&["-"]).input(&input()).end().code(0);
    assert!(ended.stdout.starts_with("apiVersion: v1\nkind: Pod\n"), "{}", ended.stdout);
    // YAML that comes out goes in again, and needs nothing more.
    let again = rewrite(&["-o", "patch", "-"]).input(&ended.stdout).end().code(0);
    assert_eq!(again.documents(), [json!([])]);

    let json = rewrite(&["-o", "json", "-"]).input(&input()).end().code(0);
    let [rewritten] = &json.documents()[..] else { panic!("{}", json.stdout) };
    assert_eq!(runs(rewritten)[..1], ["/app"]);
    assert_eq!(json.stdout.lines().count(), 1, "an object a line");

    let patch = rewrite(&["-o", "patch", "-"]).input(&input()).end().code(0);
    let [operations] = &patch.documents()[..] else { panic!("{}", patch.stdout) };
    let mut patched = rewrite(&["-o", "json", "-"])
        .input(&input().replace("inject: \"true\"", "inject: \"false\""))
        .end()
        .documents()
        .remove(0);
    patched["metadata"]["labels"]["emissary-webhook.io/inject"] = json!("true");
    json_patch::patch(&mut patched, &serde_json::from_value::<json_patch::Patch>(operations.clone()).unwrap()).unwrap();
    assert_eq!(&patched, rewritten);

    let diff = rewrite(&["-o", "diff", "-"]).input(&input()).end().code(0);
    assert!(diff.stdout.starts_with("--- pod/one as sent\n+++ pod/one rewritten\n@@ "), "{}", diff.stdout);
    assert!(diff.stdout.lines().any(|line| line.starts_with('+') && line.contains("/app")), "{}", diff.stdout);

    let explain = rewrite(&["-o", "explain", "-"]).input(&input()).end().code(0);
    let lines: Vec<&str> = explain.stdout.lines().collect();
    assert!(lines[0].starts_with("pod/one in ci: rewritten, ") && lines[0].ends_with(" operations"), "{}", lines[0]);
    assert_eq!(lines[1], "  container main: image example.com/app:1 runs [\"/app\",\"serve\"]");
    assert_eq!(lines[2], "    by image index, key example.com/app:1");

    let explain =
        rewrite(&["-o", "explain", "-"]).input(&format!("{}      args: [x]\n", workflow("w", APP))).end().code(0);
    assert!(explain.stdout.starts_with("workflow/w: rewritten, 1 operation\n"), "{}", explain.stdout);

    for output in ["yaml", "json", "patch", "diff", "explain"] {
        let untouched = rewrite(&["-o", output, "-"])
            .input("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n")
            .end()
            .code(0);
        let expected = match output {
            "yaml" => "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n",
            "json" => "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\"}}\n",
            "patch" => "[]\n",
            "diff" => "",
            _ => "configmap/c: left alone (other-kind)\n",
        };
        assert_eq!(untouched.stdout, expected, "{output}");
    }
}

#[test]
fn a_document_comes_out_for_each_that_goes_in_in_order() {
    let json = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).to_string();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        serde_json::from_str::<Value>(&json("list-1")).unwrap(), serde_json::from_str::<Value>(&json("list-2")).unwrap()]});
    let mut review = reviews().into_iter().find(|recorded| recorded.name == "3.3.10-docker-cmd").unwrap().review;
    review["request"]["object"]["metadata"]["name"] = json!("reviewed");
    let ended = rewrite(&["-o", "json", "many.yaml", "lines.jsonl", "-", "list.json", "review.json"])
        .file("many.yaml", &format!("# head\n---\n{}---\n---\n{}", pod("yaml-1", APP), workflow("yaml-2", APP)))
        .file("lines.jsonl", &format!("{}\n{}\n", json("line-1"), json("line-2")))
        .input(&pod("stdin", APP))
        .file("list.json", &list.to_string())
        .file("review.json", &review.to_string())
        .end()
        .code(0);
    let documents = ended.documents();
    let names: Vec<&str> = documents.iter().map(|document| document["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["yaml-1", "yaml-2", "line-1", "line-2", "stdin", "list-1", "list-2", "reviewed"]);
    assert_eq!(runs(&documents[0])[..1], ["/app"]);
    assert_eq!(documents[1]["spec"]["templates"][0]["container"]["command"], json!(["/app"]));
    assert_eq!(documents[1]["spec"]["templates"][0]["container"]["args"], json!(["serve"]));
    assert_eq!(runs(&documents[4])[..1], ["/app"]);
    assert!(!runs(&documents[7]).is_empty(), "the object of the review, rewritten");

    let yaml = rewrite(&["many.yaml"])
        .file("many.yaml", &format!("{}---\n{}", pod("a", APP), workflow("b", APP)))
        .end()
        .code(0);
    let parts: Vec<&str> = yaml.stdout.split("---\n").collect();
    assert_eq!(parts.len(), 2, "{}", yaml.stdout);
    assert!(parts[0].contains("name: a\n") && parts[1].contains("name: b\n"), "{}", yaml.stdout);
}

#[test]
fn what_is_denied_comes_out_as_it_went_in() {
    let always = pod("always", APP).replace("Never", "Always");
    let ended = rewrite(&["-o", "json", "-"]).input(&format!("{always}---\n{}", pod("fine", APP))).end().code(1);
    let documents = ended.documents();
    assert_eq!(documents[0]["spec"]["containers"], json!([{"name": "main", "image": APP}]));
    assert_eq!(runs(&documents[1])[..1], ["/app"]);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let [line] = lines[..] else { panic!("{}", ended.stderr) };
    assert!(line.starts_with("error: pod/always: spec.restartPolicy is Always: "), "{line}");
    assert!(line.ends_with("; set restartPolicy: Never"), "{line}");

    let unknown = rewrite(&["-o", "explain", "-"]).input(&pod("unknown", "example.com/none:1")).end().code(1);
    assert_eq!(
        unknown.stdout,
        "pod/unknown in ci: denied\n  container main has no command, and image example.com/none:1 could not be looked up: \
         no registry is asked here, and no image index has it\n"
    );
    assert_eq!(unknown.stderr, "");
}

#[test]
fn bad_input_says_where_and_the_rest_comes_out() {
    let text =
        format!("{}---\nkind: [1\nb: 2\n---\n{}---\njust text\n---\na: 1\na: 2\n", pod("first", APP), pod("last", APP));
    let ended = rewrite(&["-o", "json", "bad.yaml", "none.yaml", "-", "."])
        .file("bad.yaml", &text)
        .input("{\"kind\": \"Pod\",\n \"apiVersion\" \"v1\"}\n")
        .end()
        .code(2);
    let documents = ended.documents();
    let names: Vec<&str> = documents.iter().map(|document| document["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "last"]);
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    for (line, begins) in lines.iter().zip([
        "error: bad.yaml:14:",
        "error: bad.yaml:28:1: text, where an object",
        "error: bad.yaml:31:1: ",
        "error: none.yaml: cannot be read: No such file",
        "error: standard input:2:",
        "error: .: is a directory",
    ]) {
        assert!(line.starts_with(begins), "{line}, and not {begins}");
    }
    assert_eq!(lines.len(), 6, "{}", ended.stderr);

    // What is denied weighs less than what cannot be read.
    let both = format!("{}---\nnothing\n", pod("always", APP).replace("Never", "Always"));
    rewrite(&["-"]).input(&both).end().code(2);
    for (input, says) in [
        ("metadata: {name: x}\n", "error: standard input:1:1: not a Kubernetes object: it has no kind"),
        ("kind: AdmissionReview\n", "error: standard input:1:1: the AdmissionReview has no request.object"),
        (
            "kind: Pod\napiVersion: v1\nmetadata: {name: p}\nspec: {containers: main}\n",
            "error: standard input:1:1: pod/p: not a pod: invalid type: string \"main\", expected a sequence\n",
        ),
        (
            "kind: Workflow\napiVersion: argoproj.io/v1alpha1\nspec: {templates: main}\n",
            "error: standard input:1:1: workflow: not a Workflow: invalid type: string \"main\", expected ",
        ),
    ] {
        let ended = rewrite(&["-"]).input(input).end().code(2);
        assert!(ended.stderr.starts_with(says), "{}", ended.stderr);
    }
}

#[test]
fn wrong_usage_is_told_before_anything_is_read() {
    for (arguments, says) in [
        (&["rewrite"][..], "<FILE>..."),
        (&["rewrite", "-o", "xml", "-"], "explain"),
        (&["rewrite", "--profile", "restricted", "-"], "pss-restricted"),
        (&["rewrite", "--image-index", "none.yaml", "-"], "none.yaml: cannot be read"),
        (&["rewrite", "--platform", "amd64", "-"], "--platform"),
        (&["rewrite", "--timeout", "0", "-"], "between 0.1 and 300"),
        (&["rewrite", "--set", "rewrite.profil=none", "-"], "did you mean"),
        (&["resolve"], "<IMAGE>..."),
        (&["resolve", "--docker-config", "none.json", "a"], "none.json: cannot be read"),
        (&["resolve", "--docker-config", "index.yaml", "a"], "index.yaml: not a docker config"),
        (&["convert"], "unrecognized subcommand"),
        (&[], "Usage: "),
    ] {
        let ended = run(arguments).end().code(2);
        assert!(ended.stderr.contains(says), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let pods: String = (0..400).map(|n| format!("{}---\n", pod(&format!("pod-{n}"), APP))).collect();
    let run = rewrite(&["pods.yaml"]).file("pods.yaml", &pods);
    let mut process = run.command().stdin(Stdio::null()).spawn().unwrap();
    // As `| head -0` does it: what is written from now on meets nobody.
    drop(process.stdout.take());
    let Output { status, stderr, .. } = process.wait_with_output().unwrap();
    assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn documents_are_read_as_they_come() {
    use std::io::{BufRead as _, BufReader};
    let run = rewrite(&["-o", "json", "-"]);
    let mut process = run.command().stdin(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
    // More than are in hand at once, and the input stays open.
    for n in 0..100 {
        writeln!(input, "{}---", pod(&format!("pod-{n}"), APP)).unwrap();
    }
    input.flush().unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.contains("\"pod-0\""), "{line}");
    drop((input, output));
    process.wait().unwrap();
}

/// The label by which a namespace asks for Pod Security Admission.
fn namespace(level: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ci\n  labels: {{pod-security.kubernetes.io/enforce: {level}}}\n"
    )
}

#[test]
fn a_namespace_in_the_stream_is_known_to_what_follows() {
    let legacy = reviews().into_iter().find(|recorded| recorded.name == "3.3.10-docker-cmd").unwrap();
    let wait_of = |level: &str| {
        let input = format!("{}---\n{}\n", namespace(level), legacy.object());
        let arguments = ["rewrite", "--offline", "--image-index", "index.yaml", "-o", "json", "-"];
        let documents = run(&arguments).input(&input).end().code(0).documents();
        assert_eq!(documents[0]["kind"], "Namespace");
        documents[1]["spec"]["containers"].as_array().unwrap().iter().find(|c| c["name"] == "wait").unwrap().clone()
    };
    let context = &wait_of("restricted")["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false, "{context}");
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{context}");
    // A wait of another user cannot read the 0600 file of a main that is root.
    assert_eq!(context.get("runAsUser"), None, "{context}");
    assert_eq!(wait_of("baseline").get("securityContext"), None, "Argo's own containers stay as they are");
}

async fn registry() -> RunningRegistry {
    let image = |platform| Image::new(platform).entrypoint(&["/tool"]).cmd(&["--help"]).user("1000:1000");
    SampleRegistry::new()
        .put("tool:1", Index::oci().image(image("linux/amd64")).image(image("linux/arm64").cmd(&["--arm"])))
        .start()
        .await
        .unwrap()
}

/// Runs it off the async thread, on which the registry answers.
async fn end(run: Run) -> Ended {
    tokio::task::spawn_blocking(move || run.end()).await.unwrap()
}

#[tokio::test]
async fn resolve_says_what_images_run_and_who_says_so() {
    let registry = registry().await;
    let (host, tool) = (registry.address().to_string(), registry.reference("tool:1"));
    let base = ["resolve", "--image-index", "index.yaml", "--plain-http", &host];
    let resolve = |arguments: &[&str]| run(&[&base, arguments].concat());

    let answers = end(resolve(&["-o", "json", &tool, APP])).await.code(0).documents().remove(0);
    let on = |platform: &str, cmd: &str| json!({"platform": platform, "entrypoint": ["/tool"], "cmd": [cmd], "user": "1000:1000"});
    assert_eq!(
        answers,
        json!([
            {
                "image": tool, "reference": tool, "digest": registry.digest("tool:1"), "source": "registry",
                "offered": ["linux/amd64", "linux/arm64"],
                "platforms": [on("linux/amd64", "--help"), on("linux/arm64", "--arm")],
            },
            {
                "image": APP, "reference": APP, "digest": null, "source": "index", "key": APP, "offered": [],
                "platforms": [{"platform": null, "entrypoint": ["/app"], "cmd": ["serve"], "user": null}],
            },
        ])
    );

    let one = end(resolve(&["-o", "json", "--platform", "linux/arm64", &tool])).await.code(0).documents().remove(0);
    assert_eq!(one[0]["platforms"], json!([on("linux/arm64", "--arm")]));

    let table = end(resolve(&[&tool, APP])).await.code(0).stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["IMAGE", "PLATFORM", "ENTRYPOINT", "CMD", "USER", "SOURCE", "DIGEST"]);
    let digest = registry.digest("tool:1").unwrap();
    assert_eq!(rows[1], [&tool, "linux/amd64", "[\"/tool\"]", "[\"--help\"]", "1000:1000", "registry", &digest]);
    assert_eq!(rows[2][1..4], ["linux/arm64", "[\"/tool\"]", "[\"--arm\"]"]);
    assert_eq!(rows[3], [APP, "all", "[\"/app\"]", "[\"serve\"]", "index:", APP]);
}

#[tokio::test]
async fn resolve_ends_by_the_worst_answer_and_prints_the_others() {
    let registry = registry().await;
    let (host, missing) = (registry.address().to_string(), registry.reference("none:1"));
    let base = ["resolve", "-o", "json", "--image-index", "index.yaml", "--plain-http", &host];
    let resolve = |arguments: &[&str]| run(&[&base, arguments].concat());

    let ended = end(resolve(&[&missing, APP])).await.code(1);
    assert_eq!(ended.documents()[0][0]["image"], APP);
    let begins = format!("error: {missing}: the registry has no such image; check its name and tag");
    assert!(ended.stderr.starts_with(&begins), "{}", ended.stderr);

    let ended = end(resolve(&["UPPER:x:y", &missing, APP])).await.code(2);
    assert_eq!(ended.documents()[0][0]["image"], APP);
    assert!(ended.stderr.starts_with("error: UPPER:x:y: "), "{}", ended.stderr);

    let tool = registry.reference("tool:1");
    let ended = end(resolve(&["--platform", "windows/amd64", &tool])).await.code(1);
    assert!(ended.stderr.contains("it offers linux/amd64, linux/arm64"), "{}", ended.stderr);
}

#[test]
fn help_names_every_flag_and_says_what_it_is() {
    let verbs: [(&str, &[&str]); 4] = [
        (
            "serve",
            &[
                "--mode",
                "--listen",
                "--plain-listen",
                "--certificate",
                "--key",
                "--settings",
                "--set",
                "--print-settings",
                "/readyz",
                "SIGTERM",
            ],
        ),
        (
            "rewrite",
            &[
                "--output",
                "--image-index",
                "--settings",
                "--profile",
                "--offline",
                "Exit code 0",
                "explain",
                "AdmissionReview",
                "CronWorkflow",
            ],
        ),
        (
            "resolve",
            &[
                "--output",
                "--image-index",
                "--platform",
                "--docker-config",
                "--plain-http",
                "--allow-network",
                "Exit code 0",
            ],
        ),
        ("demo", &["--keep"]),
    ];
    let all = run(&["--help"]).end().code(0).stdout;
    for (verb, words) in verbs {
        assert!(all.lines().any(|line| line.trim_start().starts_with(verb)), "{verb}: {all}");
        let help = run(&[verb, "--help"]).end().code(0).stdout;
        for word in words {
            assert!(help.contains(word), "{verb}: {word}\n{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    }
    let version = run(&["--version"]).end().code(0).stdout;
    assert_eq!(version, format!("emissary-webhook {}\n", env!("CARGO_PKG_VERSION")));
}
