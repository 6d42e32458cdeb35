//! Input artifacts out of git: a clone as Argo's executor makes one, without a git in the image.
//!
//! A server is asked for everything at once and sends a pack. It is kept as it comes, and read to check out what is asked for.
//! What belongs to a repository besides (references, the index) is written next to it, so that git in the user's container
//! finds a repository of its own kind. The server is a stranger: no name of its becomes a path without being looked at, every
//! length has a limit, and the name that a commit is asked for by is compared with what came.

mod checkout;
mod delta;
mod object;
mod pack;
mod packet;
mod plan;
mod reader;
mod remote;
mod repository;
mod revision;
mod submodule;
mod sum;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{Client, Url};

use super::StorageError;
use super::location::Fields;
use super::web;
use crate::pod::Pod;

use object::Id;
use pack::Deadline;
use plan::{Plan, Spec};
use remote::{Login, Remote};
use repository::Repository;

/// How long one artifact may take where the step has no deadline before.
const LONGEST: Duration = Duration::from_secs(3600);
/// Submodules of submodules, and all of them together, at most.
const DEEPEST: usize = 10;
const MODULES: usize = 1000;
/// Of the thread that reads packs: folders may be as deep as they are allowed to be.
const STACK: usize = 8 << 20;

/// A repository, and what of it.
#[derive(Debug)]
pub(crate) struct Git {
    order: Order,
    login: Option<Login>,
    insecure: bool,
}

/// What one clone is to have.
#[derive(Debug, Clone)]
struct Order {
    url: Url,
    /// The URL as the template has it.
    shown: String,
    revision: Option<String>,
    depth: Option<u64>,
    /// The only branch that is wanted.
    branch: Option<String>,
    fetch: Vec<Spec>,
    submodules: bool,
}

impl Order {
    /// Everything of a repository.
    fn of(url: Url, shown: String) -> Self {
        Self { url, shown, revision: None, depth: None, branch: None, fetch: Vec::new(), submodules: true }
    }
}

impl Git {
    /// Reads `git` of a template.
    ///
    /// # Errors
    /// Where a secret or a field is missing, or the repository is not on the web.
    pub(super) fn read(fields: &Fields) -> Result<Self, StorageError> {
        let repo = fields.needed("repo")?;
        let url = place(&repo)?;
        let text = |name: &str| Some(fields.text(name).to_owned()).filter(|text| !text.is_empty());
        let branch = text("branch").filter(|_| fields.is("singleBranch"));
        if fields.is("singleBranch") && branch.as_deref().is_none_or(|branch| !object::is_reference(branch)) {
            return Err(StorageError::lasting("git.singleBranch needs git.branch, the name of a branch"));
        }
        let login = match (fields.secret("usernameSecret")?, fields.secret("passwordSecret")?) {
            (None, None) => None,
            (user, password) => Some(Login { user: user.unwrap_or_default(), password: password.unwrap_or_default() }),
        };
        let fetch = fields.list("fetch").iter().filter_map(serde_json::Value::as_str).map(Spec::parse);
        let order = Order {
            revision: text("revision"),
            depth: fields.number("depth").filter(|depth| *depth > 0),
            branch,
            fetch: fetch.collect::<Result<_, _>>()?,
            submodules: !fields.is("disableSubmodules"),
            ..Order::of(url, repo)
        };
        Ok(Self { order, login, insecure: fields.is("insecureSkipTLS") })
    }
}

/// Where a repository is.
fn place(repo: &str) -> Result<Url, StorageError> {
    match Url::parse(repo) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(url) if url.scheme() != "ssh" && url.has_host() => Err(StorageError::lasting(format!(
            "git.repo: repositories over {} are not supported; https is",
            url.scheme()
        ))),
        // user@host:path, or ssh as a URL.
        _ if repo.starts_with("ssh://") || repo.contains('@') && repo.contains(':') => Err(StorageError::lasting(
            "git.repo: repositories over SSH are not supported by this executor: write https://HOST/PATH, and in place of \
                 git.sshPrivateKeySecret git.usernameSecret and git.passwordSecret with a token that may read it (GitHub: a \
                 fine-grained token; GitLab, Gitea, Bitbucket: an access token of the repository)",
        )),
        _ => Err(StorageError::lasting("git.repo is no URL of a repository; one is https://HOST/PATH")),
    }
}

/// Clones into `target`, which becomes a folder.
///
/// # Errors
/// As [`super::load`].
pub(super) async fn load(pod: &Pod, git: &Git, target: &Path) -> Result<(), StorageError> {
    let left = pod.environment.deadline.map(|deadline| deadline.duration_since(Timestamp::now()));
    let left = left.map_or(LONGEST, |left| Duration::try_from(left).unwrap_or_default().min(LONGEST));
    let deadline = Deadline(Instant::now() + left);
    let cloned = clone_all(pod, git, target, deadline);
    match tokio::time::timeout_at(deadline.0.into(), cloned).await {
        Ok(cloned) => cloned,
        Err(_) => Err(StorageError::lasting(format!("git.repo: it took more than {} s", left.as_secs()))),
    }
}

/// Clones a repository and, one after the other, those in it.
async fn clone_all(pod: &Pod, git: &Git, target: &Path, deadline: Deadline) -> Result<(), StorageError> {
    // What a try before has left.
    match std::fs::remove_dir_all(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let client = |insecure| web::client().tls_danger_accept_invalid_certs(insecure).build().map_err(web::broken);
    let own = client(git.insecure)?;
    let mut waiting = VecDeque::from([(target.to_owned(), git.order.clone(), 0)]);
    let mut count = 0;
    while let Some((folder, order, depth)) = waiting.pop_front() {
        // A repository names the others in it: those elsewhere are not told who asks, nor believed without a certificate.
        let (login, client) = match order.url.origin() == git.order.url.origin() {
            true => (git.login.as_ref(), own.clone()),
            false => (None, client(false)?),
        };
        pod.say(|| format!("clone {}", web::shown(order.url.as_str())));
        let url = order.url.clone();
        for (module, commit) in clone(&client, order, login, &folder, deadline).await? {
            count += 1;
            if depth >= DEEPEST || count > MODULES {
                return Err(StorageError::lasting(format!(
                    "its submodules are more than {DEEPEST} deep or {MODULES} in all: set git.disableSubmodules"
                )));
            }
            let Some(place) = submodule::url(&url, &module.url) else {
                return Err(StorageError::lasting(format!(
                    "submodule {:?} is neither at http nor https: set git.disableSubmodules, or change its URL",
                    shortened(&module.path)
                )));
            };
            let shown = place.to_string();
            let order = Order { revision: Some(commit.to_string()), ..Order::of(place, shown) };
            waiting.push_back((folder.join(&module.path), order, depth + 1));
        }
    }
    Ok(())
}

/// Clones one repository. Gives those that belong in it.
async fn clone(
    client: &Client,
    order: Order,
    login: Option<&Login>,
    folder: &Path,
    deadline: Deadline,
) -> Result<Vec<(submodule::Module, Id)>, StorageError> {
    let mut remote = Remote::connect(client, &order.url, login).await?;
    let branches = order.branch.as_ref().map_or("refs/heads/".to_owned(), |branch| format!("refs/heads/{branch}"));
    let prefixes = ["HEAD".to_owned(), branches, "refs/tags/".to_owned()].into_iter();
    let prefixes: Vec<String> = prefixes.chain(order.fetch.iter().map(|spec| spec.prefix().to_owned())).collect();
    let listed = remote.list(&prefixes).await?;
    let plan = Plan::new(&order, &listed, remote.gives_any())?;
    let repository = Repository::begin(folder)?;
    if listed.references.is_empty() {
        // What is asked for of it cannot be there; that it is empty is what Argo's executor takes it for.
        repository.end_empty(&order, &plan)?;
        return Ok(Vec::new());
    }
    let fetched = remote.fetch(&plan.wanted, &mut repository.pack()?).await?;
    apart(move || repository.end(&order, plan, &fetched, deadline)).await?.map_err(StorageError::lasting)
}

/// Does what takes time on a thread of its own, so that signals and deadlines count meanwhile. Nobody waits for it after those.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StorageError> {
    let (done, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread.spawn(move || {
        // Nobody may wait any more.
        let _ = done.send(work());
    })?;
    result.await.map_err(|_| StorageError::lasting("it was not finished"))
}

/// Something of a stranger's that is wrong.
fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the repository is broken: {what}"))
}

/// A stranger's text for a message.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_the_web_is_told_what_to_do() {
        let cases = [
            ("https://host/repo.git", None),
            ("http://user@host:80/group/repo", None),
            ("git@github.com:group/repo.git", Some("write https://")),
            ("ssh://git@host/repo", Some("write https://")),
            ("git://host/repo", Some("over git are not supported")),
            ("file://host/repo", Some("over file are not supported")),
            ("file:///repo", Some("no URL")),
            ("/repo", Some("no URL")),
            ("https://", Some("no URL")),
        ];
        for (repo, expected) in cases {
            let error = place(repo).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), expected.is_some(), "{repo}: {error:?}");
            assert!(expected.is_none_or(|expected| error.is_some_and(|error| error.contains(expected))), "{repo}");
        }
    }
}
