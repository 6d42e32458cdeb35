//! What the programs of a node are told, as files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{DNS, DNS_PORT, NODE, NODE_ADDRESS, Node, PAUSE};

impl Node {
    pub(super) fn containerd_settings(&self) -> String {
        let path = |path: PathBuf| json!(path).to_string();
        let data = self.data();
        format!(
            r#"version = 2
root = {root}
state = {state}
[grpc]
  address = {socket}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_tcp_service = true
  # Lower than its own may not be had in a container of somebody else's.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {plugins}
    conf_dir = {cni}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"#,
            root = path(data.join("containerd")),
            state = path(data.join("containerd-state")),
            socket = path(self.socket()),
            plugins = path(self.tree.join("usr/lib/cni")),
            cni = path(data.join("cni")),
        )
    }

    pub(super) fn kubelet_settings(&self, has_dns: bool) -> Value {
        let data = self.data();
        let mut settings = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            // Where the machine has version 2, this is of no account.
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", self.cgroup()),
            "enforceNodeAllocatable": [],
            "failSwapOn": false,
            "address": NODE_ADDRESS,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": false},
                "x509": {"clientCAFile": self.folder.join("pki/ca.crt")},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": format!("unix://{}", self.socket().display()),
            "resolvConf": "",
            "clusterDomain": "cluster.local",
            // A developer's disk is fuller than a node's.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
            "volumePluginDir": data.join("volume-plugins"),
            "podLogsDir": data.join("pod-logs"),
            "syncFrequency": "5s",
        });
        if has_dns {
            settings["clusterDNS"] = json!([DNS]);
        }
        settings
    }
}

pub(super) fn network(data: &Path) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods",
            "isGateway": true,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.89.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": data.join("ipam"),
            },
        }],
    })
}

pub(super) fn kube_proxy_settings(folder: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": folder.join("kube-proxy.kubeconfig")},
        "hostnameOverride": NODE,
        "mode": "iptables",
        // The size of the machine's table is not a test's to change.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}

/// What is no name of the cluster is said not to exist, since there is nobody to ask.
pub(super) fn corefile(kubeconfig: &Path) -> String {
    format!(
        ".:{DNS_PORT} {{\n    bind {NODE_ADDRESS}\n    errors\n    kubernetes cluster.local {{\n        kubeconfig {}\n    }}\n    \
         template ANY ANY . {{\n        rcode NXDOMAIN\n    }}\n}}\n",
        kubeconfig.display()
    )
}

/// A Service without a selector: what it leads to is no pod.
pub(super) fn dns_service() -> Value {
    let port = |protocol: &str| json!({"name": protocol.to_lowercase(), "port": DNS_PORT, "protocol": protocol});
    let ports = [port("UDP"), port("TCP")];
    let namespace = "kube-system";
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": namespace},
        "spec": {"clusterIP": DNS, "ports": ports},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns", "namespace": namespace, "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [NODE_ADDRESS]}],
        "ports": ports,
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [service, slice]})
}
