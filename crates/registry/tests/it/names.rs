use crate::setup::{near, question, resolver, soon};
use emissary_core::image::Reference;
use emissary_registry::{Names, Options, Question, Resolver};
use sample_registry::{Image, RunningRegistry, SampleRegistry};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::{net::UdpSocket, task::JoinHandle};

/// A name server that knows a few names, counts what it is asked, and is gone when dropped.
struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    async fn start(names: &[(&str, &[Ipv4Addr])]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let names: BTreeMap<String, Vec<Ipv4Addr>> =
            names.iter().map(|(name, addresses)| ((*name).to_owned(), addresses.to_vec())).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let (name, answer) = answer(&packet[..length], &names);
                log.lock().unwrap().extend(name);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Self { address, asked, task }
    }

    /// The names asked for, each once for A and AAAA together.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// RFC 1035, as far as one question goes. The name is returned for questions of type A.
fn answer(question: &[u8], names: &BTreeMap<String, Vec<Ipv4Addr>>) -> (Option<String>, Vec<u8>) {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let length = usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..=at + length]).to_ascii_lowercase());
        at += length + 1;
    }
    let (name, end) = (labels.join("."), at + 5);
    let is_a = question[at + 1..at + 3] == [0, 1];
    let known = names.get(&name);
    let addresses: &[Ipv4Addr] = known.filter(|_| is_a).map_or(&[], Vec::as_slice);
    let mut reply = question[..2].to_vec();
    reply.extend([0x81, if known.is_some() { 0x80 } else { 0x83 }, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    reply.extend(&question[12..end]);
    for address in addresses {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    (is_a.then_some(name), reply)
}

struct Files {
    directory: tempfile::TempDir,
    names: Names,
}

fn files(server: &NameServer, conf: &str, hosts: &str) -> Files {
    let directory = tempfile::tempdir().unwrap();
    let (resolv_conf, hosts_file) = (directory.path().join("resolv.conf"), directory.path().join("hosts"));
    std::fs::write(&resolv_conf, format!("nameserver {}\n{conf}\n", server.address.ip())).unwrap();
    std::fs::write(&hosts_file, hosts).unwrap();
    let names = Names { resolv_conf, hosts: hosts_file, port: server.address.port() };
    Files { directory, names }
}

async fn registry() -> RunningRegistry {
    SampleRegistry::new().put("app:1", Image::new("linux/amd64").cmd(&["x"])).start().await.unwrap()
}

fn asker(registry: &RunningRegistry, host: &str, names: &Names) -> (Resolver, Question) {
    let authority = format!("{host}:{}", registry.address().port());
    let options = Options { plain_http: vec![authority.clone()], names: names.clone(), ..near() };
    let reference = Reference::parse(&format!("{authority}/app:1")).unwrap();
    (resolver(options), Question { reference, ..question(registry, "app:1", &[]) })
}

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[tokio::test]
async fn search_domains_and_ndots_are_a_pods() {
    let server =
        NameServer::start(&[("registry.tools.svc.cluster.local", &[HERE]), ("reg.example.com", &[HERE])]).await;
    let files = files(&server, "search team.svc.cluster.local svc.cluster.local\noptions ndots:5", "");
    let registry = registry().await;
    let table: &[(&str, &[&str])] = &[
        ("registry.tools", &["registry.tools.team.svc.cluster.local", "registry.tools.svc.cluster.local"]),
        (
            "reg.example.com",
            &["reg.example.com.team.svc.cluster.local", "reg.example.com.svc.cluster.local", "reg.example.com"],
        ),
    ];
    for (host, expected) in table {
        server.asked.lock().unwrap().clear();
        let (resolver, question) = asker(&registry, host, &files.names);
        resolver.resolve(&question, soon()).await.unwrap();
        assert_eq!(server.asked(), *expected, "{host}");
    }
}

#[tokio::test]
async fn a_name_is_asked_for_once() {
    let server = NameServer::start(&[("reg.example.com", &[HERE])]).await;
    let files = files(&server, "options ndots:1", "");
    let registry = SampleRegistry::new()
        .put("app:1", Image::new("linux/amd64").cmd(&["x"]))
        .put("app:2", Image::new("linux/amd64").cmd(&["y"]))
        // So that each request needs a connection of its own.
        .fault(|_| None)
        .start()
        .await
        .unwrap();
    let (resolver, question) = asker(&registry, "reg.example.com", &files.names);
    for tag in ["app:1", "app:2", "app:absent"] {
        let reference = Reference::parse(&format!("reg.example.com:{}/{tag}", registry.address().port())).unwrap();
        let _ = resolver.resolve(&Question { reference, ..question.clone() }, soon()).await;
    }
    assert_eq!(server.asked(), ["reg.example.com"]);
    assert!(registry.requests().len() >= 5);
}

#[tokio::test]
async fn the_hosts_file_goes_first() {
    let server = NameServer::start(&[]).await;
    let files = files(&server, "options ndots:1", "127.0.0.1 reg.example.com # a host alias\n");
    let registry = registry().await;
    let (resolver, question) = asker(&registry, "reg.example.com", &files.names);
    resolver.resolve(&question, soon()).await.unwrap();
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused() {
    let server =
        NameServer::start(&[("rebound.test", &[HERE]), ("both.test", &[Ipv4Addr::new(127, 0, 0, 2), HERE])]).await;
    let files = files(&server, "options ndots:1", "127.0.0.1 alias.test\n");
    let registry = registry().await;
    for (host, allowed, expected) in [
        ("rebound.test", "10.0.0.0/8", "forbidden"),
        ("alias.test", "10.0.0.0/8", "forbidden"),
        // Only the allowed one of its addresses is connected to.
        ("both.test", "127.0.0.1/32", "ok"),
        ("both.test", "127.0.0.2/32", "unreachable"),
    ] {
        let authority = format!("{host}:{}", registry.address().port());
        let options = Options {
            plain_http: vec![authority.clone()],
            names: files.names.clone(),
            allow_networks: vec![allowed.parse().unwrap()],
            ..near()
        };
        let reference = Reference::parse(&format!("{authority}/app:1")).unwrap();
        let question = Question { reference, ..question(&registry, "app:1", &[]) };
        let got = resolver(options).resolve(&question, soon()).await;
        let kind = got.as_ref().map_or_else(|failure| failure.kind(), |_| "ok");
        assert_eq!(kind, expected, "{host} with {allowed}: {got:?}");
    }
    assert_eq!(registry.requests().len(), 2);
}

#[tokio::test]
async fn without_resolv_conf_nobody_is_asked_until_there_is_one() {
    let server = NameServer::start(&[("reg.example.com", &[HERE])]).await;
    let files = files(&server, "options ndots:1", "");
    let moved = files.directory.path().join("moved");
    std::fs::rename(&files.names.resolv_conf, &moved).unwrap();
    let registry = registry().await;
    let (resolver, question) = asker(&registry, "reg.example.com", &files.names);
    let failure = resolver.resolve(&question, soon()).await.unwrap_err();
    assert_eq!((failure.kind(), failure.is_transient()), ("unreachable", true));
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(&*failure);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    assert!(causes.iter().any(|text| text.contains("resolv.conf cannot be read")), "{causes:?}");
    std::fs::rename(&moved, &files.names.resolv_conf).unwrap();
    let again = Reference::parse(&format!("{}@{}", question.reference, registry.digest("app:1").unwrap())).unwrap();
    resolver.resolve(&Question { reference: again, ..question }, soon()).await.unwrap();
}

#[tokio::test]
async fn a_name_of_the_hosts_file_is_asked_of_no_server() {
    let server = NameServer::start(&[]).await;
    let registry = registry().await;
    // One family of addresses is enough, and no resolv.conf is needed for it.
    for conf in ["options ndots:5", ""] {
        let files = files(&server, conf, "127.0.0.1 reg.test other.test\n");
        if conf.is_empty() {
            std::fs::remove_file(&files.names.resolv_conf).unwrap();
        }
        let (resolver, question) = asker(&registry, "reg.test", &files.names);
        resolver.resolve(&question, soon()).await.unwrap();
        assert_eq!(server.asked(), [""; 0]);
    }
}
