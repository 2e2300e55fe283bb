//! How the content is replaced: by a rename, or in place where that cannot be.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use recovery_core::port::{EnvFileError, EnvVersion};

use super::{Place, source::Source};

/// After the name of the file: what stood there before.
const PREVIOUS: &str = ".previous";
/// After the name of the file: what is being written.
const NEW: &str = ".recovery-new";

/// Replaces the content, if it is the expected one, and keeps it.
pub(super) fn replace(place: &Place, bytes: &[u8], expected: &EnvVersion) -> Result<(), EnvFileError> {
    let mut source = Source::open_to_write(&place.path).map_err(|error| match error {
        // It was read before, so it is the writing that is not allowed.
        EnvFileError::Read(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            EnvFileError::ReadOnly
        }
        error => error,
    })?;
    let old = source.read()?;
    if place.version(&old) != *expected {
        return Err(EnvFileError::Changed);
    }
    let like = source.metadata()?;
    keep(place, &source.path, &old, &like).map_err(EnvFileError::Keep)?;
    let new = match stage(&source.path, bytes, &like) {
        Ok(new) => new,
        Err(error) if is_full(&error) => return Err(EnvFileError::Write(error)),
        Err(error) => {
            tracing::info!("the .env file is written in place, there cannot be a new one beside it: {error}");
            return write_in_place(&source.file, bytes, &old);
        }
    };
    // Programs that do not know the lock may have been at it meanwhile.
    let unchanged = source.is_in_place().and_then(|there| Ok(there && source.read()? == old));
    let renamed = match unchanged {
        Ok(true) => fs::rename(&new, &source.path),
        Ok(false) => return Err(discard(&new, EnvFileError::Changed)),
        Err(error) => return Err(discard(&new, error)),
    };
    match renamed {
        Ok(()) => {
            // It has happened; should the machine lose power now, the old content may be there again, which is whole.
            if let Err(error) = sync_directory(&source.path) {
                tracing::warn!("the directory of the .env file cannot be synced: {error}");
            }
            Ok(())
        }
        Err(error) => {
            let _ = fs::remove_file(&new);
            tracing::info!("the .env file is written in place, it cannot be renamed over: {error}");
            write_in_place(&source.file, bytes, &old)
        }
    }
}

fn discard(new: &Path, error: EnvFileError) -> EnvFileError {
    let _ = fs::remove_file(new);
    error
}

/// Keeps the content beside the file, or in the spare directory.
fn keep(place: &Place, path: &Path, old: &[u8], like: &Metadata) -> io::Result<()> {
    let beside = with_suffix(path, PREVIOUS);
    let Err(error) = write_whole(&beside, old, like, Owner::AsFarAsAllowed) else { return Ok(()) };
    let Some(directory) = &place.spare_directory else { return Err(error) };
    let name = beside.file_name().ok_or(error)?;
    write_whole(
        &directory.join(name.to_string_lossy().trim_start_matches('.')),
        old,
        like,
        Owner::AsFarAsAllowed,
    )
}

/// Writes the new content beside the file, with the mode and the owner of the old one, and syncs it.
fn stage(path: &Path, bytes: &[u8], like: &Metadata) -> io::Result<PathBuf> {
    let new = with_suffix(path, NEW);
    write_file(&new, bytes, like, Owner::Same)?;
    Ok(new)
}

/// Whether a new file must belong to the same user and group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Same,
    AsFarAsAllowed,
}

/// Writes a file as a whole: there is the old one or the new one.
fn write_whole(path: &Path, bytes: &[u8], like: &Metadata, owner: Owner) -> io::Result<()> {
    let new = with_suffix(path, NEW);
    write_file(&new, bytes, like, owner)?;
    fs::rename(&new, path).inspect_err(|_| drop(fs::remove_file(&new)))?;
    sync_directory(path)
}

/// Writes and syncs a new file. What an earlier process has left under its name goes first; nobody else is at it, since
/// the lock on the `.env` file is ours.
fn write_file(path: &Path, bytes: &[u8], like: &Metadata, owner: Owner) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Nobody else may read it before it has the mode that it is to have.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = (|| {
        let made = file.metadata()?;
        let same = (made.uid(), made.gid()) == (like.uid(), like.gid());
        let owned = same
            || match fchown(&file, Some(like.uid()), Some(like.gid())) {
                Ok(()) => true,
                Err(error) if owner == Owner::Same => return Err(error),
                Err(_) => false,
            };
        // To another owner the bits for group and others would mean other people.
        let mode = if owned { like.mode() & 0o7777 } else { 0o600 };
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

/// Overwrites the content. Readers that know the lock wait; where it fails, the old content is put back.
fn write_in_place(file: &File, bytes: &[u8], old: &[u8]) -> Result<(), EnvFileError> {
    let write = |bytes: &[u8]| {
        file.write_all_at(bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()
    };
    write(bytes).map_err(|error| {
        if let Err(error) = write(old) {
            tracing::error!("the content of the .env file cannot be put back, it is kept beside it: {error}");
        }
        EnvFileError::Write(error)
    })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text: OsString = path.as_os_str().to_owned();
    text.push(suffix);
    PathBuf::from(text)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
