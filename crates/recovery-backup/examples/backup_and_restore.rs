//! Backs a database up and restores it:
//! `cargo run -p recovery-backup --example backup_and_restore -- postgres://user:password@host/database /backups`

use std::{error::Error, sync::Arc};

use recovery_backup::{BackupService, BackupSettings};
use recovery_core::{
    Actor, BackupKind, OperationKind, port::OperationContext, port::SystemClock, port::Unwatched,
};
use recovery_process::ProcessRunner;
use recovery_store::{PostgresDatabase, StateDirectory, parse_database_url};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(directory)) = (args.next(), args.next()) else {
        return Err("usage: backup_and_restore DATABASE_URL DIRECTORY".into());
    };
    let backups = BackupService::new(
        BackupSettings::new(&directory),
        Arc::new(PostgresDatabase::new(Some(parse_database_url(&url.into())?))),
        Arc::new(ProcessRunner::new()),
        Arc::new(StateDirectory::open(format!("{directory}/.state"))?),
        Arc::new(SystemClock),
    );

    let context = Unwatched::new();
    let lock = backups.lock(OperationKind::Backup, context.id(), &Actor::new("example")).await?;
    let backup = backups.create(&lock, BackupKind::Manual, &context).await?;
    println!("{} holds {} bytes", backup.filename, backup.size_bytes);

    let context = Unwatched::new();
    let report = backups.restore(&lock, &backup.filename, &context).await?;
    println!("{} rows in {} tables are back", report.rows, report.tables);
    Ok(())
}
