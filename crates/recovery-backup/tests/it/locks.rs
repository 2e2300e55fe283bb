//! One operation at a time, and what a cut-off one leaves is cleared up.

use recovery_backup::BackupError;
use recovery_core::{
    Actor, ErrorCode, OperationId, OperationKind, Problem,
    port::{DocumentStore, OperationContext, Unwatched},
};
use serde_json::json;

use crate::fixture::{DATABASE, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_is_told_of_the_first() {
    let fixture = Fixture::small();
    let first = Unwatched::new();
    let lock = fixture.lock(OperationKind::Restore, &first).await;
    for backups in [&fixture.backups, &fixture.another(|_| {})] {
        let refused =
            backups.lock(OperationKind::Backup, OperationId::new(), &Actor::new("b")).await.err().unwrap();
        let BackupError::Busy { kind, id, actor, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!((*kind, *id, actor.as_str()), (OperationKind::Restore, first.id(), "test"));
        assert_eq!(Problem::from(refused).operation_id, Some(first.id()));
    }
    drop(lock);
    fixture.lock(OperationKind::Backup, &Unwatched::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_another_directory_is_kept_off_the_same_database() {
    let fixture = Fixture::small();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = fixture.another(|settings| settings.directory = elsewhere.path().to_owned());
    let lock = fixture.lock(OperationKind::Restore, &Unwatched::new()).await;
    let refused =
        other.lock(OperationKind::Backup, OperationId::new(), &Actor::new("b")).await.err().unwrap();
    let problem = Problem::from(refused);
    assert_eq!(problem.code, ErrorCode::Busy);
    assert!(problem.detail.contains("restore by test, since "), "{problem:?}");
    drop(lock);
    other.lock(OperationKind::Backup, OperationId::new(), &Actor::new("b")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_restore_leaves_is_cleared_up() {
    let fixture = Fixture::small();
    let id = OperationId::new();
    let scratch = DATABASE.parse::<recovery_core::database::DatabaseName>().unwrap().scratch(&id);
    fixture.server.psql("postgres", &format!("CREATE DATABASE {scratch}"));
    fixture.server.psql("postgres", "ALTER DATABASE nova ALLOW_CONNECTIONS false");
    std::fs::create_dir_all(fixture.directory.path().join(".partial-123456789abc/database")).unwrap();
    let pending = json!({ "live": DATABASE, "incoming": scratch, "retired": "nova__before_20260101_000000" });
    fixture.documents.put("swap.json", pending.to_string().as_bytes()).await.unwrap();
    let lock = fixture.lock(OperationKind::Restore, &Unwatched::new()).await;
    let done = fixture.backups.reconcile(&lock, &[]).await.unwrap().done;
    assert_eq!(done.len(), 3, "{done:?}");
    assert!(done[0].contains("had not been done"), "{done:?}");
    assert_eq!(fixture.databases(), [DATABASE]);
    assert_eq!(fixture.count("users"), 100, "the live database takes sessions again");
    assert_eq!(fixture.files(), Vec::<String>::new());
    assert_eq!(fixture.backups.reconcile(&lock, &[]).await.unwrap().done, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_drop_that_was_cut_off_leaves_is_dropped_and_never_rolled_back_to() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let restored = fixture.restore(&name).await.unwrap();
    let scratch =
        DATABASE.parse::<recovery_core::database::DatabaseName>().unwrap().scratch(&OperationId::new());
    fixture.server.psql("postgres", &format!("CREATE DATABASE {scratch}"));
    // As PostgreSQL marks a database whose files it has begun to remove.
    let mark = "UPDATE pg_database SET datconnlimit = -2 WHERE datname LIKE 'nova\\_\\_%'";
    fixture.server.psql("postgres", mark);
    let dump = fixture.server.pg_dump_text(DATABASE);

    let context = Unwatched::new();
    let lock = fixture.lock(OperationKind::Rollback, &context).await;
    let refused = fixture.backups.rollback(&lock, restored.id, &context).await.unwrap_err();
    let refused = Problem::from(refused);
    assert_eq!(refused.code, ErrorCode::Conflict, "{refused:?}");
    assert!(refused.detail.contains("cannot be used any more"), "{refused:?}");
    assert_eq!(fixture.server.pg_dump_text(DATABASE), dump);

    let done = fixture.backups.reconcile(&lock, &[]).await.unwrap().done;
    assert_eq!(done.len(), 2, "{done:?}");
    assert_eq!(fixture.databases(), [DATABASE]);
    assert_eq!(fixture.backups.reconcile(&lock, &[]).await.unwrap().done, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_database_is_found_even_where_its_history_is_lost() {
    let fixture = Fixture::small();
    let backup = fixture.create().await;
    fixture.restore(&backup.filename).await.unwrap();
    fixture.documents.remove("replaced.json").await.unwrap();
    let forgetful = fixture.another(|_| {});
    let found = forgetful.replaced().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].filename, None);
    let context = Unwatched::new();
    let lock = forgetful.lock(OperationKind::Rollback, context.id(), &Actor::new("test")).await.unwrap();
    forgetful.rollback(&lock, found[0].id, &context).await.unwrap();
    assert_eq!(fixture.count("users"), 100);
}
