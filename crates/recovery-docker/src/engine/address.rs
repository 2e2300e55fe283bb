use std::{path::PathBuf, str::FromStr};

/// Where the engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// On this Unix-domain socket.
    Unix(PathBuf),
    /// On this host and port, in clear text.
    Tcp(String),
}

/// A text that is not the address of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the address of a container engine: such addresses look like unix:///var/run/docker.sock or tcp://host:2375"
)]
pub struct InvalidAddress;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(InvalidAddress) };
        }
        let host =
            text.strip_prefix("tcp://").map(|rest| rest.trim_end_matches('/')).ok_or(InvalidAddress)?;
        let is_host = host.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', '@', '?', '#']) && port.parse::<u16>().is_ok()
        });
        if is_host { Ok(Self::Tcp(host.to_owned())) } else { Err(InvalidAddress) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_kinds_of_addresses() {
        assert_eq!("unix:///run/x.sock".parse(), Ok(Address::Unix("/run/x.sock".into())));
        assert_eq!("tcp://proxy:2375/".parse(), Ok(Address::Tcp("proxy:2375".to_owned())));
        for text in ["", "unix://x.sock", "tcp://proxy", "tcp://:1", "ssh://host:22", "tcp://a@b:1"] {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress), "{text}");
        }
    }
}
