//! The installation itself, by the chart: the image in pods, registered through its Service.

use super::harness::WEBHOOK;
use super::on_the_node;

#[test]
fn helms_test_finds_nothing_wrong() {
    on_the_node(async |node| {
        let said = node.helm(&["test", WEBHOOK, "--logs", "--timeout", "120s"]).unwrap();
        assert!(said.contains("Succeeded"), "{said}");
        let path = format!("/apis/apps/v1/namespaces/{WEBHOOK}/deployments/{WEBHOOK}");
        let namespace = node.cluster.namespace("installation").await;
        let deployment = namespace.request("GET", &path, None).await.unwrap();
        assert_eq!(deployment["status"]["readyReplicas"], 2, "{:#}", deployment["status"]);
    });
}
