use docker_api::{ApiVersion, Docker, models::SystemVersion};
use recovery_core::{
    container::{Container, ContainerId, EngineVersion},
    port::EngineError,
};

use super::{PATIENCE, address::Address, error, facts, raw::Raw, within};

/// The version of the API that this program was written for. Engines from 20.10 (1.41) on have what is used of it.
const WRITTEN_FOR: ApiVersion = ApiVersion::new(1, Some(44), None);

/// An agreement with an engine on the version that is spoken.
pub(super) struct Session {
    docker: Docker,
    raw: Raw,
    version: EngineVersion,
}

impl Session {
    /// Asks the engine for its versions and settles on one.
    pub(super) async fn agree(address: &Address) -> Result<Self, EngineError> {
        let doing = "asking for its version";
        let unversioned = connect(address, None).map_err(|error| error::of_engine(doing, error))?;
        let asked = async { unversioned.version().await.map_err(|error| error::of_engine(doing, error)) };
        let told = within(PATIENCE, doing, asked).await?;
        let api = agreed(&told);
        let docker = connect(address, api).map_err(|error| error::of_engine(doing, error))?;
        let raw = Raw::new(address, api).map_err(|error| error::of_engine(doing, error))?;
        let version = EngineVersion {
            version: told.version.unwrap_or_else(|| "unknown".to_owned()),
            api: api.map_or_else(|| "unknown".to_owned(), |api| api.to_string()),
        };
        Ok(Self { docker, raw, version })
    }

    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    pub(super) fn raw(&self) -> &Raw {
        &self.raw
    }

    pub(super) fn version(&self) -> &EngineVersion {
        &self.version
    }

    /// One container as it is now. One whose labels are not those of Compose is none of ours.
    pub(super) async fn inspect(&self, id: &ContainerId) -> Result<Container, EngineError> {
        let doing = "looking at a container";
        let target = self.docker.containers().get(id.as_str());
        let asked = async { target.inspect().await.map_err(|error| error::of_container(doing, id, error)) };
        let told = within(PATIENCE, doing, asked).await?;
        facts::of_inspection(told).ok_or_else(|| EngineError::NoSuchContainer { container: id.clone() })
    }
}

fn connect(address: &Address, version: Option<ApiVersion>) -> Result<Docker, docker_api::Error> {
    match (address, version) {
        (Address::Unix(path), None) => Ok(Docker::unix(path)),
        (Address::Unix(path), Some(version)) => Ok(Docker::unix_versioned(path, version)),
        (Address::Tcp(host), None) => Docker::tcp(host),
        (Address::Tcp(host), Some(version)) => Docker::tcp_versioned(host, version),
    }
}

/// The version that this program was written for, or the nearest one that the engine speaks. `None`, for requests
/// without a version, where the engine does not say.
fn agreed(told: &SystemVersion) -> Option<ApiVersion> {
    let read = |version: &Option<String>| version.as_ref()?.parse::<ApiVersion>().ok();
    let newest = read(&told.api_version)?;
    let oldest = read(&told.min_api_version).unwrap_or(WRITTEN_FOR).min(newest);
    Some(WRITTEN_FOR.clamp(oldest, newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_one_that_the_engine_speaks() {
        let check = |oldest: Option<&str>, newest: Option<&str>, expect: Option<&str>| {
            let told: SystemVersion =
                serde_json::from_value(serde_json::json!({"MinAPIVersion": oldest, "ApiVersion": newest}))
                    .unwrap();
            let agreed = agreed(&told).map(|version| version.to_string());
            assert_eq!(agreed.as_deref(), expect, "{oldest:?} to {newest:?}");
        };
        // 20.10, 24.0, 28.3, 29.0, and one that does not exist yet.
        check(Some("1.12"), Some("1.41"), Some("1.41"));
        check(Some("1.12"), Some("1.43"), Some("1.43"));
        check(Some("1.24"), Some("1.51"), Some("1.44"));
        check(Some("1.44"), Some("1.52"), Some("1.44"));
        check(Some("1.50"), Some("1.70"), Some("1.50"));
        check(None, Some("1.41"), Some("1.41"));
        check(None, Some("1.51"), Some("1.44"));
        check(Some("nonsense"), Some("1.43"), Some("1.43"));
        check(Some("1.24"), None, None);
        check(None, Some(""), None);
    }
}
