use emissary_policy::pss::{self, Level, Standard, Version};

use crate::oracle;

#[test]
fn every_recorded_verdict_is_ours() {
    let mut differences = Vec::new();
    for case in oracle::cases("pss") {
        for verdict in case["verdicts"].as_array().unwrap() {
            let level = Level::parse(verdict["level"].as_str().unwrap()).unwrap();
            let version = Version::parse(verdict["version"].as_str().unwrap()).unwrap();
            let standard = Standard { level, version };
            let evaluation = pss::evaluate(standard, &case["pod"]).unwrap();
            assert_eq!(evaluation.is_allowed(), verdict["allowed"].as_bool().unwrap());
            if evaluation.detail() != verdict["detail"].as_str().unwrap_or_default() {
                differences.push(format!(
                    "{}\n{standard}: {}\n{}",
                    case["pod"],
                    evaluation.detail(),
                    verdict["detail"]
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences[0]);
}
