//! What is kept of a container's output.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::pod::{Ended, Pod};

fn captured(pod: &Pod, line: &str) -> Ended {
    let mut command = pod.emissary("main", &["sh", "-c", line]);
    command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    pod.start("main", command).end()
}

#[test]
fn nothing_is_kept_that_nobody_asked_for() {
    let pod = Pod::new(&json!({}));
    assert_eq!(pod.sh("echo out; echo err >&2").stdout, "out\n");
    assert!(!pod.path("var/run/argo/ctr/main/stdout").exists());
    let pod = Pod::new(&json!({"archiveLocation": {"archiveLogs": true}}));
    pod.sh("echo out");
    assert_eq!(pod.text("var/run/argo/ctr/main/combined"), "out\n");
}

#[test]
fn output_is_passed_on_and_kept() {
    let pod = Pod::new(&json!({}));
    let ended = captured(&pod, "echo out; echo err >&2; sleep 0.1; echo more; exit 3");
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), ("out\nmore\n", "err\n", 3));
    assert_eq!(pod.text("var/run/argo/ctr/main/stdout"), "out\nmore\n");
    let combined = pod.text("var/run/argo/ctr/main/combined");
    let mut lines: Vec<&str> = combined.lines().collect();
    assert_eq!(lines.pop(), Some("more"));
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
    for name in ["stdout", "combined"] {
        let found = fs::metadata(pod.path("var/run/argo/ctr/main").join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o666, "wait may be another user");
    }
}

#[test]
fn one_file_serves_both_until_standard_error_is_written_to() {
    let inode = |pod: &Pod, name: &str| fs::metadata(pod.path("var/run/argo/ctr/main").join(name)).unwrap().ino();
    let pod = Pod::new(&json!({}));
    captured(&pod, "echo out");
    assert_eq!(inode(&pod, "stdout"), inode(&pod, "combined"));
    assert_eq!(pod.text("var/run/argo/ctr/main/combined"), "out\n");

    let pod = Pod::new(&json!({}));
    captured(&pod, "echo a; sleep 0.1; echo b >&2; sleep 0.1; echo c");
    assert_ne!(inode(&pod, "stdout"), inode(&pod, "combined"));
    assert_eq!(pod.text("var/run/argo/ctr/main/stdout"), "a\nc\n");
    assert_eq!(pod.text("var/run/argo/ctr/main/combined"), "a\nb\nc\n");
}

#[test]
fn runs_after_each_other_are_kept_behind_each_other() {
    let strategy = json!({"retries": 3});
    let pod = Pod::new(&json!({"containerSet": {"retryStrategy": strategy, "containers": [{"name": "main"}]}}));
    captured(&pod, "echo out; sleep 0.05; echo err >&2; exit 1");
    assert_eq!(pod.text("var/run/argo/ctr/main/stdout"), "out\n".repeat(3));
    assert_eq!(pod.text("var/run/argo/ctr/main/combined"), "out\nerr\n".repeat(3));
}

/// Bytes that no two places share.
fn numbers(count: usize) -> Vec<u8> {
    (0..count as u32 / 4).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn every_byte_arrives_however_it_is_written() {
    for (chunk, also) in
        [("1", ""), ("100", ""), ("64k", ""), ("1M", ""), ("64k", "; echo err >&2; cat $0"), ("3k", "; cat $0 >&2")]
    {
        let pod = Pod::new(&json!({}));
        let bytes = numbers(if chunk == "1" { 40_000 } else { 6_000_000 });
        pod.write("data", &bytes);
        let data = pod.path("data");
        let line = format!("dd if=$0 bs={chunk} status=none{also}");
        let mut command = pod.emissary("main", &["sh", "-c", &line, data.to_str().unwrap()]);
        command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes)
        });
        let mut passed = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut passed).unwrap();
        assert!(child.wait().unwrap().success());
        let errors = errors.join().unwrap().unwrap();
        let kept = fs::read(pod.path("var/run/argo/ctr/main/stdout")).unwrap();
        let combined = fs::read(pod.path("var/run/argo/ctr/main/combined")).unwrap();
        let mut expected = bytes.clone();
        if also.contains("err") {
            expected.extend_from_slice(&bytes);
        }
        assert!(passed == expected, "{chunk}{also}: {} bytes passed on", passed.len());
        assert!(kept == expected, "{chunk}{also}: {} bytes kept", kept.len());
        assert_eq!(combined.len(), expected.len() + errors.len(), "{chunk}{also}");
    }
}

#[test]
fn output_goes_to_whatever_standard_output_is() {
    for kind in ["file", "append", "null", "closed"] {
        let pod = Pod::new(&json!({}));
        let bytes = numbers(3_000_000);
        pod.write("data", &bytes);
        let data = pod.path("data");
        let mut command = pod.emissary("main", &["dd", &format!("if={}", data.display()), "bs=64k", "status=none"]);
        command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
        let log = pod.path("log");
        match kind {
            "file" => command.stdout(fs::File::create(&log).unwrap()),
            "append" => command.stdout(fs::OpenOptions::new().append(true).create(true).open(&log).unwrap()),
            "null" => command.stdout(Stdio::null()),
            _ => {
                let (reader, writer) = rustix::pipe::pipe().unwrap();
                drop(reader);
                command.stdout(Stdio::from(writer))
            }
        };
        assert!(command.status().unwrap().success(), "{kind}");
        assert!(fs::read(pod.path("var/run/argo/ctr/main/stdout")).unwrap() == bytes, "{kind}");
        if log.exists() {
            assert!(fs::read(&log).unwrap() == bytes, "{kind}");
        }
    }
}

#[test]
fn a_slow_reader_loses_nothing() {
    let pod = Pod::new(&json!({}));
    let bytes = numbers(2_000_000);
    pod.write("data", &bytes);
    let data = pod.path("data");
    let mut command = pod.emissary("main", &["cat", data.to_str().unwrap()]);
    command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true").stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Longer than what others may write afterwards is waited for.
    std::thread::sleep(Duration::from_millis(400));
    let mut passed = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut passed).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(passed == bytes);
}

#[test]
fn who_goes_on_writing_keeps_nobody() {
    let pod = Pod::new(&json!({}));
    let begun = std::time::Instant::now();
    let ended = captured(&pod, "sleep 20 & echo done");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "done\n"));
    assert!(begun.elapsed() < Duration::from_secs(15));
    // A filter in the background, which is the last to write.
    let pod = Pod::new(&json!({}));
    captured(&pod, "(sleep 0.03; echo late) & echo done");
    assert_eq!(pod.text("var/run/argo/ctr/main/stdout"), "done\nlate\n");
}

/// `ARGOEXEC_TEST_GIGABYTES` says how many go through; 10 is what a long run asks for.
#[test]
fn gigabytes_go_through() {
    let gigabytes: u64 = std::env::var("ARGOEXEC_TEST_GIGABYTES").map_or(1, |text| text.parse().unwrap());
    let pod = Pod::new(&json!({}));
    // The file would fill the disk, so that it is kept where nothing is.
    std::os::unix::fs::symlink("/dev/null", pod.path("null")).unwrap();
    fs::create_dir_all(pod.path("var/run/argo/ctr/main")).unwrap();
    let line = format!("exec head -c {} /dev/zero", gigabytes << 30);
    let mut command = pod.emissary("main", &["sh", "-c", &line]);
    command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true").stdout(Stdio::piped());
    for name in ["stdout", "combined"] {
        std::os::unix::fs::symlink("/dev/null", pod.path("var/run/argo/ctr/main").join(name)).unwrap();
    }
    let mut child = command.spawn().unwrap();
    let mut count =
        Command::new("wc").arg("-c").stdin(child.stdout.take().unwrap()).stdout(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut counted = String::new();
    count.stdout.take().unwrap().read_to_string(&mut counted).unwrap();
    assert!(count.wait().unwrap().success());
    assert_eq!(counted.trim().parse::<u64>().unwrap(), gigabytes << 30);
    let _ = writeln!(std::io::stderr(), "{gigabytes} GiB went through {peak} kB");
    assert!(peak < 16 << 10, "{peak} kB for {gigabytes} GiB");
}
