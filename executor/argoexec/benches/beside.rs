//! What the executor costs beside what a pod would do without it: a plain spawn, a plain pipe, `tee` to two files.
//!
//! `cargo bench -p argoexec` measures the program that `cargo xtask executor` makes; `ARGOEXEC_OTHER` names another argoexec to
//! measure beside it (as root: another one has no `--root`, and gets a mount namespace with its own `/var/run/argo`). Figures
//! are printed and not judged. They compare within one run; what else the machine does shows in all of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot be made ends the run")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often each short thing is done.
const TIMES: usize = 60;
/// Bytes through each pipe.
const BYTES: usize = 512 << 20;

/// An executor, or none.
struct Way {
    name: &'static str,
    program: Option<PathBuf>,
    root: PathBuf,
    /// Whether it is told where its files are.
    takes_root: bool,
}

fn main() {
    // `cargo test --benches` runs this too, and has no use for figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if let Some(words) = std::env::args().skip_while(|argument| argument != "write").nth(1) {
        return write(words.parse().unwrap());
    }
    if std::env::args().any(|argument| argument == "stamp") {
        return println!("{}", now());
    }
    let other = std::env::var_os("ARGOEXEC_OTHER").map(PathBuf::from);
    if other.is_some() && std::env::var_os("ARGOEXEC_ALONE").is_none() {
        alone();
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let own = shipped();
    let root = folder.path().to_owned();
    let mut ways = vec![
        Way { name: "nothing", program: None, root: root.clone(), takes_root: false },
        Way { name: "argoexec", program: Some(own), root: root.clone(), takes_root: true },
    ];
    ways.extend(other.map(|other| Way { name: "other", program: Some(other), root: "/".into(), takes_root: false }));

    println!(
        "{:10} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "bytes", "start ms", "end ms", "kill ms", "RSS kB", "CPU ms"
    );
    for way in &ways {
        fs::create_dir_all(way.root.join("var/run/argo")).unwrap();
        fs::write(way.root.join("var/run/argo/template"), "{}").unwrap();
        let size = way.program.as_ref().map_or(0, |program| fs::metadata(program).unwrap().len());
        let (start, end, cpu) = way.times();
        let (kill, rss) = way.killed();
        println!("{:10} {size:12} {start:10.2} {end:10.2} {kill:10.2} {rss:10} {cpu:10.2}", way.name);
    }
    println!(
        "\nMB/s through to a reader, by size of writes{:>12} {:>10} {:>10} {:>14}",
        "64 KiB", "4 KiB", "100 B", "peak RSS kB"
    );
    for way in &ways {
        let (rates, peak) = way.rates(false);
        print_rates(way.name, &rates, peak);
    }
    print_rates("tee", &tee(folder.path()), 0);
    for way in ways.iter().filter(|way| way.program.is_some()) {
        let (rates, peak) = way.rates(true);
        print_rates(&format!("{} capturing", way.name), &rates, peak);
    }
    archives(&ways, folder.path());
    let own = ways.iter().find(|way| way.takes_root);
    own.into_iter().for_each(|own| wait(own, folder.path()));
}

fn print_rates(name: &str, [a, b, c]: &[f64; 3], peak: u64) {
    println!("{name:43}{a:12.0} {b:10.0} {c:10.0} {peak:14}");
}

impl Way {
    fn command(&self, words: &[&str]) -> Command {
        let Some(program) = &self.program else {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            return command;
        };
        let mut command = Command::new(program);
        command.env("ARGO_CONTAINER_NAME", "main").arg("emissary");
        if self.takes_root {
            command.arg("--root").arg(&self.root);
        }
        command.arg("--").args(words);
        command
    }

    /// Median milliseconds from spawn to the process's first step, and from there to the end of a process that has
    /// nothing to do; and mean milliseconds of CPU of both.
    fn times(&self) -> (f64, f64, f64) {
        let (mut start, mut end) = (Vec::new(), Vec::new());
        let before = children();
        for _ in 0..TIMES {
            let mut command = self.command(&[&own(), "--bench", "stamp"]);
            let begun = now();
            let output = command.stderr(Stdio::null()).output().unwrap();
            let ended = now();
            let inside: u128 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
            start.push(inside.saturating_sub(begun) as f64 / 1e6);
            end.push(ended.saturating_sub(inside) as f64 / 1e6);
        }
        let cpu = (children() - before).as_secs_f64() * 1e3 / TIMES as f64;
        (median(start), median(end), cpu)
    }

    /// Milliseconds that `kill` takes, and the idle RSS of whoever is around the process.
    fn killed(&self) -> (f64, u64) {
        let mut found = Vec::new();
        let mut rss = 0;
        let signal = if self.program.is_some() { "15" } else { "-15" };
        for _ in 0..TIMES / 6 {
            let mut child = self.command(&["sleep", "100"]).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            rss = field(child.id(), "VmRSS:");
            let begun = Instant::now();
            let mut kill = Command::new(self.program.as_deref().unwrap_or(Path::new("kill")));
            kill.args(self.program.is_some().then_some("kill")).args([signal, &child.id().to_string()]);
            assert!(kill.stderr(Stdio::null()).status().unwrap().success());
            found.push(begun.elapsed().as_secs_f64() * 1e3);
            child.wait().unwrap();
        }
        (median(found), rss)
    }

    /// Megabytes a second through the executor to a reader, by size of writes; and the executor's peak RSS.
    fn rates(&self, capture: bool) -> ([f64; 3], u64) {
        let mut peak = 0;
        let rates = SIZES.map(|size| {
            let _ = fs::remove_dir_all(self.root.join("var/run/argo/ctr"));
            let mut command = self.command(&[&own(), "--bench", "write", &size.to_string()]);
            if capture {
                command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
            }
            let begun = Instant::now();
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let reader = drain(child.stdout.take().unwrap());
            while child.try_wait().unwrap().is_none() {
                peak = peak.max(field(child.id(), "VmHWM:"));
                std::thread::sleep(Duration::from_millis(2));
            }
            reader.join().unwrap();
            rate(size, begun)
        });
        (rates, if self.program.is_some() { peak } else { 0 })
    }
}

const SIZES: [usize; 3] = [64 << 10, 4 << 10, 100];

/// Fewer bytes where there are many writes.
fn bytes(size: usize) -> usize {
    if size < 4096 { BYTES / 16 } else { BYTES }
}

fn rate(size: usize, begun: Instant) -> f64 {
    bytes(size) as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

/// What this program is when it is called as the process of a pod.
fn write(size: usize) {
    let chunk = vec![b'x'; size];
    let mut stdout = fs::File::from(rustix::io::dup(rustix::stdio::stdout()).unwrap());
    for _ in 0..bytes(size) / size {
        stdout.write_all(&chunk).unwrap();
    }
}

fn own() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

fn drain(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 128 << 10];
        while from.read(&mut buffer).unwrap() > 0 {}
    })
}

fn tee(folder: &Path) -> [f64; 3] {
    SIZES.map(|size| {
        let begun = Instant::now();
        let mut child =
            Command::new(own()).args(["--bench", "write", &size.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
        let files = ["stdout", "combined"].map(|name| folder.join(name));
        let mut tee = Command::new("tee")
            .args(&files)
            .stdin(child.stdout.take().unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drain(tee.stdout.take().unwrap()).join().unwrap();
        child.wait().unwrap();
        tee.wait().unwrap();
        rate(size, begun)
    })
}

/// Bytes of each of the two artifacts as a tar: a head and a block for each of the many files.
const ARTIFACTS: [(&str, &str, u64); 2] =
    [("many", "100,000 files", 100_000 * 1024), ("large", "512 MiB, half of it noise", 512 << 20)];

/// An artifact of a hundred thousand files, and one of half a gigabyte that compresses by half.
fn archives(ways: &[Way], folder: &Path) {
    print_head("artifacts");
    let many = folder.join("mainctrfs/many");
    fs::create_dir_all(&many).unwrap();
    for number in 0..100_000 {
        fs::write(many.join(format!("file-{number:06}")), number.to_string()).unwrap();
    }
    let noise = "0123456789abcdef".repeat(1 << 12);
    let mut file = fs::File::create(folder.join("mainctrfs/large")).unwrap();
    let mut source = fs::File::open("/dev/urandom").unwrap();
    for _ in 0..4096 {
        let mut half = std::io::Read::take(&mut source, 64 << 10);
        std::io::copy(&mut half, &mut file).unwrap();
        file.write_all(noise.as_bytes()).unwrap();
    }
    for way in ways.iter().filter(|way| way.program.is_some()) {
        for (name, what, bytes) in ARTIFACTS {
            let path = folder.join("mainctrfs").join(name);
            let template = serde_json::json!({"outputs": {"artifacts": [{"name": "a", "path": path}]}});
            fs::write(way.root.join("var/run/argo/template"), template.to_string()).unwrap();
            let mut command = way.command(&["true"]);
            print_run(way.name, what, bytes, || command.stderr(Stdio::null()).spawn().unwrap());
        }
    }
}

fn print_head(what: &str) {
    println!("\n{what:53} {:>10} {:>10} {:>10} {:>14}", "seconds", "CPU s", "CPU s/GiB", "peak RSS kB");
}

/// Runs something to its end.
fn print_run(name: &str, what: &str, bytes: u64, start: impl FnOnce() -> std::process::Child) {
    let (before, begun) = (children(), Instant::now());
    let mut child = start();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(field(child.id(), "VmHWM:"));
        std::thread::sleep(Duration::from_millis(2));
    }
    let cpu = (children() - before).as_secs_f64();
    let rate = cpu / (bytes as f64 / f64::from(1 << 30));
    println!("{name:10} {what:42} {:10.2} {cpu:10.2} {rate:10.1} {peak:14}", begun.elapsed().as_secs_f64());
}

/// The same artifacts out of a volume, packed by `wait`, which then finds nobody to give them to; and `wait` that only waits.
fn wait(own: &Way, folder: &Path) {
    print_head("the same, by wait");
    let start = |path: &str| {
        let artifact =
            serde_json::json!({"name": "a", "path": path, "http": {"url": "http://127.0.0.1:1/", "headers": []}});
        let template = serde_json::json!({
            "container": {"volumeMounts": [{"mountPath": path}]}, "outputs": {"artifacts": [artifact]},
        });
        fs::write(folder.join("var/run/argo/template"), template.to_string()).unwrap();
        let _ = fs::remove_dir_all(folder.join("var/run/argo/ctr"));
        let mut command = Command::new(own.program.as_deref().unwrap());
        command.args(["wait", "--root"]).arg(folder).env("EXECUTOR_RETRY_BACKOFF_STEPS", "1");
        command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let end = || {
        let code = folder.join("var/run/argo/ctr/main/exitcode");
        fs::create_dir_all(code.parent().unwrap()).unwrap();
        fs::write(code.with_extension("part"), "0").unwrap();
        fs::rename(code.with_extension("part"), code).unwrap();
    };
    for (name, what, bytes) in ARTIFACTS {
        print_run(own.name, what, bytes, || {
            let child = start(&format!("/{name}"));
            end();
            child
        });
    }
    let mut idle = start("/none");
    std::thread::sleep(Duration::from_millis(500));
    let (rss, anonymous) = (field(idle.id(), "VmRSS:"), field(idle.id(), "RssAnon:"));
    let begun = Instant::now();
    end();
    idle.wait().unwrap();
    println!(
        "idle: {rss} kB, of which {anonymous} its own; {:.1} ms from the exit code to its end",
        begun.elapsed().as_secs_f64() * 1e3
    );
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn now() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

/// CPU of all children that have been waited for.
fn children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // cutime and cstime of `proc(5)`, in ticks of a hundredth of a second.
    Duration::from_millis((fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap()) * 10)
}

fn field(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

/// argoexec, with its sibling beside it.
fn shipped() -> PathBuf {
    let xtask = |words: &[&str]| {
        let mut xtask = Command::new(env!("CARGO"));
        xtask.args(["xtask", "executor"]).args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
        xtask.env_remove("RUSTFLAGS").output().unwrap()
    };
    assert!(xtask(&[]).status.success());
    let output = xtask(&["--print-path"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Starts this program again where `/run` is its own.
fn alone() -> ! {
    use std::os::unix::process::CommandExt as _;
    let line = "mount -t tmpfs none /run && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", line, "sh", &own(), "--bench"]).env("ARGOEXEC_ALONE", "1");
    panic!("cannot make a mount namespace: {}", command.exec())
}
