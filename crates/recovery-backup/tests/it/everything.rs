//! A database with one of nearly everything comes back exactly as it was.

use std::fs;

use recovery_core::OperationKind;
use recovery_core::port::{OperationContext, Unwatched};

use crate::fixture::{DATABASE, Fixture};

/// The whole database, its own properties included, as `pg_dump` sees it.
pub(crate) fn dump(fixture: &Fixture) -> String {
    fixture.server.pg_dump(DATABASE, &["--create"])
}

pub(crate) fn load_everything(fixture: &Fixture) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/everything.sql");
    fixture.sql(&fs::read_to_string(file).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_exactly_as_it_was() {
    comes_back(&Fixture::empty()).await;
}

pub(crate) async fn comes_back(fixture: &Fixture) {
    load_everything(fixture);
    let before = dump(fixture);
    let backup = fixture.create().await;

    fixture.sql(
        r#"DELETE FROM secrets; DROP TABLE events CASCADE; DROP EVENT TRIGGER no_change; SELECT lo_unlink(424242);
           TRUNCATE "Größe & Co"."Tabelle ""mit"" allem"; ALTER DATABASE nova RESET ALL; ALTER DATABASE nova OWNER TO nova;
           COMMENT ON DATABASE nova IS NULL; GRANT ALL ON DATABASE nova TO PUBLIC; ALTER DATABASE nova CONNECTION LIMIT 5;"#,
    );
    let damaged = dump(fixture);
    assert_ne!(damaged, before);

    let report = fixture.restore(&backup.filename).await.unwrap();
    assert!(report.created_roles.is_empty(), "every role was there: {report:?}");
    assert_eq!(dump(fixture), before);

    let context = Unwatched::new();
    let lock = fixture.lock(OperationKind::Rollback, &context).await;
    fixture.backups.rollback(&lock, report.id, &context).await.unwrap();
    assert_eq!(
        dump(fixture),
        damaged,
        "a rollback brings back what was there before the restore, its settings included"
    );
    drop(lock);
    assert_ne!(context.id(), report.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_on_a_new_server() {
    let old = Fixture::empty();
    load_everything(&old);
    let before = dump(&old);
    let backup = old.create().await;

    let new = Fixture::empty();
    fs::copy(old.path(&backup.filename), new.path(&backup.filename)).unwrap();
    let mut report = new.restore(&backup.filename).await.unwrap();
    report.created_roles.sort();
    assert_eq!(report.created_roles, ["nova app", "reporting", "Ünïcode \"röle\""]);
    assert_eq!(report.warnings.len(), 1);
    assert_eq!(dump(&new), before);
    let may_sign_in =
        "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname IN ('nova app', 'reporting')";
    assert_eq!(new.server.psql("postgres", may_sign_in).trim(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_comes_back() {
    let fixture = Fixture::empty();
    load_everything(&fixture);
    let before = dump(&fixture);
    let backup = fixture.create().await;
    fixture.server.psql("postgres", "DROP DATABASE nova WITH (FORCE)");

    let report = fixture.restore(&backup.filename).await.unwrap();
    assert_eq!(report.replaced_database, None);
    assert_eq!(dump(&fixture), before);
}
