//! Stopping: the programs end, their sessions end, and nothing is left.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use recovery_backup::BackupError;
use recovery_core::{Actor, BackupKind, OperationKind, port::OperationContext};
use recovery_testkit::RecordingContext;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    faults::script,
    fixture::{DATABASE, Fixture},
};

/// Waits until a query gives `true`.
pub(crate) async fn until(fixture: &Fixture, query: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while fixture.server.psql("postgres", query).trim() != "t" {
        let activity = "SELECT application_name, state, wait_event, query FROM pg_stat_activity WHERE datname IS NOT NULL";
        assert!(
            Instant::now() < deadline,
            "{query} does not come true:\n{}",
            fixture.server.psql("postgres", activity)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A `pg_dump` that waits for leave to begin, so that a test can arrange the world meanwhile.
pub(crate) struct Gate(tempfile::TempDir);

impl Gate {
    /// Puts the gate between a service and the server's own programs.
    pub(crate) fn new(fixture: &Fixture) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (real, here) = (fixture.server.programs().display(), directory.path().display());
        script(
            directory.path(),
            "pg_dump",
            &format!(
                "[ \"$1\" = --version ] && exec {real}/pg_dump --version\n\
                 echo $$ > {here}/pid; touch {here}/waiting; while [ ! -e {here}/open ]; do sleep 0.05; done; exec {real}/pg_dump \"$@\""
            ),
        );
        script(directory.path(), "pg_restore", &format!("exec {real}/pg_restore \"$@\""));
        Self(directory)
    }

    pub(crate) fn programs(&self) -> Vec<PathBuf> {
        vec![self.0.path().to_owned()]
    }

    /// Waits until `pg_dump` stands at the gate.
    pub(crate) async fn reached(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.0.path().join("waiting").exists() {
            assert!(Instant::now() < deadline, "pg_dump was not started");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the program where it is, like one that hangs: it hears no signal but the last one.
    fn freeze(&self) {
        let pid = fs::read_to_string(self.0.path().join("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
    }

    /// Lets it through.
    pub(crate) fn open(&self) {
        fs::write(self.0.path().join("open"), "").unwrap();
    }

    /// Lets it through into a lock on a table, and returns when it waits there.
    pub(crate) async fn open_into_a_lock(&self, fixture: &Fixture) {
        self.reached().await;
        let mut session = fixture.server.client("psql", DATABASE);
        session.env("PGAPPNAME", "holder").args(["-c", "BEGIN; LOCK TABLE messages; SELECT pg_sleep(600)"]);
        session.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut session = session.spawn().unwrap();
        // It ends with its server, or when a test ends its backend.
        std::thread::spawn(move || session.wait());
        until(fixture, "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event_type = 'Lock'").await;
        self.open();
        until(fixture, DUMP_WAITS).await;
    }
}

const DUMP_WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name LIKE 'nova-recovery-dump-%' AND wait_event_type = 'Lock'";
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

/// Cancels a backup whose `pg_dump` waits for a lock in PostgreSQL, and sees what is left of it.
async fn cancel_a_dump_that_waits(hangs: bool) {
    let fixture = Fixture::small();
    let gate = Gate::new(&fixture);
    let backups = fixture.another(|settings| settings.tool_directories = gate.programs());
    let context = RecordingContext::new();
    let making = async {
        let lock = backups.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await?;
        backups.create(&lock, BackupKind::Manual, &context).await
    };
    let cancel = async {
        gate.open_into_a_lock(&fixture).await;
        if hangs {
            gate.freeze();
        }
        assert!(context.cancel());
    };
    let (made, ()) = tokio::join!(making, cancel);
    assert!(matches!(made, Err(BackupError::Cancelled(_))), "{made:?}");
    until(&fixture, NO_TOOL).await;
    fixture.server.psql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'",
    );
    assert_eq!(fixture.files(), Vec::<String>::new());
    assert!(fixture.create().await.size_bytes > 0, "the next backup works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_dump_leaves_nothing_and_ends_its_sessions() {
    cancel_a_dump_that_waits(false).await;
}

/// Asked to end, `pg_dump` has PostgreSQL cancel what it runs; killed, it leaves its sessions to wait for the lock.
#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_dump_that_hangs_are_ended_for_it() {
    cancel_a_dump_that_waits(true).await;
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
    assert!(!context.is_sealed());
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
