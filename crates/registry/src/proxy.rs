//! Which requests go through a proxy.

use crate::{OptionsError, Proxies};
use ipnet::IpNet;
use reqwest::{ClientBuilder, Proxy, Url};
use std::net::IpAddr;

/// Proxies, with `NO_PROXY` read as Go's `net/http` reads it, because that is what the cluster's nodes do.
pub(crate) struct ProxyRules {
    http: Option<Url>,
    https: Option<Url>,
    excepted: Vec<Exception>,
}

#[derive(Debug, PartialEq, Eq)]
enum Exception {
    Everything,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    /// The host itself, unless only what is below it is meant, and what is below it.
    Domain {
        name: String,
        port: Option<u16>,
        itself: bool,
    },
}

impl ProxyRules {
    pub(crate) fn new(proxies: &Proxies) -> Result<Self, OptionsError> {
        let Proxies { http, https, no_proxy } = proxies;
        let url = |which, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            // As curl and Go have it, a proxy without a scheme is one of plain HTTP.
            let text = if text.contains("://") { text.clone() } else { format!("http://{text}") };
            let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            url.map(Some).ok_or(OptionsError::Proxy { which })
        };
        let excepted = no_proxy.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
        Ok(Self {
            http: url("http", http)?,
            https: url("https", https)?,
            excepted: excepted.filter_map(Exception::parse).collect(),
        })
    }

    /// Whether a request for `url` goes through a proxy.
    pub(crate) fn apply_to(&self, url: &Url) -> bool {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        proxy.is_some() && !self.excepted.iter().any(|exception| exception.holds_for(url))
    }

    /// Makes a client send all that it sends through the proxies.
    pub(crate) fn set(&self, mut client: ClientBuilder) -> Result<ClientBuilder, reqwest::Error> {
        for (proxy, of) in [(&self.http, Proxy::http as fn(Url) -> _), (&self.https, Proxy::https)] {
            if let Some(url) = proxy {
                client = client.proxy(of(url.clone())?);
            }
        }
        Ok(client)
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address, port));
        }
        // `*.corp` and `.corp` are what is below corp; `corp` is that and itself.
        let below = host.strip_prefix('*').unwrap_or(host).strip_prefix('.');
        let name = below.unwrap_or(host).trim_end_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Domain { name, port, itself: below.is_none() })
    }

    fn holds_for(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = host.parse::<IpAddr>().ok();
        let is_port = |port: &Option<u16>| port.is_none() || *port == url.port_or_known_default();
        match self {
            Self::Everything => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(wanted, port) => address == Some(*wanted) && is_port(port),
            Self::Domain { name, port, itself } => {
                let host = host.trim_end_matches('.');
                let is_below = || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                is_port(port) && ((*itself && host == name) || is_below())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_those_of_go() {
        let table = [
            ("", "https://quay.io/", false),
            ("*", "https://quay.io/", true),
            ("quay.io", "https://quay.io/", true),
            ("QUAY.io", "https://quay.io/", true),
            ("quay.io", "https://cdn.quay.io/", true),
            ("quay.io", "https://notquay.io/", false),
            (".quay.io", "https://cdn.quay.io/", true),
            (".quay.io", "https://quay.io/", false),
            ("*.quay.io", "https://cdn.quay.io/", true),
            ("*.quay.io", "https://quay.io/", false),
            ("quay.io:443", "https://quay.io/", true),
            ("quay.io:8443", "https://quay.io/", false),
            ("quay.io:8443", "https://quay.io:8443/", true),
            ("quay.io:nonsense", "https://quay.io/", false),
            ("a.b, quay.io", "https://quay.io/", true),
            ("a.b quay.io", "https://quay.io/", true),
            ("10.0.0.0/8", "https://10.1.2.3:5000/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("10.0.0.0/8", "https://ten.example/", false),
            ("10.1.2.3", "https://10.1.2.3/", true),
            ("10.1.2.3:5000", "https://10.1.2.3:5000/", true),
            ("10.1.2.3:5000", "https://10.1.2.3/", false),
            ("::1", "https://[::1]:5000/", true),
            ("[::1]:5000", "https://[::1]:5000/", true),
            ("fd00::/8", "https://[fd00::1]/", true),
            (".svc,.cluster.local,", "https://registry.tools.svc.cluster.local/", true),
        ];
        for (no_proxy, url, expected) in table {
            let proxies = Proxies { http: None, https: Some("http://proxy:3128".into()), no_proxy: no_proxy.into() };
            let rules = ProxyRules::new(&proxies).unwrap();
            assert_eq!(rules.apply_to(&url.parse().unwrap()), !expected, "{no_proxy} {url}");
        }
    }

    #[test]
    fn each_scheme_has_its_own() {
        let of = |http: Option<&str>, https: Option<&str>| {
            let proxies =
                Proxies { http: http.map(str::to_owned), https: https.map(str::to_owned), no_proxy: "".into() };
            ProxyRules::new(&proxies)
        };
        let applies = |rules: &ProxyRules, url: &str| rules.apply_to(&url.parse().unwrap());
        let rules = of(Some("proxy:3128"), None).unwrap();
        assert!(applies(&rules, "http://quay.io/") && !applies(&rules, "https://quay.io/"));
        for bad in ["socks5://proxy:1080", "http://", "not a url"] {
            assert!(matches!(of(None, Some(bad)), Err(OptionsError::Proxy { which: "https" })), "{bad}");
        }
    }
}
