//! Restoring without the right to create databases: one transaction in the live database that empties it, loads the
//! archive, compares its rows, and only then is committed. Whatever goes wrong before leaves the database as it was; the
//! server itself sees to that. A safety backup takes the place of the database that a swap would keep.

use std::{collections::BTreeSet, fs, path::Path};

use async_trait::async_trait;
use recovery_core::{
    BackupKind, BackupName, OperationId, Progress,
    database::{DatabaseProfile, ServerFacts},
    port::{Cancelled, DatabaseRewrite, Kept, OperationContext, OtherRoles, Script, StateError},
};
use serde_json::{Value, json};

use super::{
    BackupService, ExclusiveLock,
    after_commit::Followers,
    files::{Files, StagedFiles},
    load::compare_rows,
    restore::role_warnings,
    sql::Options,
    tool_run::session_name,
};
use crate::{
    BackupError, Manifest, RestoreReport,
    archive::DATABASE,
    space,
    tools::{self, Tools},
    work::{WorkDirectory, blocking, check_cancelled, unless_cancelled},
};

/// The entries of a table of contents that PostgreSQL lets only superusers make.
const FOR_SUPERUSERS: [&str; 3] = ["EVENT TRIGGER", "FOREIGN DATA WRAPPER", "ACCESS METHOD"];

impl BackupService {
    /// Replaces the contents of the live database in one transaction.
    pub(super) async fn restore_in_place(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        server: &ServerFacts,
        tools: &Tools,
        context: &dyn OperationContext,
    ) -> Result<RestoreReport, BackupError> {
        let live = self.database.target()?.database.clone();
        let present = self.database.profile(&live).await?;
        let (manifest, application_name) = (self.manifest(name).await?, session_name("load", context.id()));
        let rewrite = self.rewrite_fits(name, &manifest, &present, &application_name, server).await?;
        self.require_settled_files().await?;
        let keys = self.keys_of_archive(name, &manifest).await?;
        // What is written from here on would be in no backup, and gone.
        context.report(Progress::phase("waiting for locks"));
        unless_cancelled(context, async { Ok(rewrite.hold_writers().await?) }).await?;

        let safety = self.create(lock, BackupKind::Safety, &Within(context)).await?.filename;
        let restored = self.rewrite(lock, name, &safety, tools, rewrite, context).await;
        if let Err((error, false)) = &restored {
            tracing::info!(%error, %safety, "nothing was changed, so the safety backup is not needed");
            let deleted = self.delete(lock, &safety).await;
            deleted.unwrap_or_else(|error| tracing::warn!(%error, %safety, "the safety backup stays"));
        }
        let Rewritten { manifest, files, created_roles, mut warnings } =
            restored.map_err(|(error, _)| error)?;
        let restored_at = self.clock.now();
        let followers = Followers { files, keys };
        let followed = self.follow_commit(&live, followers, restored_at, context).await;
        context.report(Progress::phase("analyzing"));
        if let Err(error) = self.database.analyze(&live, self.settings.jobs).await {
            tracing::warn!(%error, "no statistics of the restored database");
            warnings.push("The planner has no statistics yet; run ANALYZE.".to_owned());
        }
        warnings.insert(0, in_place_warning(&safety));
        warnings.extend(locale_warning(&present, &manifest.profile));
        warnings.extend(followed.warnings);
        Ok(RestoreReport {
            id: context.id(),
            filename: name.clone(),
            restored: true,
            strategy: "in_place",
            restored_at,
            kept_until: None,
            replaced_database: None,
            safety_backup: Some(safety),
            files: followed.files,
            keys_restored: followed.keys,
            tables: manifest.rows.tables.len() as u64,
            rows: manifest.rows.tables.values().sum(),
            warnings,
            created_roles,
        })
    }

    /// Refuses what could not succeed, before anything is done; begins the transaction.
    async fn rewrite_fits(
        &self,
        name: &BackupName,
        manifest: &Manifest,
        present: &DatabaseProfile,
        application_name: &str,
        server: &ServerFacts,
    ) -> Result<Box<dyn DatabaseRewrite>, BackupError> {
        let refuse =
            |why: String, hint: String| Err(BackupError::Incompatible { name: name.clone(), why, hint });
        let way_out =
            "Or give the role that recovery signs in as CREATEDB: then a second database is made instead.";
        for profile in [present, &manifest.profile] {
            if profile.encoding != "UTF8" {
                return refuse(
                    format!(
                        "the role that recovery signs in as may not create databases, and what is in {} cannot be \
                         restored in place",
                        profile.encoding
                    ),
                    "Give the role CREATEDB.".to_owned(),
                );
            }
        }
        let live = self.database.target()?.database.clone();
        let rewrite = self.database.rewrite(&live, application_name).await?;
        let owner = std::slice::from_ref(&present.owner);
        if !rewrite.other_roles(owner).await?.foreign.is_empty() {
            return refuse(
                format!(
                    "the role that recovery signs in as may not create databases, and {live} is not its own"
                ),
                format!("Make it the owner of the database. {way_out}"),
            );
        }
        let missing = rewrite.other_roles(&manifest.roles).await?.missing;
        if !missing.is_empty() && !server.may_create_roles {
            let names: Vec<&str> = missing.iter().map(String::as_str).collect();
            return refuse(
                format!("the server lacks the role(s) {}, which its privileges name", names.join(", ")),
                format!("Let a superuser create them, with NOLOGIN where nobody signs in as them. {way_out}"),
            );
        }
        let extensions: Vec<String> = manifest.extensions.keys().cloned().collect();
        let impossible = rewrite.impossible_extensions(&extensions).await?;
        if !impossible.is_empty() {
            return refuse(
                format!(
                    "the extension(s) {} are not installed, and may only be by a superuser",
                    impossible.join(", ")
                ),
                "Let a superuser run CREATE EXTENSION for them.".to_owned(),
            );
        }
        Ok(rewrite)
    }

    /// The transaction. The flag of an error says whether the transaction may have been committed all the same.
    async fn rewrite(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        safety: &BackupName,
        tools: &Tools,
        rewrite: Box<dyn DatabaseRewrite>,
        context: &dyn OperationContext,
    ) -> Result<Rewritten, (BackupError, bool)> {
        let rewritten = match self.prepare_rewrite(lock, name, safety, tools, &*rewrite, context).await {
            Ok(rewritten) => rewritten,
            Err(error) => {
                self.end_sessions(&session_name("load", context.id())).await;
                return Err((error, false));
            }
        };
        // From here on the server decides. It says how the transaction ended even where the connection broke.
        match rewrite.commit().await {
            Ok(()) => Ok(rewritten),
            Err(error) => Err((error.into(), true)),
        }
    }

    /// Everything but the end of the transaction.
    async fn prepare_rewrite(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        safety: &BackupName,
        tools: &Tools,
        rewrite: &dyn DatabaseRewrite,
        context: &dyn OperationContext,
    ) -> Result<Rewritten, BackupError> {
        let (work, manifest, files) = self.unpack(name, Files::Stage, context).await?;
        let (directory, needed) = (work.path().to_owned(), manifest.database_size_bytes);
        blocking(move || space::require(&directory, needed)).await?;
        context.record("rewriting", json!({ "safety": safety })).await?;
        let created_roles = self.database.create_missing_roles(&manifest.roles).await?;
        let other = rewrite.other_roles(&manifest.roles).await?;
        let list = self.table_of_contents(name, tools, &work, context).await?;
        let mut entries = Entries::of(&list, &other);
        if let Some(kind) = entries.for_superusers {
            return Err(BackupError::Incompatible {
                name: name.clone(),
                why: format!("it holds an object of the kind {kind}, which only a superuser may make"),
                hint: "Let recovery sign in as a superuser.".to_owned(),
            });
        }
        // Most of the work is done before anybody has to wait.
        let mut options = Options { entries: None, without_owners: entries.without_owners };
        let rows = self.write_script(tools, &work, "data", &options, context).await?;
        let after = self.write_script(tools, &work, "post-data", &options, context).await?;

        context.report(Progress::phase("waiting for locks"));
        let keep: BTreeSet<String> = manifest.extensions.keys().cloned().collect();
        let kept = unless_cancelled(context, async { Ok(rewrite.clear(&keep).await?) }).await?;
        let (file, text) = (work.path().join("entries"), entries.without(&kept));
        options.entries = Some(file.clone());
        blocking(move || fs::write(&file, text).map_err(BackupError::storage("write a list", &file))).await?;
        let before = self.write_script(tools, &work, "pre-data", &options, context).await?;
        for (kind, file) in
            [(Script::Definitions, before), (Script::Rows, rows), (Script::Definitions, after)]
        {
            self.run_sql(rewrite, kind, &file, context).await?;
        }
        context.report(Progress::phase("comparing"));
        let found = unless_cancelled(context, async { Ok(rewrite.row_counts().await?) }).await?;
        compare_rows(&manifest.rows, &found)?;
        let refusals = rewrite.apply_profile(&manifest.profile).await?;
        let mut warnings = role_warnings(&created_roles);
        warnings.extend(entries.warnings);
        warnings.extend(kept.leftovers.iter().map(|left| format!("The database still has {left}.")));
        if !refusals.is_empty() {
            warnings.push(format!(
                "The role may not set some properties of the database: {}.",
                refusals.join("; ")
            ));
        }

        lock.still_held().await?;
        context.seal()?;
        context.report(Progress::phase("committing"));
        let follows = !manifest.files.is_empty() || !manifest.redis.is_empty();
        context.record("committing", json!({ "safety": safety, "follows": follows })).await?;
        Ok(Rewritten { manifest, files, created_roles, warnings })
    }

    async fn table_of_contents(
        &self,
        name: &BackupName,
        tools: &Tools,
        work: &WorkDirectory,
        context: &dyn OperationContext,
    ) -> Result<String, BackupError> {
        let file = work.path().join("contents");
        let command = tools.list(&work.path().join(DATABASE), &file);
        let output =
            unless_cancelled(context, async { self.runner.run(command).await.map_err(BackupError::Command) })
                .await?;
        if !output.exit.success() {
            return Err(tools::failure("pg_restore", &output));
        }
        let read = |file: &Path| fs::read_to_string(file).map_err(BackupError::storage("read a list", file));
        let list = blocking(move || read(&file)).await;
        list.map_err(|error| match error {
            BackupError::Storage { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
                BackupError::Damaged {
                    name: name.clone(),
                    why: "its table of contents is no text".to_owned(),
                }
            }
            error => error,
        })
    }
}

/// What was done in the transaction.
struct Rewritten {
    manifest: Manifest,
    files: StagedFiles,
    created_roles: Vec<String>,
    warnings: Vec<String>,
}

/// The safety backup is made within another operation: it must not make that uncancellable, and its steps are its own.
pub(super) struct Within<'a>(pub &'a dyn OperationContext);

#[async_trait]
impl OperationContext for Within<'_> {
    fn id(&self) -> OperationId {
        self.0.id()
    }

    fn report(&self, progress: Progress) {
        self.0.report(progress);
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    fn seal(&self) -> Result<(), Cancelled> {
        check_cancelled(self.0)
    }

    async fn record(&self, step: &str, facts: Value) -> Result<(), StateError> {
        self.0.record(&format!("safety backup: {step}"), facts).await
    }
}

/// The table of contents of a dump, one entry a line: `215; 1259 16390 TABLE public users nova`.
struct Entries<'a> {
    lines: Vec<(&'a str, bool)>,
    without_owners: bool,
    for_superusers: Option<&'static str>,
    warnings: Vec<String>,
}

impl<'a> Entries<'a> {
    fn of(list: &'a str, other: &OtherRoles) -> Self {
        let mut entries =
            Self { lines: Vec::new(), without_owners: false, for_superusers: None, warnings: Vec::new() };
        let (mut owners, mut defaults) = (BTreeSet::new(), BTreeSet::new());
        for line in list.lines() {
            let Some(what) = what(line) else { continue };
            let owner = other.foreign.iter().find(|role| what.ends_with(&format!(" {role}")));
            let is_default = what.starts_with("DEFAULT ACL ");
            if let Some(owner) = owner {
                if is_default { &mut defaults } else { &mut owners }.insert(owner.as_str());
            }
            entries.for_superusers = entries
                .for_superusers
                .or(FOR_SUPERUSERS.into_iter().find(|kind| what.starts_with(&format!("{kind} "))));
            entries.lines.push((line, !(is_default && owner.is_some())));
        }
        entries.without_owners = !owners.is_empty();
        let names = |roles: BTreeSet<&str>| roles.into_iter().collect::<Vec<_>>().join(", ");
        if !owners.is_empty() {
            entries.warnings.push(format!(
                "Everything belongs to the role that recovery signs in as now: it may not give anything to {}.",
                names(owners)
            ));
        }
        if !defaults.is_empty() {
            entries.warnings.push(format!("The default privileges of {} are not restored.", names(defaults)));
        }
        entries
    }

    /// The list without what is there already.
    fn without(&mut self, kept: &Kept) -> String {
        let schemas =
            kept.schemas.iter().filter(|name| *name != "public").map(|name| format!("SCHEMA - {name} "));
        let extensions = kept
            .extensions
            .iter()
            .flat_map(|name| [format!("EXTENSION - {name} "), format!("COMMENT - EXTENSION {name} ")]);
        let there: Vec<String> = schemas.chain(extensions).collect();
        let mut text = String::new();
        for (line, is_wanted) in &self.lines {
            let is_there = what(line).is_some_and(|what| there.iter().any(|start| what.starts_with(start)));
            if *is_wanted && !is_there {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

/// An entry without its numbers: `TABLE public users nova`.
fn what(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once("; ")?;
    number.parse::<u64>().ok()?;
    rest.splitn(3, ' ').nth(2)
}

fn in_place_warning(safety: &BackupName) -> String {
    format!(
        "The role that recovery signs in as may not create databases, so the database was restored in place: while that \
         was done others could not write and then not read, and there is no replaced database to roll back to. The backup {safety} holds what \
         was there before."
    )
}

fn locale_warning(present: &DatabaseProfile, wanted: &DatabaseProfile) -> Option<String> {
    let locale = |profile: &DatabaseProfile| {
        (profile.locale_provider, profile.collate.clone(), profile.ctype.clone(), profile.locale.clone())
    };
    (locale(present) != locale(wanted)).then(|| {
        format!(
            "The database keeps its locale {}; that of the backup is {}.",
            present.locale.as_ref().unwrap_or(&present.collate),
            wanted.locale.as_ref().unwrap_or(&wanted.collate)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = ";\n; Archive created at 2026\n;\n7; 2615 16386 SCHEMA - fuzzy nova app\n\
                        3; 3079 16387 EXTENSION - hstore \n4444; 0 0 COMMENT - EXTENSION hstore \n\
                        215; 1259 16390 TABLE public users somebody\n5; 826 1 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES else\n";

    #[test]
    fn what_is_there_or_may_not_be_is_left_out_of_the_list() {
        let foreign = |names: &[&str]| OtherRoles {
            foreign: names.iter().map(|name| (*name).to_owned()).collect(),
            ..OtherRoles::default()
        };
        let kept = |schemas: &[&str], extensions: &[&str]| Kept {
            schemas: schemas.iter().map(|name| (*name).to_owned()).collect(),
            extensions: extensions.iter().map(|name| (*name).to_owned()).collect(),
            leftovers: Vec::new(),
        };
        let mut all = Entries::of(LIST, &foreign(&["body"]));
        assert!(!all.without_owners && all.warnings.is_empty());
        assert_eq!(all.without(&kept(&["public"], &[])).lines().count(), 5);
        assert_eq!(
            all.without(&kept(&["public", "fuzzy"], &["hstore"]))
                .lines()
                .map(|line| what(line).unwrap())
                .collect::<Vec<_>>(),
            ["TABLE public users somebody", "DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES else"]
        );
        let mut some = Entries::of(LIST, &foreign(&["somebody", "else"]));
        assert!(some.without_owners);
        assert_eq!(some.warnings.len(), 2, "{:?}", some.warnings);
        assert!(!some.without(&kept(&[], &[])).contains("DEFAULT ACL"));
    }

    #[test]
    fn what_only_superusers_make_is_found() {
        let list = "9; 3466 16500 EVENT TRIGGER - no_change nova\n";
        assert_eq!(Entries::of(list, &OtherRoles::default()).for_superusers, Some("EVENT TRIGGER"));
        let list = "9; 1259 16500 TABLE public EVENT TRIGGER nova\n";
        assert_eq!(Entries::of(list, &OtherRoles::default()).for_superusers, None);
    }
}
