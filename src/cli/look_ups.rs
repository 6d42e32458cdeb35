use super::output::WARNING;
use super::registries;
use crate::settings::Snapshot;
use anyhow::Context;
use clap::Args;
use emissary_core::image::Platform;
use emissary_registry::{Granted, Hosts, Keyring, Options, Proxies, Resolver};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// 127.0.0.0/8 and ::1/128.
const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// How images are looked up from the command line.
#[derive(Debug, Args)]
pub(super) struct LookUpArguments {
    /// Image index files, which go before the registry. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(super) image_index: Vec<PathBuf>,
    /// A platform to look up, such as linux/arm64. Repeatable.
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    pub(super) platform: Vec<Platform>,
    /// Credentials, as docker keeps them in config.json.
    #[arg(long, value_name = "FILE")]
    pub(super) docker_config: Option<PathBuf>,
    /// A registry that is spoken to without TLS. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) plain_http: Vec<String>,
    /// A network that look-ups may reach although it is link-local or the like; loopback is allowed here as it is. Repeatable.
    #[arg(long, value_name = "CIDR")]
    pub(super) allow_network: Vec<IpNet>,
    /// How long one look-up may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) timeout: Duration,
}

pub(super) fn platform(text: &str) -> Result<Platform, String> {
    Platform::parse(text).map_err(|error| error.to_string())
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds, such as 10".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if (0.1..=300.0).contains(&seconds) => Ok(duration),
        _ => Err("give a number of seconds between 0.1 and 300".to_owned()),
    }
}

/// Credentials from a docker config file; anonymous where there is none.
pub(super) fn keyring(file: Option<&Path>) -> anyhow::Result<Keyring> {
    let Some(file) = file else { return Ok(Keyring::anonymous()) };
    let bytes = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    Keyring::from_docker_config(&bytes).with_context(|| format!("{}: not a docker config", file.display()))
}

/// The usual variables, upper case or lower case.
pub(super) fn proxies() -> Proxies {
    let variable =
        |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok()).filter(|v| !v.is_empty());
    Proxies {
        http: variable(["HTTP_PROXY", "http_proxy"]),
        https: variable(["HTTPS_PROXY", "https_proxy"]),
        no_proxy: variable(["NO_PROXY", "no_proxy"]).unwrap_or_default(),
    }
}

impl LookUpArguments {
    /// The credentials that the flag names, else the settings, all of them: whoever types a command is the operator.
    pub(super) fn keyring(&self, snapshot: &Snapshot) -> anyhow::Result<Keyring> {
        let registry = &snapshot.settings.registry;
        let config = keyring(self.docker_config.as_deref().or(registry.docker_config.as_deref()))?;
        let providers = registries::providers(&registry.credential_providers)?;
        let provided = Granted::new(Keyring::anonymous(), providers, vec!["*".to_owned()]);
        Ok(Keyring::union([config, provided.to_namespace("")]))
    }

    /// Registry options: what the settings say, the hosts folder included, and on top of it the flags.
    pub(super) fn options(&self, snapshot: &Snapshot) -> Options {
        let mut options = snapshot.registry();
        if let Some(folder) = &snapshot.settings.registry.hosts {
            let (hosts, problems) = Hosts::load(folder, &Hosts::default());
            for problem in problems {
                anstream::eprintln!("{WARNING} hosts not in effect: {problem}");
            }
            options.hosts = hosts;
        }
        options.plain_http.extend(self.plain_http.iter().cloned());
        options.allow_networks.extend(self.allow_network.iter().copied());
        // Whoever types a command asks from where they sit, for themselves; what the guard keeps from a tenant is theirs.
        options.allow_networks.extend(LOOPBACK);
        options.lookup_timeout = self.timeout;
        options.request_timeout = options.request_timeout.min(self.timeout);
        options.proxies = proxies();
        options
    }
}

/// A resolver for one run of the program.
pub(super) fn resolver(options: Options) -> anyhow::Result<Resolver> {
    Resolver::new(options, TaskTracker::new()).context("cannot look images up")
}

/// The platform that this program runs on: where pods run too, as long as nobody says otherwise.
pub(super) fn own_platform() -> Platform {
    Platform::new("linux", std::env::consts::ARCH, None)
}
