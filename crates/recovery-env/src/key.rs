//! Names of variables.

use std::{fmt, str::FromStr};

/// The name of a variable: a letter or `_`, then letters, digits and `_`, all ASCII, at most 128 of them. Compose reads
/// more than that as a name; nothing that anybody uses is among it.
///
/// ```
/// use recovery_env::EnvKey;
/// assert!("LOG_LEVEL".parse::<EnvKey>().is_ok());
/// assert!("LOG LEVEL".parse::<EnvKey>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvKey(String);

/// A text that is not the name of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a variable; such names look like LOG_LEVEL")]
pub struct InvalidEnvKey;

impl EnvKey {
    /// The longest name, in bytes.
    pub const LONGEST: usize = 128;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvKey {
    type Err = InvalidEnvKey;

    fn from_str(text: &str) -> Result<Self, InvalidEnvKey> {
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let goes_on_well = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if begins_well && goes_on_well && text.len() <= Self::LONGEST {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidEnvKey)
        }
    }
}

impl fmt::Display for EnvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        let longest = "A".repeat(EnvKey::LONGEST);
        for good in ["A", "_", "LOG_LEVEL", "a1", &longest] {
            assert_eq!(good.parse::<EnvKey>().map(|key| key.to_string()), Ok(good.to_owned()));
        }
        let too_long = "A".repeat(EnvKey::LONGEST + 1);
        for bad in ["", "1A", "A B", "A=B", "A\n", "A.B", "Ä", "A-B", "export A", &too_long] {
            assert_eq!(bad.parse::<EnvKey>(), Err(InvalidEnvKey), "{bad:?}");
        }
    }
}
