//! A `.env` file as a document: read as Compose reads it, and changed so that nothing else in it changes.

mod escape;
mod expand;
mod parse;
mod text;
mod write;

use std::fmt;

use crate::EnvKey;
use parse::{Parsed, Statement};
use write::{Room, encode};

/// A `.env` file that Compose can read, in its bytes and in its values.
///
/// It is read with nothing in the environment: `${HOME}` is empty here unless a line above assigns it, and a name alone
/// on its line, which takes its value from the environment, has none.
///
/// ```
/// use recovery_env::EnvDocument;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut document = EnvDocument::parse(b"# Levels: debug, info\nLOG_LEVEL=info # for now\n".to_vec())?;
/// document.set(&"LOG_LEVEL".parse()?, "debug")?;
/// assert_eq!(document.bytes(), b"# Levels: debug, info\nLOG_LEVEL=debug # for now\n");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EnvDocument {
    bytes: Vec<u8>,
    statements: Vec<Statement>,
    values: Vec<(EnvKey, Vec<u8>)>,
}

/// A file that Compose refuses to read. It holds no part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The line on which the statement begins, from 1.
    pub line: usize,
}

/// Why Compose refuses a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A name holds a character that no name has.
    #[error("the name of a variable holds a character that none may have")]
    Name,
    /// There is no name before a value, or only a name and then the file is at its end, without a line end.
    #[error("there is no name, or nothing behind it, not even a line end")]
    NoName,
    /// A value holds a NUL.
    #[error("a value holds a NUL")]
    Nul,
    /// A quote is not closed.
    #[error("a quote is not closed")]
    Quote,
    /// A `${…}` is none.
    #[error("a ${{…}} is not complete; a $ that stands for itself is written $$, or in single quotes")]
    Substitution,
    /// A `${NAME:?…}` demands a variable that has no value.
    #[error("a ${{…?…}} demands a variable that has no value above it")]
    Required,
    /// Defaults stand in defaults, far too deep.
    #[error("too many ${{…}} stand in each other")]
    TooDeep,
    /// The values become far too large.
    #[error("the values are too large")]
    TooLarge,
}

/// A value that cannot be set. The document is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// With this value Compose could not read the file.
    #[error("with this value the file could not be read")]
    Unreadable(#[source] ParseError),
    /// Compose would read something else than what was meant.
    #[error("this value cannot be written so that it is read back")]
    ReadsDifferently,
}

impl EnvDocument {
    /// Reads a file.
    ///
    /// # Errors
    /// Where Compose would refuse it.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ParseError> {
        let Parsed { statements, values } = parse::parse(&bytes)?;
        let mut known: Vec<(EnvKey, Vec<u8>)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for statement in statements.iter().filter(|statement| statement.place.is_some()) {
            let name = bytes.get(statement.key.clone()).unwrap_or_default();
            let key = std::str::from_utf8(name).ok().and_then(|name| name.parse::<EnvKey>().ok());
            if let (Some(key), Some(value)) = (key, values.get(name))
                && seen.insert(name)
            {
                known.push((key, value.to_vec()));
            }
        }
        Ok(Self { statements, values: known, bytes })
    }

    /// The file as it is to be written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file as it is to be written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The value that Compose reads for a variable, or `None` where the file assigns none. Bytes that are no UTF-8 are
    /// replaced.
    #[must_use]
    pub fn get(&self, key: &EnvKey) -> Option<String> {
        let found = self.values.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// Every variable that the file assigns, in the order of their first lines.
    pub fn keys(&self) -> impl Iterator<Item = &EnvKey> {
        self.values.iter().map(|(key, _)| key)
    }

    /// Gives a variable a value. Where it has this value already, nothing changes; where it has another, that is
    /// replaced on the line that counts, which is the last; else a line is added at the end.
    ///
    /// # Errors
    /// Where Compose would not read this value back, or nothing at all. The document is as before.
    pub fn set(&mut self, key: &EnvKey, value: &str) -> Result<(), SetError> {
        if self.values.iter().any(|(known, now)| known == key && now == value.as_bytes()) {
            return Ok(());
        }
        let changed = Self::parse(self.with(key, value)).map_err(SetError::Unreadable)?;
        if changed.get(key).as_deref() != Some(value) {
            return Err(SetError::ReadsDifferently);
        }
        *self = changed;
        Ok(())
    }

    /// The bytes with one value replaced or added.
    fn with(&self, key: &EnvKey, value: &str) -> Vec<u8> {
        let named =
            |statement: &&Statement| self.bytes.get(statement.key.clone()) == Some(key.as_str().as_bytes());
        let mut of_key = self.statements.iter().rev().filter(named);
        let assigned = self.statements.iter().rev().filter(named).find(|found| found.place.is_some());
        if let Some(place) = assigned.and_then(|found| found.place.as_ref()) {
            return self.spliced(place.range.clone(), encode(value, place.room).as_bytes());
        }
        if let Some(alone) = of_key.next() {
            let text = format!("={}", encode(value, Room::Alone));
            return self.spliced(alone.key.end..alone.key.end, text.as_bytes());
        }
        let line_end: &[u8] = if self.ends_lines_with_cr() { b"\r\n" } else { b"\n" };
        let mut bytes = self.bytes.clone();
        let blank = bytes.is_empty() || bytes == parse::BYTE_ORDER_MARK;
        if !blank && !bytes.ends_with(b"\n") {
            bytes.extend_from_slice(line_end);
        }
        bytes.extend_from_slice(format!("{key}={}", encode(value, Room::Alone)).as_bytes());
        bytes.extend_from_slice(line_end);
        bytes
    }

    fn spliced(&self, range: std::ops::Range<usize>, text: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.splice(range, text.iter().copied());
        bytes
    }

    /// Whether lines end with a carriage return too: as the last one does.
    fn ends_lines_with_cr(&self) -> bool {
        let last = self.bytes.iter().rposition(|byte| *byte == b'\n');
        last.and_then(|last| last.checked_sub(1)).and_then(|at| self.bytes.get(at)) == Some(&b'\r')
    }
}

impl fmt::Debug for EnvDocument {
    /// The names without the values: those are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvDocument").field("keys", &self.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
