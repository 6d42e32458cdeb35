//! The repository's own tasks. They provision and print; what is right and what is wrong is for the tests to say.

mod cargo;
mod cluster;
mod components;
mod debian;
mod executor;
mod generate;
mod go_module;
mod image;
mod kubernetes;
mod node;
mod npm;
mod progress;
mod sbom;
mod shell;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

const USAGE: &str = "\
usage: cargo xtask <task>

  test [--node | --argo] [--allow-missing] [-- ARGS]
                                     get every real component once, then run cargo test --workspace with them
                                     --node            and the tests that run pods, on a node; needs root
                                     --argo            those too, and Argo's own controllers on it
                                     --allow-missing   run without those that cannot be had, and list what did not run
                                     ARGS              for cargo test, such as a test's name or -- --nocapture
  components [--node | --argo]       get the components and print their variables as shell exports, so that a plain
                                     cargo test finds them: eval \"$(cargo xtask components)\"
  executor [--platform P] [--print-path]
                                     build the executor's programs as they are shipped; print their sizes and paths
                                     --platform P      amd64 or arm64, by default this machine's
                                     --print-path      argoexec's path alone
  image [--print-path] [--profile PROFILE]
                                     build the webhook's container image with buildah, around a static program, as an
                                     OCI archive under target/image; --print-path prints the archive's path alone
  image executor [--print-path] [--platform P]
                                     the same for the executor's image
  sbom                               print what the program is made of, as CycloneDX JSON
  generate                           write the files that are made of others: the copies of image-index.yaml that webhook/ and
                                     charts/ install, and the chart's README; a test holds them equal
  cluster up [--node [--webhook-image]]
                                     start a control plane with the webhook registered, and print what a shell needs
                                     to use it: eval \"$(cargo xtask cluster up)\"; once more: only the webhook anew
                                     --node            with a node on which pods run, in a network namespace; needs root
                                     --webhook-image   and with the webhook on it, as webhook/overlays/enforce-policy
                                                       installs it: its image in two pods, behind its Service
  cluster status                     list what runs, and where it logs
  cluster down                       stop it and remove its files

Components are kept in $EMISSARY_TEST_CACHE, by default $XDG_CACHE_HOME/emissary-webhook or ~/.cache/emissary-webhook.
Remove the folder to get them anew, after a cluster down: the cluster is in it too.";

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let for_cargo = match arguments.iter().position(|argument| argument == "--") {
        Some(dashes) => arguments.split_off(dashes).split_off(1),
        None => Vec::new(),
    };
    let words: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().with_context(|| format!("argument {argument:?} is not UTF-8")))
        .collect::<anyhow::Result<_>>()?;
    match (words.as_slice(), for_cargo.is_empty()) {
        (["test", words @ ..], _) => test::run(&test::Wanted::parse(words)?, &for_cargo),
        (["executor"], true) => executor::run(None, false),
        (["executor", "--print-path"], true) => executor::run(None, true),
        (["executor", "--platform", platform], true) => executor::run(Some(platform), false),
        (["executor", "--platform", platform, "--print-path"], true) => executor::run(Some(platform), true),
        (["components"], true) => components::print(&[components::TABLE]),
        (["components", "--argo"], true) => components::print(&[components::TABLE, components::NODE, components::ARGO]),
        (["components", "--node"], true) => components::print(&[components::TABLE, components::NODE]),
        (["image", words @ ..], true) => image::run(&image::Wanted::parse(words)?),
        (["sbom"], true) => sbom::print(),
        (["cluster", "up"], true) => cluster::up(cluster::Pods::StayPending, cluster::Webhook::Beside),
        (["cluster", "up", "--node"], true) => cluster::up(cluster::Pods::Run, cluster::Webhook::Beside),
        (["cluster", "up", "--node", "--webhook-image"], true) => {
            cluster::up(cluster::Pods::Run, cluster::Webhook::OnTheNode)
        }
        (["generate"], true) => generate::run(),
        (["cluster", "down"], true) => cluster::down(),
        (["cluster", "status"], true) => cluster::status(),
        ([] | ["help" | "-h" | "--help"], true) => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("cannot make sense of {:?}\n\n{USAGE}", words.join(" ")),
    }
}
