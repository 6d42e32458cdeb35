//! The figures of docs/performance.md that need no network: `cargo bench --bench figures [admission|index|resolve]…`.
//!
//! Times are CPU times of one thread, printed and never judged; what is the same on every machine, tests/it/figures.rs
//! holds.
#![expect(clippy::unwrap_used, reason = "a figure that cannot be taken is no figure")]

mod admission;
mod index;
mod measure;
mod resolve;
mod reviews;
mod world;

fn main() {
    // cargo bench passes --bench.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    let world = world::World::new();
    let _ = world.runtime.block_on(world.resolver.resolve(&world.question(), world::World::deadline()));
    if is_wanted("admission") {
        admission::run(&world);
    }
    if is_wanted("index") {
        index::run();
    }
    if is_wanted("resolve") {
        resolve::run(&world);
    }
}
