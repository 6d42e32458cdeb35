//! Pods that no Workflow owns, which ask for it by a label.

use serde_json::{Value, json};
use test_cluster::BUSYBOX;

use super::harness::SPEAKER;
use super::on_the_node;

fn bare(name: &str, containers: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"emissary-webhook.io/inject": "true"}},
        "spec": {"restartPolicy": "Never", "containers": containers},
    })
}

#[test]
fn an_image_runs_what_the_index_says() {
    on_the_node(async |node| {
        let namespace = node.namespace("bare").await;
        let speaker = json!({"name": "main", "image": SPEAKER, "imagePullPolicy": "Never"});
        let mut with_words = speaker.clone();
        with_words["args"] = json!(["and", "words"]);
        for (name, container, said) in
            [("alone", speaker, "from-entrypoint hello\n"), ("with-words", with_words, "from-entrypoint and words\n")]
        {
            let ran = node.run(&namespace, &bare(name, json!([container]))).await;
            assert!(ran.is_wrapped("main"), "{:#}", ran.pod);
            assert_eq!((ran.phase(), ran.code("main")), ("Succeeded", 0), "{:#}", ran.pod);
            assert_eq!(node.log(&namespace, name, "main").await, said);
        }
    });
}

/// The strictest that a platform asks for: Pod Security Standard restricted, a user who is not root, a root that nobody may write.
#[test]
fn a_restricted_pod_on_a_read_only_root_runs() {
    on_the_node(async |node| {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = node.namespace_with("restricted", labels).await;
        let container = |name: &str, script: &str| {
            json!({
                "name": name, "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", script],
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 1234, "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            })
        };
        let script = "id -u; touch /no 2>/dev/null || echo read-only; exit 5";
        let pod = bare("restricted", json!([container("main", script), container("side", "echo beside")]));
        let ran = node.run(&namespace, &pod).await;
        assert!(ran.is_wrapped("main") && ran.is_wrapped("side"), "{:#}", ran.pod);
        assert_eq!((ran.code("main"), ran.code("side")), (5, 0), "{:#}", ran.pod["status"]);
        assert_eq!(ran.code("wait"), 0, "{:#}", ran.pod["status"]);
        assert_eq!(node.log(&namespace, "restricted", "main").await, "1234\nread-only\n");
        // What the webhook put in keeps the standard too, or the pod had not been let in.
        let init = &ran.pod["spec"]["initContainers"][0]["securityContext"];
        assert_eq!(init["allowPrivilegeEscalation"], false, "{init}");
    });
}

#[test]
fn a_command_that_is_not_there_is_told() {
    on_the_node(async |node| {
        let namespace = node.namespace("not-there").await;
        let container =
            json!({"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["/bin/nowhere"]});
        let ran = node.run(&namespace, &bare("not-there", json!([container]))).await;
        assert_eq!((ran.phase(), ran.code("main")), ("Failed", 64), "{:#}", ran.pod["status"]);
        assert!(ran.last_words("main").contains("/bin/nowhere"), "{}", ran.last_words("main"));
    });
}
