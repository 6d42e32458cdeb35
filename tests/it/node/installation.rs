//! The installation itself: the image in pods, registered through its Service, seen by `doctor`.

use serde_json::json;

use super::on_the_node;

#[test]
fn doctor_finds_nothing_wrong_from_inside() {
    on_the_node(async |node| {
        let namespace = node.cluster.namespace("doctor").await;
        let deployment = namespace
            .request("GET", "/apis/apps/v1/namespaces/emissary-webhook/deployments/emissary-webhook", None)
            .await
            .unwrap();
        assert_eq!(deployment["status"]["readyReplicas"], 2);
        // As the chart's test runs it: its own account, by the names that a cluster's DNS has.
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "doctor", "namespace": "emissary-webhook"},
        });
        pod["spec"] = deployment["spec"]["template"]["spec"].clone();
        pod["spec"]["restartPolicy"] = json!("Never");
        let container = &mut pod["spec"]["containers"][0];
        container["args"] = json!(["doctor", "--namespace", "emissary-webhook"]);
        for probe in ["livenessProbe", "readinessProbe"] {
            container.as_object_mut().unwrap().remove(probe);
        }
        let own = crate::cluster::Namespace::named(&namespace, "emissary-webhook");
        let ran = node.run(&own, &pod).await;
        let said = node.log(&own, "doctor", "webhook").await;
        assert_eq!((ran.phase(), ran.code("webhook")), ("Succeeded", 0), "{said}");
    });
}
