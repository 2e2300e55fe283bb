//! Taking in a backup that comes from elsewhere: received to the side, proven, and only then given its name.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use recovery_core::{
    BackupInfo, BackupKind, BackupName, Progress, VerifyLevel, crash_point,
    port::{Cancelled, OperationContext},
};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    BackupService,
    catalogue::{renamed, sync_directory},
};
use crate::{
    BackupError,
    archive::{Flaw, read_manifest},
    directory::{create_missing, give_to_owner},
    records::{CheckRecord, FileStamp},
    space,
    work::{WorkDirectory, blocking},
};

/// How much is taken in at once.
const PIECE: usize = 256 * 1024;
/// After so many bytes it is asked again whether the disk has room.
const LOOK_EVERY: u64 = 1024 * 1024;

impl BackupService {
    /// Takes in an archive. It is listed only once it has arrived to its end and every file in it was decoded; a backup
    /// that is there is never overwritten. Its name is the one that it was made with; where `name` is given, it must be
    /// that one. `announced` is how many bytes are expected, where that is known.
    ///
    /// No lock is needed, so that a slow sender is in nobody's way. What the archive says is not trusted: nothing of it
    /// is loaded.
    pub async fn upload(
        &self,
        name: Option<&BackupName>,
        announced: Option<u64>,
        source: &mut (dyn AsyncRead + Send + Unpin),
        context: &dyn OperationContext,
    ) -> Result<BackupInfo, BackupError> {
        if let Some(name) = name {
            self.check_free(name).await?;
        }
        let (directory, id) = (self.settings.directory.clone(), context.id());
        let (work, file) = blocking(move || {
            create_missing(&directory)?;
            space::require(&directory, announced.unwrap_or(0))?;
            let work = WorkDirectory::create(&directory, id)?;
            let path = work.path().join("archive");
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(BackupError::storage("write an upload", &path))?;
            give_to_owner(&file, &directory);
            Ok((work, file))
        })
        .await?;
        let archive = work.path().join("archive");
        let file = self.receive(file, announced, source, context).await?;

        let (file, name) = self.named(file, name.cloned()).await?;
        self.check_free(&name).await?;
        context.record("received", json!({ "filename": &name })).await?;
        if name.kind() == BackupKind::Legacy {
            self.survey_legacy(&name, file, context).await?;
        } else {
            self.check_contents(&name, file, context).await?;
        }
        context.seal()?;
        context.report(Progress::phase("publishing"));
        // Proven: what has this name after a crash is a good backup.
        context.record("publishing", json!({ "filename": &name })).await?;
        let stamp = self.publish_new(archive, &name, "upload:renamed").await?;
        context.record("published", json!({ "filename": &name })).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the journal does not say that the upload was published");
        });
        let (at, filename) = (self.clock.now(), name.as_str().to_owned());
        let recorded = self.records.update_checks(move |checks| {
            let record = CheckRecord::verified(stamp, VerifyLevel::Contents, at);
            checks.insert(filename, CheckRecord { uploaded: true, ..record });
        });
        if let Err(error) = recorded.await {
            tracing::warn!(%error, "the check of an upload is not recorded");
        }
        self.find(&name).await
    }

    /// Fails where a backup of this name could not be taken in.
    pub async fn check_free(&self, name: &BackupName) -> Result<(), BackupError> {
        let (path, owned) = (self.path(name), name.clone());
        blocking(move || match fs::symlink_metadata(&path) {
            Ok(_) => Err(BackupError::NameTaken { name: owned }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(BackupError::storage("look for a backup", &path)(error)),
        })
        .await
    }

    /// Writes what arrives to the file, and syncs it.
    async fn receive(
        &self,
        file: File,
        announced: Option<u64>,
        source: &mut (dyn AsyncRead + Send + Unpin),
        context: &dyn OperationContext,
    ) -> Result<File, BackupError> {
        let written = || BackupError::storage("write an upload", &self.settings.directory);
        let mut out = tokio::fs::File::from_std(file);
        let mut buffer = vec![0; PIECE];
        let (mut received, mut looked_at) = (0, 0);
        loop {
            let read = tokio::select! {
                read = source.read(&mut buffer) => read,
                () = context.cancelled() => return Err(Cancelled.into()),
            };
            let read = read.map_err(|source| BackupError::BrokeOff { received, source })?;
            let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
            received += piece.len() as u64;
            if received >= looked_at {
                looked_at = received + LOOK_EVERY;
                let directory = self.settings.directory.clone();
                blocking(move || space::check(&directory)).await?;
            }
            out.write_all(piece).await.map_err(written())?;
            context.report(Progress::bytes("receiving", received, announced));
        }
        if announced.is_some_and(|announced| announced != received) {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "not as long as was announced");
            return Err(BackupError::BrokeOff { received, source });
        }
        out.flush().await.map_err(written())?;
        out.sync_all().await.map_err(written())?;
        Ok(out.into_std().await)
    }

    /// The name that the archive was made with, which is the given one where one is given.
    async fn named(
        &self,
        mut file: File,
        given: Option<BackupName>,
    ) -> Result<(File, BackupName), BackupError> {
        blocking(move || {
            let failed = || BackupError::storage("read an upload", "the upload");
            io::Seek::rewind(&mut file).map_err(failed())?;
            // An archive of the earlier service does not say its name.
            if let Some(name) = given.as_ref().filter(|name| name.kind() == BackupKind::Legacy) {
                return Ok((file, name.clone()));
            }
            let made_as = match read_manifest(&mut file) {
                Ok(manifest) => manifest.filename,
                Err(Flaw::Io(error)) => return Err(failed()(error)),
                Err(flaw) => return Err(BackupError::NotABackup { why: flaw.to_string() }),
            };
            io::Seek::rewind(&mut file).map_err(failed())?;
            match given {
                Some(name) if name != made_as => {
                    let hint = format!("Upload it under the name {made_as}.");
                    Err(BackupError::Incompatible { name, why: renamed(&made_as), hint })
                }
                _ => Ok((file, made_as)),
            }
        })
        .await
    }

    /// Gives an archive its name unless something has that name, durable when this returns. `moment` is what the time
    /// between the two is called.
    pub(super) async fn publish_new(
        &self,
        archive: PathBuf,
        name: &BackupName,
        moment: &'static str,
    ) -> Result<FileStamp, BackupError> {
        let (target, directory, name) = (self.path(name), self.settings.directory.clone(), name.clone());
        blocking(move || {
            rename_new(&archive, &target).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => BackupError::NameTaken { name },
                _ => BackupError::storage("publish the archive", &target)(error),
            })?;
            crash_point(moment);
            sync_directory(&directory)?;
            let data = fs::metadata(&target).map_err(BackupError::storage("look at the archive", &target))?;
            Ok(FileStamp::from(&data))
        })
        .await
    }
}

/// Renames a file to a name that nothing has.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::{
        fs::{CWD, RenameFlags, renameat_with},
        io::Errno,
    };
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows this kind of rename; a link never replaces anything either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        renamed => Ok(renamed?),
    }
}
