//! The figures of docs/performance.md that are the same on every machine, and wide bounds of those that are not.

#[path = "../../benches/figures/reviews.rs"]
mod reviews;
#[path = "../../benches/figures/world.rs"]
mod world;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use reviews::{Ask, Size, review};
use world::World;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The answer's bytes.
fn answer(world: &World, body: &[u8]) -> Vec<u8> {
    world.runtime.block_on(world.admission.answer(body, TIMEOUT)).unwrap().to_json()
}

/// The answer's bytes where nothing has to be waited for.
fn answer_at_once(world: &World, body: &[u8]) -> Vec<u8> {
    // What has only just been found out may still be handed over through a timer.
    let _entered = world.runtime.enter();
    world.admission.answer(body, TIMEOUT).now_or_never().expect("nothing is waited for").unwrap().to_json()
}

fn operations(answer: &[u8]) -> usize {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    let Some(patch) = answer["response"]["patch"].as_str() else { return 0 };
    serde_json::from_slice::<Vec<Value>>(&STANDARD.decode(patch).unwrap()).unwrap().len()
}

/// Three kinds of pod that are rewritten and one that is not: operations, and at most bytes of the answer, of which none
/// may grow with the pod.
#[test]
fn a_patch_is_as_long_as_what_changes() {
    let world = World::new();
    for (ask, expected, bytes) in
        [(Ask::Wrap, 6, 2_500), (Ask::LookUp, 6, 2_700), (Ask::Bare, 15, 6_500), (Ask::Nothing, 0, 160)]
    {
        let (small, large) = (Size::Variables(1), Size::Bytes(120_000));
        let answers = [small, large].map(|size| answer(&world, &review(ask, size, &world.image).0));
        let name = ask.name();
        assert_eq!(answers[0], answers[1], "{name}: the answer depends on the variables");
        assert_eq!(operations(&answers[0]), expected, "{name}: {}", String::from_utf8_lossy(&answers[0]));
        assert!(answers[0].len() <= bytes, "{name}: {} bytes", answers[0].len());
    }
}

#[test]
fn a_cold_tag_costs_the_registry_three_requests_and_a_warm_one_none() {
    let world = World::new();
    let (body, _) = review(Ask::LookUp, Size::Variables(100), &world.image);
    for expected in [3, 3] {
        assert_eq!(operations(&answer(&world, &body)), 6);
        assert_eq!(world.registry.requests().len(), expected);
    }
    world.runtime.block_on(world.resolver.resolve(&world.question(), World::deadline())).unwrap();
    assert_eq!(world.registry.requests().len(), 3);
}

/// Of Argo's pods nothing is copied but what the patch says; a bare one's variables are listed, in one growing vector.
#[test]
fn allocations_do_not_grow_with_the_pod() {
    let world = World::new();
    for (ask, most) in [(Ask::Wrap, 400), (Ask::LookUp, 450), (Ask::Bare, 1_000), (Ask::Nothing, 30)] {
        for size in [Size::Variables(1), Size::Bytes(120_000)] {
            let (body, _) = review(ask, size, &world.image);
            let warmed = answer(&world, &body);
            assert_eq!(warmed, answer_at_once(&world, &body));
            let allocated = allocation_counter::measure(|| drop(answer_at_once(&world, &body)));
            assert!(allocated.count_total <= most, "{}, {size:?}: {}", ask.name(), allocated.count_total);
        }
    }
}

/// Ten times the figure; a hundred times without optimisation.
#[test]
fn a_warm_admission_is_far_from_slow() {
    const FIGURE: Duration = Duration::from_micros(80);
    let bound = FIGURE * if cfg!(debug_assertions) { 100 } else { 10 };
    let world = World::new();
    let (body, variables) = review(Ask::LookUp, Size::Variables(100), &world.image);
    assert!((8_500..=9_500).contains(&body.len()), "{} bytes, {variables} variables", body.len());
    answer(&world, &body);
    assert_eq!(operations(&answer_at_once(&world, &body)), 6);
    let least = (0..5).map(|_| cpu_of(20, || drop(answer_at_once(&world, &body)))).min().unwrap();
    assert!(least <= bound, "{least:?} of CPU each; at most {bound:?}");
}

/// CPU time of this thread for one of so many calls.
fn cpu_of(calls: u32, mut call: impl FnMut()) -> Duration {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let before = now();
    for _ in 0..calls {
        call();
    }
    (now() - before) / calls
}
