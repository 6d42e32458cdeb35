use crate::{
    setup::{near, plain, question, resolver, soon},
    tls::Authority,
};
use emissary_core::image::Reference;
use emissary_registry::{Hosts, Options, Question, Resolver};
use sample_registry::{Access, Fault, Image, RunningRegistry, SampleRegistry};
use std::fs;

/// A folder of `hosts.toml` files, by registry.
fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (registry, text) in files {
        fs::create_dir_all(directory.path().join(registry)).unwrap();
        fs::write(directory.path().join(registry).join("hosts.toml"), text).unwrap();
    }
    directory
}

fn load(directory: &tempfile::TempDir) -> Hosts {
    let (hosts, problems) = Hosts::load(directory.path(), &Hosts::default());
    assert_eq!(problems, []);
    hosts
}

fn image() -> Image {
    Image::new("linux/amd64").cmd(&["x"])
}

async fn with(registry: SampleRegistry) -> RunningRegistry {
    registry.put("app:1", image()).start().await.unwrap()
}

fn of(registry: &str, name: &str) -> Question {
    let reference = Reference::parse(&format!("{registry}/{name}")).unwrap();
    Question::new(reference)
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_then_the_server() {
    // What the first mirror does, and how often each of the three is asked.
    let table: &[(Option<Fault>, bool, [usize; 3])] = &[
        (None, true, [2, 0, 0]),
        (Some(Fault::status(404)), true, [2, 2, 0]),
        (Some(Fault::status(403)), true, [2, 2, 0]),
        // Who cannot serve is not waited for a second time in one look-up.
        (Some(Fault::status(500)), true, [1, 2, 0]),
        (Some(Fault::Truncate), true, [1, 2, 0]),
        (Some(Fault::WrongBytes), true, [1, 0, 0]),
        (Some(Fault::status(404)), false, [2, 2, 2]),
    ];
    for (fault, second_has_it, expected) in table {
        let fault = fault.clone();
        let first = with(SampleRegistry::new().fault(move |_| fault.clone())).await;
        let second = if *second_has_it {
            with(SampleRegistry::new()).await
        } else {
            SampleRegistry::new().start().await.unwrap()
        };
        let server = with(SampleRegistry::new()).await;
        let (a, b, c) = (first.address(), second.address(), server.address());
        let text = format!("server = \"http://{c}\"\n[host.\"http://{a}\"]\n[host.\"http://{b}\"]\n");
        let options = Options { hosts: load(&folder(&[("mirrored.test", text)])), ..near() };
        let got = resolver(options).resolve(&of("mirrored.test", "app:1"), soon()).await;
        let counts = [&first, &second, &server].map(|registry| registry.requests().len());
        assert_eq!(counts, *expected, "{got:?}");
        assert_eq!(got.is_ok(), expected.iter().sum::<usize>() > 1, "{got:?}");
        for request in first.requests() {
            assert!(request.path.ends_with("?ns=mirrored.test"), "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_mirror_that_is_down_costs_nothing_but_a_try() {
    let (down, server) = (with(SampleRegistry::new()).await, with(SampleRegistry::new()).await);
    let text = format!("[host.\"http://{}\"]", down.address());
    drop(down);
    let hosts = load(&folder(&[(&server.address().to_string(), text)]));
    resolver(Options { hosts, ..plain(&server) }).resolve(&question(&server, "app:1", &[]), soon()).await.unwrap();
    assert_eq!(server.requests().len(), 2);
    assert!(
        server.requests().iter().all(|request| !request.path.contains("ns=")),
        "the registry is no mirror of its own"
    );
}

#[tokio::test]
async fn a_host_is_asked_for_what_it_is_capable_of() {
    let (mirror, server) = (with(SampleRegistry::new()).await, with(SampleRegistry::new()).await);
    let text = format!("[host.\"http://{}\"]\ncapabilities = [\"pull\"]", mirror.address());
    let hosts = load(&folder(&[(&server.address().to_string(), text)]));
    resolver(Options { hosts, ..plain(&server) }).resolve(&question(&server, "app:1", &[]), soon()).await.unwrap();
    let paths =
        |registry: &RunningRegistry| registry.requests().into_iter().map(|request| request.path).collect::<Vec<_>>();
    assert_eq!(paths(&server), ["/v2/app/manifests/1"]);
    assert!(
        matches!(paths(&mirror).as_slice(), [blob] if blob.starts_with("/v2/app/blobs/sha256:")),
        "{mirror:?}",
        mirror = paths(&mirror)
    );
}

#[tokio::test]
async fn a_mirror_has_its_own_credentials_and_headers() {
    let closed = || with(SampleRegistry::new().access("app", Access::basic("me", "right")));
    let (mirror, server) = (closed().await, closed().await);
    let text =
        format!("[host.\"http://{}\"]\n[host.\"http://{}\".header]\nx-key = \"k\"", mirror.address(), mirror.address());
    let hosts = load(&folder(&[(&server.address().to_string(), text)]));
    let options = Options { hosts, ..plain(&server) };
    let ask = async |registry: &RunningRegistry| {
        let keyring = crate::setup::keyring(registry, "me", "right");
        resolver(options.clone())
            .resolve(&Question { keyring, ..question(&server, "app:1", &[]) }, soon())
            .await
            .unwrap();
    };
    // The registry's own credential is no business of the mirror's.
    ask(&server).await;
    assert!(mirror.requests().iter().all(|request| !request.had_credentials), "{:#?}", mirror.requests());
    assert_eq!(server.requests().len(), 3);
    // And the other way round.
    ask(&mirror).await;
    assert_eq!(server.requests().len(), 3);
    assert!(mirror.requests().iter().filter(|request| request.had_credentials).count() == 2);
}

#[tokio::test]
async fn headers_are_for_the_host_that_is_asked_and_no_other() {
    let opens = |head: &sample_registry::RequestHead| {
        (head.authorization.as_deref() != Some("Bearer of-the-operator")).then(|| Fault::status(403))
    };
    let registry = with(SampleRegistry::new().fault(opens)).await;
    let host = registry.address().to_string();
    let header = "[header]\nauthorization = \"Bearer of-the-operator\"".to_owned();
    let directory = folder(&[(&host, header)]);
    let options = Options { hosts: load(&directory), ..plain(&registry) };
    resolver(options.clone()).resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap();
    // A stranger's registry that refers to it gets nothing opened.
    let to = format!("http://{host}");
    let stranger =
        with(SampleRegistry::new().fault(move |head| Some(Fault::redirect(&format!("{to}{}", head.path))))).await;
    let options = Options { plain_http: vec![host, stranger.address().to_string()], ..options };
    let failure = resolver(options).resolve(&question(&stranger, "app:1", &[]), soon()).await.unwrap_err();
    assert_eq!(failure.kind(), "rejected");
}

#[tokio::test]
async fn headers_stay_behind_when_a_host_refers_to_another() {
    let elsewhere = with(SampleRegistry::new()).await;
    let to = format!("http://{}", elsewhere.address());
    let refer = move |head: &sample_registry::RequestHead| {
        head.path.contains("/blobs/").then(|| Fault::redirect(&format!("{to}{}", head.path)))
    };
    let registry = with(SampleRegistry::new().fault(refer)).await;
    let header = "[header]\nauthorization = \"Bearer of-the-operator\"".to_owned();
    let hosts = load(&folder(&[(&registry.address().to_string(), header)]));
    resolver(Options { hosts, ..plain(&registry) }).resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap();
    let had = |registry: &RunningRegistry| registry.requests().iter().map(|r| r.had_credentials).collect::<Vec<_>>();
    assert_eq!((had(&registry), had(&elsewhere)), (vec![true, true], vec![false]));
}

async fn secure(authority: &Authority, demand: bool) -> RunningRegistry {
    with(SampleRegistry::new().tls(authority.server(demand))).await
}

fn kind(
    got: Result<std::sync::Arc<emissary_registry::Resolved>, std::sync::Arc<emissary_registry::Failure>>,
) -> &'static str {
    got.as_ref().map_or_else(|failure| failure.kind(), |_| "ok")
}

async fn ask(resolver: &Resolver, registry: &RunningRegistry) -> &'static str {
    kind(resolver.resolve(&question(registry, "app:1", &[]), soon()).await)
}

#[tokio::test]
async fn an_authority_is_trusted_for_the_host_it_is_named_for() {
    let authority = Authority::new();
    let (one, other) = (secure(&authority, false).await, secure(&authority, false).await);
    let directory = folder(&[(&one.address().to_string(), "ca = \"ca.pem\"".to_owned())]);
    fs::write(directory.path().join(one.address().to_string()).join("ca.pem"), authority.pem()).unwrap();
    let resolver = resolver(Options { hosts: load(&directory), ..near() });
    assert_eq!((ask(&resolver, &one).await, ask(&resolver, &other).await), ("ok", "unreachable"));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn verification_is_skipped_for_the_host_it_is_named_for() {
    let authority = Authority::new();
    let one = secure(&authority, false).await;
    let (to, other) = (format!("https://{}", one.address()), Authority::new());
    let skip =
        |registry: &RunningRegistry| folder(&[(&registry.address().to_string(), "skip_verify = true".to_owned())]);
    let resolver_of = |registry: &RunningRegistry| resolver(Options { hosts: load(&skip(registry)), ..near() });
    assert_eq!(ask(&resolver_of(&one), &one).await, "ok");
    // Neither for another host, nor for one that it refers to.
    let refers = SampleRegistry::new().tls(other.server(false));
    let refers = with(
        refers.fault(move |head| head.path.contains("/blobs/").then(|| Fault::redirect(&format!("{to}{}", head.path)))),
    )
    .await;
    let before = one.requests().len();
    assert_eq!(ask(&resolver_of(&one), &refers).await, "unreachable");
    assert_eq!(ask(&resolver_of(&refers), &refers).await, "unreachable");
    assert_eq!((refers.requests().len(), one.requests().len()), (2, before));
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_host_it_is_named_for() {
    let authority = Authority::new();
    let (one, other) = (secure(&authority, true).await, secure(&authority, true).await);
    let directory = folder(&[
        (
            &one.address().to_string(),
            "ca = \"../ca.pem\"\nclient = [[\"../client.pem\", \"../client.key\"]]".to_owned(),
        ),
        (&other.address().to_string(), "ca = \"../ca.pem\"".to_owned()),
    ]);
    let (certificate, key) = authority.client();
    for (name, text) in [("ca.pem", authority.pem()), ("client.pem", certificate), ("client.key", key)] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let resolver = resolver(Options { hosts: load(&directory), ..near() });
    assert_eq!((ask(&resolver, &one).await, ask(&resolver, &other).await), ("ok", "unreachable"));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn what_changes_counts_at_once() {
    let both = || with(SampleRegistry::new().put("app:2", image().entrypoint(&["/other"])));
    let (mirror, server) = (both().await, both().await);
    let host = server.address().to_string();
    let resolver = resolver(plain(&server));
    let directory = folder(&[(&host, format!("[host.\"http://{}\"]", mirror.address()))]);
    resolver.set_hosts(load(&directory));
    resolver.resolve(&question(&server, "app:1", &[]), soon()).await.unwrap();
    assert_eq!((mirror.requests().len(), server.requests().len()), (2, 0));
    resolver.set_hosts(Hosts::default());
    // What is known is known, from wherever it was; what is not is asked where it is to be asked now.
    resolver.resolve(&question(&server, "app:2", &[]), soon()).await.unwrap();
    assert_eq!((mirror.requests().len(), server.requests().len()), (2, 2));
}
