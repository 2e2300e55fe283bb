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

#[cfg(test)]
mod tests {
    use super::*;

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
