use async_trait::async_trait;

use super::DatabaseError;

/// A session that fills a database with the statements of a script, one after the other.
#[async_trait]
pub trait LoadSession: Send {
    /// Lets what is made from here on belong to this role, and happen with its rights; `None`: to our own.
    async fn act_as(&mut self, role: Option<&str>) -> Result<(), LoadError>;

    /// Runs one statement and returns how many rows it changed. Two statements in one text are refused.
    async fn run(&mut self, statement: &str) -> Result<u64, LoadError>;

    /// Begins a `COPY … FROM stdin`. Where the table does not exist or our rights on it are not enough, the session goes
    /// on; after any other error it is of no more use.
    async fn begin_copy(&mut self, statement: &str) -> Result<(), LoadError>;

    /// Sends rows, as much of them as there happens to be, in PostgreSQL's text format. Only after `begin_copy`.
    async fn copy(&mut self, rows: &[u8]) -> Result<(), LoadError>;

    /// Ends the `COPY` and returns how many rows the server has taken.
    async fn end_copy(&mut self) -> Result<u64, LoadError>;
}

/// A statement of a script was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server refused it, and did nothing of it.
    #[error("{message}")]
    Refused {
        /// PostgreSQL's code for the reason, for example `42P01` where a table does not exist.
        sqlstate: String,
        /// PostgreSQL's own words, without values of rows.
        message: String,
    },
    /// The session or the server is of no more use.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
