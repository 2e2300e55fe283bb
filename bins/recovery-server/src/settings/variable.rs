//! What a variable of the table is: what is said about it, and how its text becomes a value.

/// One variable: what is said about it, and how its text becomes a value.
pub(super) struct Variable<T> {
    pub(super) about: About,
    /// Turns the text into the value, or says what is wrong with it without repeating a secret.
    pub(super) parse: fn(&str) -> Result<T, String>,
}

/// What is said about a variable.
pub(super) struct About {
    pub(super) name: &'static str,
    /// Another name, read where the first is unset.
    pub(super) alias: Option<&'static str>,
    pub(super) meaning: &'static str,
    pub(super) default: Default,
    pub(super) example: &'static str,
    pub(super) shown: Shown,
}

/// What holds where a variable is unset.
pub(super) enum Default {
    /// This text, read as if it had been set.
    Text(&'static str),
    /// What these words say.
    Described(&'static str),
}

/// How a value is shown to a person.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// As it is.
    Plain,
    /// Not at all.
    Secret,
    /// As a URL without its password and its query.
    Url,
    /// As the scheme and host of a URL whose path may be a secret too.
    Host,
}
