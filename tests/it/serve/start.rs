//! What keeps it from starting: exit code 2, and a line that names what to mend.

use std::fs;
use std::net::TcpListener;

use super::program::{Serve, serve};

#[track_caller]
fn assert_fails(serve: &Serve, says: &[&str]) {
    let (code, text) = serve.fail();
    assert_eq!(code, Some(2), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    let [line] = lines[..] else { panic!("one line, and not {text}") };
    assert!(says.iter().all(|says| line.contains(says)), "{line}");
    assert!(!text.contains("panicked") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_certificate_that_is_missing_or_none() {
    let missing = serve("").flags(&["--certificate", "no/tls.crt"]);
    assert_fails(&missing, &["no/tls.crt", "No such file", "--certificate"]);
    let missing = serve("").flags(&["--key", "no/tls.key"]);
    assert_fails(&missing, &["no/tls.key", "No such file", "--key"]);
    assert_fails(&serve("").file("tls.crt", "nonsense"), &["tls.crt", "tls.key", "PEM"]);
    let other = serve("");
    let pair = serve("").file("tls.key", &fs::read_to_string(other.path("tls.key")).unwrap());
    assert_fails(&pair, &["tls.crt", "tls.key"]);
}

#[test]
fn settings_that_are_wrong() {
    for (settings, flags, says) in [
        ("mode: [", &[][..], &["settings.yaml:"][..]),
        ("mod: enforce", &[], &["settings.yaml:1:1: ", "did you mean `mode`"]),
        ("mode: enforced", &[], &["settings.yaml:1:7: mode", "enforce"]),
        ("server: {maxBody: 1}", &[], &["settings.yaml:1:19: server.maxBody", "64Ki"]),
        ("imageIndex: {files: [none.yaml]}", &[], &["none.yaml: cannot be read"]),
        ("", &["--settings", "none.yaml"], &["none.yaml: cannot be read"]),
        ("", &["--mode", "on"], &["--mode", "enforce"]),
        ("", &["--set", "mode"], &["--set mode: write path=value"]),
        ("", &["--set", "nothing.here=1"], &["nothing.here"]),
        ("", &["--listen", "localhost"], &["--listen", "such as 127.0.0.1:10250"]),
        ("", &["--log", "a=b=c"], &["--log"]),
        ("", &["--docker-config", "none.json"], &["none.json: cannot be read"]),
    ] {
        assert_fails(&serve(settings).flags(flags), says);
    }
    // All at once: the second edit must not find the next mistake.
    let (_, text) = serve("mod: enforce").flags(&["--set", "mode=x"]).fail();
    assert!(text.contains("settings.yaml:1:1: ") && text.contains("--set mode=x: "), "{text}");
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--plain-listen"] {
        assert_fails(&serve("").flags(&[flag, &address]), &[&address, flag]);
    }
}
