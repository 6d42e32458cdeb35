//! The program that is measured, as a process of its own, and what the kernel says of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Killed when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    #[allow(dead_code, reason = "not every bench asks it")]
    pub(crate) plain: SocketAddr,
    /// From the start of the process until it said that it is ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// With more `arguments` where what is measured needs them.
    pub(crate) async fn start(certificate: &Path, key: &Path, registry: SocketAddr, arguments: &[&str]) -> Self {
        let [address, plain] = free_addresses();
        let started = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"))
            .args(["serve", "--mode", "enforce", "--log-format", "json"])
            .args(["--listen", &address.to_string(), "--plain-listen", &plain.to_string()])
            .args(["--plain-http", &registry.to_string(), "--allow-network", "127.0.0.0/8"])
            .arg("--certificate")
            .arg(certificate)
            .arg("--key")
            .arg(key)
            .args(arguments)
            .stdin(Stdio::null())
            // It logs as it would anywhere: a line for each rewritten pod.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { process, address, plain, ready_after: Duration::ZERO };
        while !is_ready(plain).await {
            let ended = server.process.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < Duration::from_secs(30), "it does not start: {ended:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_after = started.elapsed();
        server
    }

    /// All its threads, in user and in kernel mode, in steps of a clock tick.
    pub(crate) fn cpu(&self) -> Duration {
        /// `USER_HZ`, which Linux has fixed for programs on every common architecture.
        const TICK: Duration = Duration::from_millis(10);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The second field is a name in parentheses; utime and stime are the 14th and 15th (proc(5)).
        let fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().skip(11).take(2);
        TICK * fields.map(|field| field.parse::<u32>().unwrap()).sum::<u32>()
    }

    /// Resident now, of that not backed by a file, and resident at most so far.
    pub(crate) fn memory(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let megabytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
            line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
        };
        let (resident, own, most) = (megabytes("VmRSS"), megabytes("RssAnon"), megabytes("VmHWM"));
        format!("{resident:.1} MiB resident ({own:.1} its own), {most:.1} at most")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two that are free now; both are held until both are known.
fn free_addresses() -> [SocketAddr; 2] {
    let listeners = [0, 1].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

async fn is_ready(plain: SocketAddr) -> bool {
    get(plain, "/readyz").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The whole answer; nothing while nobody listens.
pub(crate) async fn get(plain: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(plain).await.ok()?;
    let mut answer = String::new();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}
