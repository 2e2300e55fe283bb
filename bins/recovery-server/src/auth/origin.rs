//! Whether a request with ambient authority may come from where it says: its `Host` against DNS rebinding, its
//! `Origin` against foreign web pages.

use std::net::{IpAddr, Ipv6Addr};

use super::{AccessSettings, Presented, Refusal};

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

    /// For who is let in by its address: no page but ours and those that are listed.
    pub(super) fn check(&self, host: Option<&str>, origin: Option<&str>) -> Result<(), Refusal> {
        let host = self.own(host)?;
        match origin {
            Some(origin) if !self.lists_origin(origin) && !is_same(origin, host) => {
                Err(Refusal::ForeignOrigin)
            }
            _ => Ok(()),
        }
    }

    /// For who is let in by the cookie: no page but the one that was served under this very address, and nothing that
    /// changes something without a page that says so. Reading alone may come without an origin, since browsers name
    /// none then.
    pub(super) fn check_page(&self, presented: &Presented<'_>) -> Result<(), Refusal> {
        let host = self.own(presented.host)?;
        let scheme = if presented.secure { "https://" } else { "http://" };
        match presented.origin {
            Some(origin) if origin.starts_with(scheme) && is_same(origin, host) => Ok(()),
            None if !presented.changes => Ok(()),
            _ => Err(Refusal::AnotherPage),
        }
    }

    fn own<'a>(&self, host: Option<&'a str>) -> Result<&'a str, Refusal> {
        host.filter(|host| self.is_ours(host)).ok_or(Refusal::MisdirectedHost)
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

/// Whether a page of this origin was served under this `Host`. A port that goes without saying may be said there.
fn is_same(origin: &str, host: &str) -> bool {
    let (scheme, authority) = origin.split_once("://").unwrap_or_default();
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    authority.eq_ignore_ascii_case(host)
        || host.strip_suffix(usual).is_some_and(|name| authority.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Client;

    fn check(host: Option<&str>, origin: Option<&str>, expect: Result<(), Refusal>) {
        let ambience = Ambience::new(&AccessSettings {
            allowed_origins: vec!["http://localhost:3000".into()],
            allowed_hosts: vec!["recovery".into(), "nova.lan".into()],
            ..AccessSettings::default()
        });
        assert_eq!(ambience.check(host, origin), expect, "{host:?} {origin:?}");
    }

    #[test]
    fn the_cookie_changes_something_for_its_own_page_alone() {
        let ambience = Ambience::new(&AccessSettings {
            allowed_origins: vec!["http://localhost:3000".into()],
            allowed_hosts: vec!["nova.lan".into()],
            ..AccessSettings::default()
        });
        let presented = |host, secure, origin, changes| Presented {
            client: Client::new(None, None, false, &[]),
            secret: None,
            token: None,
            session: None,
            host: Some(host),
            secure,
            origin,
            changes,
        };
        for (host, secure, origin) in [
            ("localhost:8888", false, "http://localhost:8888"),
            ("Nova.LAN", false, "http://nova.lan"),
            ("nova.lan:80", false, "http://nova.lan"),
            ("nova.lan", true, "https://nova.lan"),
            ("nova.lan:443", true, "https://nova.lan"),
            ("[::1]:8888", false, "http://[::1]:8888"),
        ] {
            assert_eq!(ambience.check_page(&presented(host, secure, Some(origin), true)), Ok(()), "{origin}");
        }
        for (host, secure, origin) in [
            ("localhost:8888", false, Some("http://localhost:3000")),
            ("localhost:8888", false, Some("http://localhost")),
            ("localhost:8888", false, Some("http://127.0.0.1:8888")),
            ("localhost:8888", false, Some("https://localhost:8888")),
            ("localhost:8888", true, Some("http://localhost:8888")),
            ("nova.lan:443", false, Some("http://nova.lan")),
            ("nova.lan", false, Some("http://nova.lan.evil.example")),
            ("nova.lan", false, Some("null")),
            ("nova.lan", false, Some("")),
            ("nova.lan", false, None),
        ] {
            let refused = Err(Refusal::AnotherPage);
            assert_eq!(ambience.check_page(&presented(host, secure, origin, true)), refused, "{origin:?}");
            // Reading is for the page alone as well, where a page is named.
            let read = ambience.check_page(&presented(host, secure, origin, false));
            assert_eq!(read, if origin.is_some() { refused } else { Ok(()) }, "{origin:?}");
        }
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
