//! What holds for any input, whatever the cases say of particular ones.
#![expect(clippy::unwrap_used, reason = "clippy.toml excuses test functions, not what they call")]

mod arbitrary;
mod pods;
mod rendering;
mod rewriting;
mod workflows;

use proptest::prelude::*;
use proptest::test_runner::Config;

/// Enough to find what a thoughtless change breaks, few enough for seconds. More: `PROPTEST_CASES=20000`.
fn few(cases: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    // A failure prints its smallest input, which becomes a case; no seeds are kept.
    Config { cases, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(few(400))]

    #[test]
    fn a_rewritten_pod_is_sound_and_final(pod in pods::pod(), options in pods::options(), restricted: bool) {
        rewriting::check(&pod, &options.options(), restricted)?;
    }

    #[test]
    fn a_filled_workflow_is_sound_and_final(workflow in workflows::workflow()) {
        workflows::check(&workflow)?;
    }

    #[test]
    fn any_json_with_the_apis_words_is_no_reason_to_panic(object in arbitrary::object(), options in pods::options()) {
        arbitrary::check(&object.to_string(), &options.options())?;
    }
}

proptest! {
    // Each is all pairs of executors, or all kinds and versions.
    #![proptest_config(few(40))]

    #[test]
    fn a_template_becomes_a_pod_under_every_controller(workflow in workflows::workflow()) {
        rendering::check(&workflow)?;
    }

    #[test]
    fn any_json_becomes_pods_or_nothing((workflow, configuration) in arbitrary::workflow(), other in arbitrary::object()) {
        rendering::survive(&workflow, &configuration)?;
        rendering::survive(&other, &other)?;
    }

    #[test]
    fn another_executor_goes_on_and_comes_off(pod in pods::pod(), other in arbitrary::object()) {
        rendering::put_on_and_off(&pod)?;
        rendering::put_on_and_off(&other)?;
    }
}

proptest! {
    #![proptest_config(few(1000))]

    #[test]
    fn any_text_is_no_reason_to_panic(text in ".{0,64}", json in arbitrary::almost_json()) {
        let options = emissary_core::pod::Options::default();
        arbitrary::check(&text, &options)?;
        arbitrary::check(&json, &options)?;
    }
}
