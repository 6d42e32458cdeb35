//! A real registry behind a token server, and behind TLS of a private authority: who gets in, and with how many requests.

use std::fs;

use serde_json::{Value, json};

use super::layout::{Image, Layout};
use super::registry::{AUTH, Access, Registry, resolved, text};
use super::token_server::TokenServer;

/// An image of eight platforms, pushed as `name`.
fn push_eight(registry: &Registry, name: &str) {
    let images = ["amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "mips64le"]
        .map(|architecture| Image::linux(architecture, json!({"Entrypoint": ["/bin/app"], "Cmd": [architecture]})));
    let folder = registry.folder.path().join("eight");
    Layout::new(&folder).index("8", &images);
    registry.push(&folder, "8", name);
}

/// What the image runs, which is one platform's.
fn cmd(answers: &[Value]) -> &Value {
    let [answer] = answers else { panic!("{answers:?}") };
    assert_eq!(answer["platforms"].as_array().unwrap().len(), 1, "{answer}");
    &answer["platforms"][0]["cmd"]
}

const ARM: [&str; 2] = ["--platform", "linux/arm64"];

#[test]
fn a_cold_tag_of_eight_platforms_is_three_requests() {
    let Some(registry) = Registry::start(&Access::Anonymous) else { return };
    push_eight(&registry, "app/eight:8");
    let (output, answers) = registry.answers_during(|| registry.resolve(&ARM, &["app/eight:8"]));
    assert_eq!(cmd(&resolved(&output)), &json!(["arm64"]));
    assert!(answers.len() == 3 && answers.iter().all(|answer| answer.ends_with(" 200")), "{answers:#?}");
}

#[test]
fn a_token_costs_two_requests_more() {
    let tokens = TokenServer::start();
    let Some(registry) = Registry::start(&Access::Token(&tokens)) else { return };
    push_eight(&registry, "open/eight:8");
    push_eight(&registry, "team/eight:8");
    tokens.take_asked();
    let host = tokens.host();
    let arguments = [ARM[0], ARM[1], "--plain-http", &host];

    // Open to everybody, who needs a token all the same.
    let (output, answers) = registry.answers_during(|| registry.resolve(&arguments, &["open/eight:8"]));
    assert_eq!(cmd(&resolved(&output)), &json!(["arm64"]));
    let statuses: Vec<&str> = answers.iter().map(|answer| &answer[answer.len() - 3..]).collect();
    assert_eq!(statuses, ["401", "200", "200", "200"], "{answers:#?}");
    let asked = tokens.take_asked();
    let [(query, false)] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(query.contains("scope=repository%3Aopen%2Feight%3Apull"), "{query}");

    // Private.
    let config = registry.docker_config(AUTH);
    let with_config = [&arguments[..], &["--docker-config", config.to_str().unwrap()]].concat();
    let (output, answers) = registry.answers_during(|| registry.resolve(&with_config, &["team/eight:8"]));
    assert_eq!(cmd(&resolved(&output)), &json!(["arm64"]));
    let asked = tokens.take_asked();
    assert_eq!((answers.len(), asked.len(), asked[0].1), (4, 1, true), "{answers:#?} {asked:?}");

    let refused = registry.resolve(&arguments, &["team/eight:8"]);
    let complaint = text(&refused.stderr);
    assert!(!refused.status.success() && complaint.contains("refuses access without credentials"), "{complaint}");

    // The token server is another host, spoken to without TLS only where the operator has said so.
    tokens.take_asked();
    let refused = registry.resolve(&ARM, &["open/eight:8"]);
    let complaint = text(&refused.stderr);
    assert!(!refused.status.success() && complaint.contains("token realm is not https"), "{complaint}");
    assert_eq!(tokens.take_asked(), []);
}

#[test]
fn a_private_authority_is_named_in_the_hosts_folder_and_a_certificate_shown() {
    for access in [Access::Tls, Access::ClientCertificate] {
        let Some(registry) = Registry::start(&access) else { return };
        push_eight(&registry, "app/eight:8");
        let certs = registry.folder.path().join("certs");
        let hosts = registry.folder.path().join("hosts");
        let file = hosts.join(&registry.host).join("hosts.toml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let set = format!("registry.hosts={}", hosts.display());
        let resolve = |lines: &[String]| {
            fs::write(&file, lines.join("\n")).unwrap();
            registry.answers_during(|| registry.resolve(&[ARM[0], ARM[1], "--set", &set], &["app/eight:8"]))
        };
        let ca = format!("ca = {:?}", certs.join("ca.crt"));
        let client = format!("client = [[{:?}, {:?}]]", certs.join("client.cert"), certs.join("client.key"));

        let (output, answers) = resolve(&[]);
        let complaint = text(&output.stderr);
        assert!(!output.status.success() && complaint.contains("cannot be reached"), "{complaint}");
        assert_eq!(answers.len(), 0);
        if matches!(access, Access::ClientCertificate) {
            let (output, _) = resolve(std::slice::from_ref(&ca));
            assert!(!output.status.success(), "it demands a certificate");
        }
        let (output, answers) = resolve(&[ca, client]);
        assert_eq!(cmd(&resolved(&output)), &json!(["arm64"]));
        assert_eq!(answers.len(), 3, "{answers:#?}");
    }
}
