//! `emissary-webhook demo` as a new user runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"));
    // What is set where the tests run is no business of the demo's.
    command.arg("demo").env("EMISSARY_WEBHOOK_MODE", "off").env("HTTP_PROXY", "http://127.0.0.1:9");
    command
}

#[test]
fn shows_every_answer_and_ends_well() {
    let output = demo().output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}:\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains('\x1b'), "colours where nobody sees them");
    for line in [
        // A title, the answer, the difference, the command's origin, what it cost.
        "1/10  A bare pod that asks for it by a label; its image has ENTRYPOINT and CMD, and two platforms",
        "  examples/reviews/01-bare-pod.json",
        "+    - /usr/bin/report",
        "  registry: GET /v2/shop/report/manifests/1.4 200",
        // What the docker executor needed is gone.
        "-      path: /var/run/docker.sock",
        "-  shareProcessNamespace: true",
        "  registry: GET /v2/finance/ledger/manifests/3 401",
        "  the same as in 1",
        "10 reviews: 7 rewritten, 1 unchanged, 1 left alone, 1 denied",
        "every answer is as it should be",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line:?} is not in\n{text}");
    }
    for start in [
        "  pod/nightly-report: rewritten in ",
        "  pod/import-orders: denied with 422 in ",
        "  message:  emissary-webhook: container main has no command, and image registry.example.com/shop/imports:1.0 ",
        "  pod/notify-1340600742-agent: left alone in ",
        "  warning:  template compare, container main: no command filled: ",
        "18 requests to the registry, ",
    ] {
        assert!(text.lines().any(|shown| shown.starts_with(start)), "{start:?} is not in\n{text}");
    }
}

/// A demo that goes on, ended when dropped.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads up to the line that begins so, and returns it.
fn line_with(lines: &mut std::io::Lines<BufReader<ChildStdout>>, start: &str) -> String {
    lines.map(Result::unwrap).find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no line {start:?}"))
}

#[tokio::test]
async fn keeps_serving_what_its_curl_line_says() {
    let mut kept = Kept(demo().arg("--keep").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(kept.0.stdout.take().unwrap()).lines();
    let curl = line_with(&mut lines, "  curl -sS --cacert");
    let quoted: Vec<&str> = curl.split('\'').skip(1).step_by(2).collect();
    let [ca, header, review, url] = quoted[..] else { panic!("{curl}") };
    assert_eq!(header, "content-type: application/json");
    let metrics = line_with(&mut lines, "  curl -sS http").split_once("http").unwrap().1.to_owned();

    let provider = rustls::crypto::ring::default_provider();
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(ca).unwrap();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();

    let body = std::fs::read(review.strip_prefix('@').unwrap()).unwrap();
    let answer = client.post(url).header("content-type", "application/json").body(body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    assert_eq!(answer["response"]["patchType"], "JSONPatch", "{answer}");
    let metrics = client.get(format!("http{metrics}")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("emissary_webhook_admissions_total{"), "{metrics}");

    let interrupt = format!("kill -INT {}", kept.0.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    let mut rest = String::new();
    lines.map(Result::unwrap).for_each(|line| rest.push_str(&line));
    let status = kept.0.wait().unwrap();
    assert!(status.success(), "{status} after an interrupt: {rest}");
    assert!(!std::path::Path::new(ca).exists(), "its files are left behind");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = demo().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
