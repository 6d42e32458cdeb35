//! The columns of other executors, against what real controllers made for them: a pod that is put on or rendered is judged as
//! the recorded one is.

use super::{Folder, path};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use crate::oracle::{Recorded, configurations, image_index, twins};
use crate::oracles::assert_none;
use crate::rendering;

/// Policies by arguments: a PodSecurityPolicy refuses a pod before the others are asked.
fn families() -> [Vec<String>; 2] {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let file = |name: &str| words(&["--policies", &path(&format!("tests/oracles/{name}"))]);
    [
        [words(&["--pss", "restricted", "--pss", "baseline"]), file("vap/policies"), file("vap/namespaces.yaml")]
            .concat(),
        [words(&["--assume-use", "all"]), file("psp/baseline.yaml")].concat(),
    ]
}

/// A recorded review under a name by which its lines are found.
fn named(recorded: &Recorded, at: usize) -> Value {
    let mut review = recorded.review.clone();
    review["request"]["name"] = json!(format!("case-{at}"));
    // Not all were recorded as the same user's.
    review["request"].as_object_mut().unwrap().remove("userInfo");
    review
}

/// A message without places in lists, whose order the executors do not share.
fn unplaced(message: &str) -> String {
    let mut parts = message.split('[');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        let is_place = part.find(']').is_some_and(|end| part[..end].bytes().all(|byte| byte.is_ascii_digit()));
        text + "[" + if is_place { part.trim_start_matches(|c: char| c.is_ascii_digit()) } else { part }
    })
}

/// A policy that quotes variables in the order of the pod, in which the executors differ.
const QUOTES_AN_ORDER: &str = "msg-long";

/// Verdict and message by engine, policy and stage.
type Said = BTreeMap<String, (String, String)>;

/// What is said, by the number of the case and the executor.
fn said(lines: &[Value]) -> BTreeMap<(String, String), Said> {
    let mut all: BTreeMap<(String, String), Said> = BTreeMap::new();
    for line in lines {
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        let policy = [text("engine"), text("policy"), text("stage")].join(" ");
        let cell = all.entry((text("pod"), text("executor"))).or_default();
        let message = if line["policy"] == QUOTES_AN_ORDER { String::new() } else { unplaced(&text("message")) };
        cell.insert(policy, (text("verdict"), message));
    }
    all
}

struct Run<'a> {
    folder: Folder,
    arguments: &'a [&'a str],
}

impl Run<'_> {
    /// By all families.
    fn said(&self, reviews: &[Value], executors: &[&str]) -> BTreeMap<(String, String), Said> {
        self.folder.file("input.jsonl", &reviews.iter().map(|review| format!("{review}\n")).collect::<String>());
        let mut all: BTreeMap<(String, String), Said> = BTreeMap::new();
        for family in families() {
            let mut arguments = vec!["-o", "jsonl", "input.jsonl"];
            arguments.extend(self.arguments);
            arguments.extend(family.iter().map(String::as_str));
            arguments.extend(executors.iter().flat_map(|executor| ["--executor", executor]));
            for (cell, said) in said(&self.folder.review(&arguments).lines()) {
                all.entry(cell).or_default().extend(said);
            }
        }
        all
    }
}

#[test]
fn a_pod_with_another_executor_put_on_is_judged_as_its_twin() {
    // `PNS_PRIVILEGED` stands in the controller's environment, which no configuration shows.
    let privileged = |old: &Recorded| old.name.contains("-pns-") && old.name.ends_with(".sel");
    let twins: Vec<_> = twins().into_iter().filter(|(old, _)| !privileged(old)).collect();
    let folder = Folder::new();
    folder.file("controller.json", &json!({"kubeletPort": 10250, "kubeletInsecure": true}).to_string());
    let run = Run { folder, arguments: &["--controller-config", "controller.json"] };
    let (mut complaints, mut counts) = (Vec::new(), Vec::new());
    for executor in ["docker", "kubelet", "k8sapi", "pns"] {
        let twins: Vec<_> = twins.iter().filter(|(old, _)| old.parts().unwrap().1 == executor).collect();
        let reviews: (Vec<Value>, Vec<Value>) =
            twins.iter().enumerate().map(|(at, (old, new))| (named(old, at), named(new, at))).unzip();
        let (real, made) = (run.said(&reviews.0, &["as-is"]), run.said(&reviews.1, &[executor]));
        for (at, (old, new)) in twins.iter().enumerate() {
            let pod = format!("pod/case-{at}");
            let real = &real[&(pod.clone(), "as-is".to_owned())];
            let made = &made[&(pod, executor.to_owned())];
            assert!(real.len() > 20, "{}: {real:?}", old.name);
            for policy in real.keys().chain(made.keys()).collect::<BTreeSet<_>>() {
                if real.get(policy) != made.get(policy) {
                    let (real, made) = (real.get(policy), made.get(policy));
                    complaints.push(format!("{} as {}: {policy}: {made:?}, and {real:?}", new.name, old.name));
                }
            }
        }
        counts.push(twins.len());
    }
    assert_none(&complaints, twins.len());
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

/// How a recorded controller was configured.
fn configuration(case: &rendering::Case) -> String {
    let (release, executor, _) = case.pod.parts().unwrap();
    if release == "4.1.2" {
        return json!({"executor": {"image": "localhost/argoexec:lab", "imagePullPolicy": "Never"}}).to_string();
    }
    let all = configurations();
    let second = if case.pod.name.ends_with(".sel") { "-sel" } else { "" };
    let mut configuration = all[&format!("3.3.10-docker{second}")].clone();
    configuration["executor"]["image"] = json!(format!("quay.io/argoproj/argoexec:v{release}"));
    configuration["kubeletPort"] = json!(10250);
    configuration["kubeletInsecure"] = json!(true);
    let privileged = executor == "pns" && !second.is_empty();
    assert!(!privileged, "{}", case.pod.name);
    configuration.to_string()
}

#[test]
fn a_template_is_judged_as_the_pod_that_a_controller_made_of_it() {
    const VERSIONS: [(&str, &str); 5] =
        [("docker", "3.3.10"), ("kubelet", "3.3.10"), ("pns", "3.3.10"), ("k8sapi", "3.1.15"), ("emissary", "4.1.2")];
    let cases = rendering::cases();
    let mut index = image_index();
    index["images"]["localhost:5000/lab/hello:1"] =
        json!({"entrypoint": ["/bin/echo", "from-entrypoint"], "cmd": ["hello"]});
    // One run for each way in which a controller was configured.
    let mut runs: BTreeMap<(String, &str), Vec<&rendering::Case>> = BTreeMap::new();
    for case in &cases {
        let (release, executor, _) = case.pod.parts().unwrap();
        let is_asked = VERSIONS.contains(&(executor, release));
        if is_asked && !(executor == "pns" && case.pod.name.ends_with(".sel")) {
            runs.entry((configuration(case), executor)).or_default().push(case);
        }
    }
    let (mut complaints, mut compared, mut unknown, mut pods) = (Vec::new(), 0, Vec::new(), BTreeMap::new());
    for ((configuration, executor), cases) in runs {
        let folder = Folder::new();
        folder.file("controller.json", &configuration).file("index.json", &index.to_string());
        let arguments = &["--controller-config", "controller.json", "--image-index", "index.json"];
        let run = Run { folder, arguments };
        let real: Vec<Value> = cases.iter().enumerate().map(|(at, case)| named(&case.pod, at)).collect();
        let real = run.said(&real, &["as-is"]);
        let workflows: BTreeMap<&str, &Value> =
            cases.iter().map(|case| (case.workflow.name.as_str(), &case.workflow.review)).collect();
        let workflows: Vec<Value> = workflows.into_values().cloned().collect();
        let made = run.said(&workflows, &[executor]);
        for (at, case) in cases.iter().enumerate() {
            *pods.entry(executor).or_insert(0) += 1;
            let real = &real[&(format!("pod/case-{at}"), "as-is".to_owned())];
            let metadata = &case.workflow.object()["metadata"];
            let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap();
            let made = &made[&(format!("workflow/{name}/{}", case.template), executor.to_owned())];
            for policy in real.keys().chain(made.keys()).collect::<BTreeSet<_>>() {
                compared += 1;
                let verdict = |said: &Said| said.get(policy).map(|(verdict, _)| verdict.clone());
                match (verdict(real), verdict(made)) {
                    (real, made) if real == made => {}
                    (_, Some(made)) if made == "unknown" => unknown.push(format!("{}: {policy}", case.pod.name)),
                    (_, _) => complaints.push(format!(
                        "{}: {policy}: {:?}, and {:?}",
                        case.pod.name,
                        made.get(policy),
                        real.get(policy)
                    )),
                }
            }
        }
    }
    if let Ok(file) = std::env::var("RENDERING_REPORT") {
        std::fs::write(file, [complaints.join("\n"), unknown.join("\n")].join("\n\n")).unwrap();
    }
    assert_none(&complaints, compared);
    assert!(pods.len() == 5 && pods.values().all(|count| *count > 8), "{pods:?}");
    // What only a run knows, in a field that a policy judges.
    assert!(unknown.len() * 20 < compared, "{} of {compared} are unknown: {:?}", unknown.len(), unknown.first());
}

const WORKFLOW: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: hello, namespace: shop}\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - name: say\n        template: say\n      - name: far\n        templateRef: {name: shared, template: x}\n  - name: say\n    inputs: {parameters: [{name: image}]}\n    container: {image: 'IMAGE', command: [/app]}\n";

const EVERY: [&str; 12] = [
    "--executor",
    "as-is",
    "--executor",
    "docker",
    "--executor",
    "kubelet",
    "--executor",
    "k8sapi",
    "--executor",
    "pns",
    "--executor",
    "emissary",
];

/// `executor verdict blame` of what one engine says of a pod.
fn words(lines: &[Value], pod: &str, engine: &str) -> Vec<String> {
    let of = lines.iter().filter(|line| line["pod"] == pod && line["engine"] == engine);
    of.map(|line| ["executor", "verdict", "blame"].map(|key| line[key].as_str().unwrap_or("-")).join(" ")).collect()
}

#[test]
fn a_workflow_is_a_pod_a_template_and_what_stands_elsewhere_is_unknown() {
    let folder = Folder::new();
    folder.file("workflow.yaml", &WORKFLOW.replace("IMAGE", "example.com/app:1"));
    let arguments = |more: &[&'static str]| [&["-o", "jsonl", "workflow.yaml"], more].concat();
    let lines = folder.review(&[arguments(&["--pss", "baseline"]), EVERY.to_vec()].concat()).lines();
    assert_eq!(
        words(&lines, "workflow/hello/say", "pss"),
        [
            "docker denied injected",
            "kubelet allowed -",
            "k8sapi allowed -",
            "pns denied injected",
            "emissary allowed -"
        ]
    );
    let elsewhere = words(&lines, "workflow/hello/main.far", "argo");
    assert_eq!(elsewhere.len(), 5, "{lines:?}");
    assert!(elsewhere.iter().all(|words| words.ends_with(" unknown -")), "{elsewhere:?}");
    // The user's part is told from Argo's, and what would help against that.
    let json = folder.review(&["-o", "json", "workflow.yaml", "--pss", "restricted", "--executor", "emissary"]).stdout;
    let report: Value = serde_json::from_str(&json).unwrap();
    let cell = &report["rows"][0]["cells"][0];
    assert_eq!(cell["judgements"][0]["blame"], "both", "{json}");
    assert_eq!(cell["judgements"][0]["causes"], json!(["container init", "container wait"]));
    assert_eq!(cell["change"]["settings"], json!(["rewrite.hardenArgoContainers=true"]), "{json}");
    // As it is it is no pod: nothing is said, and that is said.
    let as_is = folder.review(&["workflow.yaml", "--pss", "baseline", "--executor", "as-is"]);
    assert!(as_is.code == Some(0) && as_is.stderr.contains("1 of kind Workflow not judged"), "{}", as_is.stderr);
}

#[test]
fn parameters_of_a_template_are_unknown_where_they_are_judged() {
    let registries = path("examples/policies/registries.rego");
    for (image, expected) in [("{{inputs.parameters.image}}", "unknown"), ("example.com/app:1", "denied")] {
        let folder = Folder::new();
        folder.file("workflow.yaml", &WORKFLOW.replace("IMAGE", image));
        let arguments = ["-o", "jsonl", "workflow.yaml", "--policies", &registries];
        let lines = folder.review(&[&arguments[..], &EVERY].concat()).lines();
        let said = words(&lines, "workflow/hello/say", "rego");
        assert_eq!(said.len(), 5, "{lines:?}");
        assert!(said.iter().all(|words| words.contains(expected)), "{said:?}");
    }
}

#[test]
fn a_name_that_is_only_quoted_leaves_the_verdict() {
    let folder = Folder::new();
    folder.file("workflow.yaml", &WORKFLOW.replace("IMAGE", "example.com/app:1"));
    folder.file(
        "quotes.rego",
        "package quotes\nimport rego.v1\ndeny contains m if m := sprintf(\"%v is denied\", [input.metadata.name])\n",
    );
    folder.file(
        "judges.rego",
        "package judges\nimport rego.v1\ndeny contains \"short\" if count(input.metadata.name) < 3\n",
    );
    let policies = ["--policies", "quotes.rego", "--policies", "judges.rego", "--executor", "docker"];
    let lines = folder.review(&[&["-o", "jsonl", "workflow.yaml"], &policies[..]].concat()).lines();
    let verdict = |policy: &str| lines.iter().find(|line| line["policy"] == policy).unwrap()["verdict"].clone();
    assert_eq!((verdict("quotes.deny"), verdict("judges.deny")), (json!("denied"), json!("unknown")), "{lines:?}");
}

#[test]
fn what_no_executor_shows_is_unknown_and_counts_when_asked() {
    let folder = Folder::new();
    let pod = |label: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {label: "true"}}, "spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "example.com/app:1", "command": ["/app"]}],
        }})
    };
    folder.file("bare.json", &pod("emissary-webhook.io/inject").to_string());
    folder.file("strange.json", &pod("app").to_string());
    let lines = folder.review(&[&["-o", "jsonl", "--pss", "baseline", "bare.json"], &EVERY[..]].concat()).lines();
    assert_eq!(words(&lines, "pod/a", "pss"), ["as-is allowed -", "emissary allowed -"]);
    assert_eq!(words(&lines, "pod/a", "argo").len(), 4);
    assert_eq!(lines[1]["stage"], "build");
    assert!(lines[1]["message"].as_str().unwrap().contains("render the Workflow"), "{}", lines[1]);
    // A pod of nobody's workflow is the same whoever runs workflows.
    let lines = folder.review(&[&["-o", "jsonl", "--pss", "baseline", "strange.json"], &EVERY[..]].concat()).lines();
    assert_eq!(words(&lines, "pod/a", "pss").len(), 6);
    let table: [(&[&str], i32); 6] = [
        (&["bare.json", "--executor", "docker"], 0),
        (&["bare.json", "--executor", "docker", "--strict"], 3),
        (&["bare.json", "--executor", "emissary", "--strict"], 0),
        (&["bare.json", "--executor", "dockershim"], 2),
        (&["workflow.yaml", "--executor", "docker"], 1),
        (&["workflow.yaml", "--executor", "docker", "--executor", "kubelet", "--expect", "kubelet=baseline"], 0),
    ];
    folder.file("workflow.yaml", &WORKFLOW.replace("IMAGE", "example.com/app:1"));
    for (arguments, expected) in table {
        let reviewed = folder.review(&[&["--pss", "baseline"], arguments].concat());
        assert_eq!(reviewed.code, Some(expected), "{arguments:?}: {}{}", reviewed.stdout, reviewed.stderr);
    }
}

#[test]
fn six_columns_fit_a_terminal_and_say_the_same_once() {
    let folder = Folder::new();
    let long = WORKFLOW.replace("name: hello", "name: a-workflow-of-a-rather-long-name-that-goes-on");
    folder.file("workflow.yaml", &long.replace("IMAGE", "example.com/app:1"));
    let table = folder.review(&[&["--pss", "restricted", "workflow.yaml"], &EVERY[..]].concat()).stdout;
    let lines: Vec<&str> = table.lines().collect();
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(words, ["NAMESPACE", "PODS", "AS-IS", "DOCKER", "KUBELET", "K8SAPI", "PNS", "EMISSARY"]);
    assert!(lines[..3].iter().all(|line| line.chars().count() <= 100), "{table}");
    assert!(lines[1].contains("goes-on/say  –      denied"), "{table}");
    assert!(table.contains("kubelet, k8sapi: denied\n"), "{table}");
}
