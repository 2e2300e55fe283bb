//! Says how large a database is and counts its rows, and keeps a journal of having done so:
//! `cargo run -p recovery-store --example overview -- postgresql://user:password@host/database`

use std::error::Error;

use recovery_core::{
    Actor, Operation, OperationId, OperationKind,
    port::{DatabaseAdmin, Journal, JournalEntry, JournalEvent, ProtectedDatabase},
};
use recovery_store::{PostgresDatabase, StateDirectory, parse_database_url};
use time::OffsetDateTime;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL of a database")?;
    let target = parse_database_url(&url.into())?;
    let name = target.database.clone();
    let database = PostgresDatabase::new(Some(target));

    let place = tempfile::tempdir()?;
    let state = StateDirectory::open(place.path().join("state"))?;
    let (id, now) = (OperationId::new(), OffsetDateTime::now_utc());
    let operation = Operation::begin(id, OperationKind::Verify, Actor::new("example"), None, now);
    let event = JournalEvent::Started { snapshot: Box::new(operation) };
    state.append(JournalEntry { at: now, operation: id, event }).await?;

    let overview = database.overview().await?;
    println!("{name}: {} bytes in {} tables", overview.size_bytes, overview.table_count);
    println!("PostgreSQL {}", overview.server_version);
    for (table, rows) in database.row_counts(&name, 2).await?.tables {
        println!("{rows:>12}  {table}");
    }
    for entry in state.entries().await? {
        println!("{} began at {}", entry.operation, entry.at);
    }
    Ok(())
}
