//! How the platform that is looked after is reached: its engine, its Compose project and its `.env`.

use std::{fmt, path::PathBuf, str::FromStr};

use recovery_core::ProjectName;

use super::{load::Values, table};

/// The platform that is looked after.
#[derive(Clone, Debug)]
pub struct PlatformSettings {
    /// The `.env` that is shown and edited.
    pub env_file: PathBuf,
    /// The directory of the Compose project.
    pub project_directory: PathBuf,
    /// The name of the Compose project.
    pub project: ProjectName,
    /// The Compose files, as they were written; empty where the `.env` or Compose's own default says it.
    pub compose_files: Vec<PathBuf>,
    /// The container engine, for Compose and for what runs inside containers.
    pub engine: EngineAddress,
    /// The container engine, for everything else: maybe a socket proxy.
    pub engine_api: EngineAddress,
}

impl PlatformSettings {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let env_file = values.required(&table::NOVA_ENV_FILE);
        let project_directory = values.required(&table::COMPOSE_PROJECT_DIR);
        let project = values.required(&table::COMPOSE_PROJECT_NAME);
        let compose_files = values.optional(&table::COMPOSE_FILE).unwrap_or_default();
        let engine = values.required(&table::DOCKER_HOST);
        let engine_api =
            values.computed(&table::DOCKER_SDK_HOST, || engine.clone(), EngineAddress::to_string);
        Some(Self {
            env_file: env_file?,
            project_directory: project_directory?,
            project: project?,
            compose_files,
            engine: engine?,
            engine_api: engine_api?,
        })
    }
}

/// Where a container engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    /// On this Unix-domain socket.
    Unix(PathBuf),
    /// On this host and port, in clear text, as a socket proxy on the same network does.
    Tcp(String),
}

impl FromStr for EngineAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || format!("`{text}` is neither unix:// with an absolute path nor tcp:// with host and port");
        if let Some(path) = text.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(wrong()) };
        }
        let address = text.strip_prefix("tcp://").map(|rest| rest.trim_end_matches('/')).ok_or_else(wrong)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let plain = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
        match port.parse::<u16>() {
            Ok(1..) if plain => Ok(Self::Tcp(address.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for EngineAddress {
    /// As the Docker command line takes it in `DOCKER_HOST`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_alike() {
        for text in ["unix:///var/run/docker.sock", "tcp://socket-proxy:2375", "tcp://[::1]:2375"] {
            assert_eq!(text.parse::<EngineAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "docker.sock",
            "unix://docker.sock",
            "tcp://host",
            "tcp://host:0",
            "tcp://:2375",
            "ssh://host",
            "tcp://a:b@host:2375",
        ] {
            assert!(text.parse::<EngineAddress>().is_err(), "{text}");
        }
    }
}
