use std::collections::BTreeMap;
use std::fs;

use emissary_policy::defaults;
use emissary_policy::psp::{Admission, Authorisation, PodSecurityPolicy, Psp, Release};
use serde_json::Value;

use crate::oracle;
use crate::requests::creation;

/// The policies by the stem of their file.
fn policies() -> BTreeMap<String, PodSecurityPolicy> {
    let files = fs::read_dir(oracle::path("psp")).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|path| {
        let document: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), PodSecurityPolicy::parse(&document).unwrap())
    })
    .collect()
}

/// Whether `found` is what is between the brackets, the policies' errors being in any order.
fn is_permutation(found: &str, mut blocks: Vec<String>) -> bool {
    blocks.retain(|block| !block.is_empty());
    blocks.is_empty() && found.is_empty()
        || (0..blocks.len()).any(|index| {
            let mut others = blocks.clone();
            let first = others.remove(index);
            found.strip_prefix(&first).is_some_and(|rest| is_permutation(rest.trim_start(), others))
        })
}

#[test]
fn every_recorded_verdict_is_ours() {
    let known = policies();
    let mut differences = Vec::new();
    for case in oracle::cases("psp") {
        let request = creation(&defaults::pod(&case["pod"]));
        for verdict in case["verdicts"].as_array().unwrap() {
            let stems = verdict["policies"].as_array().unwrap().iter().map(|stem| stem.as_str().unwrap());
            let chosen = stems.map(|stem| known[stem].clone()).collect();
            let psp = Psp::new(chosen, Authorisation::Everything, Release::V1_20);
            let is_same = match psp.admit(&request).unwrap() {
                Admission::Ignored => false,
                Admission::Admitted { policy, .. } => verdict["allowed"] == true && verdict["psp"] == policy,
                Admission::Rejected(rejection) => {
                    let errors = verdict["error"].as_str().unwrap();
                    let errors = errors.split_once(" unable to admit pod: [").unwrap().1.strip_suffix(']').unwrap();
                    let blocks = rejection
                        .policies
                        .iter()
                        .map(|(_, errors)| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
                    verdict["allowed"] == false && is_permutation(errors, blocks.collect())
                }
            };
            if !is_same {
                differences.push(format!("{}\n{verdict}\n{:?}", case["pod"], psp.admit(&request)));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences[0]);
}
