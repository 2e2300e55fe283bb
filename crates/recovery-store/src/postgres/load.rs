//! Filling a database with the statements of a script.

use std::{io::Cursor, pin::Pin};

use async_trait::async_trait;
use futures_util::SinkExt;
use recovery_core::{
    database::{ConnectionTarget, DatabaseName},
    port::{DatabaseError, LoadError, LoadSession},
};

use super::{
    error::refused,
    quote::Ident,
    session::{CopySink, Session, StatementError},
};

const DOING: &str = "loading a script";

/// Nothing is lost if the server dies meanwhile: the database is only used once it is complete, and what makes it the
/// live one is synchronous and comes later in the same log. A long index needs memory more than anything else.
const SETTINGS: &str = "SET synchronous_commit = off; SET maintenance_work_mem = '256MB'";

/// A session of a database that is being filled.
pub(super) struct Loader {
    session: Session,
    copy: Option<Pin<Box<CopySink>>>,
}

impl Loader {
    pub(super) async fn begin(
        target: &ConnectionTarget,
        name: &DatabaseName,
        application_name: &str,
    ) -> Result<Self, DatabaseError> {
        let session = Session::connect(target, name, application_name).await?.unlimited();
        session.batch(DOING, SETTINGS).await?;
        Ok(Self { session, copy: None })
    }

    /// The driver loses count of the server's answers when a COPY fails before its rows, and the session is lost: what
    /// can be asked before is asked before.
    async fn check_table(&self, statement: &str) -> Result<(), LoadError> {
        let table = target(statement).ok_or_else(|| refused(DOING, "it is no COPY"))?;
        let sql = "SELECT pg_catalog.has_table_privilege($1::text, 'INSERT')";
        let rows =
            self.session.query_raw(DOING, sql, &[&table]).await.map_err(|error| self.explain(error))?;
        if rows.first().and_then(|row| row.get::<_, Option<bool>>(0)) == Some(true) {
            return Ok(());
        }
        let message = format!("permission denied for table {table}");
        Err(LoadError::Refused { sqlstate: "42501".to_owned(), message })
    }

    fn explain(&self, error: StatementError) -> LoadError {
        explain(error, self.session.database())
    }
}

#[async_trait]
impl LoadSession for Loader {
    async fn act_as(&mut self, role: Option<&str>) -> Result<(), LoadError> {
        let sql = match role {
            Some(role) => format!("SET ROLE {}", Ident(role)),
            None => "SET ROLE NONE".to_owned(),
        };
        self.run(&sql).await.map(drop)
    }

    async fn run(&mut self, statement: &str) -> Result<u64, LoadError> {
        self.session.single(DOING, statement).await.map_err(|error| self.explain(error))
    }

    async fn begin_copy(&mut self, statement: &str) -> Result<(), LoadError> {
        self.check_table(statement).await?;
        let sink = self.session.copy_in(DOING, statement).await.map_err(|error| self.explain(error))?;
        self.copy = Some(Box::pin(sink));
        Ok(())
    }

    async fn copy(&mut self, rows: &[u8]) -> Result<(), LoadError> {
        let sink = self.copy.as_mut().ok_or_else(|| refused(DOING, "no COPY was begun"))?;
        let sent = self.session.copying(DOING, sink.feed(Cursor::new(rows.to_vec()))).await;
        sent.map_err(|error| explain(error, self.session.database()))
    }

    async fn end_copy(&mut self) -> Result<u64, LoadError> {
        let mut sink = self.copy.take().ok_or_else(|| refused(DOING, "no COPY was begun"))?;
        self.session.copying(DOING, sink.as_mut().finish()).await.map_err(|error| self.explain(error))
    }
}

/// Tells what is the statement's fault from what is not.
fn explain(error: StatementError, name: &DatabaseName) -> LoadError {
    let StatementError::Driver(error) = error else {
        return error.into_database_error(DOING, name).into();
    };
    let Some(said) = error.as_db_error() else {
        return StatementError::Driver(error).into_database_error(DOING, name).into();
    };
    let code = said.code().code();
    // Connection exceptions, resources, the operator's intervention, system errors.
    if ["08", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class)) {
        return StatementError::Driver(error).into_database_error(DOING, name).into();
    }
    LoadError::Refused { sqlstate: code.to_owned(), message: without_values(code, said.message()) }
}

/// Errors about data (class 22) quote it.
fn without_values(code: &str, message: &str) -> String {
    if !code.starts_with("22") {
        return message.chars().take(300).collect();
    }
    let parts = message.split('"').enumerate();
    let parts: Vec<&str> = parts.map(|(index, part)| if index % 2 == 1 { "…" } else { part }).collect();
    parts.join("\"").chars().take(300).collect()
}

/// The name of the table in `COPY name (columns) FROM stdin`, as it stands there.
fn target(statement: &str) -> Option<&str> {
    let rest = statement
        .get(4..)
        .filter(|_| statement.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("COPY")))?;
    let mut quoted = false;
    let end = rest.trim_start().find(|c: char| {
        quoted ^= c == '"';
        !quoted && (c == '(' || c.is_ascii_whitespace())
    });
    rest.trim_start().get(..end?).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_rows_are_not_told() {
        let check = |code: &str, message: &str, expect: &str| {
            assert_eq!(without_values(code, message), expect);
        };
        check("22P02", "invalid input for integer: \"a secret\"", "invalid input for integer: \"…\"");
        check("22003", "value \"99999\" is out of range", "value \"…\" is out of range");
        check("22001", "value too long for type text(5)", "value too long for type text(5)");
        check("42P01", "relation \"t\" does not exist", "relation \"t\" does not exist");
        check("42P01", &"é".repeat(900), &"é".repeat(300));
    }

    #[test]
    fn the_table_of_a_copy_is_found() {
        let check = |statement: &str, expect: Option<&str>| assert_eq!(target(statement), expect);
        check("COPY public.users (id, name) FROM stdin", Some("public.users"));
        check("copy public.users(id) FROM stdin", Some("public.users"));
        check("COPY public.no_columns  FROM stdin", Some("public.no_columns"));
        check("COPY \"A (\"\" b\".\"c d\" (id) FROM stdin", Some("\"A (\"\" b\".\"c d\""));
        check("COPY (SELECT 1) TO stdout", None);
        check("COPY x", None);
        check("SELECT 1", None);
        check("é", None);
    }
}
