//! The state directory: crashes, several processes at once, disks that are full or read-only, modes.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use recovery_core::{
    Actor, ErrorCode, OperationId, Problem,
    port::{
        AuditEntry, AuditLog, AuditOutcome, DocumentStore, Journal, JournalEntry, JournalEvent, StateError,
    },
};
use recovery_store::StateDirectory;
use secrecy::ExposeSecret;
use serde_json::json;
use time::OffsetDateTime;

fn step(number: usize) -> JournalEntry {
    JournalEntry {
        at: OffsetDateTime::UNIX_EPOCH,
        operation: OperationId::new(),
        event: JournalEvent::Step {
            step: format!("step {number}"),
            facts: json!({"padding": "x".repeat(200)}),
        },
    }
}

fn audited(number: usize, padding: usize) -> AuditEntry {
    AuditEntry {
        at: OffsetDateTime::UNIX_EPOCH,
        actor: Actor::service(),
        action: format!("action {number}"),
        target: Some("x".repeat(padding)),
        outcome: AuditOutcome::Succeeded,
        operation_id: None,
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_a_crash_cut_short_is_passed_over_and_removed() {
    let path = tempfile::tempdir().unwrap();
    let directory = StateDirectory::open(path.path()).unwrap();
    let entries = [step(1), step(2), step(3)];
    for entry in &entries[..2] {
        Journal::append(&directory, entry.clone()).await.unwrap();
    }
    let file = path.path().join("journal.jsonl");
    let whole = fs::read(&file).unwrap();
    let line = whole.len() / 2;
    for cut in [whole.len() - 1, whole.len() - 100, line + 1] {
        fs::write(&file, &whole[..cut]).unwrap();
        let directory = StateDirectory::open(path.path()).unwrap();
        assert_eq!(directory.entries().await.unwrap(), entries[..1], "cut at {cut}");
        Journal::append(&directory, entries[2].clone()).await.unwrap();
        assert_eq!(directory.entries().await.unwrap(), [entries[0].clone(), entries[2].clone()]);
    }
    // A whole line that makes no sense costs only itself.
    let text = format!("{{\"event\":\"of a later version\"}}\n{}", fs::read_to_string(&file).unwrap());
    fs::write(&file, text).unwrap();
    assert_eq!(directory.entries().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_lose_nothing() {
    let path = tempfile::tempdir().unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4_u8 {
        // Each as another process would: opened for itself.
        let directory = StateDirectory::open(path.path()).unwrap();
        writers.spawn(async move {
            for number in 0..25 {
                Journal::append(&directory, step(number)).await.unwrap();
                AuditLog::append(&directory, audited(writer.into(), 10)).await.unwrap();
                directory.put("shared.json", vec![b'0' + writer; 5000].as_slice()).await.unwrap();
                let document = directory.get("shared.json").await.unwrap().unwrap();
                assert!(
                    document.len() == 5000 && document.iter().all(|byte| *byte == document[0]),
                    "one or the other"
                );
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let directory = StateDirectory::open(path.path()).unwrap();
    assert_eq!(directory.entries().await.unwrap().len(), 100);
    assert_eq!(directory.newest(1000).await.unwrap().len(), 100);
    let left: Vec<_> =
        fs::read_dir(path.path().join("documents")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["shared.json"], "nothing half written stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_bounded_and_its_newest_entries_stay() {
    let path = tempfile::tempdir().unwrap();
    let directory = StateDirectory::open(path.path()).unwrap();
    for number in 0..40 {
        AuditLog::append(&directory, audited(number, 500_000)).await.unwrap();
    }
    let size: u64 =
        fs::read_dir(path.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(size <= 16 * 1024 * 1024, "{size}");
    let newest = directory.newest(10).await.unwrap();
    let actions: Vec<String> = newest.into_iter().map(|entry| entry.action).collect();
    let expect: Vec<String> = (30..40).rev().map(|number| format!("action {number}")).collect();
    assert_eq!(actions, expect, "also across the two files");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_is_made_once_and_is_for_its_owner_alone() {
    let path = tempfile::tempdir().unwrap();
    let state = path.path().join("deep/state");
    let made: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    StateDirectory::open(&state).unwrap().admin_secret().unwrap().0.expose_secret().to_owned()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|secret| *secret == made[0] && secret.len() == 64), "{made:?}");
    let (_, file) = StateDirectory::open(&state).unwrap().admin_secret().unwrap();
    assert_eq!((mode(&state), mode(&file)), (0o700, 0o600));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (secret, _) = StateDirectory::open(&state).unwrap().admin_secret().unwrap();
    assert_eq!((secret.expose_secret(), mode(&file)), (made[0].as_str(), 0o600));

    fs::write(&file, "\n").unwrap();
    let error = StateDirectory::open(&state).unwrap().admin_secret().unwrap_err();
    assert!(matches!(error, StateError::Format { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_for_its_owner_alone() {
    let path = tempfile::tempdir().unwrap();
    let state = path.path().join("state");
    let directory = StateDirectory::open(&state).unwrap();
    Journal::append(&directory, step(1)).await.unwrap();
    AuditLog::append(&directory, audited(1, 1)).await.unwrap();
    directory.put("document", b"x").await.unwrap();
    let mut files = vec![state.clone()];
    while let Some(file) = files.pop() {
        assert_eq!(mode(&file) & 0o077, 0, "{}", file.display());
        if file.is_dir() {
            files.extend(fs::read_dir(file).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

/// A directory that cannot be written to, for root neither: its files cannot be created because they are directories.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_is_an_error_that_shows_no_path() {
    let path = tempfile::tempdir().unwrap();
    let state = path.path().join("secret-place");
    let directory = StateDirectory::open(&state).unwrap();
    for name in ["journal.jsonl", "audit.jsonl", "admin-secret"] {
        fs::create_dir(state.join(name)).unwrap();
    }
    fs::write(state.join("documents"), "not a directory").unwrap();
    let errors = [
        Journal::append(&directory, step(1)).await.unwrap_err(),
        directory.entries().await.unwrap_err(),
        AuditLog::append(&directory, audited(1, 1)).await.unwrap_err(),
        directory.newest(1).await.unwrap_err(),
        directory.put("document", b"x").await.unwrap_err(),
        directory.admin_secret().unwrap_err(),
        StateDirectory::open(state.join("documents")).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(!error.to_string().contains("secret-place"), "{error}");
        assert_eq!(Problem::from(error).code, ErrorCode::StorageUnavailable);
    }
}

#[tokio::test]
async fn what_root_writes_belongs_to_the_owner_of_the_directory() {
    let path = tempfile::tempdir().unwrap();
    // Only root can give the directory to another user; for everybody else the files are their own anyway.
    if fs::metadata(path.path()).unwrap().uid() == 0 {
        chown(path.path(), Some(10_001), Some(10_001)).unwrap();
    }
    let owner = fs::metadata(path.path()).unwrap();
    let state = path.path().join("new").join("state");
    let directory = StateDirectory::open(&state).unwrap();
    Journal::append(&directory, step(1)).await.unwrap();
    AuditLog::append(&directory, audited(1, 10)).await.unwrap();
    directory.put("a.json", b"{}").await.unwrap();
    directory.admin_secret().unwrap();
    let names =
        ["..", ".", "lock", "journal.jsonl", "audit.jsonl", "documents", "documents/a.json", "admin-secret"];
    for name in names {
        let made = fs::metadata(state.join(name)).unwrap();
        assert_eq!((made.uid(), made.gid()), (owner.uid(), owner.gid()), "{name}");
    }
}

#[tokio::test]
async fn reading_leaves_no_trace() {
    let path = tempfile::tempdir().unwrap();
    let directory = StateDirectory::at(path.path().join("above").join("state"));
    assert!(directory.entries().await.unwrap().is_empty());
    assert!(directory.newest(5).await.unwrap().is_empty());
    assert_eq!(directory.get("a.json").await.unwrap(), None);
    directory.remove("a.json").await.unwrap();
    assert_eq!(fs::read_dir(path.path()).unwrap().count(), 0);

    Journal::append(&directory, step(1)).await.unwrap();
    assert_eq!(directory.entries().await.unwrap().len(), 1);
    assert_eq!(mode(&path.path().join("above")), 0o700);
}
