//! Where the contents of a directory go, and how they take the place of what is there.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::{Deserialize, Serialize};

use super::{IncludeName, IncludedDirectory, is_reserved, mounts::Mounts, rights::is_ours};
use crate::BackupError;

/// How contents take the place of what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Manner {
    /// A directory beside it takes its name.
    Whole,
    /// It stays, and what is in it changes: a mount point cannot be renamed, and neither can a directory in one that we
    /// may not write.
    Contents,
}

/// A directory on this server whose contents can be replaced.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// What it is called in archives.
    pub name: IncludeName,
    /// Where it is, free of symbolic links. It may not exist.
    pub target: PathBuf,
    /// How its contents are replaced.
    pub manner: Manner,
}

/// The longest name of a directory that leaves room for what is appended to those beside it.
const LONGEST_NAME: usize = 200;

impl Place {
    /// Looks at the directory, and refuses one whose contents could not be replaced. `backups` must be apart from it.
    pub(crate) fn find(directory: &IncludedDirectory, backups: &Path) -> Result<Self, BackupError> {
        let name = &directory.name;
        let refuse = |why: &str, hint: &'static str| BackupError::IncludeUnusable {
            name: name.clone(),
            why: why.to_owned(),
            hint,
        };
        let failed = || BackupError::include("look at", name);
        let target = resolve(&directory.path).map_err(failed())?.ok_or_else(|| {
            refuse(
                "it does not exist, and neither does the directory that it would be in",
                "Create the directory, or take it out of BACKUP_INCLUDE.",
            )
        })?;
        let backups = backups.canonicalize().map_err(failed())?;
        if target.starts_with(&backups) || backups.starts_with(&target) || target.parent().is_none() {
            return Err(refuse(
                "it is inside the backup directory, or the other way round",
                "Let BACKUP_INCLUDE name directories apart from BACKUP_DIR.",
            ));
        }
        if target.to_str().is_none() {
            return Err(refuse("its path is not UTF-8", "Rename the directories that it is in."));
        }
        let mounts = Mounts::read().map_err(failed())?;
        if !mounts.below(&target).is_empty() {
            return Err(refuse(
                "something is mounted inside it, which a restore would carry away",
                "Unmount what is inside, or include that by a name of its own.",
            ));
        }
        let manner = manner(&target, &mounts).map_err(failed())?;
        if manner == Manner::Contents && !contents_may_be_moved(&target).map_err(failed())? {
            return Err(refuse(
                "the recovery service may not replace what is in it",
                "Let the user that the recovery service runs as write the directory and those in it.",
            ));
        }
        Ok(Self { name: name.clone(), target, manner })
    }
}

impl Place {
    /// Whether one of the two is in the other, or they are the same.
    pub(crate) fn is_around_or_in(&self, other: &Self) -> bool {
        self.target.starts_with(&other.target) || other.target.starts_with(&self.target)
    }
}

/// The path without symbolic links; `None` where not even the directory that it is in exists.
pub(super) fn resolve(path: &Path) -> io::Result<Option<PathBuf>> {
    match path.canonicalize() {
        Ok(resolved) if resolved.is_dir() => Ok(Some(resolved)),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        // A link that leads nowhere is nothing to put a directory in the place of.
        Err(error) if error.kind() != io::ErrorKind::NotFound || fs::symlink_metadata(path).is_ok() => {
            Err(error)
        }
        Err(_) => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
            Ok(parent.canonicalize().ok().map(|parent| parent.join(name)))
        }
    }
}

fn manner(target: &Path, mounts: &Mounts) -> io::Result<Manner> {
    let parent = target.parent().unwrap_or(Path::new("/"));
    let name = target.file_name().unwrap_or_default();
    let around = fs::metadata(parent)?;
    let inside = match fs::metadata(target) {
        Ok(data) => Some(data),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let me = rustix::process::geteuid();
    let can_be_renamed = inside.as_ref().is_none_or(|inside| {
        let sticky = around.mode() & 0o1000 != 0;
        let ours = [inside.uid(), around.uid()].contains(&me.as_raw());
        inside.dev() == around.dev() && !mounts.is_point(target) && (!sticky || ours || me.is_root())
    });
    let whole = can_be_renamed && may_change(parent)? && name.len() <= LONGEST_NAME;
    Ok(if whole { Manner::Whole } else { Manner::Contents })
}

/// Whether names in this directory can be changed.
fn may_change(directory: &Path) -> io::Result<bool> {
    match accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(error) => match io::Error::from(error) {
            error
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Ok(false)
            }
            error => Err(error),
        },
    }
}

/// Whether everything in a directory can be moved to another one: a directory only by those who may write it, or who
/// own it and can allow it.
fn contents_may_be_moved(target: &Path) -> io::Result<bool> {
    if !target.exists() || !may_change(target)? {
        return Ok(false);
    }
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let ours = !is_reserved(entry.file_name().as_encoded_bytes(), true);
        if ours && entry.file_type()?.is_dir() && !is_ours(&entry.metadata()?) && !may_change(&entry.path())?
        {
            return Ok(false);
        }
    }
    Ok(true)
}
