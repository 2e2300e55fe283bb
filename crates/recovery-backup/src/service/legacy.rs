//! Archives of the earlier service: checking one, and restoring it the way of every other backup, into a scratch
//! database that takes over once every row is there.

use std::fs::File;

use recovery_core::{
    BackupName, Progress, Verification, VerifyLevel, crash_point,
    database::{DatabaseName, DatabaseProfile, PostgresVersion, RowCounts, ServerFacts},
    port::{DatabaseError, OperationContext},
};
use serde_json::json;

use super::{
    BackupService, ExclusiveLock, catalogue::flawed, files::StagedFiles, legacy_files::LegacyFiles,
    restore::role_warnings, take_over::Following,
};
use crate::{
    BackupError, RestoreReport, VerifyReport,
    legacy::{Survey, survey},
    records::FileStamp,
    work::{blocking, check_cancelled, unless_cancelled, watched},
};

/// What is known when an archive can be loaded.
struct Prepared {
    server: ServerFacts,
    survey: Survey,
    profile: DatabaseProfile,
    scratch: DatabaseName,
    created_roles: Vec<String>,
}

/// What a scratch database has got, and what is to change with it.
struct LegacyLoaded {
    rows: RowCounts,
    warnings: Vec<String>,
    files: StagedFiles,
}

impl BackupService {
    /// Checks an archive of the earlier service: everything that can be found out by reading it, at every level. As
    /// [`BackupService::verify`].
    pub(super) async fn verify_legacy(
        &self,
        name: &BackupName,
        level: VerifyLevel,
        context: &dyn OperationContext,
    ) -> Result<VerifyReport, BackupError> {
        let file = self.open(name).await?.file;
        let data = file.metadata().map_err(BackupError::storage("look at a backup", self.path(name)))?;
        let (problems, notes) = match self.survey_legacy(name, file, context).await {
            Ok(survey) => (Vec::new(), vec![proven(&survey)]),
            Err(BackupError::Damaged { why, .. }) => (vec![why], Vec::new()),
            Err(error) => return Err(error),
        };
        let report = VerifyReport {
            filename: name.clone(),
            verification: if problems.is_empty() { Verification::Verified } else { Verification::Failed },
            level,
            checked_at: self.clock.now(),
            problems,
            drill: None,
            notes,
        };
        self.remember(&report, FileStamp::from(&data), VerifyLevel::Hashes).await;
        Ok(report)
    }

    /// Reads all of an archive of the earlier service. [`BackupError::Damaged`] says what is wrong with it.
    pub(super) async fn survey_legacy(
        &self,
        name: &BackupName,
        file: File,
        context: &dyn OperationContext,
    ) -> Result<Survey, BackupError> {
        let total = file.metadata().map(|data| data.len()).ok();
        let read = watched(context, "verifying", total, move |meter| survey(file, meter));
        read.await?.map_err(|flaw| flawed(name, flaw))
    }

    /// Replaces the database by what an archive of the earlier service holds. As [`BackupService::restore`].
    pub(super) async fn restore_legacy(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<RestoreReport, BackupError> {
        // Asked again at the swap, and then told.
        self.check_replaceable().await?;
        self.require_settled_files().await?;
        let Prepared { server, survey, profile, scratch, created_roles } =
            self.prepare_legacy(name, "loading", context).await?;
        let loaded = match self.begin_legacy_files(&survey, context).await {
            Ok(files) => self.load_legacy(name, &profile, &scratch, files, context).await,
            Err(error) => Err(error),
        };
        let swapped = match loaded {
            Ok(loaded) => self
                .take_over(
                    lock,
                    &scratch,
                    Some(name),
                    Following { directories: &loaded.files, keys: None },
                    context,
                )
                .await
                .map(|swapped| (loaded, swapped)),
            Err(error) => Err(error),
        };
        let (LegacyLoaded { rows, mut warnings, files }, swapped) = match swapped {
            Ok(done) => done,
            Err(error) => {
                self.undo(&scratch).await;
                return Err(error);
            }
        };
        warnings.extend(role_warnings(&created_roles));
        warnings.extend(version_warning(&survey, &server));
        warnings.extend(files.warnings);
        warnings.extend(swapped.warnings);
        Ok(RestoreReport {
            id: context.id(),
            filename: name.clone(),
            restored: true,
            strategy: "swap",
            restored_at: swapped.at,
            kept_until: swapped.replaced.as_ref().map(|replaced| replaced.kept_until),
            replaced_database: swapped.replaced.map(|replaced| replaced.replaced_database),
            tables: rows.tables.len() as u64,
            rows: rows.tables.values().sum(),
            warnings,
            safety_backup: None,
            files: swapped.files,
            keys_restored: 0,
            created_roles,
        })
    }

    /// Everything that a restore does, but for the swap.
    pub(super) async fn rehearse_legacy(
        &self,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        let Prepared { profile, scratch, created_roles, .. } =
            self.prepare_legacy(name, "drilling", context).await?;
        if !created_roles.is_empty() {
            tracing::warn!(roles = created_roles.join(", "), "a drill created roles that the server lacked");
        }
        let loaded = self.load_legacy(name, &profile, &scratch, LegacyFiles::default(), context).await;
        self.undo(&scratch).await;
        loaded.map(drop)
    }

    /// Reads all of an archive, refuses what could not succeed, and makes ready to load it. `step` is what the journal
    /// calls the load.
    async fn prepare_legacy(
        &self,
        name: &BackupName,
        step: &str,
        context: &dyn OperationContext,
    ) -> Result<Prepared, BackupError> {
        context.report(Progress::phase("preparing"));
        let server = self.database.server().await?;
        self.check_may_create(name, &server)?;
        // Read to its end before anything is touched: the reading of the load proves it only when it is over.
        let survey = self.survey_legacy(name, self.open(name).await?.file, context).await?;
        self.check_extensions(name, survey.extensions.iter().map(String::as_str)).await?;

        let live = self.database.target()?.database.clone();
        let profile = self.profile_for_legacy(&live).await?;
        let scratch = live.scratch(&context.id());
        self.sweep_scratch_databases(&live).await?;
        let roles: Vec<String> = survey.roles.iter().cloned().collect();
        let created_roles = self.database.create_missing_roles(&roles).await?;
        context.record(step, json!({ "scratch": &scratch })).await?;
        Ok(Prepared { server, survey, profile, scratch, created_roles })
    }

    /// Fills the scratch database, stages the files, and proves that every row of the script is there.
    async fn load_legacy(
        &self,
        name: &BackupName,
        profile: &DatabaseProfile,
        scratch: &DatabaseName,
        files: LegacyFiles,
        context: &dyn OperationContext,
    ) -> Result<LegacyLoaded, BackupError> {
        self.database.create_database(scratch, profile).await?;
        crash_point("load:created");
        let (loaded, files) = self.run_script(name, &profile.owner, scratch, files, context).await?;
        let files = blocking(move || files.finish()).await?;
        crash_point("load:loaded");
        check_cancelled(context)?;
        context.report(Progress::phase("comparing and analyzing"));
        let compare = async {
            let found = self.database.row_counts(scratch, self.settings.jobs).await?;
            loaded.compare(&found)?;
            Ok(found)
        };
        let analyze = async { Ok(self.database.analyze(scratch, self.settings.jobs).await?) };
        let (found, ()) = unless_cancelled(context, async { tokio::try_join!(compare, analyze) }).await?;
        self.database.apply_profile(scratch, profile).await?;
        Ok(LegacyLoaded { rows: found, warnings: loaded.warnings, files })
    }

    /// What the database will have besides its contents, of which the archive says nothing: what the live one has. Where
    /// that is gone, what a new database of the server gets.
    async fn profile_for_legacy(&self, live: &DatabaseName) -> Result<DatabaseProfile, BackupError> {
        match self.database.profile(live).await {
            Err(DatabaseError::NoSuchDatabase { .. }) => {}
            profile => return Ok(profile?),
        }
        let Ok(template) = "template1".parse() else { return Ok(self.database.profile(live).await?) };
        Ok(DatabaseProfile {
            owner: self.database.target()?.user.clone(),
            connection_limit: -1,
            tablespace: "pg_default".to_owned(),
            comment: None,
            settings: Vec::new(),
            privileges: None,
            ..self.database.profile(&template).await?
        })
    }
}

/// What a check that found nothing wrong has shown.
fn proven(survey: &Survey) -> String {
    let unknown = || "an unknown version".to_owned();
    let mut text = format!(
        "An archive of the earlier service holds no hashes. Shown by reading it to its end: the checksum of its gzip \
         stream is right, its tar is complete, and its script of {} bytes is one that pg_dump ({}) has written to the end \
         from PostgreSQL {}. It holds {} rows of {} tables.",
        survey.script_bytes,
        survey.client_version.clone().unwrap_or_else(unknown),
        survey.server_version.clone().unwrap_or_else(unknown),
        survey.rows.values().sum::<u64>(),
        survey.rows.len(),
    );
    for (directory, (files, bytes)) in &survey.directories {
        text.push_str(&format!(" It holds {files} files of {directory}/ ({bytes} bytes)."));
    }
    text
}

fn version_warning(survey: &Survey, server: &ServerFacts) -> Option<String> {
    let version = survey.server_version.as_deref()?;
    let major: u32 = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let PostgresVersion(ours) = server.version;
    (major > ours / 10_000).then(|| {
        format!(
            "It was made on PostgreSQL {major}, and the server is {}. Every statement of it was carried out, but \
             a newer version may mean something else by one.",
            server.version
        )
    })
}
