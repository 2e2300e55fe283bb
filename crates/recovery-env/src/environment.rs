//! The environment as the service shows and changes it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use recovery_core::port::{Compose, ComposeError, EnvContent, EnvFile, EnvFileError, EnvVersion};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    EnvDocument, EnvError, EnvKey, Visibility,
    candidate::Candidate,
    mask,
    policy::{is_mask, sounds_secret, visibility},
};

/// The largest value that can be set, in bytes.
const LARGEST_VALUE: usize = 32 * 1024;
/// How often a change is begun anew when somebody else changes the file in between.
const ATTEMPTS: usize = 5;

/// The `.env` of the platform: which variables may be seen and changed, and how a change is made.
#[derive(Clone)]
pub struct Environment {
    file: Arc<dyn EnvFile>,
    check: Option<Check>,
}

/// Who has the last word on a change.
#[derive(Clone)]
struct Check {
    compose: Arc<dyn Compose>,
    candidates: PathBuf,
}

/// Variables with their values as they may be seen, and the version of the file that they stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The values, those of secrets masked.
    pub values: BTreeMap<EnvKey, String>,
    /// The file's version.
    pub version: EnvVersion,
}

/// Which content of the file a change is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever stands there.
    Any,
    /// One of these.
    OneOf(Vec<EnvVersion>),
}

impl Environment {
    /// The environment in this file.
    #[must_use]
    pub fn new(file: Arc<dyn EnvFile>) -> Self {
        Self { file, check: None }
    }

    /// Lets Compose look at each change before it is written, as a file in the directory of candidates: one that nobody
    /// else can write to.
    #[must_use]
    pub fn checked_by(mut self, compose: Arc<dyn Compose>, candidates: impl Into<PathBuf>) -> Self {
        self.check = Some(Check { compose, candidates: candidates.into() });
        self
    }

    /// The variables that may be seen and that stand in the file.
    ///
    /// # Errors
    /// The file cannot be read, or is one that Compose would refuse.
    pub async fn show(&self) -> Result<Shown, EnvError> {
        let (document, version) = self.document().await?;
        let keys: Vec<EnvKey> = document.keys().cloned().collect();
        Ok(Shown { values: shown(&document, &keys), version })
    }

    /// Gives variables that may be changed new values, all of them or none. A mask in place of a secret leaves the
    /// secret as it is. Returns those variables as they may be seen.
    ///
    /// # Errors
    /// A variable may not be changed, a value cannot stand in a `.env`, the file is not the expected one, Compose would
    /// not accept it, or it cannot be read or written. Nothing was written then.
    pub async fn update(
        &self,
        updates: Vec<(String, SecretString)>,
        expected: &Expected,
    ) -> Result<Shown, EnvError> {
        let updates = allowed(updates)?;
        check_values(&updates)?;
        let (document, version) = self.write(expected, |document| apply(document, &updates)).await?;
        let keys: Vec<EnvKey> = updates.into_iter().map(|(key, ..)| key).collect();
        Ok(Shown { values: shown(&document, &keys), version })
    }

    /// The whole document, with its secrets: for the service's own use, never for showing.
    ///
    /// # Errors
    /// The file cannot be read, or is one that Compose would refuse.
    pub async fn document(&self) -> Result<(EnvDocument, EnvVersion), EnvError> {
        let EnvContent { bytes, version } = self.file.read().await?;
        Ok((EnvDocument::parse(bytes).map_err(EnvError::Unreadable)?, version))
    }

    /// Changes one variable, which it finds as it stands, for the service's own use: any variable, without a mask.
    ///
    /// # Errors
    /// As [`Environment::update`].
    pub async fn change(
        &self,
        key: &EnvKey,
        change: impl Fn(Option<String>) -> String + Send + Sync,
    ) -> Result<(), EnvError> {
        let set = |document: &mut EnvDocument| {
            let value = change(document.get(key));
            document.set(key, &value).map_err(|source| EnvError::CannotSet { key: key.clone(), source })
        };
        self.write(&Expected::Any, set).await.map(drop)
    }

    async fn write(
        &self,
        expected: &Expected,
        change: impl Fn(&mut EnvDocument) -> Result<(), EnvError> + Send + Sync,
    ) -> Result<(EnvDocument, EnvVersion), EnvError> {
        let mut attempt = 1;
        loop {
            let (before, version) = self.document().await?;
            if matches!(expected, Expected::OneOf(versions) if !versions.contains(&version)) {
                return Err(EnvError::NotExpected);
            }
            let mut after = before.clone();
            change(&mut after)?;
            if after.bytes() == before.bytes() {
                return Ok((after, version));
            }
            self.ask_compose(&before, &after).await?;
            match self.file.replace(after.bytes(), &version).await {
                Ok(version) => return Ok((after, version)),
                Err(EnvFileError::Changed) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets Compose read the project with the new content. Where there is no Compose, or no project for it, our own
    /// reading must do.
    async fn ask_compose(&self, before: &EnvDocument, after: &EnvDocument) -> Result<(), EnvError> {
        let Err(error) = self.check(after).await? else { return Ok(()) };
        match &error {
            ComposeError::NotInstalled
            | ComposeError::TooOld { .. }
            | ComposeError::NoFile { .. }
            | ComposeError::Elsewhere { .. } => {
                tracing::warn!("a change of the .env is not checked by Docker Compose: {error}");
                Ok(())
            }
            refused if refuses(refused) => {
                // Whoever has to find the reason should know whether it is the change.
                match self.check(before).await? {
                    Err(refused) if refuses(&refused) => Err(EnvError::RefusedBefore(refused)),
                    _ => Err(EnvError::Refused(error)),
                }
            }
            _ => Err(EnvError::NotChecked(error)),
        }
    }

    async fn check(&self, document: &EnvDocument) -> Result<Result<(), ComposeError>, EnvError> {
        let Some(Check { compose, candidates }) = &self.check else { return Ok(Ok(())) };
        let candidate = Candidate::write(candidates, document.bytes().to_vec()).await;
        let candidate = candidate.map_err(EnvError::Candidate)?;
        Ok(compose.check_env(candidate.path()).await)
    }
}

/// Whether Compose has looked at the project and does not accept it.
fn refuses(error: &ComposeError) -> bool {
    matches!(
        error,
        ComposeError::Invalid { .. }
            | ComposeError::VariableMissing { .. }
            | ComposeError::EnvInvalid { .. }
            | ComposeError::Failed { .. }
    )
}

/// A variable, how it is shown, and its new value.
type Update = (EnvKey, Visibility, SecretString);

fn allowed(updates: Vec<(String, SecretString)>) -> Result<Vec<Update>, EnvError> {
    let (mut found, mut others, mut secrets, mut nameless) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (name, value) in updates {
        match name.parse::<EnvKey>() {
            Ok(key) => match visibility(&key) {
                Some(visibility) => found.push((key, visibility, value)),
                None if sounds_secret(&key) => secrets.push(key),
                None => others.push(key),
            },
            Err(_) => nameless += 1,
        }
    }
    if others.is_empty() && secrets.is_empty() && nameless == 0 {
        Ok(found)
    } else {
        Err(EnvError::NotAllowed { others, secrets, nameless })
    }
}

fn check_values(updates: &[Update]) -> Result<(), EnvError> {
    let values: Vec<_> = updates
        .iter()
        .filter_map(|(key, _, value)| {
            let value = value.expose_secret();
            let message = if value.contains(['\n', '\r', '\0']) {
                "must hold neither a line break nor NUL"
            } else if value.len() > LARGEST_VALUE {
                "must not be longer than 32768 bytes"
            } else {
                return None;
            };
            Some((key.clone(), message))
        })
        .collect();
    if values.is_empty() { Ok(()) } else { Err(EnvError::BadValue { values }) }
}

fn apply(document: &mut EnvDocument, updates: &[Update]) -> Result<(), EnvError> {
    for (key, visibility, value) in updates {
        let value = value.expose_secret();
        if *visibility == Visibility::Masked && is_mask(value) {
            continue;
        }
        document.set(key, value).map_err(|source| EnvError::CannotSet { key: key.clone(), source })?;
    }
    Ok(())
}

/// Those of the variables that may be seen and that the document assigns, as they may be seen.
fn shown(document: &EnvDocument, keys: &[EnvKey]) -> BTreeMap<EnvKey, String> {
    keys.iter()
        .filter_map(|key| {
            let visibility = visibility(key)?;
            let value = document.get(key)?;
            let value = if visibility == Visibility::Masked { mask(&value) } else { value };
            Some((key.clone(), value))
        })
        .collect()
}
