//! Repositories from git's own server: `git http-backend`, below a web server in this process.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::components::{GIT, need};
use crate::pod::{Ended, Pod};
use crate::server::serve;
use crate::tls::Authority;

/// What the web server does besides.
#[derive(Default, Clone)]
struct Behaviour {
    /// Whether it hides from git which version of the protocol is asked for.
    is_old: bool,
    /// The only `authorization` that it answers.
    login: Option<String>,
    /// Where it sends every request.
    elsewhere: Option<SocketAddr>,
    /// What it answers instead of git, to requests for a pack.
    pack: Option<Vec<u8>>,
}

struct Serving {
    git: PathBuf,
    root: PathBuf,
    behaviour: Behaviour,
    /// Who was told who asks: each request's `authorization`.
    told: Mutex<Vec<Option<String>>>,
}

/// Repositories below a folder, and git.
struct Repositories {
    git: PathBuf,
    folder: TempDir,
}

impl Repositories {
    fn new() -> Option<Self> {
        Some(Self { git: need(GIT)?, folder: TempDir::new().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What git says. Nothing of the machine's or the user's settings counts.
    fn git(&self, folder: &Path, words: &[&str]) -> String {
        self.git_of(folder, words, b"")
    }

    fn git_of(&self, folder: &Path, words: &[&str], input: &[u8]) -> String {
        let mut child = command(&self.git).current_dir(folder).args(words).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A new repository.
    fn init(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        self.git(&path, &["init", "-q", "-b", "main"]);
        path
    }

    fn commit(&self, folder: &Path, message: &str) -> String {
        self.git(folder, &["add", "-A"]);
        self.git(folder, &["commit", "-q", "--allow-empty", "-m", message]);
        self.git(folder, &["rev-parse", "HEAD"])
    }

    /// A repository with everything that one has.
    fn rich(&self, name: &str) -> PathBuf {
        let repo = self.init(name);
        fs::create_dir_all(repo.join("a.d/deep/er")).unwrap();
        fs::write(repo.join("a"), "").unwrap();
        fs::write(repo.join("a.b"), "beside").unwrap();
        fs::write(repo.join("a.d/deep/er/file"), "below").unwrap();
        fs::write(repo.join("run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(repo.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("a.d/deep", repo.join("link")).unwrap();
        symlink("/usr/bin/env", repo.join("absolute")).unwrap();
        fs::write(repo.join("name with ümlaut\t"), "x").unwrap();
        // Noise does not shrink: more than a buffer of any kind.
        let mut seed = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .take(3 << 20)
        .collect();
        fs::write(repo.join("noise"), noise).unwrap();
        // What becomes a chain of differences.
        let mut text: String = (0..2000).map(|line| format!("line {line}\n")).collect();
        for number in 0..30 {
            text.push_str(&format!("change {number}\n"));
            fs::write(repo.join("text"), &text).unwrap();
            self.commit(&repo, &format!("change {number}"));
        }
        self.git(&repo, &["tag", "light", "HEAD~3"]);
        self.git(&repo, &["tag", "-a", "-m", "tag", "v1", "HEAD~5"]);
        self.git(&repo, &["tag", "-a", "-m", "tag of a tag", "v1-again", "v1"]);
        self.git(&repo, &["switch", "-q", "-c", "dev", "HEAD~10"]);
        fs::write(repo.join("dev"), "dev").unwrap();
        self.commit(&repo, "dev");
        self.git(&repo, &["tag", "on-dev"]);
        self.git(&repo, &["update-ref", "refs/pull/7/head", "HEAD"]);
        self.git(&repo, &["switch", "-q", "main"]);
        self.git(&repo, &["gc", "-q"]);
        repo
    }

    fn serve(&self, behaviour: Behaviour) -> (SocketAddr, Arc<Serving>) {
        let root = self.folder.path().to_owned();
        let serving = Arc::new(Serving { git: self.git.clone(), root, behaviour, told: Mutex::default() });
        (serve(router(&serving)), serving)
    }
}

fn command(git: &Path) -> Command {
    let mut command = Command::new(git);
    command.env_clear().envs([
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@b"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@b"),
    ]);
    command.args(["-c", "safe.directory=*", "-c", "uploadpack.allowAnySHA1InWant=true"]);
    command.args(["-c", "protocol.file.allow=always", "-c", "core.quotePath=false"]);
    // One that was unpacked somewhere finds its parts beside it.
    let parts = git.parent().unwrap().join("../lib/git-core");
    if parts.is_dir() {
        command.env("GIT_EXEC_PATH", parts);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn router(serving: &Arc<Serving>) -> Router {
    Router::new().fallback(answer).with_state(Arc::clone(serving))
}

async fn answer(
    State(serving): State<Arc<Serving>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let answer = |status: StatusCode| Response::builder().status(status);
    let login = header("authorization");
    serving.told.lock().unwrap().push(login.clone());
    let behaviour = &serving.behaviour;
    if let Some(elsewhere) = behaviour.elsewhere {
        let place = format!("http://{elsewhere}{}", uri.path_and_query().unwrap());
        return answer(StatusCode::FOUND).header("location", place).body(Body::empty()).unwrap();
    }
    if behaviour.login.is_some() && behaviour.login != login {
        return answer(StatusCode::UNAUTHORIZED).body("Basic: secret-words".into()).unwrap();
    }
    if let Some(pack) = behaviour.pack.clone().filter(|_| String::from_utf8_lossy(&body).contains("command=fetch")) {
        let kind = "application/x-git-upload-pack-result";
        return answer(StatusCode::OK).header("content-type", kind).body(pack.into()).unwrap();
    }
    // As a web server calls a program (CGI).
    let mut backend = command(&serving.git);
    backend
        .arg("http-backend")
        .stdin(Stdio::piped())
        .env("GIT_PROJECT_ROOT", &serving.root)
        .env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("REQUEST_METHOD", method.as_str()).env("PATH_INFO", uri.path());
    backend
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default());
    if let Some(version) = header("git-protocol").filter(|_| !behaviour.is_old) {
        backend.env("GIT_PROTOCOL", version);
    }
    let mut child = backend.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // It reads no more than it wants.
        let _ = std::io::Write::write_all(&mut input, &body);
    });
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let mut response = answer(StatusCode::OK);
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        match name {
            "Status" => response = response.status(value[..3].parse::<u16>().unwrap()),
            name => response = response.header(name, value),
        }
    }
    response.body(output[end + 4..].to_vec().into()).unwrap()
}

/// Where an artifact comes to be.
const PLACE: &str = "argo/inputs/artifacts/src";

fn pod(url: &str, fields: Value) -> Pod {
    let mut git = json!({ "repo": url });
    git.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let pod = Pod::new(json!({ "inputs": { "artifacts": [{ "name": "src", "path": "/src", "git": git }] } }));
    pod.write("argo/secret/login/user", "me\n");
    pod.write("argo/secret/login/password", "open-sesame\n");
    pod
}

fn login() -> Value {
    json!({
        "usernameSecret": { "name": "login", "key": "user" }, "passwordSecret": { "name": "login", "key": "password" },
    })
}

fn fails(ended: &Ended, with: &str) {
    assert_eq!(ended.code, 64, "{}", ended.stderr);
    assert!(ended.last_words.contains(with), "{}", ended.last_words);
    assert!(!ended.stderr.contains("open-sesame") && !ended.stderr.contains("secret-words"), "{}", ended.stderr);
}

/// Whether git finds nothing to complain of.
fn is_whole(repositories: &Repositories, clone: &Path) {
    let fsck = repositories.git(clone, &["fsck", "--full", "--strict", "--no-dangling"]);
    assert_eq!(fsck, "");
    assert_eq!(repositories.git(clone, &["status", "--porcelain"]), "");
    let packs = fs::read_dir(clone.join(".git/objects/pack")).unwrap();
    for pack in packs.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "idx"))
    {
        repositories.git(clone, &["verify-pack", pack.to_str().unwrap()]);
    }
}

const REFERENCES: [&str; 2] = ["for-each-ref", "--format=%(refname) %(objectname) %(*objectname)"];

#[test]
fn a_clone_is_what_git_itself_makes() {
    let Some(repositories) = Repositories::new() else { return };
    repositories.rich("repo");
    for is_old in [false, true] {
        let (address, _) = repositories.serve(Behaviour { is_old, ..Behaviour::default() });
        let pod = pod(&format!("http://{address}/repo"), json!({}));
        pod.run("init").is_fine();
        let ours = pod.path(PLACE);
        is_whole(&repositories, &ours);
        let theirs = repositories.path(&format!("theirs-{is_old}"));
        repositories.git(repositories.folder.path(), &["clone", "-q", "repo", theirs.to_str().unwrap()]);
        let same = Command::new("diff")
            .args(["-r", "--no-dereference", "-x", ".git"])
            .args([&ours, &theirs])
            .output()
            .unwrap();
        assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
        let mode = |name: &str| fs::metadata(ours.join(name)).unwrap().permissions().mode() & 0o7777;
        let modes = ["run", "a", "a.d", ".git", ".git/config", ".git/index", ".git/objects/pack"].map(mode);
        assert_eq!(modes, [0o755, 0o644, 0o755, 0o755, 0o644, 0o644, 0o755]);
        assert_eq!(fs::read_link(ours.join("absolute")).unwrap(), Path::new("/usr/bin/env"));
        let theirs_of = |words: &[&str]| repositories.git(&theirs, words);
        let references = theirs_of(&REFERENCES);
        let references: Vec<_> =
            references.lines().filter(|line| !line.starts_with("refs/remotes/origin/HEAD ")).collect();
        assert_eq!(repositories.git(&ours, &REFERENCES).lines().collect::<Vec<_>>(), references, "old: {is_old}");
        for words in [
            &["symbolic-ref", "HEAD"][..],
            &["rev-parse", "HEAD"],
            &["rev-list", "--count", "--all"],
            &["ls-files", "-s"],
        ] {
            assert_eq!(repositories.git(&ours, words), theirs_of(words), "{words:?}");
        }
        // Git goes on from there.
        repositories.git(&ours, &["fetch", "-q", "origin"]);
        assert_eq!(repositories.git(&ours, &["rev-parse", "@{upstream}"]), theirs_of(&["rev-parse", "HEAD"]));
        fs::write(ours.join("more"), "x").unwrap();
        repositories.commit(&ours, "more");
    }
}

#[test]
fn a_revision_is_checked_out_by_any_of_its_names() {
    let Some(repositories) = Repositories::new() else { return };
    let repo = repositories.rich("repo");
    let (address, _) = repositories.serve(Behaviour::default());
    let id = repositories.git(&repo, &["rev-parse", "HEAD~7"]);
    let lost = repositories.git(&repo, &["commit-tree", "-p", "HEAD", "-m", "lost", "HEAD^{tree}"]);
    let cases = [
        "main",
        "dev",
        "light",
        "v1",
        "v1-again",
        "v1^{commit}",
        "v1~2",
        "HEAD~4^",
        "origin/dev",
        "refs/tags/v1",
        "heads/dev",
    ];
    for revision in cases.into_iter().chain([id.as_str(), &id[..9], &lost]) {
        let pod = pod(&format!("http://{address}/repo"), json!({ "revision": revision }));
        pod.run("init").is_fine();
        let clone = pod.path(PLACE);
        let name = revision.replace("origin/", "");
        let expected = repositories.git(&repo, &["rev-parse", &format!("{name}^{{commit}}")]);
        assert_eq!(pod.text(&format!("{PLACE}/.git/HEAD")).trim(), expected, "{revision}");
        is_whole(&repositories, &clone);
        // As Argo's has them: every branch is one of ours too.
        assert!(repositories.git(&clone, &["branch", "--list", "--format=%(refname:short)"]).contains("dev"));
    }
    let wrong = [
        ("none", "no branch, tag or commit \"none\""),
        ("HEAD~100", "beyond the history"),
        ("HEAD^9", "beyond the history"),
        ("HEAD@{1}", "no branch, tag or commit"),
        ("main~x", "not understood"),
        ("main:a", "no branch, tag or commit"),
    ];
    for (revision, message) in wrong {
        fails(&pod(&format!("http://{address}/repo"), json!({ "revision": revision })).run("init"), message);
    }
}

#[test]
fn depth_branch_and_fetch_say_how_much_there_is() {
    let Some(repositories) = Repositories::new() else { return };
    let repo = repositories.rich("repo");
    for is_old in [false, true] {
        let (address, _) = repositories.serve(Behaviour { is_old, ..Behaviour::default() });
        let url = format!("http://{address}/repo");
        let run = |fields: Value| {
            let pod = pod(&url, fields);
            pod.run("init").is_fine();
            is_whole(&repositories, &pod.path(PLACE));
            pod
        };
        let count = |pod: &Pod, of: &str| repositories.git(&pod.path(PLACE), &["rev-list", "--count", of]);
        let shallow = run(json!({ "depth": 2 }));
        assert_eq!(count(&shallow, "HEAD"), "2");
        let single = run(json!({ "singleBranch": true, "branch": "dev", "depth": 1 }));
        assert_eq!(count(&single, "HEAD"), "1");
        let names = repositories.git(&single.path(PLACE), &["for-each-ref", "--format=%(refname)"]);
        assert_eq!(
            names.lines().collect::<Vec<_>>(),
            ["refs/heads/dev", "refs/remotes/origin/dev", "refs/tags/on-dev"]
        );
        let tagged = run(json!({ "singleBranch": true, "branch": "dev", "depth": 1, "revision": "v1" }));
        assert_eq!(count(&tagged, "HEAD"), "1");
        let fetched =
            run(json!({ "fetch": ["+refs/pull/*/head:refs/remotes/origin/pr/*"], "revision": "origin/pr/7" }));
        assert_eq!(
            fetched.text(&format!("{PLACE}/.git/HEAD")).trim(),
            repositories.git(&repo, &["rev-parse", "refs/pull/7/head"])
        );
        assert_eq!(fetched.text(&format!("{PLACE}/dev")), "dev");
        fails(&pod(&url, json!({ "singleBranch": true, "branch": "none" })).run("init"), "no branch \"none\"");
        fails(&pod(&url, json!({ "depth": 1, "revision": "HEAD~1" })).run("init"), "git.depth");
    }
    let (address, _) = repositories.serve(Behaviour::default());
    let url = format!("http://{address}/repo");
    fails(&pod(&url, json!({ "singleBranch": true })).run("init"), "git.singleBranch needs git.branch");
    fails(&pod(&url, json!({ "fetch": ["refs/heads/main"] })).run("init"), "git.fetch");
    let lost = "0123456789012345678901234567890123456789";
    fails(&pod(&url, json!({ "revision": lost })).run("init"), "does not have a commit");
    fails(&pod(&format!("http://{address}/none"), json!({})).run("init"), "is not there, or not for who asks");
}

#[test]
fn an_empty_repository_is_one() {
    let Some(repositories) = Repositories::new() else { return };
    repositories.init("empty");
    for is_old in [false, true] {
        let (address, _) = repositories.serve(Behaviour { is_old, ..Behaviour::default() });
        let pod = pod(&format!("http://{address}/empty"), json!({}));
        pod.run("init").is_fine();
        let clone = pod.path(PLACE);
        assert_eq!(repositories.git(&clone, &["status", "--porcelain"]), "");
        fs::write(clone.join("first"), "x").unwrap();
        repositories.commit(&clone, "first");
    }
}

#[test]
fn who_asks_is_told_to_the_server_that_is_named_and_to_no_other() {
    let Some(repositories) = Repositories::new() else { return };
    let repo = repositories.init("repo");
    fs::write(repo.join("f"), "x").unwrap();
    repositories.commit(&repo, "f");
    let basic = Some("Basic bWU6b3Blbi1zZXNhbWU=".to_owned());
    let (address, serving) = repositories.serve(Behaviour { login: basic.clone(), ..Behaviour::default() });
    pod(&format!("http://{address}/repo"), login()).run("init").is_fine();
    assert!(serving.told.lock().unwrap().iter().all(|told| *told == basic));
    fails(&pod(&format!("http://{address}/repo"), json!({})).run("init"), "set git.usernameSecret");
    let wrong = json!({ "passwordSecret": { "name": "login", "key": "password" } });
    fails(&pod(&format!("http://{address}/repo"), wrong).run("init"), "look at what git.usernameSecret");

    // Sent elsewhere, and back.
    let (open, told) = repositories.serve(Behaviour::default());
    let (sending, asked) = repositories.serve(Behaviour { elsewhere: Some(open), ..Behaviour::default() });
    pod(&format!("http://{sending}/repo"), login()).run("init").is_fine();
    assert_eq!(*asked.told.lock().unwrap(), [basic]);
    assert!(told.told.lock().unwrap().len() >= 3 && told.told.lock().unwrap().iter().all(Option::is_none));
}

#[test]
fn a_server_that_nobody_vouches_for_is_only_spoken_to_where_that_is_said() {
    let Some(repositories) = Repositories::new() else { return };
    let repo = repositories.init("repo");
    fs::write(repo.join("f"), "x").unwrap();
    repositories.commit(&repo, "f");
    let (_, serving) = repositories.serve(Behaviour::default());
    let authority = Authority::new();
    let url = format!("https://{}/repo", authority.serve(router(&serving), false));
    let once = |fields: Value| pod(&url, fields).with("EXECUTOR_RETRY_BACKOFF_STEPS", "1");
    assert_eq!(once(login()).run("init").code, 64);
    assert!(serving.told.lock().unwrap().is_empty());
    once(json!({ "insecureSkipTLS": true })).run("init").is_fine();
    let known = once(json!({}));
    known.write("authority", authority.pem());
    let authority = known.path("authority").to_str().unwrap().to_owned();
    known.with("SSL_CERT_FILE", authority).run("init").is_fine();
}

#[test]
fn submodules_come_along_and_learn_nothing() {
    let Some(repositories) = Repositories::new() else { return };
    let inner = repositories.init("group/inner");
    fs::write(inner.join("f"), "inner").unwrap();
    repositories.commit(&inner, "inner");
    let (elsewhere, told) = repositories.serve(Behaviour::default());
    let lib = repositories.init("group/lib");
    repositories.git(&lib, &["submodule", "--quiet", "add", inner.to_str().unwrap(), "deep/inner"]);
    repositories.git(
        &lib,
        &["config", "-f", ".gitmodules", "submodule.deep/inner.url", &format!("http://{elsewhere}/group/inner")],
    );
    repositories.commit(&lib, "lib");
    let repo = repositories.init("group/repo");
    repositories.git(&repo, &["submodule", "--quiet", "add", lib.to_str().unwrap(), "lib"]);
    repositories.git(&repo, &["config", "-f", ".gitmodules", "submodule.lib.url", "../lib"]);
    repositories.commit(&repo, "repo");
    // The commit that is wanted is no longer the branch's.
    fs::write(lib.join("later"), "").unwrap();
    repositories.commit(&lib, "later");

    let (address, serving) = repositories.serve(Behaviour::default());
    let with = pod(&format!("http://{address}/group/repo"), login());
    with.run("init").is_fine();
    assert_eq!(with.text(&format!("{PLACE}/lib/deep/inner/f")), "inner");
    assert!(!with.has(&format!("{PLACE}/lib/later")));
    assert_eq!(repositories.git(&with.path(PLACE), &["status", "--porcelain"]), "");
    let status = repositories.git(&with.path(PLACE), &["submodule", "status", "--recursive"]);
    assert_eq!(status.lines().count(), 2, "{status}");
    assert!(!status.contains(['-', '+', 'U']), "{status}");
    assert!(serving.told.lock().unwrap().iter().all(Option::is_some));
    assert!(!told.told.lock().unwrap().is_empty() && told.told.lock().unwrap().iter().all(Option::is_none));

    let without = pod(&format!("http://{address}/group/repo"), json!({ "disableSubmodules": true }));
    without.run("init").is_fine();
    assert_eq!(fs::read_dir(without.path(&format!("{PLACE}/lib"))).unwrap().count(), 0);

    repositories.git(&repo, &["config", "-f", ".gitmodules", "submodule.lib.url", "git@host:lib"]);
    repositories.commit(&repo, "by ssh");
    fails(&pod(&format!("http://{address}/group/repo"), json!({})).run("init"), "git.disableSubmodules");
}

#[test]
fn no_name_in_a_repository_leaves_its_place() {
    let Some(repositories) = Repositories::new() else { return };
    let (address, _) = repositories.serve(Behaviour::default());
    /// A mode and a name of each entry.
    type Entries = &'static [(&'static str, &'static str)];
    let cases: [(&str, Entries, &str); 9] = [
        ("git", &[("40000", ".git")], "a name that git does not allow"),
        ("spelled", &[("40000", ".GiT")], "a name that git does not allow"),
        ("up", &[("40000", "..")], "a name that git does not allow"),
        ("here", &[("40000", ".")], "a name that git does not allow"),
        ("slash", &[("100644", "a/b")], "a name that git does not allow"),
        ("through", &[("120000", "a"), ("40000", "a")], "a: "),
        ("over", &[("120000", "a"), ("100644", "a")], "a: "),
        ("submodule", &[("120000", "a"), ("160000", "a")], "a: "),
        ("device", &[("20000", "a")], "no kind that git has"),
    ];
    for (name, entries, message) in cases {
        let repo = repositories.init(name);
        let write = |kind: &str, data: &[u8]| {
            repositories.git_of(&repo, &["hash-object", "-t", kind, "--literally", "-w", "--stdin"], data)
        };
        // Where a link that is followed would lead.
        let blob = write("blob", b"../../../../out");
        let bytes =
            |id: &str| (0..20).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<_>>();
        let tree = |entries: &[(&str, &str)], below: &str| {
            let mut data = Vec::new();
            for (mode, name) in entries {
                data.extend(format!("{mode} {name}\0").bytes());
                data.extend(bytes(if *mode == "40000" { below } else { &blob }));
            }
            write("tree", &data)
        };
        let below = tree(&[("100644", "config")], "");
        let top = tree(entries, &below);
        let commit =
            write("commit", format!("tree {top}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n").as_bytes());
        repositories.git(&repo, &["update-ref", "refs/heads/main", &commit]);
        let pod = pod(&format!("http://{address}/{name}"), json!({}));
        fails(&pod.run("init"), message);
        assert!(!pod.has("out") && !pod.has("argo/inputs/config") && !pod.has(PLACE), "{name}");
    }
}

#[test]
fn a_server_that_breaks_off_or_lies_is_told() {
    let Some(repositories) = Repositories::new() else { return };
    let repo = repositories.init("repo");
    fs::write(repo.join("f"), "x").unwrap();
    repositories.commit(&repo, "f");
    let line = |band: u8, data: &[u8]| [format!("{:04x}", data.len() + 5).as_bytes(), &[band], data].concat();
    let begun = b"000dpackfile\n".to_vec();
    let cases = [
        (Vec::new(), "breaks off"),
        (b"<html>".to_vec(), "does not speak git's protocol"),
        (begun.clone(), "breaks off"),
        ([&begun[..], &line(1, b"PACK")].concat(), "breaks off"),
        ([&begun[..], &line(1, b"PACK"), b"0000"].concat(), "not the one that was sent"),
        ([&begun[..], &line(3, b"secret-words")].concat(), "refuses"),
    ];
    for (pack, message) in cases {
        let (address, _) = repositories.serve(Behaviour { pack: Some(pack), ..Behaviour::default() });
        let pod = pod(&format!("http://{address}/repo"), json!({})).with("EXECUTOR_RETRY_BACKOFF_STEPS", "2");
        fails(&pod.run("init"), message);
    }
    let (address, _) = repositories.serve(Behaviour::default());
    let late = pod(&format!("http://{address}/repo"), json!({})).with("ARGO_DEADLINE", "2020-01-01T00:00:00Z");
    fails(&late.run("init"), "it took more than 0 s");
    // One that says nothing at all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let url = format!("http://{}/repo", silent.local_addr().unwrap());
    fails(&pod(&url, json!({})).with("ARGO_DEADLINE", soon.to_string()).run("init"), "it took more than 1 s");
}
