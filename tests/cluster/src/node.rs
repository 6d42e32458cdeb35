//! A real node beside the control plane: containerd, runc, a kubelet and kube-proxy, in a network of their own.
//!
//! Two processes hold it. One is alone in a network namespace that no file names, so that it goes with its last process; the
//! control plane and whatever else belongs to the cluster is started in it. The other is containerd, the first process of a
//! process namespace, with the mounts of its own: when it is killed the kernel ends all containers and takes back all that was
//! mounted. What stays are empty cgroups; they are listed in the file `leftovers`. So a node that is killed leaves nothing that
//! runs, and several may run at the same time.
//!
//! In the namespace the API server has the address of the Service `kubernetes`, so that the kubelet and kube-proxy reach it
//! before any Service is served. Nothing in it reaches any other network.

mod settings;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use crate::assets::Assets;
use crate::control_plane::{ControlPlane, Options, SERVICE_RANGE, StartError};
use crate::image::{Image, ImageError};
use crate::leftovers;
use crate::processes::{Processes, behind};
use settings::{corefile, dns_service, kube_proxy_settings, network};

/// The kubelet's certificate is for this node.
const NODE: &str = "node";
const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
const API_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const DNS_PORT: u16 = 53;
const PAUSE: &str = "localhost/pause:1";
/// Run in the namespaces of the node, in the cluster's folder. containerd and a kubelet write outside of the folders that they are
/// given (`/var/lib/kubelet`, `/run/netns`, …): there is a layer of the node's own, in memory, above all of these. The cluster's
/// folder may be below one of them, and stays what it is. What the kubelet mounts containerd sees.
const CONTAINERD: &str = r#"set -eu
    program=$1 settings=$2 layers=$3
    folder=$PWD
    mount -t tmpfs tmpfs "$layers"
    for place in /etc /opt /run /var/lib /var/log; do
        layer=$layers$place
        mkdir -p "$layer/upper" "$layer/work"
        mount -t overlay -o "lowerdir=$place,upperdir=$layer/upper,workdir=$layer/work" overlay "$place"
    done
    mount --no-canonicalize --bind . "$folder"
    mount --make-rshared /
    exec "$program" --config "$settings""#;
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);

/// The image that every node has: a static busybox.
pub const BUSYBOX: &str = "localhost/busybox:1";

/// The programs of a node that no [`Assets`] have.
#[derive(Debug, Clone)]
pub struct NodePrograms {
    /// The files of Debian's `containerd`, `runc`, `containernetworking-plugins` and `busybox-static`, as they would be below `/`.
    pub tree: PathBuf,
    /// CoreDNS; without it pods find Services by address only.
    pub coredns: Option<PathBuf>,
}

/// A node that is ready, or was.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    tree: PathBuf,
    /// The process that holds its network.
    network: u32,
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// This machine cannot have one.
    #[error("this machine can have no node: {0}")]
    Impossible(String),
    /// A command that prepares it failed.
    #[error("{command} failed: {complaint}")]
    Command {
        /// Its words.
        command: String,
        /// What it wrote.
        complaint: String,
    },
    /// A program runs and what it is for does not come to pass.
    #[error("it does not come to pass that {what}; the last that {name} said:\n{last_words}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// Whose work it is.
        name: &'static str,
        /// The end of its log.
        last_words: String,
    },
    /// The control plane does not start, or a file or a program is not to be had.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The images that a node has from the start.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// What keeps this machine from having a node; nothing where it can.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("containers, mounts and namespaces need root".to_owned());
    }
    for program in ["ip", "iptables", "nsenter", "unshare", "mount"] {
        if !succeeds(Command::new(program).arg(if program == "ip" { "-V" } else { "--version" })) {
            return Some(format!("it has no program {program}"));
        }
    }
    let namespaces = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "true"];
    (!succeeds(Command::new("unshare").args(namespaces)))
        .then(|| "it does not let root make namespaces (unshare --net --pid --mount-proc)".to_owned())
}

impl Node {
    /// Starts a control plane and a node in `folder`, which exists and is empty; returns when pods run.
    ///
    /// # Errors
    /// What did not start, with the end of its log. What was started is stopped again.
    pub fn start(assets: &Assets, programs: &NodePrograms, folder: &Path) -> Result<(ControlPlane, Self), NodeError> {
        if let Some(obstacle) = obstacle() {
            return Err(NodeError::Impossible(obstacle));
        }
        let started = Self::start_all(assets, programs, folder);
        if started.is_err() {
            let _ = Self::stop(folder);
        }
        started
    }

    fn start_all(assets: &Assets, programs: &NodePrograms, folder: &Path) -> Result<(ControlPlane, Self), NodeError> {
        let processes = Processes::of(folder, &[]);
        let holder = processes.spawn("network", Path::new("unshare"), &["--net", "sleep", "infinity"]);
        let network = holder.map_err(StartError::from)?.id();
        let node = Self { folder: folder.to_owned(), tree: programs.tree.clone(), network };
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        until("there is a network", &processes, "network", || namespace(&network.to_string()) != namespace("self"))?;
        node.write("node", &json!({"network": network, "tree": node.tree}).to_string())?;
        node.prepare()?;

        let options = Options {
            bind: IpAddr::V4(API_SERVER),
            advertise: IpAddr::V4(API_SERVER),
            port: 443,
            scheduler: true,
            prefix: node.prefix(),
        };
        let control_plane = ControlPlane::start(assets, folder, &options)?;
        node.start_runtime(&processes)?;
        node.start_kubelet(&control_plane, assets, programs.coredns.is_some())?;
        if let Some(program) = &programs.coredns {
            node.start_dns(&control_plane, program)?;
        }
        until("the node is ready", &processes, "kubelet", || {
            let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
            let said = control_plane.kubectl().args(["get", "node", NODE, "-o", ready]).output();
            said.is_ok_and(|said| said.stdout == b"True")
        })?;
        Ok((control_plane, node))
    }

    /// The node of `folder`, whether its processes run or not; nothing where none was started.
    pub fn of(folder: &Path) -> Option<Self> {
        let written: Value = serde_json::from_slice(&fs::read(folder.join("node")).ok()?).ok()?;
        let network = written["network"].as_u64().and_then(|id| u32::try_from(id).ok())?;
        Some(Self { folder: folder.to_owned(), tree: written["tree"].as_str()?.into(), network })
    }

    /// What stands before each command that is to be in the node's network.
    pub fn prefix(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net={}", self.network_namespace().display()), "--".to_owned()]
    }

    /// The file by which its network is entered (`setns(2)`).
    pub fn network_namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.network))
    }

    /// Moves this thread, and those that it starts from then on, into its network. There is no way back for it.
    ///
    /// # Errors
    /// The node is gone, or the user not root any more.
    pub fn enter(&self) -> io::Result<()> {
        let namespace = fs::File::open(self.network_namespace())?;
        Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// The address of the node in its network, by which pods reach what is started there.
    pub fn address(&self) -> IpAddr {
        IpAddr::V4(NODE_ADDRESS)
    }

    /// Gives the node an image, out of an OCI archive, by the name that pods call it by.
    ///
    /// # Errors
    /// containerd does not take it.
    pub fn load(&self, archive: &Path, name: &str) -> Result<(), NodeError> {
        run(self.ctr().args(["images", "import", "--index-name", name]).arg(archive))
    }

    /// Gives the node an image of a few files.
    ///
    /// # Errors
    /// A file cannot be read, or containerd does not take the image.
    pub fn load_files(&self, image: &Image<'_>) -> Result<(), NodeError> {
        let archive = self.data().join("image.tar");
        image.write(&archive)?;
        run(self.ctr().args(["images", "import"]).arg(&archive))
    }

    /// A static busybox, for images of one's own.
    pub fn busybox(&self) -> PathBuf {
        self.tree.join("bin/busybox")
    }

    /// Ends what was started in `folder`, the control plane included, and removes what it left outside of it.
    ///
    /// # Errors
    /// The list of processes cannot be removed.
    pub fn stop(folder: &Path) -> Result<(), StartError> {
        let processes = Processes::of(folder, &[]);
        // With it go the containers and what is mounted.
        processes.kill_named("containerd");
        processes.stop().map_err(StartError::preparing("stop what runs".to_owned()))?;
        let began = Instant::now();
        // The kernel is not done with a process's cgroup when the process is gone.
        while !leftovers::remove(&leftovers::of(folder)) && began.elapsed() < Duration::from_secs(5) {
            sleep(POLL);
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("node.d")
    }

    fn socket(&self) -> PathBuf {
        self.data().join("containerd.sock")
    }

    /// What its cgroups are below, in each hierarchy.
    fn cgroup(&self) -> String {
        format!("emissary-node-{}", self.network)
    }

    fn write(&self, name: &str, content: &str) -> Result<(), StartError> {
        fs::write(self.folder.join(name), content).map_err(StartError::preparing(format!("write {name}")))
    }

    /// containerd's own client, in the namespace of the images and containers that the kubelet knows.
    fn ctr(&self) -> Command {
        let mut ctr = Command::new(self.tree.join("usr/bin/ctr"));
        ctr.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]);
        ctr
    }

    /// Makes the network, and the folders that have to be there.
    fn prepare(&self) -> Result<(), NodeError> {
        let node = format!("{NODE_ADDRESS}/24");
        let api_server = format!("{API_SERVER}/32");
        for arguments in [
            ["link", "set", "lo", "up"].as_slice(),
            &["address", "add", &api_server, "dev", "lo"],
            &["link", "add", "node", "type", "bridge"],
            &["address", "add", &node, "dev", "node"],
            &["link", "set", "node", "up"],
            // Without a way there, the API server's packets to a Service end before kube-proxy's rules are looked at.
            &["route", "add", SERVICE_RANGE, "dev", "node"],
        ] {
            run(behind(&self.prefix(), Path::new("ip")).args(arguments))?;
        }
        let cgroups: Vec<PathBuf> = hierarchies().map(|folder| folder.join(self.cgroup())).collect();
        let listed: String = cgroups.iter().map(|folder| format!("{}\n", folder.display())).collect();
        self.write(leftovers::LIST, &listed)?;
        for folder in &cgroups {
            create(folder)?;
        }
        enable_controllers();
        create(&self.data().join("layers"))?;
        create(&self.data().join("cni"))?;
        Ok(())
    }

    fn path(&self) -> String {
        format!("{0}/usr/bin:{0}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin", self.tree.display())
    }

    /// Starts containerd, and gives it the images that a node has.
    fn start_runtime(&self, processes: &Processes) -> Result<(), NodeError> {
        let settings = self.data().join("containerd.toml");
        fs::write(self.data().join("cni/10-bridge.conflist"), network(&self.data()).to_string())
            .map_err(StartError::preparing("write the CNI's file".to_owned()))?;
        self.write("node.d/containerd.toml", &self.containerd_settings())?;
        let mut arguments: Vec<OsString> =
            [format!("--net={}", self.network_namespace().display()).as_str(), "--", "unshare"]
                .map(OsString::from)
                .into();
        arguments.extend(["--pid", "--fork", "--kill-child", "--mount-proc", "--"].map(OsString::from));
        arguments.extend(["env", "--chdir"].map(OsString::from));
        arguments.push(self.folder.clone().into_os_string());
        arguments.extend(["sh", "-c", CONTAINERD, "node"].map(OsString::from));
        let files = [self.tree.join("usr/bin/containerd"), settings, self.data().join("layers")];
        arguments.extend(files.map(PathBuf::into_os_string));
        let path = self.path();
        processes
            .spawn_with("containerd", Path::new("nsenter"), &arguments, &[("PATH", &path)])
            .map_err(StartError::from)?;
        until("containerd answers", processes, "containerd", || succeeds(self.ctr().arg("version")))?;
        let busybox = self.busybox();
        let links = [
            "sh", "cat", "cp", "date", "echo", "env", "false", "head", "id", "kill", "ln", "ls", "mkdir", "seq",
            "sleep", "test", "touch", "true", "wget",
        ];
        let file = [("bin/busybox", busybox.as_path())];
        let pause = json!({"Entrypoint": ["/bin/busybox", "sleep", "2147483647"]});
        self.load_files(&Image { name: BUSYBOX, files: &file, links: &links, config: json!({"Cmd": ["sh"]}) })?;
        self.load_files(&Image { name: PAUSE, files: &file, links: &[], config: pause })
    }

    /// Starts the kubelet, in the namespaces of containerd, and kube-proxy.
    fn start_kubelet(&self, control_plane: &ControlPlane, assets: &Assets, has_dns: bool) -> Result<(), NodeError> {
        let processes = Processes::of(&self.folder, &[]);
        self.write("node.d/kubelet.json", &self.kubelet_settings(has_dns).to_string())?;
        let Some(containerd) = processes.id("containerd") else {
            let last_words = processes.last_words("containerd");
            return Err(NodeError::Late { what: "containerd runs", name: "containerd", last_words });
        };
        let data = self.data();
        let arguments = [
            format!("--target={containerd}"),
            "--mount".to_owned(),
            "--net".to_owned(),
            // Not its own: the one that it has made for its children.
            format!("--pid=/proc/{containerd}/ns/pid_for_children"),
            "--".to_owned(),
            assets.program("kubelet").display().to_string(),
            format!("--config={}", data.join("kubelet.json").display()),
            format!("--kubeconfig={}", self.folder.join("kubelet.kubeconfig").display()),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={NODE_ADDRESS}"),
            format!("--root-dir={}", data.join("kubelet").display()),
            format!("--cert-dir={}", data.join("kubelet-pki").display()),
        ];
        let path = self.path();
        processes
            .spawn_with("kubelet", Path::new("nsenter"), &arguments, &[("PATH", &path)])
            .map_err(StartError::from)?;
        let settings = data.join("kube-proxy.json");
        self.write("node.d/kube-proxy.json", &kube_proxy_settings(&self.folder).to_string())?;
        let arguments = [format!("--config={}", settings.display())];
        let kube_proxy = assets.program("kube-proxy");
        control_plane.processes().spawn("kube-proxy", &kube_proxy, &arguments).map_err(StartError::from)?;
        // The chain that all rules of Services hang from.
        until("Services are served", &processes, "kube-proxy", || {
            succeeds(behind(&self.prefix(), Path::new("iptables")).args(["-t", "nat", "-S", "KUBE-SERVICES"]))
        })
    }

    /// Starts CoreDNS, and the Service under whose address every pod asks it.
    fn start_dns(&self, control_plane: &ControlPlane, program: &Path) -> Result<(), NodeError> {
        let settings = self.data().join("Corefile");
        self.write("node.d/Corefile", &corefile(&control_plane.kubeconfig()))?;
        let arguments = ["-conf".as_ref(), settings.as_os_str()];
        control_plane.processes().spawn("coredns", program, &arguments).map_err(StartError::from)?;
        let file = self.data().join("dns.json");
        self.write("node.d/dns.json", &dns_service().to_string())?;
        run(control_plane.kubectl().args(["apply", "-f"]).arg(&file))?;
        // busybox's own, from a program that is there anyway; by the address that pods ask.
        until("names are looked up", control_plane.processes(), "coredns", || {
            let mut asked = behind(&self.prefix(), &self.busybox());
            succeeds(asked.args(["nslookup", "-type=a", "kubernetes.default.svc.cluster.local", &DNS.to_string()]))
        })
    }
}

fn create(folder: &Path) -> Result<(), StartError> {
    fs::create_dir_all(folder).map_err(StartError::preparing(format!("make {}", folder.display())))
}

fn until(
    what: &'static str,
    processes: &Processes,
    name: &'static str,
    holds: impl Fn() -> bool,
) -> Result<(), NodeError> {
    let began = Instant::now();
    while !holds() {
        if processes.id(name).is_none() || began.elapsed() > PATIENCE {
            return Err(NodeError::Late { what, name, last_words: processes.last_words(name) });
        }
        sleep(POLL);
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<(), NodeError> {
    let complaint = match command.stdin(Stdio::null()).output() {
        Ok(said) if said.status.success() => return Ok(()),
        Ok(said) => String::from_utf8_lossy(&said.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    Err(NodeError::Command { command: words.join(" "), complaint })
}

/// In version 2 a folder has the controllers that the one above it hands down; a kubelet wants all, and what is handed down
/// already, or is not to be had, is nothing to stumble over.
fn enable_controllers() {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// The roots of the cgroups: of each controller's hierarchy in version 1, of the one in version 2.
fn hierarchies() -> impl Iterator<Item = PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let is_one = |folder: &Path| folder.join("cgroup.procs").is_file();
    let below = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let all: Vec<PathBuf> =
        if is_one(root) { vec![root.to_owned()] } else { below.filter(|one| is_one(one)).collect() };
    all.into_iter()
}
