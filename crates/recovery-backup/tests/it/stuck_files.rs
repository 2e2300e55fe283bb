//! Something is in the way of files that follow their database: they wait, nothing of them is lost meanwhile, and they
//! follow once it is gone.

use std::{fs, path::PathBuf};

use async_trait::async_trait;
use recovery_backup::{BackupError, BackupService, RestoreReport};
use recovery_core::{
    Actor, OperationId, OperationKind, Progress,
    port::{Cancelled, OperationContext, StateError, Unwatched},
};
use serde_json::Value;

use crate::files::World;

/// A context that puts something where the old directory is to go, once it is known where that is.
struct InTheWay {
    id: OperationId,
    beside: PathBuf,
}

#[async_trait]
impl OperationContext for InTheWay {
    fn id(&self) -> OperationId {
        self.id
    }

    fn report(&self, _progress: Progress) {}

    fn is_cancelled(&self) -> bool {
        false
    }

    async fn cancelled(&self) {
        std::future::pending::<()>().await;
    }

    fn seal(&self) -> Result<(), Cancelled> {
        Ok(())
    }

    async fn record(&self, step: &str, facts: Value) -> Result<(), StateError> {
        if step == "switching files" {
            fs::create_dir(self.beside.join(facts["kept"].as_str().unwrap())).unwrap();
        }
        Ok(())
    }
}

/// A restore whose files are in place, and the old ones not where they are to be kept.
async fn stuck(world: &World) -> (RestoreReport, PathBuf) {
    let backup = world.fixture.create().await;
    world.add("new");
    world.remove("old");
    let context = InTheWay { id: OperationId::new(), beside: world.place.path().to_owned() };
    let report = world.fixture.restore_in(&backup.filename, &context).await.unwrap();
    assert_eq!(report.files, [], "{report:?}");
    assert!(report.warnings.iter().any(|words| words.contains("only in part")), "{report:?}");
    let kept = world.traces().into_iter().find(|name| name.contains(".before-")).unwrap();
    (report, world.place.path().join(kept))
}

/// Starts again, and says what was done.
async fn restart(world: &World) -> (BackupService, Vec<String>) {
    let restarted = world.restarted();
    let context = Unwatched::new();
    let lock = restarted.lock(OperationKind::Restore, context.id(), &Actor::service()).await.unwrap();
    let done = restarted.reconcile(&lock, &[]).await.unwrap().done;
    drop(lock);
    (restarted, done)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_unfinished_switch_needs_is_not_cleared_up() {
    let world = World::new();
    let (report, in_the_way) = stuck(&world).await;
    for _ in 0..2 {
        let (_, done) = restart(&world).await;
        assert!(done.iter().all(|words| words.contains("still replaced only in part")), "{done:?}");
    }
    fs::remove_dir(&in_the_way).unwrap();
    let (restarted, done) = restart(&world).await;
    assert!(done.iter().any(|words| words.contains("the files of sources followed")), "{done:?}");
    assert_eq!(world.holds(), ["old"]);
    let context = Unwatched::new();
    let lock = restarted.lock(OperationKind::Rollback, context.id(), &Actor::new("test")).await.unwrap();
    restarted.rollback(&lock, report.id, &context).await.unwrap();
    assert_eq!(world.holds(), ["new"], "the files from before were kept all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_database_is_not_dropped_while_its_files_are_not_settled() {
    let world = World::new();
    let (report, in_the_way) = stuck(&world).await;
    let context = Unwatched::new();
    let lock = world.fixture.lock(OperationKind::DropReplaced, &context).await;
    let refused = world.fixture.backups.drop_replaced(&lock, report.id, &context).await.unwrap_err();
    assert!(matches!(refused, BackupError::IncludeUnusable { .. }), "{refused:?}");
    let replaced = report.replaced_database.unwrap();
    assert!(world.fixture.databases().contains(&replaced.to_string()), "nothing was dropped");

    // Somebody drops it by hand. That the files are to follow is not forgotten.
    world.fixture.server.psql("postgres", &format!("DROP DATABASE \"{replaced}\""));
    drop(lock);
    let (_, done) = restart(&world).await;
    assert!(done.iter().any(|words| words.contains("still replaced only in part")), "{done:?}");
    fs::remove_dir(&in_the_way).unwrap();
    let (_, done) = restart(&world).await;
    assert!(done.iter().any(|words| words.contains("the files of sources followed")), "{done:?}");
    assert_eq!(world.holds(), ["old"]);
    assert_eq!(fs::read_to_string(in_the_way.join("new")).unwrap(), "new", "the old ones are kept");
}
