//! What the native engines cost: `cargo bench -p emissary-policy`.
//!
//! Wall time of one thread over the recorded pods, the best of several rounds, printed and never judged.
#![expect(clippy::unwrap_used, reason = "a figure that cannot be taken is no figure")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use emissary_policy::pss::{self, Level, Standard, Version};
use emissary_policy::vap::Vap;
use emissary_policy::{Kind, Namespace, Operation, Request, User, defaults};
use flate2::read::GzDecoder;
use serde_json::Value;

const ROUNDS: usize = 50;

fn main() {
    let inputs = [
        ("generated pods (tests/oracles/pss)", pods("pss/cases.jsonl.gz")),
        ("workflow pods (tests/oracles/vap)", pods("vap/defaults.jsonl.gz")),
    ];
    for (what, pods) in &inputs {
        let containers: usize = pods.iter().map(containers).sum();
        println!("{} {what}, {:.1} containers each", pods.len(), as_f64(containers) / as_f64(pods.len()));
        for level in [Level::Baseline, Level::Restricted] {
            let standard = Standard { level, version: Version::Latest };
            let best = best(|| {
                for pod in pods {
                    black_box(pss::evaluate(standard, black_box(pod)).unwrap());
                }
            });
            println!("  {standard}: {:.2} µs a pod", micros(best, pods.len()));
        }
        let best = best(|| {
            for pod in pods {
                black_box(defaults::pod(black_box(pod)));
            }
        });
        println!("  defaults: {:.2} µs a pod", micros(best, pods.len()));
    }
    policies();
}

/// All policies of the folder but the two that are made to run into the limit of their cost.
fn policies() {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/oracles/vap"].iter().collect();
    let documents =
        |path: &Path| -> Vec<Value> { serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap() };
    let files = fs::read_dir(folder.join("policies")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| !file.to_str().unwrap().contains("cost-exceeded"));
    let all: Vec<Value> = files.flat_map(|file| documents(&file)).collect();
    let start = Instant::now();
    let (vap, refusals) = Vap::new(&all);
    assert!(refusals.is_empty());
    println!("{} ValidatingAdmissionPolicies, compiled in {:.1} ms", vap.len(), start.elapsed().as_secs_f64() * 1e3);
    let requests: Vec<Request> = pods("vap/cases.jsonl.gz").iter().map(request).collect();
    let best = best(|| {
        for request in &requests {
            black_box(vap.judge(black_box(request)));
        }
    });
    let each = micros(best, requests.len());
    println!("  {each:.0} µs a pod, {:.2} µs a pod and policy", each / as_f64(vap.len()));
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

fn best(mut run: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    rounds.min().unwrap()
}

fn micros(time: Duration, pods: usize) -> f64 {
    time.as_secs_f64() * 1e6 / as_f64(pods)
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn containers(pod: &Value) -> usize {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    lists.iter().filter_map(|list| pod["spec"][list].as_array()).map(Vec::len).sum()
}

fn pods(name: &str) -> Vec<Value> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/oracles", name].iter().collect();
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["pod"].take()).collect()
}
