//! An image index of 20,000 entries: reading it, and finding an image in it.

use crate::measure::measure;
use emissary_core::image::{ImageIndex, ImageProcess, Reference};
use emissary_webhook::settings::parse_index;
use std::hint::black_box;
use std::sync::Arc;

const ENTRIES: usize = 20_000;

/// A third each of exact names, digests and globs.
fn key(n: usize) -> String {
    match n % 3 {
        0 => format!("registry.example.com/team-{n}/app:1.2.{n}"),
        1 => format!("registry.example.com/team-{n}/app@sha256:{n:064x}"),
        _ => format!("registry.example.com/team-{n}/*:*"),
    }
}

pub(crate) fn run() {
    let keys: Vec<String> = (0..ENTRIES).map(key).collect();
    let process = ImageProcess {
        entrypoint: vec!["/usr/local/bin/app".to_owned()],
        cmd: vec!["serve".to_owned()],
        ..ImageProcess::default()
    };
    let build = || {
        let mut index = ImageIndex::default();
        for key in &keys {
            index.insert(key, process.clone().into()).unwrap();
        }
        index
    };
    let index = build();
    let yaml: String =
        keys.iter().map(|key| format!("\"{key}\": {{entrypoint: [/usr/local/bin/app], cmd: [serve]}}\n")).collect();
    let name: Arc<str> = "index.yaml".into();

    println!(
        "image index, {ENTRIES} entries, a third each of names, digests and globs; CPU of the fastest of the runs"
    );
    let text = measure(|| drop(black_box(parse_index(&yaml, &name).unwrap())));
    println!("{:50} {:9.2} ms", format!("read from YAML, {} bytes", yaml.len()), text.micros() / 1e3);
    let built = measure(|| drop(black_box(build())));
    println!("{:50} {:9.2} ms", "made from entries in memory", built.micros() / 1e3);
    let middle = ENTRIES / 2 / 3 * 3;
    for (what, image, hit) in [
        ("find, exact name", key(middle), true),
        ("find, digest", key(middle + 1), true),
        ("find, glob", format!("registry.example.com/team-{}/tool:7", middle + 2), true),
        ("find nothing, the name under a known prefix", format!("registry.example.com/team-{middle}/tool:7"), false),
        ("find nothing, another registry", "ghcr.io/somebody/tool:7".to_owned(), false),
    ] {
        let reference = Reference::parse(&image).unwrap();
        assert_eq!(index.find(&reference).is_some(), hit, "{image}");
        let found = measure(|| {
            black_box(index.find(black_box(&reference)));
        });
        println!("{what:50} {:9.3} µs", found.micros());
    }
    let parsed = measure(|| drop(black_box(Reference::parse(black_box("registry.example.com/team-9/app:1.2.9")))));
    println!("{:50} {:9.3} µs", "an image's name parsed and normalised", parsed.micros());
    println!();
}
