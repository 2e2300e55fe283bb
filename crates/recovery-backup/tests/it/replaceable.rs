//! A live database that something other than sessions holds: told before the work, not at its end.

use recovery_backup::BackupError;
use recovery_core::{ErrorCode, OperationKind, Problem, port::Unwatched};
use recovery_testkit::{RecordingContext, servers::PostgresServer};

use crate::{
    faults::problem,
    fixture::{DATABASE, Fixture},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_is_told_before_anything_is_loaded() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    fixture.sql("BEGIN; INSERT INTO users VALUES (0, 'held'); PREPARE TRANSACTION 'held'");
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let context = RecordingContext::new();
    let problem = problem(fixture.restore_in(&name, &context).await);
    assert_eq!(problem.code, ErrorCode::Conflict, "{problem:?}");
    assert!(problem.detail.contains("1 prepared transaction"), "{problem:?}");
    assert_eq!(context.phases(), ["preparing"]);
    fixture.assert_untouched(&dump, &files);
    fixture.sql("ROLLBACK PREPARED 'held'");
    fixture.restore(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_and_a_slot_are_told_and_keep_the_replaced_database_from_being_dropped() {
    let programs = PostgresServer::start().programs().to_owned();
    let server = PostgresServer::start_with(&programs, &["wal_level=logical"]);
    let fixture = Fixture::on(server, |_| {});
    let name = fixture.create().await.filename;
    fixture.sql(
        "CREATE SUBSCRIPTION news CONNECTION 'dbname=elsewhere' PUBLICATION p WITH (connect = false, slot_name = NONE);
         SELECT pg_create_logical_replication_slot('listener', 'test_decoding')",
    );
    let report = fixture.restore(&name).await.unwrap();
    let told = report.warnings.join(" ");
    assert!(told.contains("slot(s) listener") && told.contains("subscription(s) news"), "{told}");

    let replaced = report.replaced_database.unwrap();
    let context = Unwatched::new();
    let lock = fixture.lock(OperationKind::DropReplaced, &context).await;
    let refused: BackupError = fixture.backups.drop_replaced(&lock, report.id, &context).await.unwrap_err();
    let refused = Problem::from(refused);
    assert_eq!(refused.code, ErrorCode::Conflict, "{refused:?}");
    assert!(refused.hint.unwrap().contains("DROP SUBSCRIPTION"));
    fixture.server.psql(replaced.as_str(), "DROP SUBSCRIPTION news");
    fixture.backups.drop_replaced(&lock, report.id, &context).await.unwrap();
    assert_eq!(fixture.databases(), [DATABASE]);
}
