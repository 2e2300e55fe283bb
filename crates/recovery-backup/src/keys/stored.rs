//! Keys of one numbered database in a file: as a member of an archive, or as a file of their own.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use recovery_core::keys::{DumpedKey, RedisKey};

use super::{Command, Commands, LAST_DATABASE};
use crate::archive::Flaw;

/// The most keys of a batch.
const BATCH_KEYS: usize = 500;
/// What a batch takes at most, in bytes; one key may hold more.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Keys of one numbered database, and what they are to hold.
#[derive(Debug)]
pub(crate) struct StoredKeys {
    /// The number of the database.
    pub database: u8,
    file: File,
    offset: u64,
    length: u64,
    /// Whether some of them are to be removed.
    removals: bool,
}

impl StoredKeys {
    /// Those of an archive.
    pub(crate) fn in_archive(database: u8, file: File, offset: u64, length: u64) -> Self {
        Self { database, file, offset, length, removals: false }
    }

    /// What was noted in a directory of what keys held, by database.
    pub(crate) fn in_directory(directory: &Path) -> io::Result<Vec<Self>> {
        let mut stored = Vec::new();
        // A directory that is gone is not one in which nothing was noted.
        fs::read_dir(directory)?;
        for database in 0..=LAST_DATABASE {
            match File::open(directory.join(Self::file_name(database))) {
                Ok(file) => {
                    let length = file.metadata()?.len();
                    stored.push(Self { database, file, offset: 0, length, removals: true });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(stored)
    }

    /// The file in which a database is noted.
    pub(crate) fn file_name(database: u8) -> String {
        format!("db{database}.resp")
    }

    /// All of them, from the first one on.
    pub(crate) fn batches(&self) -> io::Result<Batches> {
        let section = Section { file: self.file.try_clone()?, offset: self.offset, left: self.length };
        let path = super::path_of(self.database);
        Ok(Batches(if self.removals {
            Commands::of_saved(&path, section)
        } else {
            Commands::of_archive(&path, section)
        }))
    }
}

/// A few keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Those that are to hold something.
    pub restore: Vec<DumpedKey>,
    /// Those that are to be removed.
    pub unlink: Vec<RedisKey>,
}

impl Batch {
    /// All of their names.
    pub(crate) fn names(&self) -> Vec<RedisKey> {
        self.restore.iter().map(|key| &key.key).chain(&self.unlink).cloned().collect()
    }
}

/// Keys, a few at a time.
pub(crate) struct Batches(Commands<Section>);

impl Batches {
    /// The next few; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>, Flaw> {
        let (mut batch, mut keys, mut bytes) = (Batch::default(), 0, 0);
        while keys < BATCH_KEYS && bytes < BATCH_BYTES {
            match self.0.next()? {
                None if keys == 0 => return Ok(None),
                None => break,
                Some(Command::Restore(key)) => {
                    bytes += key.key.0.len() + key.payload.len();
                    batch.restore.push(key);
                }
                Some(Command::Unlink(key)) => {
                    bytes += key.0.len();
                    batch.unlink.push(key);
                }
            }
            keys += 1;
        }
        Ok(Some(batch))
    }
}

/// A piece of a file.
struct Section {
    file: File,
    offset: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.offset)?;
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
