//! Which files define the project: those that are named, or Compose's usual ones.

use std::path::{Path, PathBuf};

use recovery_core::port::ComposeError;

/// The usual names, in the order in which Compose looks for them.
const USUAL: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// What stands beside one of them and is read after it.
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// The Compose files of a project, absolute. Compose itself would look for the usual names in the parent directories
/// too, and take another project for this one.
pub(super) fn find(directory: &Path, named: &[PathBuf]) -> Result<Vec<PathBuf>, ComposeError> {
    if named.is_empty() {
        let first_of =
            |names: [&str; 4]| names.map(|name| directory.join(name)).into_iter().find(|path| path.is_file());
        let file = first_of(USUAL).ok_or(ComposeError::NoFile { file: None })?;
        return Ok([Some(file), first_of(OVERRIDES)].into_iter().flatten().collect());
    }
    let files: Vec<PathBuf> = named.iter().map(|file| directory.join(file)).collect();
    match files.iter().find(|path| !path.is_file()) {
        Some(missing) => {
            let file = missing.file_name().map(|name| name.to_string_lossy().into_owned());
            Err(ComposeError::NoFile { file })
        }
        None => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(there: &[&str], named: &[&str], expect: Result<&[&str], Option<&str>>) {
        let directory = tempfile::tempdir().unwrap();
        for name in there {
            std::fs::write(directory.path().join(name), "services: {}").unwrap();
        }
        let named: Vec<PathBuf> = named.iter().map(PathBuf::from).collect();
        let found = match find(directory.path(), &named) {
            Ok(files) => Ok(files),
            Err(ComposeError::NoFile { file }) => Err(file),
            Err(other) => panic!("{other:?}"),
        };
        let expect = match expect {
            Ok(names) => Ok(names.iter().map(|name| directory.path().join(name)).collect()),
            Err(file) => Err(file.map(str::to_owned)),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn the_usual_names_are_found_in_compose_s_order_with_their_override() {
        check(&["docker-compose.yml"], &[], Ok(&["docker-compose.yml"]));
        check(&["docker-compose.yml", "compose.yml"], &[], Ok(&["compose.yml"]));
        check(
            &["docker-compose.yml", "docker-compose.override.yml"],
            &[],
            Ok(&["docker-compose.yml", "docker-compose.override.yml"]),
        );
        check(&["docker-compose.override.yml"], &[], Err(None));
        check(&[], &[], Err(None));
    }

    #[test]
    fn named_files_must_all_be_there() {
        check(&["a.yml", "b.yml", "compose.yml"], &["b.yml", "a.yml"], Ok(&["b.yml", "a.yml"]));
        check(&["a.yml"], &["a.yml", "sub/gpu.yml"], Err(Some("gpu.yml")));
    }
}
