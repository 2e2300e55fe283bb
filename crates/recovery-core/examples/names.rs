//! Names that are valid by construction, an operation, and an error that says what to do:
//! `cargo run -p recovery-core --example names`.

use recovery_core::{
    Actor, BackupKind, BackupName, ErrorCode, Operation, OperationId, OperationKind, Problem,
    database::DatabaseName,
    port::{Clock, SystemClock},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = SystemClock.now();
    let backup = BackupName::new(BackupKind::Manual, now, 1);
    println!("A backup made now would be {backup}.");
    for text in ["nova-checkpoint-2026-01-31_23-59-59-2.tar", "../../etc/passwd"] {
        match text.parse::<BackupName>() {
            Ok(name) => println!("{text} is a {:?} backup of {}.", name.kind(), name.created_at()),
            Err(error) => println!("{text} is {error}."),
        }
    }

    let id = OperationId::new();
    let database: DatabaseName = "nova".parse()?;
    println!("Its restore would load into {} and keep {}.", database.scratch(&id), database.replaced(now, 1));

    let actor = Actor::new("command line (root)");
    let operation = Operation::begin(id, OperationKind::Restore, actor, Some(backup.to_string()), now);
    println!("{}", serde_json::to_string_pretty(&operation)?);

    let problem = Problem::new(ErrorCode::Busy, "A restore is running.")
        .hint("Wait until it is done, or cancel it.")
        .operation(id);
    println!("{}", serde_json::to_string_pretty(&problem)?);
    Ok(())
}
