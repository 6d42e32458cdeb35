//! Small modules, and what OPA 1.4.2 says of them.
#![expect(clippy::unwrap_used, reason = "clippy.toml excuses test functions, not what they call")]

use emissary_policy::rego::{Input, Module, Modules, Version};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

#[derive(Debug, Deserialize)]
struct Probe {
    id: String,
    modules: BTreeMap<String, String>,
    v0: bool,
    query: String,
    input: Value,
    data: Value,
    opa: BTreeMap<String, Value>,
}

/// What OPA refuses to compile and we do not, by probe: its compiler checks types and unused variables.
const NOT_REFUSED: [&str; 2] = ["not-userfn-undef-local-ref", "every-notdot"];
/// What OPA answers and we refuse by name, by probe: functions that are not here.
const REFUSED: [&str; 4] = ["http.send", "jwt", "metadata", "rego.metadata.rule"];

fn probes() -> Vec<Probe> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/rego/semantics.jsonl.gz");
    let lines = BufReader::new(GzDecoder::new(File::open(file).unwrap())).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// The result, or why there is none.
fn ours(probe: &Probe) -> Result<Option<Value>, String> {
    let modules: Vec<Module> =
        probe.modules.iter().map(|(name, text)| Module { name: name.clone(), text: text.clone() }).collect();
    let version = if probe.v0 { Version::V0 } else { Version::V1 };
    let mut modules = Modules::compile(&modules, version, &probe.data).map_err(|error| error.to_string())?;
    modules.evaluate(&probe.query, &Input::new(&probe.input)).map_err(|error| error.to_string())
}

/// Equal as JSON, where 1000 and 1000.0 are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn modules_mean_what_they_mean_to_opa() {
    let probes = probes();
    assert_eq!(probes.len(), 100);
    let mut differences = Vec::new();
    for probe in &probes {
        let ours = ours(probe);
        let refused = probe.opa.contains_key("compile_error") || probe.opa.contains_key("error");
        let agrees = match &ours {
            Err(_) => refused || REFUSED.contains(&probe.id.as_str()),
            Ok(_) if refused => NOT_REFUSED.contains(&probe.id.as_str()),
            Ok(None) => !probe.opa.contains_key("result"),
            Ok(Some(ours)) => probe.opa.get("result").is_some_and(|theirs| same(ours, theirs)),
        };
        if !agrees {
            differences.push(format!("{}: OPA {:?}, ours {ours:?}, {:?}", probe.id, probe.opa, probe.modules));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
