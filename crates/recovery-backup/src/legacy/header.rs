//! What a script says of itself in the comments around it.

use super::damaged;
use crate::archive::Flaw;

/// What the comments said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The line with which `pg_dump` begins was there.
    pub begun: bool,
    /// And the one with which it ends.
    pub complete: bool,
    /// The version of the server, for example `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: Option<String>,
    /// The version of `pg_dump`.
    pub client_version: Option<String>,
}

impl Header {
    /// Reads a comment between statements, without its dashes.
    pub(super) fn comment(&mut self, comment: &[u8]) -> Result<(), Flaw> {
        let text = String::from_utf8_lossy(comment);
        let text = text.trim();
        if text == "PostgreSQL database dump" {
            self.begun = true;
        } else if text == "PostgreSQL database dump complete" && self.begun {
            self.complete = true;
        } else if text == "PostgreSQL database cluster dump" {
            return damaged("its script is a dump of a whole server by pg_dumpall, not of one database");
        } else if let Some(version) = text.strip_prefix("Dumped from database version ") {
            self.server_version.get_or_insert_with(|| version.to_owned());
        } else if let Some(version) = text.strip_prefix("Dumped by pg_dump version ") {
            self.client_version.get_or_insert_with(|| version.to_owned());
        }
        Ok(())
    }
}

/// Reads a command of psql, without its backslash. Those that newer versions of `pg_dump` write say nothing to anybody
/// but psql; they stand between statements.
pub(super) fn psql_command(command: &[u8], line: u64, between: bool) -> Result<(), Flaw> {
    let text = String::from_utf8_lossy(command);
    let name: String = text.chars().take_while(char::is_ascii_alphanumeric).take(20).collect();
    match name.as_str() {
        "restrict" | "unrestrict" if between => Ok(()),
        "connect" | "c" => damaged(format!(
            "line {line} of its script connects to another database: it was made with pg_dump --create"
        )),
        _ => damaged(format!("line {line} of its script holds a command of psql: \\{name}")),
    }
}
