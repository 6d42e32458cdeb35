//! Warm admissions: the body's bytes in, the answer's bytes out, with every look-up remembered.

use crate::measure::measure;
use crate::reviews::{Ask, Size, review};
use crate::world::World;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emissary_core::lookup::{Answers, Found};
use emissary_core::object::AdmissionRequest;
use emissary_core::pod::{self, Pod};
use flate2::read::GzDecoder;
use futures_util::FutureExt;
use serde_json::Value;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

const ASKS: [Ask; 4] = [Ask::Wrap, Ask::LookUp, Ask::Bare, Ask::Nothing];

/// The first is as small as they come; the second, of a hundred variables, is about 9 KB.
const SIZES: [Size; 4] = [Size::Variables(1), Size::Variables(100), Size::Bytes(30_000), Size::Bytes(120_000)];

/// A few of the reviews that real API servers sent (tests/oracles/argo): much of them is managedFields.
const RECORDED: [&str; 6] = [
    "3.1.15-docker-cmd",
    "3.3.10-docker-nocmd",
    "3.3.10-docker-initctr.sel",
    "3.3.10-pns-sidecar",
    "4.1.2-emissary-sidecar",
    "plain-plain",
];

const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(world: &World) {
    println!("warm admission, generated pods; CPU µs of the fastest of the runs, whole also of the middle one");
    heading();
    for ask in ASKS {
        for size in SIZES {
            let (body, variables) = review(ask, size, &world.image);
            row(world, ask.name(), &body, &variables.to_string());
        }
    }
    println!();
    println!("warm admission, recorded pods");
    heading();
    for (name, body) in recorded() {
        row(world, &name, &body, "");
    }
    println!();
}

fn heading() {
    println!(
        "{:27} {:>7} {:>4} {:>6} {:>5} {:>6} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "pod",
        "bytes",
        "env",
        "answer",
        "ops",
        "allocs",
        "alloc B",
        "decode",
        "view",
        "plan",
        "apply",
        "rest",
        "whole",
        "median",
        "+ log"
    );
}

fn row(world: &World, name: &str, body: &[u8], variables: &str) {
    let World { runtime, admission, snapshot, .. } = world;
    let answer = || {
        let response = runtime.block_on(admission.answer(body, TIMEOUT)).unwrap();
        response.to_json()
    };
    let answered = answer();
    let operations = operations(&answered);
    let allocated = allocation_counter::measure(|| {
        black_box(answer());
    });

    let request = AdmissionRequest::parse(body).unwrap();
    let object = request.object().unwrap();
    let (options, indexes) = (snapshot.pod(), snapshot.indexes());
    let context = pod::Context { name: request.name.as_deref(), ..pod::Context::default() };
    let plan = || pod::plan(&Pod::parse(object).unwrap(), &context, options, &indexes);
    let answers = plan().map(|plan| answers(world, &plan)).unwrap_or_default();

    // Each step takes what the one before it made, so they are measured together and the former subtracted.
    let decode = measure(|| drop(black_box(AdmissionRequest::parse(body)))).micros();
    let view = measure(|| drop(black_box(Pod::parse(object)))).micros();
    let planned = measure(|| drop(black_box(plan()))).micros();
    let applied = measure(|| drop(black_box(plan().map(|plan| plan.apply(&answers, &indexes))))).micros();
    // Entered once, since what a runtime does around a future is not the admission's.
    let _entered = runtime.enter();
    let at_once = || {
        let response = admission.answer(body, TIMEOUT).now_or_never().unwrap();
        black_box(response.unwrap().to_json());
    };
    let whole = measure(at_once);
    let logged = tracing::subscriber::with_default(log(), || measure(at_once));
    println!(
        "{name:27} {:7} {variables:>4} {:6} {operations:5} {:6} {:8} {decode:7.1} {view:7.1} {:7.1} {:7.1} {:7.1} {:7.1} {:7.1} {:7.1}",
        body.len(),
        answered.len(),
        allocated.count_total,
        allocated.bytes_total,
        planned - view,
        applied - planned,
        whole.micros() - decode - applied,
        whole.micros(),
        whole.median.as_secs_f64() * 1e6,
        logged.micros(),
    );
}

/// As `serve` logs on a cluster, but to nowhere: a line for each rewritten pod.
fn log() -> impl tracing::Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(std::io::sink)
        .json()
        .flatten_event(true)
        .finish()
}

fn answers(world: &World, plan: &pod::Plan) -> Answers {
    let asked = plan.look_ups().into_iter().map(|look_up| {
        let question =
            emissary_registry::Question::new(look_up.reference.clone()).with_platforms(look_up.platforms.clone());
        let resolved = world.runtime.block_on(world.resolver.resolve(&question, World::deadline())).unwrap();
        let processes = resolved.processes.iter().map(|(platform, _, process)| (platform.clone(), process.clone()));
        (
            look_up.clone(),
            Ok(Found {
                digest: resolved.digest.clone(),
                processes: processes.collect(),
                age: Duration::ZERO,
                stale: false,
            }),
        )
    });
    asked.collect()
}

/// How many operations the answer's patch has.
fn operations(answer: &[u8]) -> usize {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    let Some(patch) = answer["response"]["patch"].as_str() else { return 0 };
    let patch: Value = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
    patch.as_array().unwrap().len()
}

/// The recorded reviews in compact JSON, as the API server sends them. Their images are given commands, for there is no
/// registry here that has them.
fn recorded() -> Vec<(String, Vec<u8>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/argo/reviews.jsonl.gz");
    let lines = BufReader::new(GzDecoder::new(File::open(file).unwrap())).lines();
    let all: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let pick = |name: &str| {
        let mut review = all.iter().find(|one| one["name"] == name).unwrap()["review"].clone();
        for container in review["request"]["object"]["spec"]["containers"].as_array_mut().unwrap() {
            if container.get("command").is_none() {
                container["command"] = serde_json::json!(["/argosay"]);
            }
        }
        (name.to_owned(), review.to_string().into_bytes())
    };
    RECORDED.iter().map(|name| pick(name)).collect()
}
