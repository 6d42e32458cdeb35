//! No bytes that a stranger may send make us panic.

use crate::{
    Hosts, Keyring, ProviderOptions, Providers, PullSecret, challenge::Challenge, document, oauth::Token,
    provider::read_answer,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// JSON that has something of what is looked for, so that more than the first brace is reached.
fn json() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "schemaVersion",
        "mediaType",
        "manifests",
        "config",
        "layers",
        "digest",
        "size",
        "platform",
        "os",
        "architecture",
        "variant",
        "annotations",
        "vnd.docker.reference.type",
        "Entrypoint",
        "Cmd",
        "User",
        "auths",
        "quay.io",
        "auth",
        "username",
        "password",
        "identitytoken",
        "token",
        "expires_in",
        "kind",
        "cacheKeyType",
    ]);
    let text = prop::sample::select(vec![
        "",
        "linux",
        "unknown",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "dTpw",
        "\\u0000",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("{}".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        text.prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn read(bytes: &[u8]) {
    let _ = document::parse(bytes, None);
    let _ = document::parse(bytes, Some("application/vnd.oci.image.index.v1+json"));
    let _ = document::parse_config(bytes);
    let _ = Keyring::from_docker_config(bytes);
    let data = BTreeMap::from([(".dockercfg".to_owned(), bytes.to_vec())]);
    let _ = Keyring::from_pull_secret(&PullSecret { name: "x", kind: "kubernetes.io/dockercfg", data: &data });
    let _ = Token::read(bytes);
    let _ = read_answer(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_likely_file_of_hosts_is_read_or_refused(
        text in r#"((\[host\."https://(a|é)(:5)?/?"\]|server|ca|client|header|skip_verify|capabilities|dial_timeout)|["'=.\[\]{},a7é\n ]){0,30}"#,
    ) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("quay.io")).unwrap();
        std::fs::write(directory.path().join("quay.io/hosts.toml"), text).unwrap();
        let (hosts, problems) = Hosts::load(directory.path(), &Hosts::default());
        prop_assert_eq!(hosts.registries().count() + problems.len(), 1);
    }

    #[test]
    fn any_file_of_providers_is_read_or_refused(text in any::<String>()) {
        let _ = Providers::from_config(&text, &ProviderOptions::new("/bin"));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
        read(&bytes);
    }

    #[test]
    fn any_json_is_read_or_refused(text in json()) {
        read(text.as_bytes());
    }

    #[test]
    fn any_challenge_is_read_or_passed_over(header in any::<String>()) {
        let _ = Challenge::parse(&header);
    }

    #[test]
    fn any_likely_challenge_is_read_or_passed_over(header in r#"((Bearer|Basic|realm|scope|é)|[ ,="\\a]){0,40}"#) {
        let _ = Challenge::parse(&header);
    }

    #[test]
    fn what_was_quoted_is_read_back(realm in any::<String>(), service in any::<String>()) {
        let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let header = format!("Basic realm=\"a\", Bearer realm=\"{}\", service=\"{}\"", quote(&realm), quote(&service));
        let bearer = Challenge::Bearer { realm, service: Some(service), scope: None };
        prop_assert_eq!(Challenge::parse(&header), vec![Challenge::Basic, bearer]);
    }
}
