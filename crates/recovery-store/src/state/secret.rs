//! The admin secret of an installation that configures none.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use recovery_core::port::StateError;
use secrecy::SecretString;

use super::{StateDirectory, files, reading, writing};

const WHAT: &str = "the admin secret";
const FILE: &str = "admin-secret";
const RANDOM_BYTES: usize = 32;
/// Shorter is no secret that we made; longer is no secret at all.
const MIN_CHARS: usize = 8;
const MAX_BYTES: u64 = 1024;

pub(super) fn read_or_generate(directory: &StateDirectory) -> Result<(SecretString, PathBuf), StateError> {
    let path = directory.file(FILE);
    if let Some(secret) = read(&path)? {
        return Ok((secret, path));
    }
    let _lock = directory.lock().map_err(writing(WHAT))?;
    // Another process may have been quicker.
    if let Some(secret) = read(&path)? {
        return Ok((secret, path));
    }
    let mut random = [0_u8; RANDOM_BYTES];
    files::random_bytes(&mut random).map_err(writing(WHAT))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    files::replace(&path, |file| writeln!(file, "{text}")).map_err(writing(WHAT))?;
    Ok((SecretString::from(text), path))
}

fn read(path: &Path) -> Result<Option<SecretString>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reading(WHAT)(error)),
    };
    tighten(&file, path);
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(reading(WHAT))?;
    let secret = text.trim();
    if secret.chars().count() < MIN_CHARS {
        return Err(StateError::Format {
            what: WHAT.to_owned(),
            why: format!("it is shorter than {MIN_CHARS} characters; remove the file to have a new one made"),
        });
    }
    Ok(Some(SecretString::from(secret.to_owned())))
}

/// Takes away from others what they may do with the file. Not every file system knows modes: then it is said, no more.
fn tighten(file: &File, path: &Path) {
    let open = file.metadata().map(|file| file.permissions().mode() & 0o077 != 0).unwrap_or(false);
    if !open {
        return;
    }
    match fs::set_permissions(path, Permissions::from_mode(0o600)) {
        Ok(()) => {
            tracing::warn!("the file of the admin secret could be read by others; now only its owner may");
        }
        Err(error) => tracing::warn!(%error, "the file of the admin secret can be read by others"),
    }
}
