//! Servers and client programs of different major versions.

use std::fs;

use recovery_core::{
    Actor, ErrorCode, OperationKind, Problem,
    port::{OperationContext, Unwatched},
};
use recovery_testkit::servers::PostgresServer;

use crate::{
    everything::{self, load_everything},
    fixture::{DATABASE, Fixture},
};

fn on(version: u32) -> Fixture {
    Fixture::on(PostgresServer::start_version(version), |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_on_17_too() {
    everything::comes_back(&on(17)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_15_is_restored_on_17_and_one_of_17_is_refused_on_15() {
    let (old, new) = (on(15), on(17));
    load_everything(&old);
    let backup = old.create().await;
    fs::copy(old.path(&backup.filename), new.path(&backup.filename)).unwrap();
    new.restore(&backup.filename).await.unwrap();
    // The same program looks at both. From 16 on, a view of one table does not name it with each
    // column.
    let seen = |fixture: &Fixture| {
        let mut dump = new.server.client("pg_dump", DATABASE);
        dump.env("PGPORT", fixture.server.port().to_string()).env("PGPASSWORD", fixture.server.password());
        let out = dump.output().unwrap();
        assert!(out.status.success(), "{out:?}");
        let text = String::from_utf8(out.stdout).unwrap();
        let same = |line: &&str| !line.starts_with("-- Dumped") && !line.contains("restrict ");
        let mut text: String = text.lines().filter(same).map(|line| format!("{line}\n")).collect();
        for (qualified, column) in [
            (r#""Tabelle ""mit"" allem"."Stimmung""#, r#""Stimmung""#),
            (r#" moods."Stimmung""#, r#" "Stimmung""#),
            (" moods.n\n", " n\n"),
            (" SELECT t.id\n", " SELECT id\n"),
        ] {
            text = text.replace(qualified, column);
        }
        text
    };
    assert_eq!(seen(&new), seen(&old));

    new.sql("CREATE TABLE only_here (id int)");
    let backup = new.create().await;
    fs::copy(new.path(&backup.filename), old.path(&backup.filename)).unwrap();
    let (dump, files) = (old.server.pg_dump_text(DATABASE), old.files());
    let problem = Problem::from(old.restore(&backup.filename).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::BackupIncompatible, "{problem:?}");
    assert!(problem.detail.contains("it was made on PostgreSQL 17"), "{problem:?}");
    old.assert_untouched(&dump, &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_newer_client_alone_the_archive_is_made_and_restored_and_both_say_so() {
    let newer = PostgresServer::programs_of(17);
    let fixture =
        Fixture::on(PostgresServer::start_version(15), |settings| settings.tool_directories = vec![newer]);
    load_everything(&fixture);
    let before = everything::dump(&fixture);
    let backup = fixture.create().await;
    assert!(backup.client_version.unwrap().starts_with("17."));
    assert!(backup.warnings[0].contains("pg_restore 17 or newer"), "{:?}", backup.warnings);
    fixture.sql("DROP TABLE events CASCADE; DELETE FROM secrets; DROP EVENT TRIGGER no_change");

    let report = fixture.restore(&backup.filename).await.unwrap();
    assert_eq!(report.strategy, "swap");
    assert!(report.warnings[0].contains("loaded by one connection"), "{:?}", report.warnings);
    assert_eq!(everything::dump(&fixture), before);

    // The programs of the server's own version do not read it.
    let own = fixture.another(|_| {});
    let (context, files) = (Unwatched::new(), fixture.files());
    let lock = own.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    let problem = Problem::from(own.restore(&lock, &backup.filename, &context).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::BackupIncompatible, "{problem:?}");
    assert!(problem.detail.contains("cannot read"), "{problem:?}");
    assert_eq!(fixture.files(), files);
}
