//! A look-up whose answer is remembered.

use crate::measure::measure;
use crate::world::World;
use futures_util::FutureExt;
use std::hint::black_box;

pub(crate) fn run(world: &World) {
    let question = world.question();
    let _entered = world.runtime.enter();
    let resolve = || world.resolver.resolve(&question, World::deadline());
    world.runtime.block_on(resolve()).unwrap();
    let asked = world.registry.requests().len();
    let warm = measure(|| drop(black_box(resolve().now_or_never().unwrap())));
    let allocated = allocation_counter::measure(|| drop(black_box(resolve().now_or_never())));
    assert_eq!(world.registry.requests().len(), asked, "an answer that is remembered costs no request");
    println!("look-up of a multi-arch tag; {asked} requests to the registry the first time");
    println!(
        "{:50} {:9.3} µs, {} allocations of {} bytes",
        "remembered",
        warm.micros(),
        allocated.count_total,
        allocated.bytes_total
    );
}
