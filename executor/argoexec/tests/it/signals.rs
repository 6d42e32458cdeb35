//! Signals, sent or left as files.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::pod::{Pod, is_alive, text_of, until};

/// Says `ready` and then a line for each of these signals that comes; ends with 42 after TERM.
fn listener(pod: &Pod, names: &str) -> [String; 3] {
    let log = pod.path("log");
    let traps: String =
        names.split(' ').map(|name| format!("trap 'echo {name} >> {}' {name}; ", log.display())).collect();
    let line = format!(
        "{traps} trap 'echo TERM >> {log}; kill $!; exit 42' TERM; echo $$ >> {log}; while :; do sleep 1000 & wait $!; done",
        log = log.display()
    );
    ["sh".to_owned(), "-c".to_owned(), line]
}

#[test]
fn signals_are_handed_on() {
    let pod = Pod::new(&json!({}));
    let words = listener(&pod, "HUP INT QUIT USR1 USR2 WINCH CONT URG");
    let container = pod.start("main", pod.emissary("main", &words.each_ref().map(String::as_str)));
    let first = text_of(&pod.path("log"));
    let signals = [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::WINCH, "WINCH"),
        (Signal::CONT, "CONT"),
        (Signal::URG, "URG"),
    ];
    let mut expected = first;
    for (signal, name) in signals {
        container.signal(signal);
        expected.push_str(name);
        expected.push('\n');
        until(name, || text_of(&pod.path("log")) == expected);
    }
    container.signal(Signal::TERM);
    assert_eq!(container.end().both(), (42, Some("42")));
}

#[test]
fn the_whole_group_gets_them() {
    let pod = Pod::new(&json!({}));
    let log = pod.path("log");
    let inner =
        format!("trap 'echo inner >> {0}; kill $!; exit' TERM; echo up >> {0}; sleep 1000 & wait", log.display());
    let outer = format!("trap 'wait; exit 9' TERM; sh -c \"{}\" & wait", inner.replace('$', "\\$"));
    let container = pod.start("main", pod.emissary("main", &["sh", "-c", &outer]));
    text_of(&log);
    container.signal(Signal::TERM);
    assert_eq!(container.end().both(), (9, Some("9")));
    assert_eq!(text_of(&log), "up\ninner\n");
}

#[test]
fn a_file_is_a_signal() {
    let pod = Pod::new(&json!({}));
    let words = listener(&pod, "USR1");
    let container = pod.start("main", pod.emissary("main", &words.each_ref().map(String::as_str)));
    text_of(&pod.path("log"));
    let file = pod.path("var/run/argo/ctr/main/signal");
    for garbage in ["", "0", "x", "99"] {
        fs::write(&file, garbage).unwrap();
    }
    fs::write(&file, "10\n").unwrap();
    until("USR1", || text_of(&pod.path("log")).ends_with("USR1\n"));
    until("its removal", || !file.exists());
    // Made first and written later, as a shell or Go does it, with time in between.
    fs::write(&file, "").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    fs::write(&file, "15").unwrap();
    assert_eq!(container.end().both(), (42, Some("42")));
    assert!(!file.exists());
}

#[test]
fn a_signal_that_came_before_the_process_ends_the_container() {
    let pod = Pod::new(&json!({}));
    pod.write("var/run/argo/ctr/main/signal", "15");
    let ended = pod.sh(&format!("echo > {}", pod.path("ran").display()));
    assert_eq!(ended.both(), (143, Some("143")));
    assert!(!pod.path("ran").exists());
}

#[test]
fn who_waits_for_a_dependency_ends_when_told() {
    for (by_file, code) in [(None, 143), (Some("9"), 137), (Some("15"), 143)] {
        let pod = Pod::new(&json!({"containerSet": {"containers": [{"name": "main", "dependencies": ["a"]}]}}));
        let container = pod.start("main", pod.emissary("main", &["true"]));
        until("its folder", || pod.path("var/run/argo/ctr/a").exists());
        match by_file {
            Some(signal) => pod.write("var/run/argo/ctr/main/signal", signal),
            None => container.signal(Signal::TERM),
        }
        let ended = container.end();
        assert_eq!(ended.both(), (code, Some(code.to_string().as_str())));
        assert_eq!(ended.last_words, "");
    }
}

#[test]
fn what_was_told_to_end_is_not_run_again() {
    let template = json!({"containerSet": {"retryStrategy": {"retries": 5}, "containers": [{"name": "main"}]}});
    let pod = Pod::new(&template);
    let words = listener(&pod, "USR1");
    let container = pod.start("main", pod.emissary("main", &words.each_ref().map(String::as_str)));
    text_of(&pod.path("log"));
    container.signal(Signal::TERM);
    assert_eq!(container.end().both(), (42, Some("42")));
}

#[test]
fn a_pause_between_runs_ends_when_told() {
    let strategy = json!({"retries": 5, "duration": "1h"});
    let pod = Pod::new(&json!({"containerSet": {"retryStrategy": strategy, "containers": [{"name": "main"}]}}));
    let log = pod.path("log");
    let line = format!("echo >> {}; exit 1", log.display());
    let container = pod.start("main", pod.emissary("main", &["sh", "-c", &line]));
    text_of(&log);
    container.signal(Signal::TERM);
    assert_eq!(container.end().both(), (143, Some("143")));
}

#[test]
fn a_child_that_ignores_term_is_killed_by_a_file() {
    let pod = Pod::new(&json!({}));
    let log = pod.path("log");
    let line = format!("trap '' TERM; echo >> {}; while :; do sleep 1; done", log.display());
    let mut container = pod.start("main", pod.emissary("main", &["sh", "-c", &line]));
    text_of(&log);
    container.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    assert!(container.is_running());
    pod.write("var/run/argo/ctr/main/signal", "9");
    assert_eq!(container.end().both(), (137, Some("137")));
}

#[test]
fn our_own_death_takes_the_child_along() {
    let pod = Pod::new(&json!({}));
    let log = pod.path("log");
    let line = format!("echo $$ > {}; exec sleep 1000", log.display());
    let container = pod.start("main", pod.emissary("main", &["sh", "-c", &line]));
    let child: i32 = text_of(&log).trim().parse().unwrap();
    assert!(is_alive(child));
    container.signal(Signal::KILL);
    until("the child's death", || !is_alive(child));
    assert_eq!(container.end().code, 137);
}

#[test]
fn a_storm_of_signals_harms_nobody() {
    let pod = Pod::new(&json!({}));
    let words = listener(&pod, "USR1 USR2 HUP WINCH");
    let container = pod.start("main", pod.emissary("main", &words.each_ref().map(String::as_str)));
    text_of(&pod.path("log"));
    for round in 0..5_000 {
        container
            .signal([Signal::USR1, Signal::USR2, Signal::HUP, Signal::WINCH, Signal::CHILD, Signal::IO][round % 6]);
    }
    // IO has no trap in the child, and ends it.
    let ended = container.end();
    assert_eq!(ended.both(), (157, Some("157")));
}

#[test]
fn a_sidecar_ends_with_the_main_containers() {
    let pod = Pod::new(&json!({"sidecars": [{"name": "proxy"}]}));
    let words = listener(&pod, "USR1");
    let mut sidecar = pod.start("proxy", pod.emissary("proxy", &words.each_ref().map(String::as_str)));
    text_of(&pod.path("log"));
    assert!(sidecar.is_running());
    assert_eq!(pod.sh("exit 3").code, 3);
    assert_eq!(sidecar.end().both(), (42, Some("42")));
}

#[test]
fn a_sidecar_that_ignores_term_has_its_grace() {
    let pod = Pod::new(&json!({"sidecars": [{"name": "proxy"}]}));
    let log = pod.path("log");
    let line = format!("trap '' TERM; echo >> {}; while :; do sleep 1; done", log.display());
    let mut command = pod.emissary("proxy", &["sh", "-c", &line]);
    command.env("ARGO_TERMINATION_GRACE_PERIOD_SECONDS", "1");
    let sidecar = pod.start("proxy", command);
    text_of(&log);
    let begun = Instant::now();
    pod.write("var/run/argo/ctr/main/.code", "0");
    fs::rename(pod.path("var/run/argo/ctr/main/.code"), pod.path("var/run/argo/ctr/main/exitcode")).unwrap();
    assert_eq!(sidecar.end().both(), (137, Some("137")));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn an_artifact_plugin_obeys_files_alone() {
    let pod = Pod::new(&json!({}));
    let words = listener(&pod, "USR1");
    let mut command = pod.argoexec("artifact-plugin-x");
    command.args(["artifact-plugin-sidecar", "--"]).args(&words);
    let mut container = pod.start("artifact-plugin-x", command);
    text_of(&pod.path("log"));
    container.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    assert!(container.is_running());
    pod.write("var/run/argo/ctr/artifact-plugin-x/signal", "15");
    assert_eq!(container.end().both(), (0, Some("42")));
}

#[test]
fn kill_sends_a_signal() {
    let pod = Pod::new(&json!({}));
    for arguments in [["kill", "15", "PID"].as_slice(), &["kill", "--signal", "15", "PID"], &["kill", "TERM", "PID"]] {
        let mut sleeper = std::process::Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let process = sleeper.id().to_string();
        let arguments = arguments.iter().map(|argument| argument.replace("PID", &process));
        let mut command = pod.argoexec("main");
        command.args(arguments);
        assert_eq!(pod.start("main", command).end().code, 0);
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(sleeper.wait().unwrap().signal(), Some(15));
    }
    for wrong in
        [["kill"].as_slice(), &["kill", "15"], &["kill", "x", "1"], &["kill", "15", "x"], &["kill", "0", "2147483647"]]
    {
        let mut command = pod.argoexec("main");
        command.args(wrong);
        let ended = pod.start("main", command).end();
        assert_eq!(ended.code, 64, "{wrong:?}");
        assert_ne!(ended.last_words, "");
    }
}

#[test]
fn a_mask_that_was_there_is_the_childs() {
    let pod = Pod::new(&json!({}));
    let ended = pod.sh("grep -E 'SigBlk|SigIgn' /proc/self/status");
    let direct =
        std::process::Command::new("grep").args(["-E", "SigBlk|SigIgn", "/proc/self/status"]).output().unwrap();
    assert_eq!(ended.stdout, String::from_utf8(direct.stdout).unwrap());
}

/// Runs `waiting` beside a container `a` that is killed together with its executor, as the kernel does it where memory is short.
fn beside_one_that_is_killed(template: &serde_json::Value, waiting: &str) -> crate::pod::Ended {
    let pod = Pod::new(template);
    let log = pod.path("log");
    let line = format!("trap 'exit 42' TERM; echo >> {}; sleep 1000 & wait", log.display());
    // One of them begins before there is anything to be seen of the other.
    let first = pod.start(waiting, pod.emissary(waiting, &["sh", "-c", &line]));
    until("its folder", || pod.path("var/run/argo/ctr/a").exists());
    let a = pod.start("a", pod.emissary("a", &["sleep", "1000"]));
    until("its sign of life", || pod.path("var/run/argo/ctr/a/.exitcode").exists());
    std::thread::sleep(Duration::from_millis(50));
    a.signal(Signal::KILL);
    assert_eq!((a.end().code, pod.path("var/run/argo/ctr/a/exitcode").exists()), (137, false));
    first.end()
}

#[test]
fn a_dependency_that_is_killed_with_its_executor_is_noticed() {
    let template = json!({"containerSet": {"containers": [{"name": "a"}, {"name": "main", "dependencies": ["a"]}]}});
    let ended = beside_one_that_is_killed(&template, "main");
    assert_eq!(ended.both(), (64, Some("64")));
    assert!(
        ended.last_words.contains("the container a, which this one depends on, was killed"),
        "{}",
        ended.last_words
    );
}

#[test]
fn a_sidecar_ends_with_a_main_container_that_is_killed() {
    let template = json!({"containerSet": {"containers": [{"name": "a"}]}, "sidecars": [{"name": "proxy"}]});
    assert_eq!(beside_one_that_is_killed(&template, "proxy").both(), (42, Some("42")));
}
