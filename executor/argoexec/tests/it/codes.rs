//! Exit codes: the process's and the file's, which are the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::pod::{Pod, text_of, until};

#[test]
fn a_commands_code_is_the_containers() {
    let pod = Pod::new(&json!({}));
    for code in [0, 1, 3, 64, 65, 127, 137, 255] {
        let ended = pod.sh(&format!("exit {code}"));
        assert_eq!(ended.both(), (code, Some(code.to_string().as_str())));
        assert_eq!((ended.stderr.as_str(), ended.last_words.as_str()), ("", ""), "nothing of ours");
    }
}

#[test]
fn a_signal_adds_128() {
    let pod = Pod::new(&json!({}));
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("INT", 130), ("SEGV", 139), ("HUP", 129), ("PIPE", 141)] {
        assert_eq!(pod.sh(&format!("kill -{signal} $$")).both(), (code, Some(code.to_string().as_str())), "{signal}");
    }
}

#[test]
fn what_cannot_be_run_is_64_and_says_why() {
    let pod = Pod::new(&json!({}));
    pod.write("noexec", "x");
    pod.write("interpreter", "#!/nonexistent/sh\n");
    pod.write("garbage", b"\0\x01garbage");
    pod.write("noshebang", "echo hi\n");
    for name in ["interpreter", "garbage", "noshebang"] {
        fs::set_permissions(pod.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let here = |name: &str| pod.path(name).to_str().unwrap().to_owned();
    let cases: [(Vec<String>, &str); 9] = [
        (vec!["no-such-command".into()], "not found in PATH"),
        (vec!["/no/such".into()], "no such file"),
        (vec!["./no".into()], "no such file"),
        (vec![String::new()], "not found in PATH"),
        (vec![here("noexec")], "may not be executed"),
        (vec![here("dev")], "is a directory"),
        (vec![here("interpreter")], "interpreter"),
        (vec![here("garbage")], "no program of this machine"),
        (vec![], "no command"),
    ];
    for (words, part) in cases {
        let ended = pod.run("main", &words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ended.both(), (64, Some("64")), "{words:?}: {}", ended.stderr);
        assert!(ended.last_words.contains(part), "{words:?}: {}", ended.last_words);
        assert!(ended.stderr.contains(part), "{words:?}: {}", ended.stderr);
    }
}

#[test]
fn a_template_that_is_none_is_64() {
    let pod = Pod::new(&json!({}));
    pod.write("var/run/argo/template", "{nope");
    let ended = pod.sh("exit 0");
    assert_eq!(ended.both(), (64, Some("64")));
    assert!(ended.last_words.contains("is no template"), "{}", ended.last_words);

    fs::remove_file(pod.path("var/run/argo/template")).unwrap();
    let ended = pod.sh("exit 0");
    assert_eq!(ended.both(), (64, Some("64")));
    assert!(ended.last_words.contains("ARGO_TEMPLATE"), "{}", ended.last_words);
}

#[test]
fn a_template_comes_from_the_environment_too() {
    let pod = Pod::new(&json!({}));
    fs::remove_file(pod.path("var/run/argo/template")).unwrap();
    let mut command = pod.emissary("main", &["true"]);
    command.env("ARGO_TEMPLATE", "{}");
    assert_eq!(pod.start("main", command).end().both(), (0, Some("0")));

    pod.write("argo/config/ARGO_TEMPLATE", "{}");
    let mut command = pod.emissary("main", &["true"]);
    command.env("ARGO_TEMPLATE", "offloaded");
    assert_eq!(pod.start("main", command).end().both(), (0, Some("0")));
}

#[test]
fn a_container_without_a_name_runs_and_loses_nothing_silently() {
    let run = |pod: &Pod, line: &str| {
        let mut command = pod.emissary("", &["sh", "-c", line]);
        command.env_remove("ARGO_CONTAINER_NAME");
        pod.start("", command).end()
    };
    assert_eq!(run(&Pod::new(&json!({})), "exit 0").code, 0);
    let declares = json!({"outputs": {"parameters": [{"name": "p", "valueFrom": {"path": "/tmp/p"}}]}});
    assert_eq!(run(&Pod::new(&declares), "exit 3").code, 3);
    let ended = run(&Pod::new(&declares), "exit 0");
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("ARGO_CONTAINER_NAME"), "{}", ended.last_words);
}

#[test]
fn a_name_that_leaves_its_folder_is_refused() {
    let pod = Pod::new(&json!({}));
    for name in ["..", "a/b", "."] {
        assert_eq!(pod.run(name, &["true"]).code, 64, "{name}");
    }
    assert!(!pod.path("var/run/argo/exitcode").exists());
}

fn set() -> serde_json::Value {
    json!({"containerSet": {"containers": [{"name": "a"}, {"name": "main", "dependencies": ["a"]}]}})
}

#[test]
fn a_dependency_is_waited_for() {
    let pod = Pod::new(&set());
    let mut main = pod.start("main", pod.emissary("main", &["true"]));
    until("its folder", || pod.path("var/run/argo/ctr/a").exists());
    assert!(main.is_running());
    assert_eq!(pod.run("a", &["true"]).both(), (0, Some("0")));
    assert_eq!(main.end().both(), (0, Some("0")));
}

#[test]
fn a_dependency_that_failed_is_64_in_both() {
    for code in ["3", "64", "137"] {
        let pod = Pod::new(&set());
        pod.write("var/run/argo/ctr/a/exitcode", code);
        let ended = pod.run("main", &["true"]);
        assert_eq!(ended.both(), (64, Some("64")), "{code}");
        assert!(
            ended
                .last_words
                .contains(&format!("the container a, which this one depends on, ended with exit code {code}"))
        );
    }
}

#[test]
fn a_dependencys_success_is_not_the_code_of_what_cannot_start() {
    let pod = Pod::new(&set());
    pod.write("var/run/argo/ctr/a/exitcode", "0\n");
    assert_eq!(pod.run("main", &["no-such"]).both(), (64, Some("64")));
}

#[test]
fn an_exit_code_that_is_not_written_yet_is_waited_for() {
    let pod = Pod::new(&set());
    pod.write("var/run/argo/ctr/a/exitcode", "");
    let mut main = pod.start("main", pod.emissary("main", &["true"]));
    until("its folder", || pod.path("var/run/argo/ctr/main").exists());
    assert!(main.is_running());
    pod.write("var/run/argo/ctr/a/.code", "0");
    fs::rename(pod.path("var/run/argo/ctr/a/.code"), pod.path("var/run/argo/ctr/a/exitcode")).unwrap();
    assert_eq!(main.end().code, 0);
}

#[test]
fn retries_are_runs() {
    for (retries, runs) in [(json!("2"), 2), (json!(3), 3), (json!(0), 1)] {
        let template = json!({"containerSet": {
            "retryStrategy": {"retries": retries, "duration": "10ms"},
            "containers": [{"name": "main"}],
        }});
        let pod = Pod::new(&template);
        let count = pod.path("count");
        assert_eq!(pod.sh(&format!("echo x >> {}; exit 5", count.display())).both(), (5, Some("5")));
        assert_eq!(text_of(&count).lines().count(), runs);
        assert_eq!(pod.sh("exit 0").both(), (0, Some("0")), "success is not repeated");
    }
}

#[test]
fn a_pause_ends_with_a_file() {
    let pod = Pod::new(&json!({}));
    let mut command = pod.emissary("main", &["sh", "-c", "exit 7"]);
    command.env("ARGO_DEBUG_PAUSE_BEFORE", "true").env("ARGO_DEBUG_PAUSE_AFTER", "true");
    let mut main = pod.start("main", command);
    until("its folder", || pod.path("var/run/argo/ctr/main").exists());
    pod.write("var/run/argo/ctr/main/before", "");
    assert!(main.is_running());
    pod.write("var/run/argo/ctr/main/after", "");
    assert_eq!(main.end().both(), (7, Some("7")));
}

#[test]
fn the_supervisors_word_is_waited_for() {
    let start = |pod: &Pod| {
        let mut command = pod.emissary("main", &["true"]);
        command.env("ARGO_WAIT_FOR_READY", "true");
        pod.start("main", command)
    };
    let pod = Pod::new(&json!({}));
    pod.write("var/run/argo/status", "RUNNING\n");
    let mut main = start(&pod);
    until("its folder", || pod.path("var/run/argo/ctr/main").exists());
    assert!(main.is_running());
    pod.write("var/run/argo/status.tmp", "READY\n");
    fs::rename(pod.path("var/run/argo/status.tmp"), pod.path("var/run/argo/status")).unwrap();
    assert_eq!(main.end().both(), (0, Some("0")));

    pod.write("var/run/argo/status", "FAILED\nno such bucket\n");
    let ended = start(&pod).end();
    assert_eq!(ended.both(), (65, Some("65")));
    assert!(ended.last_words.contains("no such bucket"));

    pod.write("var/run/argo/status", "RUNNING\n");
    let touched = Command::new("touch").args(["-d", "-40 seconds"]).arg(pod.path("var/run/argo/status")).status();
    assert!(touched.unwrap().success());
    let ended = start(&pod).end();
    assert_eq!(ended.both(), (65, Some("65")));
    assert!(ended.last_words.contains("no word of the supervisor"), "{}", ended.last_words);
}

#[test]
fn input_artifacts_are_linked_where_the_template_wants_them() {
    let pod = Pod::new(&json!({}));
    let at = |name: &str| pod.path(name).to_str().unwrap().to_owned();
    let template = json!({
        "inputs": {"artifacts": [
            {"name": "a", "path": at("work")},
            {"name": "missing", "path": at("none"), "optional": true},
            {"name": "mounted", "path": at("volume/x")},
        ]},
        "container": {"volumeMounts": [{"mountPath": at("volume")}]},
    });
    pod.write("var/run/argo/template", template.to_string());
    pod.write("var/run/argo/status", "READY\n");
    pod.write("argo/inputs/artifacts/a/file", "in");
    pod.write("argo/inputs/artifacts/mounted", "in");
    pod.write("work/of-the-image", "old");
    let mut command = pod.emissary("main", &["sh", "-c", "cat file; ls"]);
    command.env("ARGO_WAIT_FOR_READY", "true").current_dir(pod.path("work"));
    let ended = pod.start("main", command).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "infile\n"), "{}", ended.stderr);
    assert!(pod.path("work").is_symlink());
    assert!(!pod.path("none").exists() && !pod.path("volume/x").exists());
}

#[test]
fn commands_come_by_platform() {
    let pod = Pod::new(&json!({}));
    let run = |commands: &str| {
        let mut command = pod.emissary("main", &["c d"]);
        command.env("EMISSARY_PLATFORM_COMMANDS", commands);
        pod.start("main", command).end()
    };
    let script = r#"printf %s, \"$@\"; env | grep -c PLATFORM_COMMANDS"#;
    let ours = format!(r#"["sh","-c","{script}","sh","b"]"#);
    let ended = run(&format!(r#"{{"linux/amd64":{ours},"linux/arm64":{ours}}}"#));
    assert_eq!(ended.stdout, "b,c d,0\n", "{}", ended.stderr);
    for wrong in [r#"{"plan9/mips":["x"]}"#, "[]", "{"] {
        assert_eq!(run(wrong).both(), (64, Some("64")), "{wrong}");
    }
}

#[test]
fn arguments_come_from_a_file() {
    let pod = Pod::new(&json!({}));
    let run = |arguments: serde_json::Value| {
        pod.write("argo/config/ARGO_CONTAINER_ARGS_FILE", arguments.to_string());
        let mut command = pod.emissary("main", &["sh", "-c", "printf '%s\\n' \"$@\"", "sh"]);
        command.env("ARGO_CONTAINER_ARGS_FILE", "/argo/config/ARGO_CONTAINER_ARGS_FILE");
        pod.start("main", command).end()
    };
    assert_eq!(run(json!(["a b", "", "c"])).stdout, "a b\n\nc\n");
    let long = "x".repeat(131_072);
    let ended = run(json!(["a", long]));
    let file = ended.stdout.lines().nth(1).and_then(|line| line.strip_prefix('@')).unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), long);
    assert!(file.ends_with("/tmp/argo_arg_4.txt"), "{file}");
    let fits = "x".repeat(131_071);
    assert_eq!(run(json!([fits])).stdout, format!("{fits}\n"));
    assert_eq!(run(json!({})).both(), (64, Some("64")));
    assert_eq!(run(json!(["\0"])).both(), (64, Some("64")));
}

#[test]
fn an_artifact_plugins_failure_is_not_the_pods() {
    let pod = Pod::new(&json!({}));
    let mut command = pod.argoexec("artifact-plugin-x");
    command.args(["artifact-plugin-sidecar", "--loglevel", "info", "--", "sh", "-c", "exit 5"]);
    let ended = pod.start("artifact-plugin-x", command).end();
    assert_eq!(ended.both(), (0, Some("5")));
}

#[test]
fn verbs_of_others_go_to_the_sibling() {
    let pod = Pod::new(&json!({}));
    let mut command = pod.argoexec("wait");
    command.args(["wait", "--loglevel", "info"]);
    let ended = pod.start("wait", command).end();
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("argoexec-tasks"), "{}", ended.last_words);
}
