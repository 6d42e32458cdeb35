use super::{Folder, Reviewed, path, repository};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: shop\n  labels: {emissary-webhook.io/inject: 'true'}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: main, image: example.com/app:1, command: [/app]}\n";

/// A pod that keeps to `restricted` by itself.
const CALM: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: calm\n  namespace: shop\n  labels: {emissary-webhook.io/inject: 'true'}\nspec:\n  restartPolicy: Never\n  securityContext: {runAsNonRoot: true, runAsUser: 7, seccompProfile: {type: RuntimeDefault}}\n  containers:\n  - name: main\n    image: example.com/app:1\n    command: [/app]\n    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.file("pod.yaml", POD).file("calm.yaml", CALM);
    folder
}

/// The verdicts of one engine, `executor verdict blame`.
fn words(reviewed: &Reviewed, engine: &str) -> Vec<String> {
    let lines = reviewed.lines().into_iter().filter(|line| line["engine"] == engine);
    lines
        .map(|line| {
            let word = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            [word("executor"), word("verdict"), word("blame")].join(" ")
        })
        .collect()
}

#[test]
fn what_is_injected_is_told_from_what_the_user_has() {
    let folder = folder();
    let none = ["--set", "rewrite.profile=none"];
    let table: [(&str, &[&str], [&str; 2]); 4] = [
        ("pod.yaml", &[], ["as-is denied user", "emissary denied user"]),
        ("pod.yaml", &none, ["as-is denied user", "emissary denied both"]),
        ("calm.yaml", &[], ["as-is allowed -", "emissary allowed -"]),
        ("calm.yaml", &none, ["as-is allowed -", "emissary denied injected"]),
    ];
    for (file, settings, expected) in table {
        let reviewed = folder.review(&[&["-o", "jsonl", "--pss", "restricted", file], settings].concat());
        assert_eq!(words(&reviewed, "pss"), expected, "{file} {settings:?}");
    }
}

#[test]
fn advice_is_proven_and_conflicts_are_told() {
    let folder = folder();
    let examples = path("examples/policies");
    let report = |arguments: &[&str]| -> Value {
        let reviewed = folder.review(&[&["-o", "json", "calm.yaml", "--executor", "emissary"], arguments].concat());
        serde_json::from_str(&reviewed.stdout).unwrap_or_else(|error| panic!("{error}: {}", reviewed.stderr))
    };
    // Nothing but the profile is at fault, and the profile mends it.
    let cell = &report(&["--pss", "restricted", "--set", "rewrite.profile=none"])["rows"][0]["cells"][0];
    assert_eq!(cell["judgements"][0]["causes"], json!(["container init", "container wait"]));
    assert_eq!(cell["change"]["settings"], json!(["rewrite.profile=pss-restricted"]));
    assert_eq!(cell["change"]["clears"], json!(["pss restricted:latest"]));
    let mended = folder.review(&["--pss", "restricted", "calm.yaml", "--set", "rewrite.profile=pss-restricted"]);
    assert_eq!(mended.code, Some(0), "{}", mended.stdout);
    // A PodSecurityPolicy without the annotation and the Standard want different things of the profile.
    let cell =
        &report(&["--pss", "restricted", "--policies", &format!("{examples}/limits.yaml")])["rows"][0]["cells"][0];
    let limits = cell["judgements"].as_array().unwrap().iter().find(|one| one["engine"] == "gatekeeper").unwrap();
    assert_eq!(limits["blame"], "both");
    assert_eq!(cell["change"]["clears"], json!(["gatekeeper RequiredLimits/cpu-and-memory"]));
}

#[test]
fn families_that_want_different_things_are_a_conflict() {
    let folder = Folder::new();
    let examples = path("examples");
    let reviewed = folder.review(&[
        "-o",
        "json",
        "--executor",
        "emissary",
        "--image-index",
        &format!("{examples}/image-index.yaml"),
        "--policies",
        &format!("{examples}/policies/pod-security-policies.yaml"),
        "--pss",
        "restricted",
        &format!("{examples}/pods/bare.yaml"),
    ]);
    let report: Value = serde_json::from_str(&reviewed.stdout).unwrap();
    let cell = &report["rows"][0]["cells"][0];
    let psp = cell["judgements"].as_array().unwrap().iter().find(|one| one["verdict"] == "denied").unwrap();
    assert_eq!((&psp["engine"], &psp["blame"]), (&json!("psp"), &json!("injected")));
    let field = "securityContext.seccompProfile";
    assert_eq!(psp["causes"], json!([format!("container init: {field}"), format!("container wait: {field}")]));
    let conflict = &cell["conflicts"][0];
    assert_eq!(conflict["settings"], json!(["rewrite.profile=psp-legacy"]));
    assert_eq!(
        (&conflict["clears"], &conflict["breaks"]),
        (&json!(["psp workflows"]), &json!(["pss restricted:latest"]))
    );
    let exception = cell["exceptions"][0]["text"].as_str().unwrap();
    assert!(exception.contains("allowedProfileNames=runtime/default"), "{exception}");
}

#[test]
fn policies_that_run_away_are_unknown_and_the_others_go_on() {
    let folder = folder();
    let good = "package good\nimport rego.v1\ndeny contains \"said\" if true\n";
    let slow = "package slow\nimport rego.v1\ndeny contains \"never\" if {\n\tsome a in numbers.range(1, 100000)\n\tsome b in numbers.range(1, 100000)\n\ta * b == -1\n}\n";
    let nested = format!("package deep\nimport rego.v1\nx := {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let recursive = "package turns\nimport rego.v1\nf(x) := f(x + 1)\ndeny contains f(0) if true\n";
    folder.file("good.rego", good).file("slow.rego", slow).file("deep.rego", &nested).file("turns.rego", recursive);
    let started = Instant::now();
    let policies = ["--policies", "good.rego", "--policies", "slow.rego", "--policies", "deep.rego"];
    let arguments = [&["-o", "jsonl", "--policy-deadline", "2", "pod.yaml", "calm.yaml"], &policies[..]].concat();
    let reviewed = folder.review(&arguments);
    // It is the processor's time that counts, of which others on the machine may leave little.
    assert!(started.elapsed() < Duration::from_secs(400));
    let lines = reviewed.lines();
    assert_eq!(lines.len(), 2 * 2 * 3, "{}", reviewed.stdout);
    for line in lines {
        let expected = match line["policy"].as_str().unwrap() {
            "good.deny" => ("denied", "said"),
            "slow.deny" => ("unknown", "it was stopped after 2 s"),
            _ => ("unknown", "it ended the process that judged"),
        };
        let message = line["message"].as_str().unwrap();
        assert!(line["verdict"] == expected.0 && message.contains(expected.1), "{line}");
    }
    let strict = folder.review(&["--policy-deadline", "2", "--strict", "--policies", "slow.rego", "pod.yaml"]);
    assert_eq!(strict.code, Some(3), "{}", strict.stdout);
    // It is refused, or it is unknown; what it is not is a review that never ends.
    let turns = folder.review(&["--policy-deadline", "2", "--policies", "turns.rego", "pod.yaml"]);
    let said = [turns.stdout.as_str(), &turns.stderr].concat();
    assert!(said.contains("unknown") || turns.code == Some(2), "{said}");
}

#[test]
fn what_only_a_run_fills_in_is_unknown_where_it_is_judged() {
    let folder = folder();
    folder.file("tag.yaml", &POD.replace("example.com/app:1", "'{{inputs.parameters.image}}'"));
    folder.file("arguments.yaml", &POD.replace("command: [/app]", "command: [/app], args: ['{{workflow.name}}']"));
    let registries = path("examples/policies/registries.rego");
    for (file, expected) in [("tag.yaml", "unknown"), ("arguments.yaml", "denied")] {
        let reviewed = folder.review(&["-o", "jsonl", "--executor", "as-is", "--policies", &registries, file]);
        assert_eq!(reviewed.lines()[0]["verdict"], expected, "{}", reviewed.stdout);
    }
}

#[test]
fn a_request_says_who_asks_and_namespaces_come_with_the_input() {
    let folder = folder();
    let pod: Value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": "shop", "object": pod,
        "userInfo": {"username": "eve", "groups": ["outsiders"]},
    }});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    folder.file("review.jsonl", &format!("{namespace}\n{review}\n")).file("pod.json", &pod.to_string());
    folder.file(
        "who.rego",
        "package who\nimport rego.v1\ndeny contains m if m := sprintf(\"%v of %v %v\", [input.request.userInfo.username, concat(\",\", input.request.userInfo.groups), input.request.operation])\n",
    );
    let reviewed = folder.review(&["-o", "jsonl", "--executor", "as-is", "--policies", "who.rego", "review.jsonl"]);
    let said: Vec<(Value, Value)> =
        reviewed.lines().into_iter().map(|line| (line["policy"].clone(), line["message"].clone())).collect();
    assert_eq!(said.last().unwrap(), &(json!("who.deny"), json!("eve of outsiders CREATE")));
    assert_eq!(said[0].0, "restricted:latest", "the namespace of the input holds");
    let arguments = [
        "-o",
        "jsonl",
        "--executor",
        "as-is",
        "--policies",
        "who.rego",
        "--as",
        "ann",
        "--as-group",
        "ops",
        "pod.json",
    ];
    assert_eq!(folder.review(&arguments).lines()[0]["message"], "ann of ops,system:authenticated CREATE");
}

#[test]
fn a_baseline_and_expectations_decide_what_fails() {
    let folder = folder();
    let written = folder.review(&["-o", "json", "--pss", "restricted", "pod.yaml"]);
    assert_eq!(written.code, Some(1));
    folder.file("before.json", &written.stdout).file("other.yaml", &POD.replace("name: a", "name: b"));
    folder.file("no.json", "{}");
    let table: [(&[&str], i32); 7] = [
        (&["--baseline", "before.json", "pod.yaml"], 0),
        (&["--baseline", "before.json", "pod.yaml", "other.yaml"], 1),
        (&["--baseline", "no.json", "pod.yaml"], 2),
        (&["--expect", "emissary=restricted", "calm.yaml"], 0),
        (&["--expect", "emissary=restricted", "pod.yaml"], 1),
        (&["--expect", "emissary=baseline", "pod.yaml"], 0),
        (&["--expect", "docker", "pod.yaml"], 2),
    ];
    for (arguments, expected) in table {
        let reviewed = folder.review(&[&["--pss", "restricted"], arguments].concat());
        assert_eq!(reviewed.code, Some(expected), "{arguments:?}: {}{}", reviewed.stdout, reviewed.stderr);
    }
}

#[test]
fn what_judges_nothing_is_said() {
    let folder = folder();
    let policy = fs::read_to_string(repository("examples/policies/limits.yaml")).unwrap();
    let constraint = policy.split("---\n").nth(1).unwrap();
    folder.file("twice.yaml", &format!("{policy}---\n{}", constraint.replace("[cpu, memory]", "[memory]")));
    folder.file("orphan.yaml", &constraint.replace("RequiredLimits", "Nobody"));
    let reviewed = folder.review(&["--policies", "twice.yaml", "--policies", "orphan.yaml", "--strict", "pod.yaml"]);
    assert!(
        reviewed.stderr.contains("twice.yaml:33:1: RequiredLimits/cpu-and-memory judges nothing: twice.yaml:"),
        "{}",
        reviewed.stderr
    );
    assert!(
        reviewed.stderr.contains("orphan.yaml:1:1: Nobody/cpu-and-memory judges nothing: there is no template"),
        "{}",
        reviewed.stderr
    );
    assert_eq!(reviewed.code, Some(3), "{}", reviewed.stdout);
    let none = folder.review(&["pod.yaml"]);
    assert!(none.code == Some(2) && none.stderr.contains("no policy to review by"), "{}", none.stderr);
}

#[test]
fn the_schema_is_the_one_in_the_documentation() {
    let file = repository("docs/review.schema.json");
    let schema = serde_json::to_string_pretty(&emissary_webhook::review::Report::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&file, &schema).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), schema, "UPDATE_CASES=1 writes it");
}

#[test]
fn every_output_is_whole_and_holds_no_markup_of_strangers() {
    let folder = folder();
    let hostile =
        "package x\nimport rego.v1\ndeny contains \"</script><img src=x onerror=alert(1)>\\n::error::|`]]>\" if true\n";
    folder.file("x.rego", hostile);
    let output =
        |form: &str| folder.review(&["-o", form, "--policies", "x.rego", "--pss", "restricted", "pod.yaml"]).stdout;
    let page = output("html");
    assert_eq!(page.matches("</script>").count(), 1, "the page's own end");
    assert!(!page.contains("<img") && page.contains("\\u003cimg"));
    assert!(output("github").lines().all(|line| line.starts_with("::error file=pod.yaml,line=1,title=")));
    assert!(!output("markdown").contains("<img"));
    let junit = output("junit");
    assert!(
        !junit.contains("<img") && junit.contains("<testsuite name=\"as-is\" tests=\"2\" failures=\"2\""),
        "{junit}"
    );
    let sarif: Value = serde_json::from_str(&output("sarif")).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 1);
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 4);
    let report = output("policy-report");
    assert!(report.contains("kind: PolicyReport") && report.contains("fail: 4"), "{report}");
    let table = output("table");
    assert!(table.starts_with("NAMESPACE  PODS   AS-IS   EMISSARY\nshop       pod/a  denied  denied\n"), "{table}");
}
