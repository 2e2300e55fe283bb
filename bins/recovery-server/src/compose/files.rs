//! Which Compose files define the project: the setting, else what the `.env` says.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use recovery_docker::NamedFiles;
use recovery_env::{EnvKey, Environment};

/// How long the `.env` may take to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The Compose files as they are named now.
pub(crate) struct ComposeFiles {
    /// Those of the setting.
    pub(crate) setting: Vec<PathBuf>,
    /// Where `COMPOSE_FILE` may stand too.
    pub(crate) environment: Environment,
}

#[async_trait]
impl NamedFiles for ComposeFiles {
    async fn named(&self) -> Vec<PathBuf> {
        if !self.setting.is_empty() {
            return self.setting.clone();
        }
        let Ok(key) = "COMPOSE_FILE".parse::<EnvKey>() else { return Vec::new() };
        // What is wrong with a file that cannot be read is Compose's to say, which reads it next.
        match tokio::time::timeout(PATIENCE, self.environment.document()).await {
            Ok(Ok((document, _))) => split(&document.get(&key).unwrap_or_default()),
            _ => Vec::new(),
        }
    }
}

fn split(list: &str) -> Vec<PathBuf> {
    list.split(':').map(str::trim).filter(|file| !file.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use recovery_testkit::MemoryEnvFile;

    use super::*;

    #[tokio::test]
    async fn the_setting_stands_above_the_env_file() {
        let check = async |setting: &[&str], env: &str, expect: &[&str]| {
            let files = ComposeFiles {
                setting: setting.iter().map(PathBuf::from).collect(),
                environment: Environment::new(Arc::new(MemoryEnvFile::new(env))),
            };
            let expect: Vec<PathBuf> = expect.iter().map(PathBuf::from).collect();
            assert_eq!(files.named().await, expect, "{setting:?} {env:?}");
        };
        check(&[], "", &[]).await;
        check(&[], "COMPOSE_FILE=a.yml:gpu/b.yml\n", &["a.yml", "gpu/b.yml"]).await;
        check(&[], "COMPOSE_FILE='a b.yml'\n", &["a b.yml"]).await;
        check(&[], "COMPOSE_FILE=\n", &[]).await;
        check(&["x.yml"], "COMPOSE_FILE=a.yml\n", &["x.yml"]).await;
        check(&[], "COMPOSE_FILE='a.yml\n", &[]).await;
    }
}
