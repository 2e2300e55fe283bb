use async_trait::async_trait;

/// Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    /// It does not answer.
    #[error("Redis does not answer")]
    Unavailable {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered with an error.
    #[error("Redis refused the command")]
    Refused {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The numbered databases of a Redis server.
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The value of a key in a database, or `None` where there is none.
    async fn get(&self, database: u8, key: &str) -> Result<Option<String>, KeyValueError>;

    /// Sets a key in a database.
    async fn set(&self, database: u8, key: &str, value: &str) -> Result<(), KeyValueError>;

    /// Whether the server answers.
    async fn ping(&self) -> Result<(), KeyValueError>;
}
