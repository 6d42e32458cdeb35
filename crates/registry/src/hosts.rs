//! Where each registry's content is asked for: a folder of `hosts.toml` files, laid out as containerd's `certs.d`.
//!
//! ```text
//! certs.d/docker.io/hosts.toml
//! certs.d/registry.corp:5000/hosts.toml      (or registry.corp_5000_)
//! certs.d/_default/hosts.toml
//! ```
//!
//! The keys are those of <https://github.com/containerd/containerd/blob/main/docs/hosts.md>, with their meaning there.

mod file;
mod tls;

pub(crate) use tls::{Site, Tls, TlsKey, client_config};

use crate::guard::authority;
use reqwest::Url;
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

const FILE: &str = "hosts.toml";
const DEFAULT: &str = "_default";
/// Larger is none that a person wrote.
const LARGEST_FILE: u64 = 1 << 20;
/// Where Docker Hub's registry answers; `docker.io` itself is a web site.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// What an operator says of registries' hosts: mirrors, trust, client certificates, headers.
///
/// As on the nodes, it holds for every image whoever's pod it is in: what a header or a client certificate opens is open to
/// all namespaces. What only some may use belongs into [`Granted`](crate::Granted) credentials. Neither is sent to a host
/// that is only referred to, by a redirect or as a token realm; a mirror is under the same guard as any registry.
///
/// `Debug` shows the registries' names only, since headers may be secrets.
#[derive(Clone, Default)]
pub struct Hosts {
    registries: BTreeMap<String, Arc<Described>>,
    default: Option<Arc<Described>>,
}

/// One `hosts.toml`.
struct Described {
    /// In the order in which they are tried.
    mirrors: Vec<Host>,
    /// The registry itself, tried last.
    server: Host,
}

/// A `[host."URL"]`, or what stands above all of them.
struct Host {
    /// None is the registry's own place.
    base: Option<Url>,
    capabilities: Capabilities,
    site: Arc<Site>,
}

/// What a host may be asked for. Pushing is none of our affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// What has a digest.
    pub(crate) pull: bool,
    /// What a tag names.
    pub(crate) resolve: bool,
}

impl Capabilities {
    /// Whether it may be asked for what has a digest, or for what a tag names.
    pub(crate) fn allow(self, by_digest: bool) -> bool {
        if by_digest { self.pull } else { self.resolve }
    }
}

/// A place where a repository's content may be asked for.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// `https://HOST[:PORT]/v2/`, or another path that ends in a slash.
    pub(crate) base: Url,
    /// Whose credentials are sent there, `HOST[:PORT]` as an image names it.
    pub(crate) registry: String,
    pub(crate) capabilities: Capabilities,
    /// The registry that a mirror is asked for, `ns=` in its requests.
    pub(crate) namespace: Option<String>,
    pub(crate) site: Option<Arc<Site>>,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsProblem {
    /// The file, or the folder that cannot be read.
    pub path: PathBuf,
    /// Line and column, both counted from 1; none where it is about the file as a whole.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what to write.
    pub text: String,
}

impl fmt::Display for HostsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.position.iter().try_for_each(|(line, column)| write!(f, ":{line}:{column}"))?;
        write!(f, ": {}", self.text)
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.registries.keys()).entries(self.default.iter().map(|_| DEFAULT)).finish()
    }
}

impl Hosts {
    /// Reads a folder. A file that cannot be used leaves its registry as it is in `before` and is reported; a file that is
    /// gone is forgotten. Certificates are read along, so what this returns needs no file any more.
    ///
    /// It reads files, so an asynchronous caller runs it on a thread that may wait.
    pub fn load(directory: &Path, before: &Self) -> (Self, Vec<HostsProblem>) {
        let mut problems = Vec::new();
        let folders = match folders(directory) {
            Ok(folders) => folders,
            Err(error) => {
                let text = format!("the folder cannot be read: {error}");
                return (before.clone(), vec![HostsProblem { path: directory.to_owned(), position: None, text }]);
            }
        };
        let mut hosts = Self::default();
        for (name, folder) in folders {
            let path = folder.join(FILE);
            let described = match read(&path) {
                Ok(None) => continue,
                Ok(Some(text)) => {
                    file::parse(&text, &folder).map_err(|(position, text)| HostsProblem { path, position, text })
                }
                Err(error) => {
                    let text = format!("it cannot be read: {error}");
                    Err(HostsProblem { path, position: None, text })
                }
            };
            let described = match described {
                Ok(described) => Some(Arc::new(described)),
                Err(problem) => {
                    problems.push(problem);
                    let known = if name == DEFAULT { before.default.as_ref() } else { before.registries.get(&name) };
                    known.map(Arc::clone)
                }
            };
            match described {
                Some(described) if name == DEFAULT => hosts.default = Some(described),
                Some(described) => {
                    hosts.registries.insert(name, described);
                }
                None => {}
            }
        }
        (hosts, problems)
    }

    /// The registries that have a file of their own, for metrics' labels and the like.
    pub fn registries(&self) -> impl Iterator<Item = &str> {
        self.registries.keys().map(String::as_str)
    }

    /// Where a registry is asked, in order; at least one place. `None` where its name is no host.
    pub(crate) fn endpoints(&self, registry: &str, plain: bool) -> Option<Vec<Endpoint>> {
        let registry = registry.to_ascii_lowercase();
        let scheme = if plain { "http" } else { "https" };
        let host = if registry == "docker.io" { DOCKER_HUB_HOST } else { &registry };
        let own = Url::parse(&format!("{scheme}://{host}/v2/")).ok()?;
        let Some(described) = self.registries.get(&registry).or(self.default.as_ref()) else {
            let capabilities = Capabilities { pull: true, resolve: true };
            return Some(vec![Endpoint { base: own, registry, capabilities, namespace: None, site: None }]);
        };
        let Described { mirrors, server } = &**described;
        let endpoint = |host: &Host| {
            let base = host.base.clone().unwrap_or_else(|| own.clone());
            let asked = authority(&base);
            let is_own = asked == authority(&own);
            Endpoint {
                // Whoever writes Docker Hub's other name into a file means its credentials.
                registry: match asked.as_str() {
                    _ if is_own => registry.clone(),
                    DOCKER_HUB_HOST => "docker.io".to_owned(),
                    _ => asked,
                },
                base,
                capabilities: host.capabilities,
                namespace: (!is_own).then(|| registry.clone()),
                site: Some(Arc::clone(&host.site)),
            }
        };
        Some(mirrors.iter().chain([server]).map(endpoint).collect())
    }

    /// How a host's certificate is judged that is asked only because another one refers to it.
    ///
    /// Its own file says so; another registry's does not, and neither does the one for all the rest.
    pub(crate) fn trust(&self, authority_of_url: &str) -> Option<Tls> {
        let described = self.registries.get(&authority_of_url.to_ascii_lowercase())?;
        let is_own = described.server.base.as_ref().is_none_or(|base| authority(base) == authority_of_url);
        is_own.then(|| described.server.site.tls.anonymous())
    }

    /// All TLS settings in use.
    pub(crate) fn sites(&self) -> impl Iterator<Item = &Site> {
        let described = self.registries.values().chain(&self.default);
        described.flat_map(|described| described.mirrors.iter().chain([&described.server])).map(|host| &*host.site)
    }
}

/// Folders by the registry that they are for. Of two for one, containerd takes the one without a colon.
fn folders(directory: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut folders = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_ascii_lowercase) else { continue };
        // A mounted ConfigMap keeps its own folders beside what is asked for, and files are none.
        if name.starts_with('.') || !path.is_dir() {
            continue;
        }
        let port = name.strip_suffix('_').and_then(|rest| rest.rsplit_once('_'));
        match port.filter(|(_, port)| port.parse::<u16>().is_ok()) {
            Some((host, port)) => folders.insert(format!("{host}:{port}"), path),
            None => {
                folders.entry(name).or_insert(path);
                None
            }
        };
    }
    Ok(folders)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    use io::Read;
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    if file.take(LARGEST_FILE + 1).read_to_string(&mut text)? as u64 > LARGEST_FILE {
        return Err(io::Error::other(format!("it is larger than {LARGEST_FILE} bytes")));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
