//! Steps, and kubelets, that make it hard: disks that are full, files of others, a `wait` that is killed.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::components::allowed;
use crate::pod::{Pod, until};

/// A template with a volume, a parameter and an artifact in it, and a parameter of the container's own layer.
fn template() -> Value {
    json!({
        "container": { "volumeMounts": [{ "mountPath": "/data" }] },
        "outputs": {
            "parameters": [
                { "name": "p", "valueFrom": { "path": "/data/p" } },
                { "name": "own", "valueFrom": { "path": "/own" } },
            ],
            "artifacts": [{ "name": "a", "path": "/data/folder", "http": { "url": "http://127.0.0.1:1/a" } }],
        },
    })
}

fn values(pod: &Pod) -> Vec<(String, String)> {
    let reported = pod.reported();
    let parameters = reported["outputs"]["parameters"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    parameters.iter().map(|parameter| (text(&parameter["name"]), text(&parameter["value"]))).collect()
}

fn fill(pod: &Pod) {
    pod.write("mainctrfs/data/p", "one");
    pod.write("mainctrfs/data/folder/file", "x".repeat(300_000));
    pod.write("var/run/argo/outputs/parameters/own", "two");
}

#[test]
fn what_another_user_keeps_to_himself_is_told_with_what_mends_it() {
    if !allowed("root, who can be another", || {
        rustix::process::getuid().is_root() && Command::new("setpriv").arg("--version").output().is_ok()
    }) {
        return;
    }
    let pod = Pod::new(template());
    fill(&pod);
    pod.write("mainctrfs/data/folder/secret", "x");
    for file in ["mainctrfs/data/p", "mainctrfs/data/folder/secret"] {
        fs::set_permissions(pod.path(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for (place, mode) in
        [("", 0o755), ("var/run/argo", 0o777), ("var/run/argo/outputs", 0o777), ("tmp", 0o1777), ("dev", 0o777)]
    {
        fs::set_permissions(pod.path(place), fs::Permissions::from_mode(mode)).unwrap();
    }
    pod.write("var/run/argo/ctr/main/exitcode", "0");
    let ended = pod.start_as(&["setpriv", "--reuid=8737", "--regid=8737", "--clear-groups"], &["wait"]).end();
    assert_eq!(ended.code, 64);
    for part in
        ["parameter p from /data/p: Permission denied", "folder/secret: Permission denied", "runAsUser", "umask 022"]
    {
        assert!(ended.last_words.contains(part), "{part}: {}", ended.last_words);
    }
    // What he does not keep to himself is not lost.
    assert_eq!(values(&pod), [("own".to_owned(), "two".to_owned())]);
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_else() {
    let namespaces = || {
        let all = ["--user", "--map-root-user", "--mount", "true"];
        Command::new("unshare").args(all).output().is_ok_and(|output| output.status.success())
    };
    if !allowed("namespaces", namespaces) {
        return;
    }
    let pod = Pod::new(template());
    fill(&pod);
    pod.write("var/run/argo/ctr/main/exitcode", "0");
    // Noise, of which nothing can be packed away.
    let mut noise = Vec::new();
    File::open("/dev/urandom").unwrap().take(300_000).read_to_end(&mut noise).unwrap();
    pod.write("mainctrfs/data/folder/file", noise);
    let tmp = pod.path("tmp");
    let mount = format!("mount -t tmpfs -o size=64k none {}; exec \"$@\"", tmp.display());
    let ended =
        pod.start_as(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"], &["wait"]).end();
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("No space left"), "{}", ended.last_words);
    assert_eq!(values(&pod), [("p".to_owned(), "one".to_owned()), ("own".to_owned(), "two".to_owned())]);

    // There is no room for what would be told.
    let shared = pod.path("var/run/argo/outputs");
    let mount =
        format!("mount -t tmpfs -o size=4k none {0}; head -c 4096 /dev/zero > {0}/fill; exec \"$@\"", shared.display());
    let ended =
        pod.start_as(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"], &["wait"]).end();
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("node.json: No space left"), "{}", ended.last_words);
}

#[test]
fn a_wait_that_is_killed_and_started_again_does_the_same() {
    let mut template = template();
    template["outputs"]["artifacts"] = json!([{ "name": "a", "path": "/data/folder", "optional": true }]);
    let pod = Pod::new(template);
    fill(&pod);
    fs::remove_dir_all(pod.path("mainctrfs/data/folder")).unwrap();
    for milliseconds in [0, 1, 3, 10, 30] {
        let running = pod.start("wait");
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.kill();
    }
    pod.write("var/run/argo/ctr/main/exitcode", "0");
    for milliseconds in [0, 1, 3, 10, 30] {
        let running = pod.start("wait");
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.kill();
    }
    for _ in 0..2 {
        pod.run("wait").is_fine();
        assert_eq!(values(&pod), [("p".to_owned(), "one".to_owned()), ("own".to_owned(), "two".to_owned())]);
    }
}

#[test]
fn a_storm_of_sigterms_is_one() {
    let pod = Pod::new(template());
    fill(&pod);
    let running = pod.start("wait");
    until("the folder", || pod.has("var/run/argo/ctr/main"));
    let process = rustix::process::Pid::from_raw(running.id().cast_signed()).unwrap();
    for _ in 0..2_000 {
        if rustix::process::kill_process(process, rustix::process::Signal::TERM).is_err() {
            break;
        }
    }
    let ended = running.end();
    // The artifact's server is not there.
    assert_eq!(ended.code, 64);
    assert_eq!(values(&pod), [("p".to_owned(), "one".to_owned()), ("own".to_owned(), "two".to_owned())]);
}

#[test]
fn the_result_of_ten_gigabytes_is_their_end() {
    let pod = Pod::new(json!({ "script": {} })).with("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    fs::create_dir_all(pod.path("var/run/argo/ctr/main")).unwrap();
    let stdout = File::create(pod.path("var/run/argo/ctr/main/stdout")).unwrap();
    // A hole, which takes no room, and at its end what is kept.
    stdout.set_len(10 << 30).unwrap();
    let end = "y".repeat(256 << 10);
    stdout.write_all_at(end.as_bytes(), (10 << 30) - end.len() as u64).unwrap();
    let mut running = pod.start("wait");
    until("the folder", || running.is_running() && pod.has("var/run/argo/ctr/main"));
    pod.write("var/run/argo/ctr/main/exitcode", "0");
    running.end().is_fine();
    assert!(pod.reported()["outputs"]["result"] == end);
}
