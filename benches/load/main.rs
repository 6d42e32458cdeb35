//! The built program under load, over TLS on loopback: `cargo bench --bench load [SECONDS]`, the time of each row.
//!
//! Client and server share the machine: answers a second say what the two manage together, CPU an admission what the
//! server's share of it was. Nothing but loopback is touched. Linux only: the server is watched through /proc.
#![expect(clippy::unwrap_used, reason = "a figure that cannot be taken is no figure")]

mod client;
#[path = "../figures/reviews.rs"]
mod reviews;
mod server;

use client::{Answered, Load, Protocol, always};
use reviews::{Ask, Size, review};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use sample_registry::{Fault, Image, Index, RunningRegistry, SampleRegistry};
use server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// How many reviews of one image that nobody has seen arrive at once.
const BURST: usize = 1_000;
/// How many images that nobody has seen come, each in a review of its own.
const FLOOD: usize = 10_000;
/// What a registry takes for each request of theirs.
const SLOW: Duration = Duration::from_millis(500);

fn main() {
    let seconds: f64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(3.0);
    let time = Duration::from_secs_f64(seconds.clamp(0.1, 60.0));
    // One thread, so that the server has the other processor of a small machine.
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(time));
}

async fn run(time: Duration) {
    let app = |platform| Image::new(platform).entrypoint(&["/usr/local/bin/app"]).cmd(&["serve"]);
    let index = || Index::oci().image(app("linux/amd64")).image(app("linux/arm64")).attestation();
    let registry = SampleRegistry::new().put("team/app:1.0", index()).put("team/cold:1.0", index());
    let slow = |path: &str| path.contains("/flood-").then_some(Fault::Delay(SLOW));
    let unseen = |registry: SampleRegistry, number| registry.put(&format!("flood-{number}:1"), app("linux/amd64"));
    let registry = (0..FLOOD).fold(registry, unseen).fault(move |head| slow(&head.path));
    let registry = registry.put("team/burst:1.0", index()).start().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&certificate, authority.cert.pem()).unwrap();
    std::fs::write(&key, authority.signing_key.serialize_pem()).unwrap();
    let tls = connector(&authority.cert.pem());

    println!("load average: {}", load_average());
    let mut server = Server::start(&certificate, &key, registry.address(), &[]).await;
    for _ in 0..4 {
        println!("start to ready: {:4} ms, {:3} ms of CPU", server.ready_after.as_millis(), server.cpu().as_millis());
        drop(server);
        server = Server::start(&certificate, &key, registry.address(), &[]).await;
    }
    println!("idle: {}", server.memory());
    println!();
    cold(&server, &tls, &registry).await;
    println!();
    warm(&server, &tls, &registry, time).await;
    println!();
    flood(&server, &tls, &registry, time).await;
    println!("load average: {}", load_average());
}

/// Images that the server has not seen: what they cost the registry.
async fn cold(server: &Server, tls: &TlsConnector, registry: &RunningRegistry) {
    for (name, askers) in [("team/cold:1.0", 1), ("team/cold:1.0", 1), ("team/burst:1.0", BURST)] {
        let (body, _) = review(Ask::LookUp, Size::Variables(100), &registry.reference(name));
        let (connections, open) = if askers == 1 { (1, 1) } else { (50, askers / 50) };
        let load = Load {
            protocol: Protocol::Http2,
            connections,
            open,
            address: server.address,
            tls,
            body: always(body.into()),
        };
        let before = registry.requests().len();
        let Answered { times, refused, took } = load.run(Duration::ZERO).await;
        println!(
            "{name}, {askers:4} at once: {} requests to the registry, {} answers of which {refused} try-again, {:.1} ms",
            registry.requests().len() - before,
            times.len(),
            took.as_secs_f64() * 1e3,
        );
    }
}

/// Reviews whose image is known, as fast as they are answered.
async fn warm(server: &Server, tls: &TlsConnector, registry: &RunningRegistry, time: Duration) {
    println!(
        "{:18} {:>6} {:>8} {:>5} {:>4} {:>8} {:>8} {:>7} {:>7} {:>11}",
        "pod", "bytes", "protocol", "conns", "open", "answers", "a second", "p50 ms", "p99 ms", "CPU µs each"
    );
    let image = registry.reference("team/app:1.0");
    for (ask, size) in [
        (Ask::Nothing, Size::Variables(100)),
        (Ask::Wrap, Size::Variables(100)),
        (Ask::Bare, Size::Variables(100)),
        (Ask::LookUp, Size::Variables(1)),
        (Ask::LookUp, Size::Variables(100)),
        (Ask::LookUp, Size::Bytes(30_000)),
        (Ask::LookUp, Size::Bytes(120_000)),
    ] {
        let body: bytes::Bytes = review(ask, size, &image).0.into();
        for (protocol, connections, open) in [(Protocol::Http2, 2, 8), (Protocol::Http1, 16, 1)] {
            let load = Load { protocol, connections, open, address: server.address, tls, body: always(body.clone()) };
            load.run(Duration::from_millis(300)).await;
            let before = server.cpu();
            let Answered { mut times, refused, took } = load.run(time).await;
            let cpu = server.cpu() - before;
            assert_eq!(refused, 0, "an image that is known is never waited for");
            times.sort_unstable();
            let millis = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
            println!(
                "{:18} {:6} {:>8} {connections:5} {open:4} {:8} {:8.0} {:7.2} {:7.2} {:11.1}  {}",
                ask.name(),
                body.len(),
                protocol.name(),
                times.len(),
                times.len() as f64 / took.as_secs_f64(),
                millis(50),
                millis(99),
                cpu.as_secs_f64() * 1e6 / times.len() as f64,
                server.memory(),
            );
        }
    }
}

/// Images that nobody has seen and a registry that is slow, in namespaces of their own; and what others, whose image is known,
/// notice of it.
async fn flood(server: &Server, tls: &TlsConnector, registry: &RunningRegistry, time: Duration) {
    let known = review(Ask::LookUp, Size::Variables(100), &registry.reference("team/app:1.0")).0;
    let warm = || Load {
        protocol: Protocol::Http2,
        connections: 1,
        open: 1,
        address: server.address,
        tls,
        body: always(known.clone().into()),
    };
    print_waits("a known image, alone", warm().run(time).await, server);

    let (unseen, _) = review(Ask::LookUp, Size::Variables(1), &registry.reference("flood-NUMBER:1"));
    let unseen = String::from_utf8(unseen).unwrap();
    let sent = AtomicUsize::new(0);
    let next = move || {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("\"namespace\":\"flood-{}\"", number % 10);
        let of_its_own = unseen.replace("flood-NUMBER", &format!("flood-{number}"));
        (number < FLOOD).then(|| of_its_own.replace("\"namespace\":\"default\"", &namespace).into())
    };
    let cold = Load {
        protocol: Protocol::Http2,
        connections: 10,
        open: 40,
        address: server.address,
        tls,
        body: Arc::new(next),
    };
    let before = registry.requests().len();
    let ended = Arc::new(AtomicBool::new(false));
    let meanwhile = {
        let (ended, known) = (Arc::clone(&ended), bytes::Bytes::from(known.clone()));
        let next = move || (!ended.load(Ordering::Relaxed)).then(|| known.clone());
        Load { body: Arc::new(next), ..warm() }
    };
    let cold = async {
        let answered = cold.run(Duration::from_secs(3600)).await;
        ended.store(true, Ordering::Relaxed);
        answered
    };
    let (cold, meanwhile) = tokio::join!(cold, meanwhile.run(Duration::from_secs(3600)));
    print_waits("a known image, meanwhile", meanwhile, server);
    print_waits(&format!("{FLOOD} unseen images, {SLOW:?} a request"), cold, server);
    println!("  {} requests to the registry", registry.requests().len() - before);
}

fn print_waits(what: &str, answered: Answered, server: &Server) {
    let Answered { mut times, refused, took } = answered;
    times.sort_unstable();
    let millis = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{what}: {} answers in {:.1} s, {refused} try-again, p50 {:.2} ms, p99 {:.2} ms; {}",
        times.len(),
        took.as_secs_f64(),
        millis(50),
        millis(99),
        server.memory(),
    );
}

/// Trusts one certificate.
fn connector(pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Of the last minute: how much else wanted the processors.
fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap().split(' ').next().unwrap().to_owned()
}
