//! A safety backup before a factory reset: it holds everything that the reset will take away.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use recovery_core::{
    BackupInfo, BackupKind, BackupName, Problem, Progress,
    keys::{KeySelection, RedisKey},
    port::{BackupMaker, Besides, KeySpace, OperationContext, ScanPosition},
};
use sha2::{Digest, Sha256};

use super::{BackupService, ExclusiveLock, in_place::Within};
use crate::{
    BackupError, IncludeName, IncludedDirectory, IncludedKeys, Member,
    files::{Lies, lies},
    keys::{LAST_DATABASE, REDIS, path_of, write_restore},
    space,
    work::{WorkDirectory, blocking, check_cancelled, unless_cancelled},
};

/// The backups under a lock that somebody has taken.
pub struct LockedBackups<'a> {
    service: &'a BackupService,
    lock: &'a ExclusiveLock,
}

/// What a backup holds besides what every backup does.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    /// Directories that are not included ones.
    pub directories: Vec<IncludedDirectory>,
    /// Those of which nothing may be missing, included ones among them.
    whole: Vec<IncludeName>,
    keys: BTreeMap<u8, Vec<KeySelection>>,
}

impl Holds {
    /// Whether nothing of this directory may be missing.
    pub(super) fn must_be_whole(&self, name: &IncludeName) -> bool {
        self.whole.contains(name)
    }
}

impl BackupService {
    /// The backups under the lock that the caller has taken, as a factory reset needs them.
    #[must_use]
    pub fn under<'a>(&'a self, lock: &'a ExclusiveLock) -> LockedBackups<'a> {
        LockedBackups { service: self, lock }
    }

    /// What a backup must hold, by the names that things have in archives. Refuses what could not be held, or not be
    /// brought back.
    async fn holds(&self, besides: &Besides) -> Result<Holds, BackupError> {
        let (include, known) = (self.settings.include.clone(), self.further_directories());
        let (wanted, backups) = (besides.directories.clone(), self.settings.directory.clone());
        let mut holds = blocking(move || directories(&wanted, &include, &known, &backups)).await?;
        for selection in &besides.keys {
            self.check_database(selection.database)?;
            holds.keys.entry(selection.database).or_default().push(selection.clone());
        }
        if !holds.keys.is_empty() {
            // Better now than after the dump.
            self.keys()?.databases().await?;
        }
        Ok(holds)
    }

    /// Redis.
    pub(super) fn keys(&self) -> Result<&Arc<dyn KeySpace>, BackupError> {
        self.keys.as_ref().ok_or(BackupError::NoKeys)
    }

    /// Refuses a numbered database whose keys are nobody's business here.
    pub(super) fn check_database(&self, database: u8) -> Result<(), BackupError> {
        let why = if self.settings.own_key_database == Some(database) {
            "it is the recovery service's own"
        } else if database > LAST_DATABASE {
            "there is none of this number"
        } else {
            return Ok(());
        };
        Err(BackupError::KeysRefused { database, why })
    }

    /// Writes what the keys hold below the work directory, and says how much that is. One that goes away meanwhile is
    /// left out.
    pub(super) async fn save_keys(
        &self,
        holds: &Holds,
        work: &WorkDirectory,
        context: &dyn OperationContext,
    ) -> Result<Vec<IncludedKeys>, BackupError> {
        let mut saved = Vec::new();
        if holds.keys.is_empty() {
            return Ok(saved);
        }
        let port = self.keys()?;
        context.report(Progress::bytes("saving keys", 0, None));
        let directory = work.path().join(REDIS);
        blocking(move || fs::create_dir(&directory).map_err(BackupError::storage("save keys", &directory)))
            .await?;
        for (database, selections) in &holds.keys {
            let path = work.path().join(path_of(*database));
            let mut out = KeyFile::create(path.clone()).await?;
            // Redis may name a key twice, and two selections may both mean it.
            let mut seen = HashSet::new();
            for selection in selections {
                let mut position = Some(ScanPosition::default());
                while let Some(at) = position {
                    check_cancelled(context)?;
                    let scanned = async { Ok(port.scan(selection, at).await?) };
                    let (mut keys, next) = unless_cancelled(context, scanned).await?;
                    keys.retain(|key| seen.insert(short(key)));
                    out.save(port.as_ref(), *database, &keys, context).await?;
                    position = next;
                }
            }
            let (keys, size) = (out.keys, out.size);
            out.finish().await?;
            let commands = Member { path: path_of(*database), size, sha256: String::new() };
            if keys > 0 {
                saved.push(IncludedKeys { database: *database, keys, commands });
            }
        }
        Ok(saved)
    }
}

#[async_trait]
impl BackupMaker for LockedBackups<'_> {
    async fn safety_backup(
        &self,
        besides: &Besides,
        context: &dyn OperationContext,
    ) -> Result<BackupInfo, Problem> {
        let holds = self.service.holds(besides).await?;
        Ok(self.service.create_with(self.lock, BackupKind::Safety, &holds, &Within(context)).await?)
    }

    async fn backups(&self) -> Result<Vec<BackupInfo>, Problem> {
        Ok(self.service.list().await?)
    }

    async fn remove(&self, name: &BackupName, even_pinned: bool) -> Result<(), Problem> {
        self.service.remove(name, even_pinned).await?;
        self.service.forget(std::slice::from_ref(name)).await;
        Ok(())
    }

    async fn still_held(&self) -> Result<(), Problem> {
        Ok(self.lock.still_held().await?)
    }
}

/// By which a key is known again without keeping it.
fn short(RedisKey(key): &RedisKey) -> [u8; 16] {
    let digest = Sha256::digest(key);
    digest.first_chunk().copied().unwrap_or_default()
}

/// By what names these directories go in archives: each is an included one, in an included one, or one that a reset is
/// known to empty.
fn directories(
    wanted: &[PathBuf],
    include: &[IncludedDirectory],
    known: &[IncludedDirectory],
    backups: &Path,
) -> Result<Holds, BackupError> {
    let mut holds = Holds::default();
    for path in wanted {
        let refuse = |why| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            BackupError::DirectoryUnknown { name, why }
        };
        if lies(path, backups).map_err(BackupError::storage("look at", backups))? != Lies::Apart {
            return Err(refuse("the backups are in it, or it is among them"));
        }
        let mut found = None;
        for directory in include {
            let lies =
                lies(path, &directory.path).map_err(BackupError::include("look at", &directory.name))?;
            match lies {
                Lies::Apart => {}
                Lies::Here | Lies::Inside { behind_a_mount: false } => found = Some((directory, true)),
                Lies::Inside { behind_a_mount: true } => {
                    return Err(refuse(
                        "something is mounted between it and the directory of BACKUP_INCLUDE around it",
                    ));
                }
                Lies::Around => {
                    return Err(refuse("BACKUP_INCLUDE names a directory in it, which would be held twice"));
                }
            }
        }
        for directory in known {
            if found.is_some() {
                break;
            }
            let lies =
                lies(path, &directory.path).map_err(BackupError::include("look at", &directory.name))?;
            found = (lies == Lies::Here).then_some((directory, false));
        }
        let Some((directory, is_included)) = found else {
            return Err(refuse("it is none that a reset is known to empty"));
        };
        if !holds.must_be_whole(&directory.name) {
            holds.whole.push(directory.name.clone());
            if !is_included {
                holds.directories.push(directory.clone());
            }
        }
    }
    Ok(holds)
}

/// A file with commands that restore keys, while it is written.
pub(super) struct KeyFile {
    path: PathBuf,
    file: File,
    /// How many keys it has.
    pub keys: u64,
    /// How many bytes it has.
    pub size: u64,
}

impl KeyFile {
    /// Begins an empty one.
    pub(super) async fn create(path: PathBuf) -> Result<Self, BackupError> {
        blocking(move || {
            let file = File::create_new(&path).map_err(BackupError::storage("save keys", &path))?;
            Ok(Self { path, file, keys: 0, size: 0 })
        })
        .await
    }

    /// Adds what these keys hold, as many at a time as the port gives at once.
    pub(super) async fn save(
        &mut self,
        port: &dyn KeySpace,
        database: u8,
        mut keys: &[RedisKey],
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        while !keys.is_empty() {
            check_cancelled(context)?;
            let dump = unless_cancelled(context, async { Ok(port.dump(database, keys).await?) }).await?;
            let mut bytes = Vec::new();
            for key in &dump.keys {
                write_restore(&mut bytes, key).map_err(BackupError::storage("save keys", &self.path))?;
            }
            self.append(bytes).await?;
            self.keys += dump.keys.len() as u64;
            context.report(Progress::bytes("saving keys", self.size, None));
            keys = keys.get(dump.answered.max(1)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Adds commands as they stand, if the disk has room for them.
    pub(super) async fn append(&mut self, bytes: Vec<u8>) -> Result<(), BackupError> {
        let failed = BackupError::storage("save keys", &self.path);
        let same = self.file.try_clone().map_err(failed)?;
        let (path, length) = (self.path.clone(), bytes.len() as u64);
        blocking(move || {
            let mut file = same;
            space::check(path.parent().unwrap_or(Path::new("/")))?;
            file.write_all(&bytes).map_err(BackupError::storage("save keys", &path))
        })
        .await?;
        self.size += length;
        Ok(())
    }

    /// Ends it; it is on disk when this returns.
    pub(super) async fn finish(self) -> Result<(), BackupError> {
        blocking(move || self.file.sync_all().map_err(BackupError::storage("save keys", &self.path))).await
    }
}
