//! Which backup a person means by FILE: a plain name, or a path to a file in the backup directory, as a shell
//! completes it.

use std::path::{Component, Path};

use recovery_core::{BackupName, ErrorCode, Problem};

use super::failure::Failure;

/// The backup that `file` names.
///
/// # Errors
/// It lies elsewhere, or its name is not that of a backup.
pub(super) fn backup_name(file: &Path, backup_dir: &Path) -> Result<BackupName, Failure> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse::<BackupName>().ok())
        .ok_or_else(|| not_a_name(file))?;
    let is_plain = file.components().eq([Component::Normal(name.as_str().as_ref())]) && !ends_in_slash(file);
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if is_plain || (!ends_in_slash(file) && is_same_directory(parent, backup_dir)) {
        Ok(name)
    } else {
        Err(elsewhere(file, backup_dir))
    }
}

/// Opens an archive that is to be taken in, and tells its size.
///
/// # Errors
/// It cannot be opened, or is no file.
pub(super) async fn open(path: &Path) -> Result<(tokio::fs::File, u64), Problem> {
    let refuse = |why: &str| {
        let detail = format!("{} {why}.", path.display());
        Problem::new(ErrorCode::InvalidRequest, detail).hint("Name the file of a backup.")
    };
    let file = tokio::fs::File::open(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse("does not exist"),
        _ => refuse("cannot be opened"),
    })?;
    let data = file.metadata().await.map_err(|_| refuse("cannot be read"))?;
    if data.is_file() { Ok((file, data.len())) } else { Err(refuse("is no file")) }
}

fn ends_in_slash(file: &Path) -> bool {
    file.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn is_same_directory(left: &Path, right: &Path) -> bool {
    left == right
        || matches!((left.canonicalize(), right.canonicalize()), (Ok(left), Ok(right)) if left == right)
}

fn not_a_name(file: &Path) -> Failure {
    let problem = Problem::new(
        ErrorCode::InvalidName,
        format!("`{}` is not the name of a backup.", file.display().to_string().escape_debug()),
    );
    Failure::from(problem)
        .hint("Such names look like nova-backup-2026-01-31_23-59-59.tar; `nova-recovery backups` lists them.")
}

fn elsewhere(file: &Path, backup_dir: &Path) -> Failure {
    let problem = Problem::new(
        ErrorCode::InvalidName,
        format!("`{}` does not lie in the backup directory, {}.", file.display(), backup_dir.display()),
    );
    Failure::from(problem).hint("Move it there, or set BACKUP_DIR to the directory in which it lies.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Status;

    const NAME: &str = "nova-backup-2026-01-31_23-59-59.tar";

    #[test]
    fn plain_names_and_paths_in_the_backup_directory_are_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let backups = directory.path().join("backups");
        std::fs::create_dir_all(backups.join("sub")).unwrap();
        std::os::unix::fs::symlink(&backups, directory.path().join("link")).unwrap();
        let accepts = |file: &Path| assert_eq!(backup_name(file, &backups).unwrap().as_str(), NAME);
        accepts(Path::new(NAME));
        accepts(&backups.join(NAME));
        accepts(&directory.path().join("link").join(NAME));
        accepts(&backups.join("sub/..").join(NAME));

        let refuses = |file: &Path| {
            assert_eq!(backup_name(file, &backups).unwrap_err().status, Status::Usage, "{file:?}");
        };
        refuses(Path::new(""));
        refuses(Path::new("/"));
        refuses(Path::new("dump.sql"));
        refuses(&Path::new("..").join(NAME));
        refuses(&Path::new("./").join(NAME));
        refuses(&backups.join("sub").join(NAME));
        refuses(&directory.path().join(NAME));
        refuses(&backups.join("missing").join(NAME));
        refuses(Path::new(&format!("{NAME}/")));
        refuses(Path::new("nova-backup-2026-01-31_23-59-59.tar\0"));
    }
}
