//! Addresses and networks.

use super::Arguments;
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::Value;
use std::fmt;
use std::net::IpAddr;

/// An address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address(IpAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Address {
    /// Neither zones nor IPv4 in IPv6 are taken.
    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('%') {
            return Err(format!("IP address {text:?} with zone value is not allowed"));
        }
        let address: IpAddr = text.parse().map_err(|_error| {
            format!(
                "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
            )
        })?;
        match address {
            IpAddr::V6(inner) if inner.to_ipv4_mapped().is_some() => {
                Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"))
            }
            address => Ok(Self(address)),
        }
    }

    /// The bits, to the left of 128.
    fn bits(self) -> u128 {
        match self.0 {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        }
    }
}

/// A network: an address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: Address,
    length: u8,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Network {
    fn parse(text: &str) -> Result<Self, String> {
        let fails = |why: &str| {
            let what = "network address parse error during conversion from string";
            format!("{what}: {what}: netip.ParsePrefix({text:?}): {why}")
        };
        let (address, length) = text.split_once('/').ok_or_else(|| fails("no '/'"))?;
        let address =
            Address::parse(address).map_err(|_error| fails(&format!("ParseAddr({address:?}): unable to parse IP")))?;
        let most = if address.0.is_ipv4() { 32 } else { 128 };
        let is_plain = length.bytes().all(|c| c.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
        let length = length.parse().ok().filter(|length| is_plain && *length <= most);
        let length = length.ok_or_else(|| fails("prefix length out of range"))?;
        Ok(Self { address, length })
    }

    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0)
    }

    fn contains(self, address: Address) -> bool {
        let one_family = self.address.0.is_ipv4() == address.0.is_ipv4();
        one_family && (self.address.bits() ^ address.bits()) & self.mask() == 0
    }

    fn masked(self) -> Self {
        let bits = self.address.bits() & self.mask();
        let address = match self.address.0 {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(bits >> 96).unwrap_or_default().into()),
            IpAddr::V6(_) => IpAddr::V6(bits.into()),
        };
        Self { address: Address(address), length: self.length }
    }
}

/// `ip`, `isIP`, `ip.isCanonical`, and `ip()` of a network.
pub(super) fn parse_address<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let text = match arguments.values {
        [Value::Network(network)] => return Ok(Value::Address(network.address)),
        [Value::String(text)] => text,
        _ => return Err(arguments.none()),
    };
    match (arguments.name, Address::parse(text)) {
        ("isIP", found) => Ok(Value::Bool(found.is_ok())),
        (_, Err(why)) => Err(Failure::error(why)),
        ("ip", Ok(address)) => Ok(Value::Address(address)),
        (_, Ok(address)) => Ok(Value::Bool(address.to_string() == **text)),
    }
}

pub(super) fn of_address<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::Address(Address(address))] = arguments.values else { return Err(arguments.none()) };
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let is_link_local_multicast = match address {
        IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    };
    Ok(match arguments.name {
        "family" => Value::Int(if address.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Value::Bool(address.is_unspecified()),
        "isLoopback" => Value::Bool(address.is_loopback()),
        "isLinkLocalMulticast" => Value::Bool(is_link_local_multicast),
        "isLinkLocalUnicast" => Value::Bool(is_link_local),
        _ => {
            let other = address.is_unspecified() || address.is_loopback() || address.is_multicast();
            Value::Bool(!other && !is_link_local && !is_broadcast)
        }
    })
}

/// `cidr` and `isCIDR`.
pub(super) fn parse_network<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(text)] = arguments.values else { return Err(arguments.none()) };
    match (arguments.name, Network::parse(text)) {
        ("isCIDR", found) => Ok(Value::Bool(found.is_ok())),
        (_, Ok(network)) => Ok(Value::Network(network)),
        (_, Err(why)) => Err(Failure::error(why)),
    }
}

/// `containsIP`, `containsCIDR`, `masked`, `prefixLength`.
pub(super) fn of_network<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let (network, other) = match arguments.values {
        [Value::Network(network)] => (network, None),
        [Value::Network(network), other] => (network, Some(other)),
        _ => return Err(arguments.none()),
    };
    let contains = |other: Network| Value::Bool(other.length >= network.length && network.contains(other.address));
    match (arguments.name, other) {
        ("masked", None) => Ok(Value::Network(network.masked())),
        ("prefixLength", None) => Ok(Value::Int(i64::from(network.length))),
        ("containsIP", Some(Value::Address(address))) => Ok(Value::Bool(network.contains(*address))),
        ("containsIP", Some(Value::String(text))) => {
            let address = Address::parse(text).map_err(|_error| Failure::overload())?;
            Ok(Value::Bool(network.contains(address)))
        }
        ("containsCIDR", Some(Value::Network(other))) => Ok(contains(*other)),
        ("containsCIDR", Some(Value::String(text))) => {
            Network::parse(text).map(contains).map_err(|_error| Failure::overload())
        }
        _ => Err(arguments.none()),
    }
}
