//! What the parts of the platform are called: its Compose project, the services of it, and their profiles.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $(#[$error_doc:meta])* $error:ident, $words:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        $(#[$error_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error($words)]
        pub struct $error;

        impl $name {
            /// The name as it stands in the Compose file.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(u8) -> bool = $check;
                let begins_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
                let is_name = begins_well && text.len() <= LONGEST && text.bytes().all(check);
                if is_name { Ok(Self(text.to_owned())) } else { Err($error) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Longer than any name in use; a limit keeps what comes from outside small.
const LONGEST: usize = 128;

fn of_service(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

name!(
    /// The name of a service in a Compose file, for example `llm-gateway`: letters, digits, `.`, `_` and `-`, beginning
    /// with a letter or digit. It is compared exactly: `Redis` and `redis` are two services.
    ///
    /// ```
    /// use recovery_core::ServiceName;
    /// assert!("llm-gateway".parse::<ServiceName>().is_ok());
    /// assert!("../llm-gateway".parse::<ServiceName>().is_err());
    /// ```
    ServiceName,
    /// A text that is not the name of a service.
    InvalidServiceName,
    "not the name of a service: such names are made of letters, digits, `.`, `_` and `-`",
    of_service
);

name!(
    /// The name of a Compose profile, for example `local-ollama`.
    ProfileName,
    /// A text that is not the name of a profile.
    InvalidProfileName,
    "not the name of a profile: such names are made of letters, digits, `.`, `_` and `-`",
    of_service
);

name!(
    /// The name of a Compose project: lower-case letters, digits, `_` and `-`, beginning with a letter or digit.
    ProjectName,
    /// A text that is not the name of a Compose project.
    InvalidProjectName,
    "not the name of a Compose project: such names are made of lower-case letters, digits, `_` and `-`",
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_lead_elsewhere_is_no_name() {
        for text in ["", "-v", ".", "..", "../x", "a/b", "a b", "a\n", "ü", "a\0", "--help", &"a".repeat(129)]
        {
            assert!(text.parse::<ServiceName>().is_err(), "{text:?}");
            assert!(text.parse::<ProfileName>().is_err(), "{text:?}");
            assert!(text.parse::<ProjectName>().is_err(), "{text:?}");
        }
        assert!("Nova".parse::<ProjectName>().is_err());
        assert!("nova_2-test".parse::<ProjectName>().is_ok());
        assert!("Redis.1".parse::<ServiceName>().is_ok());
    }
}
