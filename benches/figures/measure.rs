//! Times of one thread: runs of a fixed length, of which the fastest and the middle one are told.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How many runs there are.
const RUNS: usize = 21;
/// How much CPU time one run takes, at least.
const RUN: Duration = Duration::from_millis(20);

/// CPU time of one iteration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// In the fastest run: nothing else was on the machine, or as little as ever.
    pub(crate) least: Duration,
    /// In the middle one.
    pub(crate) median: Duration,
}

impl Times {
    /// Of the fastest run, in microseconds.
    pub(crate) fn micros(self) -> f64 {
        self.least.as_secs_f64() * 1e6
    }
}

/// Measures `iteration` on this thread, after a warm-up.
pub(crate) fn measure(mut iteration: impl FnMut()) -> Times {
    let mut run = |iterations: u32| {
        let before = cpu();
        for _ in 0..iterations {
            iteration();
        }
        cpu() - before
    };
    let mut iterations = 1;
    while run(iterations) < RUN {
        iterations *= 2;
    }
    let mut runs: Vec<Duration> = (0..RUNS).map(|_| run(iterations) / iterations).collect();
    runs.sort_unstable();
    Times { least: runs[0], median: runs[RUNS / 2] }
}

/// CPU time of this thread so far: what else runs on the machine is not in it, what it does to the caches is.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
