//! Whose credentials a look-up uses, and which registry it ends at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sample_registry::{Access, Image, SampleRegistry};
use serde_json::json;

use super::program::{eventually, serve};
use super::reviews::running_in;

#[tokio::test]
async fn the_operators_credentials_serve_the_namespaces_that_are_listed() {
    let registry = SampleRegistry::new()
        .put("private:1", Image::new("linux/amd64").entrypoint(&["/secret-tool"]))
        .access("private", Access::basic("ci", "password"))
        .start()
        .await
        .unwrap();
    let auth = STANDARD.encode("ci:password");
    let docker_config = json!({"auths": {registry.address().to_string(): {"auth": auth}}});
    let settings = "\
mode: enforce
platforms: [linux/amd64]
registry: {dockerConfig: config.json, dockerConfigNamespaces: [team-*]}
";
    let webhook = serve(settings).file("config.json", &docker_config.to_string()).registry(&registry).start().await;
    let image = registry.reference("private:1");
    // The stranger asks before and after: what is remembered by then is not for them either.
    for _ in 0..2 {
        let (status, _, message) = webhook.post(&running_in("stranger", &image)).await.denial();
        assert_eq!(status, 422, "{message}");
        assert!(!message.contains("secret-tool"));
        assert_eq!(webhook.post(&running_in("team-a", &image)).await.response()["allowed"], true);
    }
    // Counted under its name, because the operator has named it (plain HTTP); a stranger's is one of the others.
    webhook.post(&running_in("stranger", "stranger.invalid/tool:1")).await;
    let count = async |outcome: &str, registry: &str| {
        let labels = format!("outcome=\"{outcome}\",registry=\"{registry}\"");
        webhook.metric(&format!("emissary_webhook_look_ups_total{{{labels}}}")).await
    };
    let address = registry.address().to_string();
    assert!(count("fetched", &address).await >= 1.0 && count("hit", &address).await >= 1.0);
    assert_eq!((count("fetched", "other").await, count("failed", "other").await), (0.0, 1.0));
    let (_, metrics) = webhook.get("/metrics").await;
    assert!(!metrics.contains("stranger"), "{metrics}");
}

#[tokio::test]
async fn without_a_list_the_operators_credentials_serve_nobody() {
    let webhook = serve("registry: {dockerConfig: config.json}").file("config.json", "{\"auths\": {}}").start().await;
    let said = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.contains("serves no namespace") && text.contains("Namespaces"))
    };
    assert!(webhook.log().iter().any(said), "{:#?}", webhook.log());
}

#[tokio::test]
async fn a_mirror_that_the_hosts_folder_names_is_asked_and_edits_are_followed() {
    let tool = |word| Image::new("linux/amd64").entrypoint(&[word]);
    let first = SampleRegistry::new().put("team/tool:1", tool("/first")).start().await.unwrap();
    let second = SampleRegistry::new().put("team/tool:2", tool("/second")).start().await.unwrap();
    let mirror = |address: std::net::SocketAddr| format!("server = \"http://{address}\"\n");
    let serve = serve("{mode: enforce, platforms: [linux/amd64], registry: {hosts: certs.d}}");
    std::fs::create_dir_all(serve.path("certs.d/registry.example")).unwrap();
    let webhook = serve
        .file("certs.d/registry.example/hosts.toml", &mirror(first.address()))
        .flags(&["--allow-network", "127.0.0.0/8"])
        .start()
        .await;
    let asked = webhook.post(&running_in("ci", "registry.example/team/tool:1")).await;
    assert_eq!(asked.response()["allowed"], true, "{}", asked.text);
    webhook.write("certs.d/registry.example/hosts.toml", &mirror(second.address()));
    let moved = async || {
        let answer = webhook.post(&running_in("ci", "registry.example/team/tool:2")).await;
        answer.response()["allowed"] == true
    };
    eventually("the other registry is asked", moved).await;
}
