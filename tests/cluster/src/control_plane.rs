use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::assets::Assets;
use crate::kubeconfig::{by_certificate, kubeconfig};
use crate::pki::{ADMIN, Pki, PkiError, USERS, User, write_private};
use crate::processes::{Processes, SpawnError, behind};

/// A busy machine of two processors takes a fifth of it.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
/// The addresses of Services; the first is that of `kubernetes`.
pub(crate) const SERVICE_RANGE: &str = "10.0.0.0/24";
const KUBERNETES_SERVICE: &str = "10.0.0.1";

/// The file with the API server's address, written last.
const SERVER: &str = "server";

/// How a control plane is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the API server listens: loopback, or all addresses of a network namespace.
    pub bind: IpAddr,
    /// What the Service `kubernetes` leads to.
    pub advertise: IpAddr,
    /// 0 is any free one.
    pub port: u16,
    /// Started where the folder has it. Without, pods stay Pending, which is all that admission needs.
    pub scheduler: bool,
    /// Put before each command, such as `nsenter --net=…`.
    pub prefix: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self { bind: loopback, advertise: loopback, port: 0, scheduler: false, prefix: Vec::new() }
    }
}

/// A control plane that answers, in its folder.
#[derive(Debug)]
pub struct ControlPlane {
    assets: Assets,
    folder: PathBuf,
    server: String,
    processes: Processes,
    has_controllers: bool,
    prefix: Vec<String>,
}

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file, a folder or a port is not to be had.
    #[error("cannot {doing}")]
    Prepare {
        /// What was tried.
        doing: String,
        /// What came of it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A program cannot be run.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A program ended instead of serving.
    #[error("{name} ended; the last that it said:\n{last_words}")]
    Ended {
        /// Which.
        name: &'static str,
        /// The end of its log.
        last_words: String,
    },
    /// A program runs and does not serve.
    #[error("{name} is not ready after {} s; the last that it said:\n{last_words}", PATIENCE.as_secs())]
    Late {
        /// Which.
        name: &'static str,
        /// The end of its log.
        last_words: String,
    },
}

impl StartError {
    pub(crate) fn preparing<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        doing: String,
    ) -> impl FnOnce(E) -> Self {
        move |error| Self::Prepare { doing, source: error.into() }
    }
}

impl ControlPlane {
    /// The one that was started in `folder` and runs still.
    pub fn running(assets: &Assets, folder: &Path, prefix: &[String]) -> Option<Self> {
        let processes = Processes::of(folder, prefix);
        let running = processes.running();
        let runs = |name: &str| running.iter().any(|one| one == name);
        let server = fs::read_to_string(folder.join(SERVER)).ok()?;
        (runs("etcd") && runs("kube-apiserver")).then(|| Self {
            assets: assets.clone(),
            folder: folder.to_owned(),
            server,
            has_controllers: runs("kube-controller-manager"),
            processes,
            prefix: prefix.to_vec(),
        })
    }

    /// Starts one in `folder`, which exists and is empty; returns when it answers and has what every cluster has.
    ///
    /// # Errors
    /// What was started is stopped again.
    pub fn start(assets: &Assets, folder: &Path, options: &Options) -> Result<Self, StartError> {
        let processes = Processes::of(folder, &options.prefix);
        let started = Self::start_all(assets, folder, options, &processes);
        if started.is_err() {
            let _ = processes.stop();
        }
        let (server, has_controllers) = started?;
        let (assets, folder, prefix) = (assets.clone(), folder.to_owned(), options.prefix.clone());
        Ok(Self { assets, folder, server, processes, has_controllers, prefix })
    }

    fn start_all(
        assets: &Assets,
        folder: &Path,
        options: &Options,
        processes: &Processes,
    ) -> Result<(String, bool), StartError> {
        let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", KUBERNETES_SERVICE];
        let mut names: Vec<String> = names.map(str::to_owned).into();
        names.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), options.bind, options.advertise].map(|ip| ip.to_string()));
        let pki =
            Pki::make(folder.join("pki"), &names).map_err(StartError::preparing::<PkiError>("make keys".to_owned()))?;
        // All at once, so that they differ.
        let ports = free_ports::<4>().map_err(StartError::preparing("find free ports".to_owned()))?;
        let [etcd, peer, secure, controllers] = ports;
        let secure = if options.port == 0 { secure } else { options.port };
        let reached = if options.bind.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { options.bind };
        let server = format!("https://{}", SocketAddr::new(reached, secure));
        for User { name, .. } in USERS {
            let user = by_certificate(&pki.file(&format!("{name}.crt")), &pki.file(&format!("{name}.key")));
            write(&kubeconfig_file(folder, name), &kubeconfig(&server, &pki.file("ca.crt"), user))?;
        }
        let audit = folder.join("audit-policy.json");
        write(&audit, &audit_policy())?;

        let start = |name: &'static str, arguments: Vec<OsString>| {
            processes.spawn(name, &assets.program(name), &arguments).map(|child| Starting { name, child, processes })
        };
        let mut store = start("etcd", etcd_arguments(folder, etcd, peer))?;
        // In another network namespace there is no asking from here; the API server tries again by itself.
        if options.prefix.is_empty() {
            store.wait(|| TcpStream::connect((Ipv4Addr::LOCALHOST, etcd)).is_ok())?;
        }
        let mut api = start("kube-apiserver", apiserver_arguments(folder, &pki, options, etcd, secure, &audit))?;
        let asked = |arguments: &[&str]| {
            let kubectl = kubectl(assets, folder, &options.prefix).args(arguments).stderr(Stdio::null()).output();
            kubectl.is_ok_and(|output| output.status.success())
        };
        api.wait(|| asked(&["get", "--raw=/readyz"]) && asked(&["get", "namespace", "default"]))?;

        let has_controllers = assets.has("kube-controller-manager");
        if has_controllers {
            let mut started = start("kube-controller-manager", controller_arguments(folder, &pki, controllers))?;
            started.wait(|| asked(&["get", "serviceaccount", "default"]))?;
        }
        if options.scheduler && assets.has("kube-scheduler") {
            let [port] = free_ports().map_err(StartError::preparing("find a free port".to_owned()))?;
            start("kube-scheduler", scheduler_arguments(folder, port))?;
        }
        write_private(&folder.join(SERVER), &server).map_err(StartError::preparing("write its address".to_owned()))?;
        Ok((server, has_controllers))
    }

    /// `https://ADDRESS:PORT`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether there is a controller manager: it makes ServiceAccounts, fills aggregated ClusterRoles and ends namespaces.
    pub fn has_controllers(&self) -> bool {
        self.has_controllers
    }

    /// The kubeconfig of who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig_file(&self.folder, ADMIN.name)
    }

    /// A kubeconfig for the bearer of `token`, in the control plane's folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> io::Result<PathBuf> {
        let file = kubeconfig_file(&self.folder, name);
        let config = kubeconfig(&self.server, &self.folder.join("pki/ca.crt"), json!({"token": token}));
        write_private(&file, &config.to_string())?;
        Ok(file)
    }

    /// The audit log, a JSON object a line: who created what, and which admission plugins had what to say.
    pub fn audit_log(&self) -> PathBuf {
        audit_log(&self.folder)
    }

    /// kubectl as who may do everything; further arguments are the caller's to add.
    pub fn kubectl(&self) -> Command {
        kubectl(&self.assets, &self.folder, &self.prefix)
    }

    /// Its processes, to which others may be added that end with it.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }
}

/// A program that was started and may not serve yet.
struct Starting<'a> {
    name: &'static str,
    child: Child,
    processes: &'a Processes,
}

impl Starting<'_> {
    fn wait(&mut self, serves: impl Fn() -> bool) -> Result<(), StartError> {
        let began = Instant::now();
        let last_words = |name| self.processes.last_words(name);
        while !serves() {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(StartError::Ended { name: self.name, last_words: last_words(self.name) });
            }
            if began.elapsed() > PATIENCE {
                return Err(StartError::Late { name: self.name, last_words: last_words(self.name) });
            }
            sleep(POLL);
        }
        Ok(())
    }
}

fn write(file: &Path, content: &Value) -> Result<(), StartError> {
    write_private(file, &content.to_string()).map_err(StartError::preparing(format!("write {}", file.display())))
}

fn kubectl(assets: &Assets, folder: &Path, prefix: &[String]) -> Command {
    let mut command = behind(prefix, &assets.program("kubectl"));
    command.arg("--kubeconfig").arg(kubeconfig_file(folder, ADMIN.name)).stdin(Stdio::null());
    command
}

fn kubeconfig_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.kubeconfig"))
}

fn audit_log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

/// Who creates and changes what a webhook may be asked about; and what ServiceAccounts ask, those of the control plane left out.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [
            {
                "level": "Request",
                "omitStages": ["RequestReceived"],
                "verbs": ["create", "update", "patch"],
                "resources": [{"group": "", "resources": ["pods"]}, {"group": "argoproj.io"}],
            },
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {
                "level": "Metadata",
                "omitStages": ["ResponseStarted", "ResponseComplete", "Panic"],
                "userGroups": ["system:serviceaccounts"],
            },
            {"level": "None"},
        ],
    })
}

fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    let listeners: Vec<TcpListener> =
        ports.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Arguments of `--name=value` form; a value may be any path.
fn flags<const N: usize>(pairs: [(&str, OsString); N]) -> Vec<OsString> {
    pairs
        .into_iter()
        .map(|(name, value)| {
            let mut flag = OsString::from(format!("--{name}="));
            flag.push(value);
            flag
        })
        .collect()
}

fn etcd_arguments(folder: &Path, port: u16, peer: u16) -> Vec<OsString> {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer}");
    flags([
        ("data-dir", folder.join("etcd").into()),
        ("listen-client-urls", client.clone().into()),
        ("advertise-client-urls", client.into()),
        ("listen-peer-urls", peer.clone().into()),
        ("initial-advertise-peer-urls", peer.clone().into()),
        ("initial-cluster", format!("default={peer}").into()),
        ("log-level", "warn".into()),
        // Nobody wants to have it back after a crash.
        ("unsafe-no-fsync", "true".into()),
    ])
}

fn apiserver_arguments(
    folder: &Path,
    pki: &Pki,
    options: &Options,
    etcd_port: u16,
    secure_port: u16,
    audit_policy: &Path,
) -> Vec<OsString> {
    // The one that writes down where the Service `kubernetes` leads refuses loopback.
    let reconciler = if options.advertise.is_loopback() { "none" } else { "lease" };
    let mut arguments = flags([
        ("etcd-servers", format!("http://127.0.0.1:{etcd_port}").into()),
        ("bind-address", options.bind.to_string().into()),
        ("secure-port", secure_port.to_string().into()),
        ("advertise-address", options.advertise.to_string().into()),
        ("endpoint-reconciler-type", reconciler.into()),
        ("service-cluster-ip-range", SERVICE_RANGE.into()),
        ("client-ca-file", pki.file("ca.crt").into()),
        ("tls-cert-file", pki.file("apiserver.crt").into()),
        ("tls-private-key-file", pki.file("apiserver.key").into()),
        ("service-account-key-file", pki.file("sa.pub").into()),
        ("service-account-signing-key-file", pki.file("sa.key").into()),
        ("service-account-issuer", "https://kubernetes.default.svc".into()),
        ("authorization-mode", "Node,RBAC".into()),
        ("allow-privileged", "true".into()),
        ("audit-policy-file", audit_policy.into()),
        ("audit-log-path", audit_log(folder).into()),
    ]);
    arguments.extend(flags([
        ("kubelet-client-certificate", pki.file("admin.crt").into()),
        ("kubelet-client-key", pki.file("admin.key").into()),
        ("kubelet-preferred-address-types", "InternalIP".into()),
    ]));
    arguments
}

fn controller_arguments(folder: &Path, pki: &Pki, port: u16) -> Vec<OsString> {
    flags([
        ("kubeconfig", kubeconfig_file(folder, "kube-controller-manager").into()),
        ("use-service-account-credentials", "true".into()),
        ("service-account-private-key-file", pki.file("sa.key").into()),
        ("root-ca-file", pki.file("ca.crt").into()),
        ("leader-elect", "false".into()),
        ("bind-address", "127.0.0.1".into()),
        ("secure-port", port.to_string().into()),
    ])
}

fn scheduler_arguments(folder: &Path, port: u16) -> Vec<OsString> {
    flags([
        ("kubeconfig", kubeconfig_file(folder, "kube-scheduler").into()),
        ("leader-elect", "false".into()),
        ("bind-address", "127.0.0.1".into()),
        ("secure-port", port.to_string().into()),
    ])
}
