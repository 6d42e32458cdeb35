//! Each target with its seeds, and with what a small machine makes of them: a fuzzer without a compiler of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use fuzz_targets::{TARGETS, Target};

/// How long one target may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest input, bytes.
const LONGEST: usize = 64 << 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = folder().join("corpus").join(target.name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Numbers that look like any (xorshift64*).
struct Numbers(u64);

impl Numbers {
    /// One below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(number % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A part of something, 64 bytes at most.
    fn part<'a>(&mut self, of: &'a [u8]) -> &'a [u8] {
        let begin = self.below(of.len());
        let length = self.below(64).min(of.len() - begin);
        &of[begin..begin + length]
    }
}

/// Bytes that mean something in one format or another.
const TELLING: [&[u8]; 16] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x80",
    b"-1",
    b"18446744073709551616",
    b"null",
    b"{}",
    b"[",
    b"]",
    b"\"",
    b"../",
    b"/",
    b"\\u0000",
    b"\n",
    b":",
    b"\xf0\x9f\x92\xa9",
];

/// Changes an input in one to four places.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(input.len() + 1);
        match numbers.below(8) {
            0 if at < input.len() => input[at] ^= 1 << numbers.below(8),
            1 if at < input.len() => input[at] = u8::try_from(numbers.below(256)).unwrap(),
            2 => drop(input.splice(at..at, numbers.of(&TELLING).iter().copied())),
            3 => {
                let end = (at + numbers.below(32)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let part = numbers.part(input).to_vec();
                let times = numbers.below(8);
                input.splice(at..at, part.repeat(times));
            }
            5 => {
                let other = numbers.of(seeds).clone();
                input.splice(at..at, numbers.part(&other).to_vec());
            }
            6 => {
                let other = numbers.of(seeds);
                input.truncate(at);
                input.extend_from_slice(&other[numbers.below(other.len() + 1)..]);
            }
            _ => {
                let part = numbers.part(input).to_vec();
                let end = (at + part.len()).min(input.len());
                input.splice(at..end, part);
            }
        }
    }
    input.truncate(LONGEST);
}

#[test]
fn nothing_breaks_and_no_promise_is_broken() {
    let variable = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    let seed: u64 = variable.unwrap_or_else(|| now.into());
    let more: usize = std::env::var("PROPTEST_CASES").map_or(1, |cases| cases.parse::<usize>().unwrap().div_ceil(256));
    for target in TARGETS {
        let seeds = seeds(&target);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        let mut numbers = Numbers(seed | 1);
        let begun = Instant::now();
        let changed = std::iter::repeat_with(|| {
            let mut input = numbers.of(&seeds).clone();
            change(&mut input, &seeds, &mut numbers);
            input
        });
        let patience = PATIENCE * u32::try_from(more).unwrap();
        let inputs = seeds.iter().cloned().chain(changed.take(target.cases * more));
        for input in inputs.take_while(|_| begun.elapsed() < patience) {
            let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            if ended.is_err() {
                let file = std::env::temp_dir().join(format!("fuzz-{}", target.name));
                fs::write(&file, &input).unwrap();
                panic!("{} with {} (PROPTEST_RNG_SEED={seed})", target.name, file.display());
            }
        }
    }
}

/// Each target is one of cargo-fuzz's too.
#[test]
fn cargo_fuzz_has_the_same_targets() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n")), "{name}");
        let text = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("fuzz_targets::run(\"{name}\", bytes)")), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    assert_eq!(fs::read_dir(folder().join("fuzz_targets")).unwrap().count(), TARGETS.len());
}
