//! What each command does, over either [`Backend`].

use std::io::{self, IsTerminal as _};

use recovery_core::{BackupName, ErrorCode, OperationId, Problem, Verification};
use serde_json::{Value, json};

use super::{
    backend::{Backend, Task},
    environment,
    failure::Failure,
    follow::{Interrupts, Signals, carry_out},
    output::Output,
    prompt, render,
    view::{Backup, Outcome, Restore},
};

/// Everything that a command works with.
pub(super) struct Session<'a> {
    /// How things get done.
    pub(super) backend: &'a dyn Backend,
    /// Where results go.
    pub(super) output: &'a mut Output,
}

impl Session<'_> {
    /// `backup`
    pub(super) async fn backup(&mut self) -> Result<(), Failure> {
        self.carry_out(Task::Backup).await.map(drop)
    }

    /// `backups`
    pub(super) async fn backups(&mut self) -> Result<(), Failure> {
        let backups = self.backend.backups().await?;
        self.output.result(&backups, || render::backups(&backups))
    }

    /// `verify FILE`
    pub(super) async fn verify(&mut self, task: Task) -> Result<(), Failure> {
        let outcome = self.carry_out(task).await?;
        let code = match outcome.verification {
            Some(Verification::Verified) => return Ok(()),
            Some(Verification::Failed) => ErrorCode::BackupDamaged,
            Some(Verification::Unverified) | None => ErrorCode::DependencyUnavailable,
        };
        // The result has said what is wrong; only the status is left to tell.
        Err(Failure { told: true, ..Problem::new(code, "The backup is not good.").into() })
    }

    /// `restore FILE`
    pub(super) async fn restore(&mut self, name: BackupName, yes: bool) -> Result<(), Failure> {
        if !yes {
            let backup = self.find(&name).await?;
            let contents = self.backend.contents(&name).await?;
            let database = self.backend.status().await?.database;
            let explanation = render::restore_explanation(&backup, contents.as_ref(), &database);
            let known = database.name.or(contents.map(|contents| contents.database));
            self.confirm(&explanation, known.as_deref(), name.as_str())?;
        }
        self.carry_out(Task::Restore(name)).await.map(drop)
    }

    /// `restores`
    pub(super) async fn restores(&mut self) -> Result<(), Failure> {
        let restores = self.backend.restores().await?;
        self.output.result(&restores, || render::restores(&restores))
    }

    /// `rollback [ID]`
    pub(super) async fn rollback(&mut self, id: Option<OperationId>, yes: bool) -> Result<(), Failure> {
        let restore = self.restore_of(id).await?;
        if !yes {
            let database = self.backend.status().await?.database;
            let explanation = render::rollback_explanation(&restore, &database);
            self.confirm(&explanation, database.name.as_deref(), &restore.replaced_database)?;
        }
        self.carry_out(Task::Rollback(restore.id)).await.map(drop)
    }

    /// `delete FILE`
    pub(super) async fn delete(&mut self, name: &BackupName, yes: bool) -> Result<(), Failure> {
        if !yes {
            let backup = self.find(name).await?;
            let size = render::bytes(backup.size_bytes);
            self.confirm(&format!("{name} ({size}) will be deleted for good."), None, name.as_str())?;
        }
        self.backend.delete(name).await?;
        self.output.result(&json!({ "filename": name, "deleted": true }), || format!("Deleted {name}."))
    }

    /// `upload FILE`
    pub(super) async fn upload(&mut self, task: Task) -> Result<(), Failure> {
        self.carry_out(task).await.map(drop)
    }

    /// `pin FILE` and `unpin FILE`
    pub(super) async fn set_pinned(&mut self, name: &BackupName, pinned: bool) -> Result<(), Failure> {
        let backup = self.backend.set_pinned(name, pinned).await?;
        self.output.result(&backup, || {
            if pinned {
                format!("Pinned {name}: it stays until it is unpinned.")
            } else {
                format!("Unpinned {name}: it goes when its time is over.")
            }
        })
    }

    /// `status`
    pub(super) async fn status(&mut self) -> Result<(), Failure> {
        let status = self.backend.status().await?;
        self.output.result(&status, || render::status(&status))
    }

    /// `env get [NAME]`
    pub(super) async fn environment(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let mut variables = self.backend.environment().await?;
        let Some(name) = name else {
            return self.output.result(&variables, || render::variables(&variables));
        };
        variables.retain(|variable, _| variable == name);
        let Some(value) = variables.get(name) else {
            let detail = format!("{name} does not stand in the .env file, or may not be seen.");
            return Err(Problem::new(ErrorCode::NotFound, detail)
                .hint("`nova-recovery env get` lists the others.")
                .into());
        };
        self.output.result(&variables, || render::printable(value))
    }

    /// `env set NAME=VALUE…`
    pub(super) async fn change_environment(&mut self, assignments: &[String]) -> Result<(), Failure> {
        let updates = environment::assignments(assignments, &mut io::stdin().lock())?;
        let variables = self.backend.change_environment(updates).await?;
        self.output.result(&variables, || render::variables(&variables))
    }

    async fn find(&self, name: &BackupName) -> Result<Backup, Failure> {
        let backups = self.backend.backups().await?;
        backups.into_iter().find(|backup| backup.filename == *name).ok_or_else(|| {
            let problem = Problem::new(ErrorCode::NotFound, format!("There is no backup {name}."));
            problem.hint("`nova-recovery backups` lists them.").into()
        })
    }

    /// The restore of this id, or the newest.
    async fn restore_of(&self, id: Option<OperationId>) -> Result<Restore, Failure> {
        let mut restores = self.backend.restores().await?.into_iter();
        let (found, detail) = match id {
            Some(id) => (
                restores.find(|restore| restore.id == id),
                format!("There is no restore {id} that could be rolled back."),
            ),
            None => (restores.next(), "There is no restore that could be rolled back.".to_owned()),
        };
        found.ok_or_else(|| {
            Problem::new(ErrorCode::NotFound, detail).hint("`nova-recovery restores` lists them.").into()
        })
    }

    /// Asks for the database's name, or for `otherwise` where that is not known.
    fn confirm(&mut self, explanation: &str, database: Option<&str>, otherwise: &str) -> Result<(), Failure> {
        if !io::stdin().is_terminal() {
            return Err(prompt::nobody_to_ask());
        }
        let (what, expected) = match database {
            Some(name) => ("the database's name", name),
            None => ("its name", otherwise),
        };
        prompt::confirm(explanation, what, expected, &mut io::stdin().lock(), self.output.stderr())
    }

    /// Does something that takes long, and tells what came of it.
    async fn carry_out(&mut self, task: Task) -> Result<Outcome, Failure> {
        let result = self.follow(&task).await?;
        let outcome: Outcome = serde_json::from_value(result.clone()).unwrap_or_default();
        self.output.result(&result, || render::outcome(task.kind(), &outcome))?;
        Ok(outcome)
    }

    /// Does something that takes long, and returns what came of it.
    pub(super) async fn follow(&mut self, task: &Task) -> Result<Value, Failure> {
        let mut interrupts: Box<dyn Interrupts> = Box::new(Signals::listen().map_err(|error| {
            Failure::unavailable("The handlers of signals cannot be installed.").caused_by(&error)
        })?);
        let operation = carry_out(self.backend, task, interrupts.as_mut(), self.output).await?;
        Ok(operation.result.unwrap_or(Value::Null))
    }
}
