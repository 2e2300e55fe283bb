//! Stopping: the programs end, their sessions end, and nothing is left.

use std::time::{Duration, Instant};

use recovery_backup::BackupError;
use recovery_core::port::OperationContext;
use recovery_testkit::RecordingContext;

use crate::fixture::{DATABASE, Fixture};

/// Waits until a query gives `true`.
pub(crate) async fn until(fixture: &Fixture, query: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while fixture.server.psql("postgres", query).trim() != "t" {
        assert!(Instant::now() < deadline, "{query} does not come true");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A session that holds a lock which a dump waits for, until it is ended.
pub(crate) fn hold_table(fixture: &Fixture) {
    let mut session = fixture.server.client("psql", DATABASE);
    session.env("PGAPPNAME", "holder").args(["-c", "BEGIN; LOCK TABLE messages; SELECT pg_sleep(600)"]);
    session.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    session.spawn().unwrap();
}

pub(crate) const DUMP_WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name LIKE 'nova-recovery-dump-%' AND wait_event_type = 'Lock'";
pub(crate) const LOAD_RUNS: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name LIKE 'nova-recovery-load-%' AND query LIKE 'COPY%'";
const NO_TOOL: &str =
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name ~ '^nova-recovery-(dump|load)-'";

/// A table that takes long to load, but only into a scratch database.
pub(crate) fn slow_to_load(fixture: &Fixture) {
    fixture.sql(
        "CREATE FUNCTION slow() RETURNS bool LANGUAGE sql AS $$
             SELECT CASE WHEN current_database() LIKE '%\\_\\_restore\\_%' THEN pg_sleep(2) IS NOT NULL ELSE true END $$;
         CREATE TABLE slow (id int CHECK (slow()));
         INSERT INTO slow SELECT generate_series(1, 60)",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_dump_leaves_nothing_and_ends_its_sessions() {
    let fixture = Fixture::small();
    let files = fixture.files();
    hold_table(&fixture);
    let context = RecordingContext::new();
    let cancel = async {
        until(&fixture, DUMP_WAITS).await;
        assert!(context.cancel());
    };
    let (made, ()) = tokio::join!(fixture.try_create(&context), cancel);
    assert!(matches!(made, Err(BackupError::Cancelled(_))), "{made:?}");
    until(&fixture, NO_TOOL).await;
    fixture.server.psql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'",
    );
    assert_eq!(fixture.files(), files);
    assert!(fixture.create().await.size_bytes > 0, "the next backup works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_leaves_the_live_database_and_nothing_else() {
    let fixture = Fixture::small();
    slow_to_load(&fixture);
    let backup = fixture.create().await;
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let context = RecordingContext::new();
    let cancel = async {
        until(&fixture, LOAD_RUNS).await;
        assert!(context.cancel());
    };
    let (restored, ()) = tokio::join!(fixture.restore_in(&backup.filename, &context), cancel);
    assert!(matches!(restored, Err(BackupError::Cancelled(_))), "{restored:?}");
    until(&fixture, NO_TOOL).await;
    fixture.assert_untouched(&dump, &files);
    assert!(!context.is_cancelled() || !context.is_sealed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_counts_until_the_last_moment_before_the_swap() {
    for phase in ["verifying", "loading", "comparing and analyzing"] {
        let fixture = Fixture::small();
        let backup = fixture.create().await;
        let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
        let context = RecordingContext::new().cancel_at_phase(phase);
        let restored = fixture.restore_in(&backup.filename, &context).await;
        assert!(matches!(restored, Err(BackupError::Cancelled(_))), "{phase}: {restored:?}");
        fixture.assert_untouched(&dump, &files);
    }
    for phase in ["preparing", "archiving", "verifying"] {
        let fixture = Fixture::small();
        let context = RecordingContext::new().cancel_at_phase(phase);
        let made = fixture.try_create(&context).await;
        assert!(matches!(made, Err(BackupError::Cancelled(_))), "{phase}: {made:?}");
        assert_eq!(fixture.files(), Vec::<String>::new());
    }
}
