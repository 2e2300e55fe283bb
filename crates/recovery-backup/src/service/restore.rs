//! Restoring: load into a scratch database, compare, swap names. Until the swap the live database serves, and a
//! failure drops the scratch database and nothing else.

use recovery_core::{
    BackupKind, BackupName, Progress,
    database::{PostgresVersion, ServerFacts},
    port::OperationContext,
};
use serde_json::json;

use super::{BackupService, ExclusiveLock, files::Files, take_over::Following};
use crate::{BackupError, Manifest, RestoreReport, tools::Tools};

impl BackupService {
    /// Replaces the database by the contents of a backup. The one that was there is kept under another name for a
    /// rollback; whatever goes wrong before the swap leaves it as it is.
    pub async fn restore(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<RestoreReport, BackupError> {
        if name.kind() == BackupKind::Legacy {
            return self.restore_legacy(lock, name, context).await;
        }
        context.report(Progress::phase("preparing"));
        let server = self.database.server().await?;
        let manifest = self.manifest(name).await?;
        let client = manifest.client_version;
        let tools = Tools::for_loading(&self.settings, self.runner.as_ref(), server.version, client).await?;
        if !server.may_create_databases {
            self.check_versions(name, &manifest, &server, &tools).await?;
            return self.restore_in_place(lock, name, &server, &tools, context).await;
        }
        self.check_compatible(name, &manifest, &server, &tools).await?;
        // Asked again at the swap, and then told.
        self.check_replaceable().await?;
        self.require_settled_files().await?;
        let keys = self.keys_of_archive(name, &manifest).await?;
        let (work, manifest, files) = self.unpack(name, Files::Stage, context).await?;

        let target = self.database.target()?;
        let live = target.database.clone();
        let scratch = live.scratch(&context.id());
        self.sweep_scratch_databases(&live).await?;
        let created_roles = self.database.create_missing_roles(&manifest.roles).await?;
        context.record("loading", json!({ "scratch": &scratch })).await?;
        let loaded = self.load(&tools, &work, &manifest, &scratch, context).await;
        // The disk is better used for the swap than for the unpacked dump.
        drop(work);
        let swapped = match loaded {
            Ok(()) => {
                let following = Following { directories: &files, keys };
                self.take_over(lock, &scratch, Some(name), following, context).await
            }
            Err(error) => Err(error),
        };
        let swapped = match swapped {
            Ok(swapped) => swapped,
            Err(error) => {
                self.undo(&scratch).await;
                return Err(error);
            }
        };
        Ok(RestoreReport {
            id: context.id(),
            filename: name.clone(),
            restored: true,
            strategy: "swap",
            restored_at: swapped.at,
            kept_until: swapped.replaced.as_ref().map(|replaced| replaced.kept_until),
            replaced_database: swapped.replaced.map(|replaced| replaced.replaced_database),
            tables: manifest.rows.tables.len() as u64,
            rows: manifest.rows.tables.values().sum(),
            safety_backup: None,
            warnings: role_warnings(&created_roles)
                .into_iter()
                .chain(client_warning(&tools, server.version))
                .chain(files.warnings)
                .chain(swapped.warnings)
                .collect(),
            files: swapped.files,
            keys_restored: swapped.keys,
            created_roles,
        })
    }

    /// Refuses what could not be loaded into a second database, before anything is touched.
    pub(super) async fn check_compatible(
        &self,
        name: &BackupName,
        manifest: &Manifest,
        server: &ServerFacts,
        tools: &Tools,
    ) -> Result<(), BackupError> {
        self.check_versions(name, manifest, server, tools).await?;
        self.check_may_create(name, server)
    }

    /// Refuses what this server or these programs could not load anywhere.
    async fn check_versions(
        &self,
        name: &BackupName,
        manifest: &Manifest,
        server: &ServerFacts,
        tools: &Tools,
    ) -> Result<(), BackupError> {
        let refuse = |why: String, hint: &str| {
            Err(BackupError::Incompatible { name: name.clone(), why, hint: hint.to_owned() })
        };
        if manifest.server_version.major() > server.version.major() {
            return refuse(
                format!(
                    "it was made on PostgreSQL {}, and the server is {}",
                    manifest.server_version, server.version
                ),
                "Restore it on a server of the same or a newer major version.",
            );
        }
        if manifest.client_version.major() > tools.version.major() {
            return refuse(
                format!(
                    "it was made by pg_dump {}, which pg_restore {} cannot read",
                    manifest.client_version, tools.version
                ),
                "Restore it on a server of that major version, with its client programs.",
            );
        }
        self.check_extensions(name, manifest.extensions.keys().map(String::as_str)).await
    }

    /// Refuses to restore where no scratch database can be created.
    pub(super) fn check_may_create(
        &self,
        name: &BackupName,
        server: &ServerFacts,
    ) -> Result<(), BackupError> {
        if server.may_create_databases {
            return Ok(());
        }
        Err(BackupError::Incompatible {
            name: name.clone(),
            why: "the role that recovery signs in as may not create databases".to_owned(),
            hint: "Give the role CREATEDB, or let recovery sign in as a superuser.".to_owned(),
        })
    }

    /// Refuses a backup that needs extensions which the server does not have.
    pub(super) async fn check_extensions(
        &self,
        name: &BackupName,
        needed: impl Iterator<Item = &str>,
    ) -> Result<(), BackupError> {
        let available = self.database.available_extensions().await?;
        let missing: Vec<&str> = needed.filter(|name| !available.contains_key(*name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(BackupError::Incompatible {
            name: name.clone(),
            why: format!("the server lacks the extension(s) {}", missing.join(", ")),
            hint: "Install the packages of these extensions on the database server.".to_owned(),
        })
    }
}

fn client_warning(tools: &Tools, server: PostgresVersion) -> Option<String> {
    tools.cannot_load_into(server).then(|| {
        format!(
            "Only the client programs of PostgreSQL {} can be used, and the server is {server}: it was loaded by one \
             connection, more slowly. Install the client programs of the server's own major version.",
            tools.version
        )
    })
}

pub(super) fn role_warnings(created: &[String]) -> Vec<String> {
    if created.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "The server lacked the role(s) {}. They were created without the right to sign in; give them LOGIN and a \
         password where programs need them.",
        created.join(", ")
    )]
}
