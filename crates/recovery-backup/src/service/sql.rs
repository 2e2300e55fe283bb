//! An archive as SQL, for loading it through a connection of our own: where `pg_restore` may not or cannot do it.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use recovery_core::{
    Progress,
    database::DatabaseName,
    port::{DatabaseRewrite, OperationContext, Script},
};

use super::{
    BackupService,
    tool_run::{Watch, session_name},
};
use crate::{
    BackupError,
    archive::DATABASE,
    tools::{ScriptRequest, Tools},
    work::{TICK, WorkDirectory, blocking, unless_cancelled},
};

/// How a dump is turned into SQL.
#[derive(Default)]
pub(super) struct Options {
    /// A table of contents in which what is not wanted is commented out.
    pub entries: Option<PathBuf>,
    /// Whether everything is to belong to our own role.
    pub without_owners: bool,
}

impl BackupService {
    /// Writes one section of an unpacked dump as SQL, and returns its file.
    pub(super) async fn write_script(
        &self,
        tools: &Tools,
        work: &WorkDirectory,
        section: &'static str,
        options: &Options,
        context: &dyn OperationContext,
    ) -> Result<PathBuf, BackupError> {
        let file = work.path().join(format!("{section}.sql"));
        let command = tools.script(&ScriptRequest {
            directory: &work.path().join(DATABASE),
            section,
            entries: options.entries.as_deref(),
            without_owners: options.without_owners,
            into: &file,
        });
        let mut watch = ScriptWatch { file: file.clone(), context };
        // It signs in nowhere, so there are no sessions of it to end.
        self.run_tool("pg_restore", command, &session_name("script", context.id()), context, &mut watch)
            .await?;
        Ok(file)
    }

    /// Runs a script, and reports how far it is.
    pub(super) async fn run_sql(
        &self,
        rewrite: &dyn DatabaseRewrite,
        kind: Script,
        file: &Path,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        let path = file.to_owned();
        let total = blocking(move || {
            std::fs::metadata(&path)
                .map(|data| data.len())
                .map_err(BackupError::storage("look at a script", &path))
        })
        .await?;
        let done = AtomicU64::new(0);
        let report = || {
            context.report(Progress::bytes("loading", done.load(Ordering::Relaxed).min(total), Some(total)));
        };
        report();
        let running = async {
            let mut run = rewrite.run(kind, file, &done);
            loop {
                tokio::select! {
                    ended = &mut run => return Ok(ended?),
                    () = tokio::time::sleep(TICK) => report(),
                }
            }
        };
        unless_cancelled(context, running).await
    }

    /// Loads an unpacked dump into an empty database, for a server that does not know what `pg_restore` would set.
    pub(super) async fn load_by_script(
        &self,
        tools: &Tools,
        work: &WorkDirectory,
        database: &DatabaseName,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        let application_name = session_name("load", context.id());
        let rewrite = self.database.rewrite(database, &application_name).await?;
        for (section, kind) in
            [("pre-data", Script::Definitions), ("data", Script::Rows), ("post-data", Script::Definitions)]
        {
            let file = self.write_script(tools, work, section, &Options::default(), context).await?;
            self.run_sql(rewrite.as_ref(), kind, &file, context).await?;
        }
        Ok(rewrite.commit().await?)
    }
}

/// Watches a script grow.
struct ScriptWatch<'a> {
    file: PathBuf,
    context: &'a dyn OperationContext,
}

#[async_trait::async_trait]
impl Watch for ScriptWatch<'_> {
    const EVERY: Duration = Duration::from_millis(500);
    const STALL: Option<Duration> = Some(Duration::from_secs(10 * 60));

    fn writes_to(&self) -> Option<&Path> {
        self.file.parent()
    }

    async fn look(&mut self) -> u64 {
        let file = self.file.clone();
        let size = tokio::task::spawn_blocking(move || std::fs::metadata(file).map_or(0, |data| data.len()));
        let size = size.await.unwrap_or_default();
        self.context.report(Progress::bytes("writing SQL", size, None));
        size
    }
}
