use super::*;
use std::fmt::Write;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn load(files: &[(&str, &str)]) -> (Hosts, Vec<HostsProblem>) {
    Hosts::load(folder(files).path(), &Hosts::default())
}

/// `URL for CREDENTIALS [ns=REGISTRY]` for each place.
fn places(hosts: &Hosts, registry: &str) -> Vec<String> {
    let show = |endpoint: &Endpoint| {
        let mut text = format!("{} for {}", endpoint.base, endpoint.registry);
        endpoint.namespace.iter().for_each(|namespace| write!(text, " ns={namespace}").unwrap());
        match endpoint.capabilities {
            Capabilities { pull: true, resolve: true } => {}
            other => write!(text, " {other:?}").unwrap(),
        }
        text
    };
    hosts.endpoints(registry, false).unwrap().iter().map(show).collect()
}

#[test]
fn mirrors_stand_in_the_order_of_the_file() {
    let (hosts, problems) = load(&[
        (
            "docker.io/hosts.toml",
            r#"
            server = "https://registry-1.docker.io"
            [host."https://z.corp"]
              capabilities = ["pull", "resolve"]
            [host."http://a.corp:5000/proxy"]
              capabilities = ["pull"]
            [host."https://m.corp/api/hub"]
              override_path = true
            [host."b.corp/v2/"]
            "#,
        ),
        ("quay.io/hosts.toml", "[host.\"https://registry-1.docker.io\"]"),
        ("ghcr.io/hosts.toml", "server = \"https://elsewhere.corp\""),
        ("k8s.corp_5000_/hosts.toml", "server = \"http://k8s.corp:5000\""),
        ("_default/hosts.toml", "[host.\"https://all.corp\"]"),
        ("empty.corp/ca.crt", "no hosts.toml"),
        ("README.md", "no folder"),
    ]);
    assert_eq!(problems, []);
    let table: &[(&str, &[&str])] = &[
        (
            "docker.io",
            &[
                "https://z.corp/v2/ for z.corp ns=docker.io",
                "http://a.corp:5000/proxy/v2/ for a.corp:5000 ns=docker.io Capabilities { pull: true, resolve: false }",
                "https://m.corp/api/hub/ for m.corp ns=docker.io",
                "https://b.corp/v2/ for b.corp ns=docker.io",
                "https://registry-1.docker.io/v2/ for docker.io",
            ],
        ),
        ("quay.io", &["https://registry-1.docker.io/v2/ for docker.io ns=quay.io", "https://quay.io/v2/ for quay.io"]),
        ("ghcr.io", &["https://elsewhere.corp/v2/ for elsewhere.corp ns=ghcr.io"]),
        ("K8S.corp:5000", &["http://k8s.corp:5000/v2/ for k8s.corp:5000"]),
        ("other.io", &["https://all.corp/v2/ for all.corp ns=other.io", "https://other.io/v2/ for other.io"]),
    ];
    for (registry, expected) in table {
        assert_eq!(places(&hosts, registry), *expected, "{registry}");
    }
    assert_eq!(places(&Hosts::default(), "docker.io"), ["https://registry-1.docker.io/v2/ for docker.io"]);
}

#[test]
fn faults_have_a_place() {
    let table = [
        ("server = 7", Some((1, 10)), "string"),
        ("server = \"ftp://a\"", Some((1, 10)), "https://"),
        ("\n\nsevrer = \"https://a\"", Some((3, 1)), "sevrer"),
        ("[host.\"https://a\"]\n  é = 1", Some((2, 3)), ""),
        ("[host.\"https://a b\"]", Some((1, 7)), "no URL"),
        ("[host.\"https://user:secret@a\"]", Some((1, 7)), "no URL"),
        ("[host.\"https://a\"]\ncapabilities = [\"pull\", \"fetch\"]", Some((2, 25)), "fetch"),
        ("[host.\"https://a\"]\nca = \"absent.pem\"", Some((2, 6)), "cannot be read"),
        ("ca = [\"hosts.toml\"]", Some((1, 6)), "no PEM certificate"),
        ("client = [[\"a\", \"b\", \"c\"]]", Some((1, 10)), "pair"),
        ("client = [\"a\", \"b\"]", Some((1, 10)), "one"),
        ("dial_timeout = \"soon\"", Some((1, 16)), "3s"),
        ("dial_timeout = \"2h\"", Some((1, 16)), "1m"),
        ("[header]\n\"a b\" = \"c\"", Some((2, 9)), "header"),
        ("[header]\nx = \"a\\nb\"", Some((2, 5)), "cannot be sent"),
        ("server = ", Some((1, 10)), ""),
    ];
    for (text, position, expected) in table {
        let (_, problems) = load(&[("quay.io/hosts.toml", text)]);
        let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
        assert_eq!(problem.position, position, "{text}: {problem}");
        assert!(problem.text.contains(expected) && !problem.text.contains("secret@"), "{text}: {problem}");
        assert!(problem.path.ends_with("quay.io/hosts.toml"), "{problem}");
    }
}

#[test]
fn what_was_good_stays_while_its_file_is_bad() {
    let directory = folder(&[
        ("quay.io/hosts.toml", "server = \"https://one.corp\""),
        ("_default/hosts.toml", "server = \"https://two.corp\""),
    ]);
    let (before, problems) = Hosts::load(directory.path(), &Hosts::default());
    assert_eq!(problems, []);
    fs::write(directory.path().join("quay.io/hosts.toml"), "server = [").unwrap();
    fs::write(directory.path().join("_default/hosts.toml"), "ca = 7").unwrap();
    let (after, problems) = Hosts::load(directory.path(), &before);
    assert_eq!(problems.len(), 2);
    for registry in ["quay.io", "other.io"] {
        assert_eq!(places(&after, registry), places(&before, registry));
    }
    fs::remove_dir_all(directory.path().join("quay.io")).unwrap();
    fs::remove_dir_all(directory.path().join("_default")).unwrap();
    let (after, problems) = Hosts::load(directory.path(), &after);
    assert_eq!((problems, places(&after, "quay.io")), (vec![], vec!["https://quay.io/v2/ for quay.io".to_owned()]));
    let gone = directory.path().join("absent");
    let (kept, problems) = Hosts::load(&gone, &before);
    assert_eq!((problems.len(), places(&kept, "quay.io")), (1, places(&before, "quay.io")));
}

#[test]
fn only_its_own_file_says_how_a_host_is_trusted() {
    let (hosts, problems) = load(&[
        ("quay.io/hosts.toml", "skip_verify = true\n[host.\"https://mirror.corp\"]\nskip_verify = true"),
        ("ghcr.io/hosts.toml", "server = \"https://elsewhere.corp\"\nskip_verify = true"),
        ("_default/hosts.toml", "skip_verify = true"),
    ]);
    assert_eq!(problems, []);
    for (host, expected) in
        [("quay.io", true), ("mirror.corp", false), ("ghcr.io", false), ("elsewhere.corp", false), ("x.io", false)]
    {
        assert_eq!(hosts.trust(host).is_some(), expected, "{host}");
    }
}

#[test]
fn debug_shows_no_header() {
    let (hosts, _) = load(&[("quay.io/hosts.toml", "[header]\nauthorization = \"Bearer secret\"")]);
    assert_eq!(format!("{hosts:?}"), r#"["quay.io"]"#);
}
