//! stub
use emissary_core::image::*;
use emissary_core::lookup::*;
use emissary_core::outcome::*;
use emissary_core::pod::*;
use std::collections::HashMap;
use std::process::ExitCode;
pub fn run() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let index_file = args.iter().position(|a| a == "--image-index").map(|i| args[i + 1].clone());
    let patch = args.iter().any(|a| a == "patch");
    let mut index = ImageIndex::default();
    if let Some(f) = index_file {
        let v: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(f).unwrap()).unwrap();
        for (k, e) in v["images"].as_object().unwrap() {
            let words = |n: [&str; 2]| {
                n.iter()
                    .find_map(|n| e[*n].as_array())
                    .map(|a| a.iter().map(|w| w.as_str().unwrap().to_owned()).collect())
                    .unwrap_or_default()
            };
            index
                .insert(
                    k,
                    IndexEntry {
                        process: Some(ImageProcess {
                            entrypoint: words(["entrypoint", "command"]),
                            cmd: words(["cmd", "args"]),
                            user: None,
                        }),
                        platforms: Default::default(),
                    },
                )
                .unwrap();
        }
    }
    let shipped = ImageIndex::default();
    let indexes = Indexes { operator: &index, shipped: &shipped };
    let options = Options { profile: Profile::None, ..Options::default() };
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let pod = Pod::parse(&line).unwrap();
        let outcome = match plan(&pod, &Context::default(), &options, &indexes) {
            Ok(p) => p.apply(&HashMap::new(), &indexes),
            Err(s) => Outcome::Skip(s),
        };
        let mut v: serde_json::Value = serde_json::from_str(&line).unwrap();
        match &outcome {
            Outcome::Rewrite(e, _) => {
                if patch {
                    println!("{}", serde_json::to_string(e).unwrap());
                    continue;
                }
                e.apply(&mut v).unwrap();
            }
            Outcome::Denial(d) => {
                eprintln!("{d}");
            }
            _ => {}
        }
        if patch {
            println!("[]");
        } else {
            println!("{v}");
        }
    }
    ExitCode::SUCCESS
}
