//! Which directories belong to a backup besides the database.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of an included directory: 1 to 32 of `a` to `z`, `0` to `9`, `-` and `_`. It is the name of the directory
/// `files/<name>` in the archive, so it holds nothing that a path could be made of.
///
/// ```
/// use recovery_backup::IncludeName;
/// assert!("sources".parse::<IncludeName>().is_ok());
/// assert!("../etc".parse::<IncludeName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncludeName(String);

/// A text that names no included directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 32 of a-z, 0-9, - and _")]
pub struct InvalidIncludeName;

impl IncludeName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 32;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IncludeName {
    type Err = InvalidIncludeName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIncludeName)
        }
    }
}

impl TryFrom<String> for IncludeName {
    type Error = InvalidIncludeName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IncludeName> for String {
    fn from(name: IncludeName) -> Self {
        name.0
    }
}

impl fmt::Display for IncludeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A directory whose contents belong to every backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncludedDirectory {
    /// What it is called in archives. A restore puts the contents where this name points then.
    pub name: IncludeName,
    /// Where it lies, absolute. It may be a symbolic link to a directory.
    pub path: PathBuf,
}

impl IncludedDirectory {
    /// Directories by their paths, each with a name made of the last part of its path, which neither another of them nor
    /// one of `taken` has. One whose path is in `taken` is left out: it has a name. The same paths have the same names
    /// every time.
    #[must_use]
    pub fn named_by_path(paths: &[PathBuf], taken: &[Self]) -> Vec<Self> {
        let mut named: Vec<Self> = Vec::new();
        for path in paths {
            if taken.iter().chain(&named).any(|other| other.path == *path) {
                continue;
            }
            let is_free = |name: &IncludeName| taken.iter().chain(&named).all(|other| other.name != *name);
            let base = plain(&path.file_name().unwrap_or_default().to_string_lossy());
            let name = (1..=u32::MAX)
                .filter_map(|attempt| {
                    let ending = if attempt > 1 { format!("-{attempt}") } else { String::new() };
                    let length = base.len().min(IncludeName::MAX_BYTES - ending.len());
                    format!("{}{ending}", base.get(..length)?).parse().ok()
                })
                .find(is_free);
            named.extend(name.map(|name| Self { name, path: path.clone() }));
        }
        named
    }
}

/// A text without what a name may not hold.
fn plain(text: &str) -> String {
    let allowed =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_');
    let plain = text.chars().map(|char| char.to_ascii_lowercase());
    let plain: String = plain.map(|char| if allowed(char) { char } else { '-' }).collect();
    if plain.is_empty() { "files".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_named_by_the_last_part_of_their_path() {
        let path = |path: &str| PathBuf::from(path);
        let taken = ["sources", "memory"]
            .map(|name| IncludedDirectory { name: name.parse().unwrap(), path: path("/srv").join(name) });
        let long = "x".repeat(40);
        let paths = ["/a/shots", "/b/shots", "/a/sources", "/srv/memory", "/a/Mein Ördner", "/", "/a/shots"]
            .map(path);
        let paths: Vec<PathBuf> =
            paths.into_iter().chain([path("/a").join(&long), path("/b").join(&long)]).collect();
        let named = IncludedDirectory::named_by_path(&paths, &taken);
        let names: Vec<&str> = named.iter().map(|directory| directory.name.as_str()).collect();
        let (first, second) = ("x".repeat(32), format!("{}-2", "x".repeat(30)));
        assert_eq!(names, ["shots", "shots-2", "sources-2", "mein--rdner", "files", &first, &second]);
    }

    #[test]
    fn names_hold_nothing_that_a_path_could_be_made_of() {
        for text in ["a", "sources", "my-files_2", &"x".repeat(32)] {
            assert_eq!(text.parse::<IncludeName>().unwrap().as_str(), text);
        }
        for text in ["", "A", "a.b", "a/b", "..", "a b", "ü", "a\0", &"x".repeat(33)] {
            assert_eq!(text.parse::<IncludeName>(), Err(InvalidIncludeName), "{text}");
        }
    }
}
