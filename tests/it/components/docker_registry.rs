//! `resolve` against a real registry server that holds images which another client pushed.

use std::fs;

use serde_json::json;

use super::layout::{Image, Layout, sha256};
use super::registry::{AUTH, Access, Registry, resolved, text};

/// The sample of several platforms: the command differs between them.
fn multi() -> [Image; 2] {
    [
        Image::linux("amd64", json!({"Entrypoint": ["/bin/app"], "Cmd": ["--on", "amd64"], "User": "1000"})),
        Image::linux("arm64", json!({"Entrypoint": ["/bin/app"], "Cmd": ["--on", "arm64"]})),
    ]
}

#[test]
fn what_skopeo_pushed_is_what_the_layout_says() {
    let Some(registry) = Registry::start(&Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    let digest = Layout::new(&folder).index("1.0", &multi());
    registry.push(&folder, "1.0", "app/multi:1.0");
    assert_eq!(sha256(&registry.manifest("app/multi:1.0")), digest);
}

#[test]
fn the_private_registry_asks_for_a_password() {
    let Some(mut registry) = Registry::start(&Access::Htpasswd) else { return };
    let folder = registry.folder.path().join("layout");
    Layout::new(&folder).image("1", &Image::linux("amd64", json!({"Entrypoint": ["/bin/private"]})));
    registry.push(&folder, "1", "team/private:1");
    registry.credentials = None;
    let refused = registry.inspect("team/private:1").output().unwrap();
    assert!(!refused.status.success() && text(&refused.stderr).contains("authentication required"), "{refused:?}");
}

#[test]
fn an_index_says_what_each_platform_runs() {
    let Some(registry) = Registry::start(&Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    Layout::new(&folder).index("1.0", &multi());
    registry.push(&folder, "1.0", "app/multi:1.0");

    let answers = resolved(&registry.resolve::<&str>(&[], &["app/multi:1.0"]));
    let [answer] = answers.as_slice() else { panic!("one image, {} answers", answers.len()) };
    assert_eq!(answer["image"], format!("{}/app/multi:1.0", registry.host));
    assert_eq!(answer["reference"], answer["image"]);
    assert_eq!(answer["digest"], sha256(&registry.manifest("app/multi:1.0")));
    assert_eq!(
        answer["platforms"],
        json!([
            {"platform": "linux/amd64", "entrypoint": ["/bin/app"], "cmd": ["--on", "amd64"], "user": "1000"},
            {"platform": "linux/arm64", "entrypoint": ["/bin/app"], "cmd": ["--on", "arm64"], "user": null},
        ])
    );

    let answers = resolved(&registry.resolve(&["--platform", "linux/arm64"], &["app/multi:1.0"]));
    assert_eq!(answers[0]["platforms"].as_array().unwrap().len(), 1);
    assert_eq!(answers[0]["platforms"][0]["cmd"], json!(["--on", "arm64"]));
}

#[test]
fn an_entrypoint_or_a_cmd_alone_is_told_as_it_is() {
    let Some(registry) = Registry::start(&Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    let mut layout = Layout::new(&folder);
    let digests = [
        layout.image("entrypoint", &Image::linux("amd64", json!({"Entrypoint": ["/bin/app", "run"]}))),
        layout.image("cmd", &Image::linux("amd64", json!({"Cmd": ["/bin/sh", "-c", "echo $HOME"]}))),
        layout.image("neither", &Image::linux("amd64", json!({}))),
    ];
    for tag in ["entrypoint", "cmd", "neither"] {
        registry.push(&folder, tag, &format!("app/{tag}:1"));
    }

    let answers = resolved(&registry.resolve::<&str>(&[], &["app/entrypoint:1", "app/cmd:1", "app/neither:1"]));
    let told: Vec<_> = answers.iter().map(|answer| answer["digest"].as_str().unwrap()).collect();
    assert_eq!(told, digests);
    let processes: Vec<_> = answers
        .iter()
        .map(|answer| (answer["platforms"][0]["entrypoint"].clone(), answer["platforms"][0]["cmd"].clone()))
        .collect();
    assert_eq!(
        processes,
        [
            (json!(["/bin/app", "run"]), json!([])),
            (json!([]), json!(["/bin/sh", "-c", "echo $HOME"])),
            (json!([]), json!([])),
        ]
    );
}

#[test]
fn an_image_is_found_by_its_digest() {
    let Some(registry) = Registry::start(&Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    let digest = Layout::new(&folder).image("1", &Image::linux("amd64", json!({"Cmd": ["/bin/app"]})));
    registry.push(&folder, "1", "app/single:1");
    let answers = resolved(&registry.resolve::<&str>(&[], &[&format!("app/single@{digest}")]));
    assert_eq!(answers[0]["digest"], digest);
    assert_eq!(answers[0]["platforms"][0]["cmd"], json!(["/bin/app"]));
}

#[test]
fn a_private_image_needs_the_docker_configuration() {
    let Some(registry) = Registry::start(&Access::Htpasswd) else { return };
    let folder = registry.folder.path().join("layout");
    Layout::new(&folder).image("1", &Image::linux("amd64", json!({"Entrypoint": ["/bin/private"]})));
    registry.push(&folder, "1", "team/private:1");

    let config = registry.folder.path().join("config.json");
    let config_says = |auth: &str| {
        fs::write(&config, json!({"auths": {&registry.host: {"auth": auth}}}).to_string()).unwrap();
        registry.resolve(&["--docker-config", config.to_str().unwrap()], &["team/private:1"])
    };
    let answers = resolved(&config_says(AUTH));
    assert_eq!(answers[0]["platforms"][0]["entrypoint"], json!(["/bin/private"]));

    // "ci" with the password "wrong-one".
    let wrong = "Y2k6d3Jvbmctb25l";
    for refused in [registry.resolve::<&str>(&[], &["team/private:1"]), config_says(wrong)] {
        let complaint = text(&refused.stderr);
        assert!(!refused.status.success());
        assert!(complaint.contains("team/private"), "{complaint}");
        assert!(!complaint.contains("wrong-one") && !complaint.contains(wrong), "{complaint}");
    }
}
