//! Whether a request with ambient authority may come from where it says: its `Host` against DNS rebinding, its
//! `Origin` against foreign web pages.

use std::net::{IpAddr, Ipv6Addr};

use super::{AccessSettings, Refusal};

/// The names and origins that are ours.
pub(super) struct Ambience {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Ambience {
    pub(super) fn new(settings: &AccessSettings) -> Self {
        let hosts = settings.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { hosts, origins: settings.allowed_origins.clone() }
    }

    pub(super) fn lists_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| listed == origin)
    }

    pub(super) fn check(&self, host: Option<&str>, origin: Option<&str>) -> Result<(), Refusal> {
        let host = host.filter(|host| self.is_ours(host)).ok_or(Refusal::MisdirectedHost)?;
        match origin {
            Some(origin) if !self.lists_origin(origin) && !is_same(origin, host) => {
                Err(Refusal::ForeignOrigin)
            }
            _ => Ok(()),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let Some(name) = name_of(host) else { return false };
        if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return literal
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| IpAddr::V6(address).to_canonical().is_loopback());
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        name == "localhost"
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || self.hosts.contains(&name)
    }
}

/// A `Host` without its port; `None` where it is not of that form.
fn name_of(host: &str) -> Option<&str> {
    let is_port =
        |text: &str| !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at_checked(end)?;
    match rest.strip_prefix(':') {
        Some(port) if is_port(port) => Some(name),
        None if rest.is_empty() => Some(name),
        _ => None,
    }
}

/// Whether a page of this origin was served under this `Host`.
fn is_same(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: Option<&str>, origin: Option<&str>, expect: Result<(), Refusal>) {
        let ambience = Ambience::new(&AccessSettings {
            allowed_origins: vec!["http://localhost:3000".into()],
            allowed_hosts: vec!["recovery".into(), "nova.lan".into()],
            ..AccessSettings::default()
        });
        assert_eq!(ambience.check(host, origin), expect, "{host:?} {origin:?}");
    }

    #[test]
    fn known_hosts_are_ours_with_any_port() {
        for host in [
            "localhost",
            "LOCALHOST:8888",
            "localhost.",
            "127.0.0.1:8888",
            "127.8.9.1",
            "[::1]:8888",
            "[::1]",
            "recovery:8888",
            "Nova.LAN",
        ] {
            check(Some(host), None, Ok(()));
        }
    }

    #[test]
    fn other_hosts_are_misdirected() {
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil.example:8888",
            "10.0.0.1",
            "[2001:db8::1]",
            "[::1",
            "localhost:",
            "localhost:x",
            "localhost:80:80",
            "user@localhost",
        ] {
            check(Some(host), None, Err(Refusal::MisdirectedHost));
        }
        check(None, None, Err(Refusal::MisdirectedHost));
    }

    #[test]
    fn foreign_pages_are_refused() {
        check(Some("localhost:8888"), Some("http://localhost:8888"), Ok(()));
        check(Some("localhost:8888"), Some("http://localhost:3000"), Ok(()));
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost:3001",
            "http://localhost:3000/",
            "localhost:8888",
        ] {
            check(Some("localhost:8888"), Some(origin), Err(Refusal::ForeignOrigin));
        }
    }
}
