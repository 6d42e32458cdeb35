//! Which registries may be asked, and which addresses their names may lead to.
//!
//! An image's name is written by a tenant and looked up from within the cluster's network, so without a guard anybody could
//! make this process ask what only it can reach: its own ports, the node's, a cloud's metadata.

use crate::{Failure, Options, glob::glob};
use ipnet::IpNet;
use reqwest::Url;
use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Whether registries may stand in private networks: RFC 1918, carriers' 100.64.0.0/10 (RFC 6598), unique local addresses
/// (RFC 4193) and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrivateNetworks {
    /// They may: most clusters that have a registry of their own have it there.
    #[default]
    Allow,
    /// They may not, except in the networks that are allowed by name.
    Refuse,
}

/// What an operator allows, as a question of names and addresses.
#[derive(Debug)]
pub(crate) struct Guard {
    allow_registries: Vec<String>,
    deny_registries: Vec<String>,
    allow_networks: Vec<IpNet>,
    private_networks: PrivateNetworks,
}

/// That an address may not be asked. It travels through the HTTP client as the cause of its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every address of the host is in a network that look-ups may not reach")
    }
}

impl Error for Refused {}

/// What an address is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    Private,
    /// Never the address of a registry that a stranger may name.
    Special,
}

const NOT_ALLOWED: Failure = Failure::Forbidden("the operator's list of allowed registries does not have it");
const DENIED: Failure = Failure::Forbidden("the operator's list of denied registries has it");
pub(crate) const BAD_ADDRESS: Failure =
    Failure::Forbidden("its name, or a host that it refers to, leads into a network that look-ups may not reach");

impl Guard {
    pub(crate) fn new(options: &Options) -> Self {
        let Options { allow_registries, deny_registries, allow_networks, private_networks, .. } = options;
        Self {
            allow_registries: allow_registries.clone(),
            deny_registries: deny_registries.clone(),
            allow_networks: allow_networks.clone(),
            private_networks: *private_networks,
        }
    }

    /// Whether a registry, `HOST[:PORT]` as an image names it, may be asked at all.
    pub(crate) fn registry(&self, registry: &str) -> Result<(), Failure> {
        let is_in = |list: &[String]| list.iter().any(|pattern| is_host(pattern, registry));
        if is_in(&self.deny_registries) {
            return Err(DENIED);
        }
        if !self.allow_registries.is_empty() && !is_in(&self.allow_registries) {
            return Err(NOT_ALLOWED);
        }
        Ok(())
    }

    /// Whether a URL may be asked: the registry's own, one that it redirects to, its token realm. A name is judged later, by
    /// its addresses; where a proxy looks it up, by the proxy's operator alone.
    ///
    /// The list of allowed registries says nothing here, because blobs and tokens often come from other hosts.
    pub(crate) fn url(&self, url: &Url) -> Result<(), Failure> {
        let authority = authority(url);
        if self.deny_registries.iter().any(|pattern| is_host(pattern, &authority)) {
            return Err(DENIED);
        }
        match literal(url) {
            Some(address) if !self.allows(address) => Err(BAD_ADDRESS),
            _ => Ok(()),
        }
    }

    /// Whether a connection to an address may be made.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        let listed = |address: &IpAddr| self.allow_networks.iter().any(|network| network.contains(address));
        if listed(&address) {
            return true;
        }
        // What an address is a wrapping of is where the packets go.
        let reaches = embedded(address);
        let is_allowed = |address: &IpAddr| match reach(*address) {
            Reach::Public => true,
            Reach::Private => self.private_networks == PrivateNetworks::Allow || listed(address),
            Reach::Special => listed(address),
        };
        match reaches.as_slice() {
            [] => is_allowed(&address),
            reaches => reaches.iter().all(is_allowed),
        }
    }
}

/// Whether a request failed because of its addresses.
pub(crate) fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .any(|error| error.is::<Refused>())
}

/// `HOST` or `HOST:PORT` of a URL, the port only where it is not the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The address of a URL whose host is one, in any of the forms that URLs have for it.
fn literal(url: &Url) -> Option<IpAddr> {
    // The parser has turned 0x7f.1 and its like into 127.0.0.1 by now.
    let host = url.host_str()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse().ok()
}

/// A pattern without a port is for every port of its hosts.
fn is_host(pattern: &str, authority: &str) -> bool {
    let bare = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    let bare = bare.trim_end_matches('.');
    glob(pattern.as_bytes(), bare.as_bytes()) || glob(pattern.as_bytes(), authority.as_bytes())
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

/// IANA's registry of special-purpose addresses, and where clouds keep their metadata.
fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        // This network, loopback, link-local (with most clouds' metadata), multicast, reserved, broadcast.
        [0 | 127 | 224..=255, ..] | [169, 254, ..] => Reach::Special,
        // Metadata of Alibaba Cloud, of Oracle Cloud's old network (with all of 192.0.0.0/24), and Azure's wire server.
        [100, 100, 100, 200] | [192, 0, 0, _] | [168, 63, 129, 16] => Reach::Special,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Reach::Private,
        // Carriers' own, and networks for benchmarks.
        [100, 64..=127, ..] | [198, 18 | 19, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    /// Metadata of AWS and of Google Cloud.
    const METADATA: [Ipv6Addr; 2] =
        [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];
    if address.is_unspecified() || address.is_loopback() || METADATA.contains(&address) {
        return Reach::Special;
    }
    match address.segments()[0] {
        // Link-local and multicast.
        0xfe80..=0xfebf | 0xff00..=0xffff => Reach::Special,
        // Unique local, and the site-local that went before it.
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Reach::Private,
        _ => Reach::Public,
    }
}

/// The IPv4 addresses that an IPv6 address carries within it, if it is of a kind that does.
fn embedded(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(address) = address else { return Vec::new() };
    let s = address.segments();
    let o = address.octets();
    let v4 = |a: u16, b: u16| {
        let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
        IpAddr::from(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // Unspecified and loopback are what they are.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        // IPv4-mapped, IPv4-translated (RFC 2765), IPv4-compatible.
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] | [0, 0, 0, 0, 0, 0, a, b] => vec![v4(a, b)],
        // NAT64's well-known prefix (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] => vec![v4(a, b)],
        // NAT64 in a network of one's own (RFC 8215), whose prefix may be of any of three lengths.
        [0x64, 0xff9b, 1, ..] => {
            let short = IpAddr::from(Ipv4Addr::new(o[6], o[7], o[9], o[10]));
            let middle = IpAddr::from(Ipv4Addr::new(o[9], o[10], o[11], o[12]));
            vec![short, middle, v4(s[6], s[7])].into_iter().filter(|address| *address != v4(0, 0)).collect()
        }
        // 6to4 (RFC 3056).
        [0x2002, a, b, ..] => vec![v4(a, b)],
        // Teredo (RFC 4380): its server, and its client turned inside out.
        [0x2001, 0, a, b, _, _, c, d] => vec![v4(a, b), v4(!c, !d)],
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, a, b] => vec![IpAddr::V6(address), v4(a, b)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow_networks: &[&str], private_networks: PrivateNetworks) -> Guard {
        let allow_networks = allow_networks.iter().map(|text| text.parse().unwrap()).collect();
        Guard::new(&Options { allow_networks, private_networks, ..Options::default() })
    }

    #[test]
    fn addresses_are_told_apart() {
        use Reach::{Private, Public, Special};
        let table = [
            ("8.8.8.8", Public),
            ("0.0.0.0", Special),
            ("0.1.2.3", Special),
            ("127.0.0.1", Special),
            ("127.255.0.9", Special),
            ("169.254.169.254", Special),
            ("169.254.170.2", Special),
            ("100.100.100.200", Special),
            ("168.63.129.16", Special),
            ("192.0.0.192", Special),
            ("224.0.0.1", Special),
            ("255.255.255.255", Special),
            ("240.0.0.1", Special),
            ("10.1.2.3", Private),
            ("172.16.0.1", Private),
            ("172.32.0.1", Public),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("100.128.0.1", Public),
            ("198.18.0.1", Private),
            ("2606:4700::1", Public),
            ("::", Special),
            ("::1", Special),
            ("fe80::1", Special),
            ("febf::1", Special),
            ("ff02::1", Special),
            ("fd00:ec2::254", Special),
            ("fd20:ce::254", Special),
            ("fd00::1", Private),
            ("fec0::1", Private),
            ("::ffff:127.0.0.1", Special),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:8.8.8.8", Public),
            ("::127.0.0.1", Special),
            ("::ffff:0:169.254.169.254", Special),
            ("64:ff9b::169.254.169.254", Special),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b:1::7f00:1", Special),
            ("64:ff9b:1:7f00:0:100::", Special),
            ("2002:7f00:1::1", Special),
            ("2002:808:808::1", Public),
            ("2001:0:808:808:0:0:80ff:fffe", Special),
            ("2001:db8:0:0:0:5efe:7f00:1", Special),
        ];
        let (open, strict) = (guard(&[], PrivateNetworks::Allow), guard(&[], PrivateNetworks::Refuse));
        let all = guard(&["0.0.0.0/0", "::/0"], PrivateNetworks::Refuse);
        for (text, expected) in table {
            let address = text.parse().unwrap();
            assert_eq!(open.allows(address), expected != Special, "{text}");
            assert_eq!(strict.allows(address), expected == Public, "{text}");
            assert!(all.allows(address), "{text}");
        }
    }

    #[test]
    fn networks_allowed_by_name_are_exceptions() {
        let guard = guard(&["127.0.0.0/8", "10.1.0.0/16"], PrivateNetworks::Refuse);
        let table = [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("::1", false),
            ("10.1.0.1", true),
            ("64:ff9b::10.1.0.1", true),
            ("10.2.0.1", false),
            ("169.254.169.254", false),
            ("8.8.8.8", true),
        ];
        for (text, expected) in table {
            assert_eq!(guard.allows(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn urls_have_addresses_in_many_forms() {
        let guard = guard(&[], PrivateNetworks::Allow);
        let table = [
            ("https://127.0.0.1/", false),
            ("https://0x7f.1/", false),
            ("https://2130706433/", false),
            ("https://017700000001:5000/", false),
            ("https://[::1]/", false),
            ("https://[::ffff:a9fe:a9fe]/", false),
            ("https://169.254.169.254/latest", false),
            ("https://10.0.0.1/", true),
            ("https://example.com/", true),
        ];
        for (url, expected) in table {
            assert_eq!(guard.url(&url.parse().unwrap()).is_ok(), expected, "{url}");
        }
    }

    #[test]
    fn lists_are_of_hosts() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let guard = |allow: &[&str], deny: &[&str]| {
            let (allow_registries, deny_registries) = (list(allow), list(deny));
            Guard::new(&Options { allow_registries, deny_registries, ..Options::default() })
        };
        let table: &[(&[&str], &[&str], &str, bool)] = &[
            (&[], &[], "quay.io", true),
            (&["quay.io"], &[], "quay.io", true),
            (&["quay.io"], &[], "Quay.IO:443", true),
            (&["quay.io:443"], &[], "quay.io:444", false),
            (&["quay.io"], &[], "ghcr.io", false),
            (&["*.corp"], &[], "a.b.corp:5000", true),
            (&["*"], &["quay.io"], "quay.io", false),
            (&[], &["quay.io"], "quay.io:5000", false),
            (&[], &["quay.io"], "notquay.io", true),
            (&[], &["[::1]"], "[::1]:5000", false),
        ];
        for (allow, deny, registry, expected) in table {
            let guard = guard(allow, deny);
            assert_eq!(guard.registry(registry).is_ok(), *expected, "{allow:?} {deny:?} {registry}");
        }
        let guard = guard(&["quay.io"], &["evil.example"]);
        assert!(guard.url(&"https://blobs.example/".parse().unwrap()).is_ok());
        assert!(guard.url(&"https://evil.example:8443/".parse().unwrap()).is_err());
        assert!(guard.url(&"https://evil.example./".parse().unwrap()).is_err());
    }
}
