//! What the native engines cost: `cargo bench -p emissary-policy`.
//!
//! Wall time of one thread over the recorded pods, the best of several rounds, printed and never judged.
#![expect(clippy::unwrap_used, reason = "a figure that cannot be taken is no figure")]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use emissary_policy::defaults;
use emissary_policy::pss::{self, Level, Standard, Version};
use flate2::read::GzDecoder;
use serde_json::Value;

const ROUNDS: usize = 200;

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
