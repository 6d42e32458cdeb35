//! A real node beside the control plane: containerd, runc and a kubelet, all in a network namespace of their own.
//!
//! In the namespace the API server has the address of the Service `kubernetes`, so that pods reach it without kube-proxy.
//! Nothing in it reaches any other network. The namespace is entered with nsenter and not with `ip netns exec`, which mounts
//! /sys anew and so hides the cgroups that the kubelet has to find.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;
use test_cluster::{ControlPlane, Options, Processes};

use super::image::Image;
use crate::debian::{create, output, unpack_tree};
use crate::progress::Progress;

const NAMESPACE: &str = "emissary-cluster";
/// The kubelet's certificate is for this node.
const NODE: &str = "node";
const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
const API_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Of the images that are there from the start.
pub(super) const BUSYBOX: &str = "localhost/busybox:1";
const PAUSE: &str = "localhost/pause:1";
/// What containerd and a kubelet make outside of the folders that they are given, and files of theirs that stay there.
const OUTSIDE: [&str; 5] =
    ["/etc/cni", "/opt/containerd", "/run/containerd", "/var/lib/kubelet", "/var/log/containers"];
const STAYING: [&str; 2] = ["/etc/cni/net.d/cni.lock", "/var/lib/kubelet/device-plugins/kubelet.sock"];
const PATIENCE: Duration = Duration::from_secs(90);

/// The file in the cluster's folder that says that it has a node, and which of [`OUTSIDE`] were not there before.
pub(super) fn mark(folder: &Path) -> PathBuf {
    folder.join("node")
}

/// What stands before each command of a cluster with a node.
pub(super) fn prefix() -> Vec<String> {
    vec!["nsenter".to_owned(), format!("--net=/run/netns/{NAMESPACE}"), "--".to_owned()]
}

/// Where the API server is in the namespace.
pub(super) fn options() -> Options {
    Options {
        bind: IpAddr::V4(API_SERVER),
        advertise: IpAddr::V4(API_SERVER),
        port: 443,
        scheduler: true,
        prefix: prefix(),
    }
}

/// Makes the network namespace.
///
/// # Errors
/// The user is not root, a program is missing, or there is a kubelet or such a namespace already.
pub(super) fn prepare(folder: &Path) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "a node needs root: containers, mounts and a network namespace are made; without --node root is not needed"
        );
    }
    if let Some(cgroup) = cgroups("kubepods").first() {
        bail!("{} is there: a kubelet runs on this machine, or one was killed and left it", cgroup.display());
    }
    run(Command::new("ip").args(["netns", "add", NAMESPACE])).context(
        "cannot make a network namespace; if one is left of an earlier run, `ip netns del emissary-cluster` removes it",
    )?;
    let absent: Vec<&str> = OUTSIDE.into_iter().filter(|folder| !Path::new(folder).exists()).collect();
    fs::write(mark(folder), absent.join("\n")).context("cannot write down that there is a node")?;
    let node = format!("{NODE_ADDRESS}/24");
    let api_server = format!("{API_SERVER}/32");
    for arguments in [
        ["link", "set", "lo", "up"].as_slice(),
        &["address", "add", &api_server, "dev", "lo"],
        &["link", "add", "node", "type", "bridge"],
        &["address", "add", &node, "dev", "node"],
        &["link", "set", "node", "up"],
    ] {
        run(Command::new("ip").args(["-n", NAMESPACE]).args(arguments))?;
    }
    Ok(())
}

/// Starts containerd and the kubelet; returns when the node is ready.
///
/// # Errors
/// What did not start, with the end of its log.
pub(super) fn up(
    control_plane: &ControlPlane,
    kubelet: &Path,
    folder: &Path,
    cache: &Path,
    progress: &Progress,
) -> anyhow::Result<()> {
    let packages = ["containerd", "runc", "containernetworking-plugins", "busybox-static"];
    let tree = unpack_tree(&packages, "node-tools", cache, progress)?;
    progress.step("starting the node");
    let processes = control_plane.processes();
    let node = folder.join("node.d");
    create(&node.join("cni"))?;
    fs::write(node.join("cni/10-bridge.conflist"), network(&node).to_string())
        .context("cannot write the CNI's file")?;
    fs::write(node.join("containerd.toml"), containerd_settings(&node, &tree)).context("cannot write a file")?;
    fs::write(node.join("kubelet.json"), kubelet_settings(folder, &node).to_string()).context("cannot write a file")?;

    let path = format!("{0}/usr/bin:{0}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin", tree.display());
    let settings = node.join("containerd.toml");
    let containerd = tree.join("usr/bin/containerd");
    processes.spawn_with(
        "containerd",
        &containerd,
        &["--config".as_ref(), settings.as_os_str()],
        &[("PATH", path.as_str())],
    )?;
    let ctr = || {
        let mut ctr = Command::new(tree.join("usr/bin/ctr"));
        ctr.arg("--address").arg(socket(&node)).args(["--namespace", "k8s.io"]);
        ctr
    };
    until("containerd answers", processes, "containerd", || succeeds(ctr().arg("version")))?;
    let busybox = tree.join("bin/busybox");
    let links = [
        "sh", "cat", "cp", "date", "echo", "env", "false", "head", "id", "ls", "mkdir", "seq", "sleep", "test", "true",
        "wget",
    ];
    let images = [
        Image { name: BUSYBOX, program: &busybox, links: &links, config: json!({"Cmd": ["sh"]}) },
        Image {
            name: PAUSE,
            program: &busybox,
            links: &[],
            config: json!({"Entrypoint": ["/bin/busybox", "sleep", "2147483647"]}),
        },
    ];
    for image in images {
        let archive = node.join("image.tar");
        image.write(&archive)?;
        run(ctr().args(["images", "import"]).arg(&archive))?;
    }

    let settings = node.join("kubelet.json");
    let arguments = [
        format!("--config={}", settings.display()),
        format!("--kubeconfig={}", folder.join("kubelet.kubeconfig").display()),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={NODE_ADDRESS}"),
        format!("--root-dir={}", node.join("kubelet").display()),
        format!("--cert-dir={}", node.join("kubelet-pki").display()),
    ];
    processes.spawn_with("kubelet", kubelet, &arguments, &[("PATH", path.as_str())])?;
    until("the node is ready", processes, "kubelet", || {
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let said = control_plane.kubectl().args(["get", "node", NODE, "-o", ready]).output();
        said.is_ok_and(|said| said.stdout == b"True")
    })
}

/// Ends the node's containers and takes back what was mounted; the control plane's processes end with it.
///
/// # Errors
/// Something does not end or go.
pub(super) fn down(folder: &Path, cache: &Path) -> anyhow::Result<()> {
    let processes = Processes::of(folder, &[]);
    processes.stop_named("kubelet");
    let node = folder.join("node.d");
    let ctr = || {
        let mut ctr = Command::new(cache.join("components/node-tools/usr/bin/ctr"));
        ctr.arg("--address").arg(socket(&node)).args(["--namespace", "k8s.io"]);
        ctr
    };
    let listed = |what: &str| -> Vec<String> {
        let listed = ctr().args([what, "list", "--quiet"]).output().map(|said| said.stdout).unwrap_or_default();
        String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect()
    };
    // Its processes are children of nobody that we started.
    for task in listed("tasks") {
        let _ = ctr().args(["tasks", "rm", "--force", &task]).output();
    }
    let mut namespaces: Vec<PathBuf> = Vec::new();
    for container in listed("containers") {
        let said = ctr().args(["containers", "info", &container]).output().map(|said| said.stdout).unwrap_or_default();
        namespaces.extend(network_namespace(&serde_json::from_slice(&said).unwrap_or_default()));
        let _ = ctr().args(["containers", "rm", &container]).output();
    }
    // The containers of a pod share one.
    namespaces.sort_unstable();
    namespaces.dedup();
    processes.stop().context("cannot stop what runs")?;
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read what is mounted")?;
    let below = format!("{}/", folder.display());
    let mut mounted: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    mounted.retain(|place| place.starts_with(&below));
    for place in mounted.into_iter().rev() {
        run(Command::new("umount").arg(place))?;
    }
    for namespace in namespaces.iter().filter_map(|path| path.file_name()).filter(|name| *name != NAMESPACE) {
        let _ = output(Command::new("ip").args(["netns", "del"]).arg(namespace));
    }
    for name in ["kubepods", "k8s.io"] {
        for cgroup in cgroups(name) {
            remove_folders(&cgroup);
        }
    }
    if Path::new("/run/netns").join(NAMESPACE).exists() {
        run(Command::new("ip").args(["netns", "del", NAMESPACE]))?;
    }
    let absent = fs::read_to_string(mark(folder)).unwrap_or_default();
    for outside in absent.lines() {
        for file in STAYING.into_iter().filter(|file| Path::new(file).starts_with(outside)) {
            let _ = fs::remove_file(file);
        }
        remove_folders(Path::new(outside));
    }
    Ok(())
}

/// The network namespace of a container that is not the machine's, by what `ctr containers info` says.
fn network_namespace(info: &serde_json::Value) -> Option<PathBuf> {
    let namespaces = info.pointer("/Spec/linux/namespaces")?.as_array()?;
    let network = namespaces.iter().find(|namespace| namespace["type"] == "network")?;
    Some(PathBuf::from(network["path"].as_str()?))
        .filter(|path| path.starts_with("/run/netns") || path.starts_with("/var/run/netns"))
}

fn socket(node: &Path) -> PathBuf {
    node.join("containerd.sock")
}

fn network(node: &Path) -> serde_json::Value {
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
                "dataDir": node.join("ipam"),
            },
        }],
    })
}

fn containerd_settings(node: &Path, tree: &Path) -> String {
    let path = |path: PathBuf| json!(path).to_string();
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
        root = path(node.join("containerd")),
        state = path(node.join("containerd-state")),
        socket = path(socket(node)),
        plugins = path(tree.join("usr/lib/cni")),
        cni = path(node.join("cni")),
    )
}

fn kubelet_settings(folder: &Path, node: &Path) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // Where the machine has version 2, this is of no account.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": folder.join("pki/ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": format!("unix://{}", socket(node).display()),
        "resolvConf": "",
        "clusterDomain": "cluster.local",
        // A developer's disk is fuller than a node's.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "volumePluginDir": node.join("volume-plugins"),
        "podLogsDir": node.join("pod-logs"),
        "syncFrequency": "5s",
    })
}

fn until(what: &str, processes: &Processes, name: &str, holds: impl Fn() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !holds() {
        let runs = processes.running().iter().any(|running| running == name);
        if !runs || began.elapsed() > PATIENCE {
            bail!("it does not come to pass that {what}; the last that {name} said:\n{}", processes.last_words(name));
        }
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let said = output(command)?;
    if !said.status.success() {
        bail!("{:?} failed: {}", command.get_program(), String::from_utf8_lossy(&said.stderr).trim());
    }
    Ok(())
}

/// The cgroups of this name right below a root: of version 2, or of each controller of version 1.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let below = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    below.chain([root.to_owned()]).map(|folder| folder.join(name)).filter(|folder| folder.is_dir()).collect()
}

/// Removes a folder and those in it, as far as nothing else is in them. The files of a cgroup are nothing: they go with it.
fn remove_folders(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_folders(&entry.path());
        }
    }
    // What somebody uses stays; a cgroup whose last process is about to go does too, and the next `up` says so.
    let _ = fs::remove_dir(folder);
}
