//! `BACKUP_INCLUDE`: which directories belong to a backup besides the database.

use std::path::{Component, Path, PathBuf};

use recovery_backup::IncludedDirectory;

/// Reads `name=path,name=path`.
pub(super) fn parse(text: &str) -> Result<Vec<IncludedDirectory>, String> {
    let mut directories: Vec<IncludedDirectory> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, path)) = part.split_once('=') else {
            return Err(format!("`{part}` is no name and path, such as sources=/app/data/sources"));
        };
        let name = name.trim().parse().map_err(|error| format!("`{}` is no name: {error}", name.trim()))?;
        let path = absolute(path.trim())?;
        for other in &directories {
            if other.name == name {
                return Err(format!("the name `{name}` stands there twice"));
            }
            if overlap(&path, &other.path) {
                return Err(format!(
                    "`{}` and `{}` are inside one another",
                    other.path.display(),
                    path.display()
                ));
            }
        }
        directories.push(IncludedDirectory { name, path });
    }
    Ok(directories)
}

/// Refuses directories that hold backups or what the service keeps for itself, or that are held by those: a backup
/// would hold backups, and a restore replace them.
pub(super) fn check_apart(include: &[IncludedDirectory], others: &[(&str, &Path)]) -> Result<(), String> {
    for directory in include {
        for (name, path) in others {
            if overlap(&directory.path, path) {
                return Err(format!(
                    "`{}` and {name} (`{}`) are inside one another",
                    directory.path.display(),
                    path.display()
                ));
            }
        }
    }
    Ok(())
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain {
        Err(format!("`{text}` is no absolute path without `..`"))
    } else if path.parent().is_none() {
        Err("`/` cannot be included; name the directories that matter".to_owned())
    } else {
        Ok(path.components().collect())
    }
}

/// Whether one is in the other, as they are written or as they are where symbolic links lead.
fn overlap(one: &Path, other: &Path) -> bool {
    let within = |one: &Path, other: &Path| one.starts_with(other) || other.starts_with(one);
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    within(one, other) || within(&resolved(one), &resolved(other))
}
