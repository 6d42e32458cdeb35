//! What the engines cost by themselves: `cargo bench -p emissary-policy`. The whole program beside the real engines: `cargo bench --bench review`.
//!
//! CPU time of one thread, the fastest of several runs, printed and never judged.
#![expect(clippy::unwrap_used, reason = "a figure that cannot be taken is no figure")]

#[path = "../../../../benches/figures/measure.rs"]
mod measure;
mod pods;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use emissary_policy::gatekeeper::Gatekeeper;
use emissary_policy::pss::{self, Level, Standard, Version};
use emissary_policy::rego::{Module, Policies, RequestInputs};
use emissary_policy::vap::Vap;
use emissary_policy::{Kind, Namespace, Operation, Request, User, defaults};
use measure::measure;
use pods::{oracles, recorded, workflow_pods};
use serde_json::Value;

/// How many pods programs are measured with: no two of one shape.
const PODS: usize = 200;
/// How many constraints.
const CONSTRAINTS: usize = 50;

fn main() {
    let inputs = [
        ("generated pods (tests/oracles/pss)", recorded("pss/cases.jsonl.gz")),
        ("workflow pods (tests/oracles/vap)", recorded("vap/defaults.jsonl.gz")),
    ];
    for (what, pods) in &inputs {
        let containers: usize = pods.iter().map(containers).sum();
        println!("{} {what}, {:.1} containers each", pods.len(), as_f64(containers) / as_f64(pods.len()));
        for level in [Level::Baseline, Level::Restricted] {
            let standard = Standard { level, version: Version::Latest };
            let each = each(pods, |pod| _ = black_box(pss::evaluate(standard, pod).unwrap()));
            println!("  {standard}: {each:.2} µs a pod");
        }
        println!("  defaults: {:.2} µs a pod", each(pods, |pod| _ = black_box(defaults::pod(pod))));
    }
    let requests: Vec<Request> = workflow_pods(PODS, None).iter().map(request).collect();
    let size: usize = requests.iter().map(|request| request.object.to_string().len()).sum();
    println!("{PODS} workflow pods, no two of one shape, {:.1} KB each", as_f64(size) / as_f64(PODS) / 1e3);
    expressions(&requests);
    constraints(&requests);
    rules(&requests);
}

/// All policies of the folder but the two that are made to run into the limit of their cost.
fn expressions(requests: &[Request]) {
    let all = documents("vap/policies", |file| !file.contains("cost-exceeded"));
    let start = Instant::now();
    let (vap, refusals) = Vap::new(&all);
    assert!(refusals.is_empty());
    let compiled = start.elapsed().as_secs_f64() * 1e3;
    let each = each(requests, |request| _ = black_box(vap.judge(request)));
    tell(&format!("{} ValidatingAdmissionPolicies", vap.len()), compiled, each, vap.len());
}

fn constraints(requests: &[Request]) {
    let mut all = documents("gatekeeper/constraints", |_| true);
    all.truncate(CONSTRAINTS);
    all.extend(documents("gatekeeper/templates", |_| true));
    all.extend(documents("gatekeeper", |file| file.ends_with("inventory.yaml")));
    let start = Instant::now();
    let (mut gatekeeper, refusals) = Gatekeeper::new(&all);
    assert!(refusals.is_empty());
    let compiled = start.elapsed().as_secs_f64() * 1e3;
    let count = gatekeeper.len();
    let each = each(requests, |request| _ = black_box(gatekeeper.judge(request)));
    tell(&format!("{count} constraints of Gatekeeper"), compiled, each, count);
}

fn rules(requests: &[Request]) {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "benches/rego"].iter().collect();
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| Module { name: file.display().to_string(), text: fs::read_to_string(file).unwrap() };
    let modules: Vec<Module> = files.iter().map(read).collect();
    let start = Instant::now();
    let mut policies = Policies::compile(&modules, &serde_json::json!({})).unwrap();
    let compiled = start.elapsed().as_secs_f64() * 1e3;
    let each = each(requests, |request| _ = black_box(policies.judge(&mut RequestInputs::new(request))));
    tell(&format!("{} modules of Rego", modules.len()), compiled, each, modules.len());
}

fn tell(what: &str, compiled: f64, each: f64, count: usize) {
    let policy = each / as_f64(count);
    let thousand = each / 1e3;
    println!(
        "  {what}, compiled in {compiled:.1} ms: {each:.0} µs a pod, {policy:.2} µs a pod and policy, {thousand:.2} s a thousand pods"
    );
}

/// The documents of a folder's files, in the order of their names.
fn documents(folder: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let files = fs::read_dir(oracles().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let is_yaml = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "yaml");
    let mut files: Vec<PathBuf> =
        files.filter(|file| is_yaml(file) && is_wanted(&file.display().to_string())).collect();
    files.sort();
    let read = |file: &Path| -> Vec<Value> { serde_saphyr::from_multiple(&fs::read_to_string(file).unwrap()).unwrap() };
    files.iter().flat_map(|file| read(file)).collect()
}

fn request(pod: &Value) -> Request {
    let object = defaults::pod(pod);
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    let namespace = text("namespace");
    let metadata = serde_json::json!({"name": namespace, "labels": {"kubernetes.io/metadata.name": namespace}});
    let namespace_object = Namespace { object: [("metadata".to_owned(), metadata)].into_iter().collect() };
    Request {
        operation: Operation::Create,
        kind: Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() },
        resource: "pods".to_owned(),
        sub_resource: String::new(),
        name: text("name"),
        namespace,
        namespace_object: Some(namespace_object),
        user: User::default(),
        object,
        old_object: Value::Null,
        dry_run: false,
    }
}

/// Microseconds of one of them, in the fastest run.
fn each<T>(all: &[T], mut judge: impl FnMut(&T)) -> f64 {
    let times = measure(|| all.iter().for_each(|one| judge(black_box(one))));
    if times.median > times.least * 2 {
        println!("  (the machine is busy: the middle run took more than twice the fastest)");
    }
    times.micros() / as_f64(all.len())
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn containers(pod: &Value) -> usize {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    lists.iter().filter_map(|list| pod["spec"][list].as_array()).map(Vec::len).sum()
}
