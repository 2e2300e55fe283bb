//! What can be asked of the service that takes long: each takes the lock that it needs, so that a refusal comes at
//! once, and then runs as an operation.

use std::sync::Arc;

use recovery_backup::BackupService;
use recovery_core::{
    Actor, BackupKind, BackupName, ErrorCode, Operation, OperationId, OperationKind, Problem, VerifyLevel,
    port::OperationContext,
};
use serde_json::Value;

use crate::{
    app::App,
    operations::{Failure, NewOperation, Operations},
    view,
};

/// What an operation gets to work with.
struct Work<L> {
    backups: Arc<BackupService>,
    lock: L,
    context: Arc<dyn OperationContext>,
}

impl App {
    /// Makes a backup.
    ///
    /// # Errors
    /// Where it cannot be begun, for example because another operation is in the way.
    pub async fn start_backup(&self, actor: Actor, kind: BackupKind) -> Result<Operation, Failure> {
        self.start_exclusive(OperationKind::Backup, actor, None, move |work| async move {
            let info = work.backups.create(&work.lock, kind, work.context.as_ref()).await?;
            to_value(view::Backup::from(info))
        })
        .await
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
    /// Where it cannot be begun, for example because another operation is in the way.
    pub async fn start_rollback(&self, actor: Actor, restore: OperationId) -> Result<Operation, Failure> {
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
    /// Where it cannot be begun, for example because another operation is in the way.
    pub async fn start_drop_replaced(
        &self,
        actor: Actor,
        restore: OperationId,
    ) -> Result<Operation, Failure> {
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

    /// Deletes a backup.
    ///
    /// # Errors
    /// Where it cannot be begun: there is no such backup, or another operation is in the way.
    pub async fn start_delete(&self, actor: Actor, name: BackupName) -> Result<Operation, Failure> {
        self.find(&name).await?;
        let (operations, backups) = (self.operations.clone(), Arc::clone(&self.backups));
        let new = new_operation(OperationKind::DeleteBackup, actor, Some(name.to_string()));
        let started = async move {
            // The lock of the directory is enough, and can be had while PostgreSQL is down.
            let lock = backups.lock_directory(new.kind, new.id, &new.actor).await?;
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
        let same = self.operations.running().into_iter().find(|operation| {
            operation.kind == OperationKind::Verify && operation.target.as_deref() == Some(target.as_str())
        });
        if let Some(same) = same {
            return Err(Problem::new(
                ErrorCode::Busy,
                format!("The backup {name} is being checked already."),
            )
            .hint("Wait until it is done, or cancel it.")
            .operation(same.id)
            .into());
        }
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
    async fn find(&self, name: &BackupName) -> Result<(), Failure> {
        let (backups, name) = (Arc::clone(&self.backups), name.clone());
        self.begun(async move { Ok(backups.find(&name).await.map(drop)?) }).await
    }

    /// Starts what needs the lock of the directory and of the database.
    async fn start_exclusive<W, F>(
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
            let lock = backups.lock(new.kind, new.id, &new.actor).await?;
            start(&operations, new, backups, lock, work).await
        })
        .await
    }

    /// Begins something on the runtime of the service: the connection that holds a lock must outlive the request.
    async fn begun<T: Send + 'static>(
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

fn to_value(view: impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(view).map_err(|error| {
        tracing::error!("a result cannot be written as JSON: {error}");
        Problem::new(ErrorCode::Internal, "The result cannot be written down.").into()
    })
}
