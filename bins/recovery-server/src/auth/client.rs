//! Where a request came from.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;

/// Whether an address lies in one of these networks.
pub(crate) fn lies_in(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// The address of a client, and whether it can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    address: Option<IpAddr>,
    certain: bool,
}

impl Client {
    /// From the address of the peer and the headers that a proxy would add. `X-Real-IP` counts only from a trusted
    /// proxy. A request that was passed on by somebody else may come from anywhere: its address serves for counting
    /// and for the log, and is in no trusted network.
    #[must_use]
    pub fn new(peer: Option<IpAddr>, real_ip: Option<&str>, passed_on: bool, proxies: &[IpNet]) -> Self {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else {
            return Self { address: None, certain: false };
        };
        if !lies_in(peer, proxies) {
            return Self { address: Some(peer), certain: real_ip.is_none() && !passed_on };
        }
        match real_ip.and_then(|text| text.trim().parse::<IpAddr>().ok()) {
            Some(client) => Self { address: Some(client.to_canonical()), certain: true },
            None => Self { address: Some(peer), certain: false },
        }
    }

    /// Whether it is, for certain, in one of these networks.
    #[must_use]
    pub fn is_in(&self, networks: &[IpNet]) -> bool {
        self.certain && self.address.is_some_and(|address| lies_in(address, networks))
    }

    /// By what its attempts are counted: an IPv4 address, or the /64 network of an IPv6 address, of which one client
    /// has many.
    #[must_use]
    pub(super) fn counted_as(&self) -> Option<IpAddr> {
        self.address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("an unknown address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, real_ip: Option<&str>, passed_on: bool, expect: (&str, bool)) {
        let proxies = ["172.18.0.0/16".parse().unwrap()];
        let client = Client::new(Some(peer.parse().unwrap()), real_ip, passed_on, &proxies);
        assert_eq!((client.to_string().as_str(), client.certain), expect, "{peer} {real_ip:?} {passed_on}");
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        check("10.0.0.1", None, false, ("10.0.0.1", true));
        check("::ffff:10.0.0.1", None, false, ("10.0.0.1", true));
        check("10.0.0.1", Some("10.0.0.9"), false, ("10.0.0.1", false));
        check("10.0.0.1", None, true, ("10.0.0.1", false));
        check("172.18.0.5", Some("10.0.0.9"), true, ("10.0.0.9", true));
        check("::ffff:172.18.0.5", Some(" 10.0.0.9 "), false, ("10.0.0.9", true));
        check("172.18.0.5", Some("nonsense"), false, ("172.18.0.5", false));
        check("172.18.0.5", None, true, ("172.18.0.5", false));
    }

    #[test]
    fn one_client_of_ipv6_is_its_network() {
        let client = |text: &str| Client::new(Some(text.parse().unwrap()), None, false, &[]).counted_as();
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
    }
}
