//! What can be asked of the service that takes long: each takes the lock that it needs, so that a refusal comes at
//! once, and then runs as an operation.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use recovery_backup::{BackupError, BackupService};
use recovery_core::{
    Actor, BackupInfo, BackupKind, BackupName, ErrorCode, Operation, OperationId, OperationKind, Problem,
    VerifyLevel, port::OperationContext,
};
use serde_json::Value;
use tokio::io::AsyncRead;

use crate::{
    app::App,
    operations::{Failure, NewOperation, Operations, chain},
    view,
};

/// How long a drill that has to give way is waited for: it drops its scratch database first.
const GIVE_WAY: Duration = Duration::from_secs(20);

/// What an operation gets to work with.
pub(crate) struct Work<L> {
    pub(crate) backups: Arc<BackupService>,
    pub(crate) lock: L,
    pub(crate) context: Arc<dyn OperationContext>,
}

impl App {
    /// Makes a backup.
    ///
    /// # Errors
    /// Where it cannot be begun: nothing is kept of such a restore, or another operation is in the way.
    pub async fn start_backup(&self, actor: Actor, kind: BackupKind) -> Result<Operation, Failure> {
        let tally = Arc::clone(&self.removed);
        self.start_exclusive(OperationKind::Backup, actor, None, move |work| async move {
            let info = work.backups.create(&work.lock, kind, work.context.as_ref()).await?;
            let retained = work.backups.retain(&work.lock, &info.filename, work.context.as_ref()).await;
            let removed = match retained {
                Ok(report) => report.removed,
                // The backup is made; what has had its time goes after the next one.
                Err(error) => {
                    tracing::warn!("no old backup is removed: {}", chain(&error));
                    Vec::new()
                }
            };
            tally.fetch_add(removed.len() as u64, Relaxed);
            to_value(view::Made::new(info, removed))
        })
        .await
    }

    /// Pins a backup, so that it stays until it is unpinned, or unpins it.
    ///
    /// # Errors
    /// There is no such backup, or it cannot be written down.
    pub async fn set_pinned(&self, name: BackupName, pinned: bool) -> Result<BackupInfo, Failure> {
        let backups = Arc::clone(&self.backups);
        self.begun(async move { Ok(backups.set_pinned(&name, pinned).await?) }).await
    }

    /// Replaces the database by the contents of a backup.
    ///
    /// # Errors
    /// Where it cannot be begun: there is no such backup, or another operation is in the way.
    pub async fn start_restore(&self, actor: Actor, name: BackupName) -> Result<Operation, Failure> {
        self.find(&name).await?;
        self.start_exclusive(OperationKind::Restore, actor, Some(name.to_string()), move |work| async move {
            let report = work.backups.restore(&work.lock, &name, work.context.as_ref()).await?;
            to_value(view::Restored::from(report))
        })
        .await
    }

    /// Takes a restore back.
    ///
    /// # Errors
    /// Where it cannot be begun: nothing is kept of such a restore, or another operation is in the way.
    pub async fn start_rollback(&self, actor: Actor, restore: OperationId) -> Result<Operation, Failure> {
        self.find_replaced(restore).await?;
        self.start_exclusive(
            OperationKind::Rollback,
            actor,
            Some(restore.to_string()),
            move |work| async move {
                let report = work.backups.rollback(&work.lock, restore, work.context.as_ref()).await?;
                to_value(view::RolledBack::from(report))
            },
        )
        .await
    }

    /// Drops a database that a restore replaced.
    ///
    /// # Errors
    /// Where it cannot be begun: nothing is kept of such a restore, or another operation is in the way.
    pub async fn start_drop_replaced(
        &self,
        actor: Actor,
        restore: OperationId,
    ) -> Result<Operation, Failure> {
        self.find_replaced(restore).await?;
        self.start_exclusive(
            OperationKind::DropReplaced,
            actor,
            Some(restore.to_string()),
            move |work| async move {
                work.context.seal()?;
                let dropped = work.backups.drop_replaced(&work.lock, restore, work.context.as_ref()).await?;
                to_value(view::DroppedReplaced::from(dropped))
            },
        )
        .await
    }

    /// Takes in a backup from elsewhere, one at a time. It takes no lock: a slow sender is in nobody's way.
    ///
    /// # Errors
    /// Where it cannot be begun: there is a backup of this name, or another upload is under way.
    pub async fn start_upload(
        &self,
        actor: Actor,
        name: Option<BackupName>,
        announced: Option<u64>,
        mut source: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<Operation, Failure> {
        self.refuse_second(OperationKind::Upload, None, "Another upload is under way.")?;
        if let Some(name) = name.clone() {
            let backups = Arc::clone(&self.backups);
            self.begun(async move { Ok(backups.check_free(&name).await?) }).await?;
        }
        let (operations, backups) = (self.operations.clone(), Arc::clone(&self.backups));
        let new = new_operation(OperationKind::Upload, actor, name.as_ref().map(BackupName::to_string));
        self.begun(async move {
            start(&operations, new, backups, (), move |work| async move {
                let context = work.context.as_ref();
                let info = work.backups.upload(name.as_ref(), announced, &mut source, context).await?;
                to_value(view::Backup::from(info))
            })
            .await
        })
        .await
    }

    /// Fails where something of this kind, about this target where one is given, is running in this process.
    fn refuse_second(&self, kind: OperationKind, target: Option<&str>, words: &str) -> Result<(), Failure> {
        let same = self.operations.running().into_iter().find(|operation| {
            operation.kind == kind && (target.is_none() || operation.target.as_deref() == target)
        });
        match same {
            Some(same) => {
                let hint = "Wait until it is done, or cancel it.";
                Err(Problem::new(ErrorCode::Busy, words).hint(hint).operation(same.id).into())
            }
            None => Ok(()),
        }
    }

    /// Deletes a backup.
    ///
    /// # Errors
    /// Where it cannot be begun: there is no such backup, it is pinned, or another operation is in the way.
    pub async fn start_delete(&self, actor: Actor, name: BackupName) -> Result<Operation, Failure> {
        if self.find(&name).await?.pinned {
            return Err(BackupError::Pinned { name }.into());
        }
        let (operations, backups) = (self.operations.clone(), Arc::clone(&self.backups));
        let new = new_operation(OperationKind::DeleteBackup, actor, Some(name.to_string()));
        let started = async move {
            // The lock of the directory is enough, and can be had while PostgreSQL is down.
            let lock = match backups.lock_directory(new.kind, new.id, &new.actor).await {
                Ok(lock) => lock,
                Err(refused) => {
                    make_way(&operations, &new, refused).await?;
                    backups.lock_directory(new.kind, new.id, &new.actor).await?
                }
            };
            start(&operations, new, backups, lock, move |work| async move {
                work.context.seal()?;
                work.backups.delete(&work.lock, &name).await?;
                to_value(view::Deleted::new(name.to_string()))
            })
            .await
        };
        self.begun(started).await
    }

    /// Checks a backup by a drill: restores it into a scratch database and compares the rows.
    ///
    /// # Errors
    /// Where it cannot be begun: there is no such backup, another operation is in the way, or the server is away; the
    /// last is remembered as a drill that could not be made.
    pub async fn start_drill(&self, actor: Actor, name: BackupName) -> Result<Operation, Failure> {
        self.find(&name).await?;
        let (operations, backups) = (self.operations.clone(), Arc::clone(&self.backups));
        let new = new_operation(OperationKind::Drill, actor, Some(name.to_string()));
        self.begun(async move {
            let lock = match backups.lock(new.kind, new.id, &new.actor).await {
                Err(refused) => match make_way(&operations, &new, refused).await {
                    Ok(()) => backups.lock(new.kind, new.id, &new.actor).await,
                    Err(refused) => Err(refused),
                },
                taken => taken,
            };
            let lock = match lock {
                Ok(lock) => lock,
                Err(error) => {
                    backups.note_no_drill(&name, &error).await;
                    return Err(error.into());
                }
            };
            start(&operations, new, backups, lock, move |work| async move {
                let report = work.backups.drill(&work.lock, &name, work.context.as_ref()).await?;
                to_value(view::Verified::from(report))
            })
            .await
        })
        .await
    }

    /// Checks a backup. It changes nothing, so it needs no lock; the same backup is not checked twice at once.
    ///
    /// # Errors
    /// Where it cannot be begun: there is no such backup, or it is being checked. At the level of a restore, see
    /// [`start_drill`](Self::start_drill).
    pub async fn start_verify(
        &self,
        actor: Actor,
        name: BackupName,
        level: VerifyLevel,
    ) -> Result<Operation, Failure> {
        if level == VerifyLevel::Restore {
            return self.start_drill(actor, name).await;
        }
        self.find(&name).await?;
        let target = name.to_string();
        let words = format!("The backup {name} is being checked already.");
        self.refuse_second(OperationKind::Verify, Some(&target), &words)?;
        let (operations, backups) = (self.operations.clone(), Arc::clone(&self.backups));
        let new = new_operation(OperationKind::Verify, actor, Some(target));
        self.begun(async move {
            start(&operations, new, backups, (), move |work| async move {
                let report = work.backups.verify(&name, level, work.context.as_ref()).await?;
                to_value(view::Verified::from(report))
            })
            .await
        })
        .await
    }

    /// Fails where there is no such backup, before anything is locked.
    async fn find(&self, name: &BackupName) -> Result<BackupInfo, Failure> {
        let (backups, name) = (Arc::clone(&self.backups), name.clone());
        self.begun(async move { Ok(backups.find(&name).await?) }).await
    }

    /// Fails where there is no such restore, or nothing is kept of it any more.
    async fn find_replaced(&self, restore: OperationId) -> Result<(), Failure> {
        let backups = Arc::clone(&self.backups);
        self.begun(async move { Ok(backups.find_replaced(restore).await.map(drop)?) }).await
    }

    /// Starts what needs the lock of the directory and of the database.
    pub(crate) async fn start_exclusive<W, F>(
        &self,
        kind: OperationKind,
        actor: Actor,
        target: Option<String>,
        work: W,
    ) -> Result<Operation, Failure>
    where
        W: FnOnce(Work<recovery_backup::ExclusiveLock>) -> F + Send + 'static,
        F: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        let (operations, backups) = (self.operations.clone(), Arc::clone(&self.backups));
        let new = new_operation(kind, actor, target);
        self.begun(async move {
            let lock = match backups.lock(new.kind, new.id, &new.actor).await {
                Ok(lock) => lock,
                Err(refused) => {
                    make_way(&operations, &new, refused).await?;
                    backups.lock(new.kind, new.id, &new.actor).await?
                }
            };
            start(&operations, new, backups, lock, work).await
        })
        .await
    }

    /// Begins something on the runtime of the service: the connection that holds a lock must outlive the request.
    pub(crate) async fn begun<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        use tracing::Instrument as _;
        self.on_runtime(future.in_current_span()).await.unwrap_or_else(|| {
            Err(Problem::new(ErrorCode::Internal, "Something went wrong that should not happen.")
                .hint("The log of the recovery service has the details; please report them.")
                .into())
        })
    }
}

/// Where a lock is refused because of a drill that the service does by itself, and somebody asks for something else:
/// stops the drill and waits for its end. It is made up for later.
async fn make_way(
    operations: &Operations,
    new: &NewOperation,
    refused: BackupError,
) -> Result<(), BackupError> {
    let BackupError::Busy { kind: OperationKind::Drill, id, actor, .. } = &refused else {
        return Err(refused);
    };
    let by_itself = *actor == Actor::service() && new.actor != Actor::service();
    if !by_itself || operations.cancel(*id).is_err() {
        return Err(refused);
    }
    tracing::info!(drill = %id, kind = new.kind.as_str(), "a drill gives way");
    tokio::time::timeout(GIVE_WAY, operations.wait(*id)).await.map(drop).map_err(|_| refused)
}

fn new_operation(kind: OperationKind, actor: Actor, target: Option<String>) -> NewOperation {
    NewOperation { id: OperationId::new(), kind, actor, target }
}

/// Moves the lock into the operation, which gives it back when it ends, however it ends.
async fn start<L, W, F>(
    operations: &Operations,
    new: NewOperation,
    backups: Arc<BackupService>,
    lock: L,
    work: W,
) -> Result<Operation, Failure>
where
    L: Send + 'static,
    W: FnOnce(Work<L>) -> F + Send + 'static,
    F: Future<Output = Result<Value, Failure>> + Send + 'static,
{
    operations.start(new, move |context| work(Work { backups, lock, context })).await
}

pub(crate) fn to_value(view: impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(view).map_err(|error| {
        tracing::error!("a result cannot be written as JSON: {error}");
        Problem::new(ErrorCode::Internal, "The result cannot be written down.").into()
    })
}
