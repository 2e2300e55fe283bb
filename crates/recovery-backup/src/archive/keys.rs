//! The keys of an archive, to be written back.

use super::{
    BLOCK, Piece,
    reader::{ArchiveReader, Flaw},
};
use crate::{
    keys::{StoredKeys, check},
    work::Meter,
};

impl ArchiveReader {
    /// Proves the keys of all databases, and says where they stand.
    pub(crate) fn keys(&self, meter: &Meter) -> Result<Vec<StoredKeys>, Flaw> {
        let mut stored = Vec::new();
        for (piece, offset) in self.placed().0 {
            let Piece::Keys(keys) = piece else { continue };
            let member = &keys.commands;
            self.read_member(member, offset, &|read| check(&member.path, keys.keys, read), meter)?;
            let file = self.file().try_clone()?;
            stored.push(StoredKeys::in_archive(keys.database, file, offset + BLOCK, member.size));
        }
        Ok(stored)
    }
}
