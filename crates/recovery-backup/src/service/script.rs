//! Running the script of an archive of the earlier service in a scratch database.

use std::{collections::BTreeMap, fs::File};

use recovery_core::{
    BackupName,
    database::{DatabaseName, RowCounts},
    port::{Cancelled, LoadError, LoadSession, OperationContext},
};
use tokio::sync::mpsc;

use super::{BackupService, catalogue::flawed, legacy_files::LegacyFiles};
use crate::{
    BackupError,
    archive::Flaw,
    legacy::{Kind, Piece, Statement, TableName, read_all},
    work::{Meter, unless_cancelled, watched_on},
};

/// How many bytes of rows are sent at once.
const ROWS: usize = 128 * 1024;
/// How many pieces wait for the server.
const WAITING: usize = 8;

/// What is not there: of tables, schemas, functions, columns and everything else.
const UNDEFINED: [&str; 5] = ["42P01", "3F000", "42883", "42703", "42704"];
const UNDEFINED_OBJECT: &str = "42704";
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A piece of a script on its way from the file to the server.
enum Sent {
    Statement(Statement),
    Rows(Vec<u8>),
    RowsEnd(u64),
}

/// What a script has put into the database.
pub(super) struct Loaded {
    rows: BTreeMap<TableName, u64>,
    large_objects: u64,
    /// What the reader of the answer should know.
    pub warnings: Vec<String>,
}

impl BackupService {
    /// Runs the script of an archive in a new database, so that what it makes belongs to `owner`, and passes on its
    /// files. The first error ends it.
    pub(super) async fn run_script(
        &self,
        name: &BackupName,
        owner: &str,
        database: &DatabaseName,
        mut files: LegacyFiles,
        context: &dyn OperationContext,
    ) -> Result<(Loaded, LegacyFiles), BackupError> {
        let file = self.open(name).await?;
        let application_name = format!("nova-recovery-load-{}", context.id().short());
        let session = self.database.load_session(database, &application_name).await?;
        let user = &self.database.target()?.user;
        let mut run = Run::new(name, session, user, owner);
        run.begin().await?;

        let (sender, receiver) = mpsc::channel(WAITING);
        let total = Some(file.size_bytes);
        let file = file.file;
        let read = watched_on(files.stages_in(), context, "loading", total, move |meter| {
            let sent = send(file, meter, sender, &mut files);
            (files, sent)
        });
        let load = unless_cancelled(context, run.all(receiver));
        let (read, loaded) = tokio::join!(read, load);
        let (mut files, read) = read?;
        match read {
            Ok(()) => loaded?,
            // When the loading has stopped, nobody takes what is read.
            Err(Flaw::Stopped) => {
                loaded?;
                return Err(Cancelled.into());
            }
            Err(flaw) => return Err(files.failure(&flaw).unwrap_or_else(|| flawed(name, flaw))),
        }
        Ok((run.end(), files))
    }
}

/// Reads the script and sends it, until nobody takes it any more, and gives the files to theirs.
fn send(file: File, meter: &Meter, sender: mpsc::Sender<Sent>, files: &mut LegacyFiles) -> Result<(), Flaw> {
    let mut rows = Vec::with_capacity(ROWS);
    let send = |piece: Sent| sender.blocking_send(piece).map_err(|_| Flaw::Stopped);
    let mut pass = |piece: Piece<'_>| match piece {
        Piece::Statement(statement) => send(Sent::Statement(statement)),
        Piece::Rows(bytes) => {
            rows.extend_from_slice(bytes);
            if rows.len() < ROWS {
                return Ok(());
            }
            send(Sent::Rows(std::mem::replace(&mut rows, Vec::with_capacity(ROWS))))
        }
        Piece::RowsEnd(count) => {
            send(Sent::Rows(std::mem::take(&mut rows)))?;
            send(Sent::RowsEnd(count))
        }
    };
    read_all(file, meter, &mut pass, &mut |entry, contents| files.take(entry, contents))
}

/// A script that is being run.
struct Run<'a> {
    name: &'a BackupName,
    session: Box<dyn LoadSession>,
    user: &'a str,
    owner: &'a str,
    /// Whether the owner's role was taken on.
    acting: bool,
    /// Whether it was given up for the `COPY` that goes on.
    own_rights: bool,
    /// How many statements needed our own rights instead.
    borrowed: u64,
    /// Still in that part of a dump made with `--clean` that removes what may be there; here nothing is.
    cleaning: bool,
    in_transaction: bool,
    table: Option<(TableName, u64)>,
    loaded: Loaded,
}

impl<'a> Run<'a> {
    fn new(name: &'a BackupName, session: Box<dyn LoadSession>, user: &'a str, owner: &'a str) -> Self {
        Self {
            name,
            session,
            user,
            owner,
            acting: false,
            own_rights: false,
            borrowed: 0,
            cleaning: true,
            in_transaction: false,
            table: None,
            loaded: Loaded { rows: BTreeMap::new(), large_objects: 0, warnings: Vec::new() },
        }
    }

    async fn begin(&mut self) -> Result<(), BackupError> {
        if self.owner == self.user {
            return Ok(());
        }
        match self.session.act_as(Some(self.owner)).await {
            Ok(()) => self.acting = true,
            Err(LoadError::Refused { message, .. }) => {
                tracing::warn!(owner = self.owner, message, "the owner's role cannot be taken on");
            }
            Err(LoadError::Database(error)) => return Err(error.into()),
        }
        Ok(())
    }

    async fn all(&mut self, mut pieces: mpsc::Receiver<Sent>) -> Result<(), BackupError> {
        while let Some(piece) = pieces.recv().await {
            match piece {
                Sent::Statement(statement) => self.statement(statement).await?,
                Sent::Rows(bytes) if bytes.is_empty() => {}
                Sent::Rows(bytes) => match self.session.copy(&bytes).await {
                    Ok(()) => {}
                    Err(error) => return Err(self.failed(self.line(), "COPY", error)),
                },
                Sent::RowsEnd(sent) => self.rows_end(sent).await?,
            }
        }
        Ok(())
    }

    async fn statement(&mut self, statement: Statement) -> Result<(), BackupError> {
        let Statement { text, line, kind } = &statement;
        let removes = matches!(kind, Kind::Removes | Kind::Changes | Kind::Unlinks);
        let prepares = matches!(kind, Kind::Setting | Kind::Encoding(_) | Kind::Backslashes(_));
        self.cleaning &= removes || prepares || matches!(kind, Kind::Begin | Kind::Commit);
        if self.cleaning && *kind == Kind::Unlinks {
            // Inside a transaction its failure would be the end of that.
            return Ok(());
        }
        let done = match kind {
            Kind::Copy(table) => {
                self.table = Some((table.clone(), *line));
                self.with_rights(text, true).await
            }
            _ => self.with_rights(text, false).await,
        };
        match done {
            Ok(rows) => self.note(kind, rows),
            Err(LoadError::Refused { sqlstate, message })
                if (self.cleaning && removes && UNDEFINED.contains(&sqlstate.as_str()))
                    || (*kind == Kind::Setting && sqlstate == UNDEFINED_OBJECT) =>
            {
                tracing::debug!(line, message, "a statement of a script has nothing to do here");
            }
            Err(error) => return Err(self.failed(*line, &statement.name(), error)),
        }
        Ok(())
    }

    /// Runs a statement with the rights of the owner or, where these are not enough, with our own: some things only a
    /// superuser may do, an extension or an event trigger for example.
    async fn with_rights(&mut self, text: &str, copy: bool) -> Result<u64, LoadError> {
        match self.run(text, copy).await {
            Err(LoadError::Refused { sqlstate, message })
                if self.acting && !self.in_transaction && sqlstate == INSUFFICIENT_PRIVILEGE =>
            {
                tracing::debug!(message, "the owner's rights are not enough");
                self.session.act_as(None).await?;
                let done = self.run(text, copy).await;
                // No statement can be run before the rows of a COPY are there.
                self.own_rights = copy && done.is_ok();
                if !self.own_rights {
                    self.session.act_as(Some(self.owner)).await?;
                }
                self.borrowed += u64::from(done.is_ok());
                done
            }
            done => done,
        }
    }

    async fn run(&mut self, text: &str, copy: bool) -> Result<u64, LoadError> {
        if copy { self.session.begin_copy(text).await.map(|()| 0) } else { self.session.run(text).await }
    }

    fn note(&mut self, kind: &Kind, rows: u64) {
        match kind {
            Kind::Begin => self.in_transaction = true,
            Kind::Commit => self.in_transaction = false,
            Kind::Insert(table) => *self.loaded.rows.entry(table.clone()).or_default() += rows,
            Kind::LargeObject => self.loaded.large_objects += 1,
            _ => {}
        }
    }

    async fn rows_end(&mut self, sent: u64) -> Result<(), BackupError> {
        let taken = match self.session.end_copy().await {
            Ok(taken) => taken,
            Err(error) => return Err(self.failed(self.line(), "COPY", error)),
        };
        let Some((table, line)) = self.table.take() else { return Ok(()) };
        if taken != sent {
            let why = format!("{table} has {taken} rows instead of {sent}");
            return Err(BackupError::RowsDiffer { why });
        }
        *self.loaded.rows.entry(table).or_default() += taken;
        if std::mem::take(&mut self.own_rights) {
            let again = self.session.act_as(Some(self.owner)).await;
            again.map_err(|error| self.failed(line, "COPY", error))?;
        }
        Ok(())
    }

    fn line(&self) -> u64 {
        self.table.as_ref().map_or(0, |(_, line)| *line)
    }

    fn failed(&self, line: u64, statement: &str, error: LoadError) -> BackupError {
        match error {
            LoadError::Refused { message, .. } => BackupError::Incompatible {
                name: self.name.clone(),
                why: format!("PostgreSQL refuses line {line} of its script ({statement}): {message}"),
                hint: "Nothing was changed. Mend on the server what the message says, or use another backup."
                    .to_owned(),
            },
            LoadError::Database(error) => error.into(),
        }
    }

    /// The script is over.
    fn end(mut self) -> Loaded {
        let holder = if self.acting || self.owner == self.user { self.owner } else { self.user };
        self.loaded.warnings.push(format!(
            "An archive of the earlier service holds no owners and no privileges: what was restored belongs to {holder}, \
             and what other roles may do has to be granted again."
        ));
        if self.borrowed > 0 {
            self.loaded.warnings.push(format!(
                "{} of its statements needed more rights than {} has; what they made belongs to {}.",
                self.borrowed, self.owner, self.user
            ));
        }
        self.loaded
    }
}

impl Loaded {
    /// Compares the rows that the script has loaded with those that are there.
    pub(super) fn compare(&self, found: &RowCounts) -> Result<(), BackupError> {
        let mut differences = Vec::new();
        let parsed = found.tables.iter().filter_map(|(name, rows)| Some((TableName::parse(name)?, *rows)));
        let counted: BTreeMap<TableName, u64> = parsed.collect();
        // What is loaded through a partitioned table lies in its partitions, and tables of extensions are not counted.
        let elsewhere = self.rows.keys().any(|table| !counted.contains_key(table));
        for (table, rows) in &counted {
            let expected = self.rows.get(table).copied().unwrap_or(0);
            if *rows != expected && !(elsewhere && *rows > expected) {
                differences.push(format!("{table} has {rows} rows instead of {expected}"));
            }
        }
        if found.large_objects != self.large_objects {
            differences.push(format!(
                "there are {} large objects instead of {}",
                found.large_objects, self.large_objects
            ));
        }
        let rest = differences.len().saturating_sub(3);
        differences.truncate(3);
        if rest > 0 {
            differences.push(format!("and {rest} more"));
        }
        if differences.is_empty() {
            Ok(())
        } else {
            Err(BackupError::RowsDiffer { why: differences.join("; ") })
        }
    }
}
