//! `wait` beside the program that runs the main container.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::pod::{Pod, until};

/// argoexec, as cargo builds it beside this program.
fn argoexec() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let program = Path::new(env!("CARGO_BIN_EXE_argoexec-tasks")).with_file_name("argoexec");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "argoexec"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if program.parent().is_some_and(|folder| folder.ends_with("release")) {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
        program
    });
    &BUILT
}

/// The main container, which runs a shell's line and keeps its output.
fn main_container(pod: &Pod, line: &str) -> Child {
    let mut command = Command::new(argoexec());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("ARGO_CONTAINER_NAME", "main");
    command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true").arg("--root").arg(pod.path(""));
    command.args(["emissary", "--loglevel", "info", "--log-format", "text", "--", "sh", "-c", line]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

const STDOUT: &str = "var/run/argo/ctr/main/stdout";

#[test]
fn what_a_killed_container_has_written_is_its_result() {
    let pod = Pod::new(json!({ "container": {} })).with("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    let mut running = pod.start("wait");
    let mut main = main_container(&pod, "echo out; sleep 1000");
    until("its output", || pod.has(STDOUT) && pod.text(STDOUT) == "out\n");
    assert!(running.is_running());
    let begun = Instant::now();
    main.kill().unwrap();
    main.wait().unwrap();
    let ended = running.end();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(ended.code, 64);
    assert!(
        ended.last_words.starts_with("container main was killed together with its executor"),
        "{}",
        ended.last_words
    );
    assert_eq!(pod.reported()["outputs"]["result"], "out");
}

#[test]
fn a_step_that_ends_in_whatever_way_of_its_own_was_not_killed() {
    for (line, code) in [("exit 0", "0"), ("exit 3", "3"), ("kill -9 $$", "137"), ("kill -SEGV $$", "139")] {
        let pod = Pod::new(json!({ "container": {} }));
        let running = pod.start("wait");
        let mut main = main_container(&pod, line);
        running.end().is_fine();
        main.wait().unwrap();
        assert_eq!(pod.text("var/run/argo/ctr/main/exitcode"), code);
    }
}

#[test]
fn past_its_deadline_who_ignores_sigterm_is_killed() {
    let pod = Pod::new(json!({ "container": {} }))
        .with("ARGO_DEADLINE", "2020-01-01T00:00:00Z")
        .with("ARGO_TERMINATION_GRACE_PERIOD_SECONDS", "1");
    let mut main = main_container(&pod, "trap '' TERM; echo up; while :; do sleep 0.1; done");
    until("its output", || pod.has(STDOUT) && pod.text(STDOUT) == "up\n");
    let begun = Instant::now();
    let ended = pod.run("wait");
    assert!(begun.elapsed() >= Duration::from_secs(1), "it has its grace: {:?}", begun.elapsed());
    assert_eq!((ended.code, ended.last_words.as_str()), (64, "Step exceeded its deadline"));
    assert_eq!(main.wait().unwrap().code(), Some(137));
    assert_eq!(pod.text("var/run/argo/ctr/main/exitcode"), "137");
}
