//! Directories that belong to a backup besides the database: how they get into an archive and out of it again.
//!
//! In the archive such a directory stands as `files/<name>/…`, in the ordinary format of tar: [`pack`] walks it and
//! writes its entries, [`read_entries`] reads them back and accepts no other form than the one that is written.
//!
//! Out of an archive, of this format or another, it goes in three steps: a [`Place`] says where a directory is and what
//! could not be done there; a [`Stage`] takes [`Entry`] after [`Entry`] and puts them beside it; a [`Switch`] lets what
//! was staged take its place and keeps what was there as a [`KeptDirectory`], which a later switch can bring back.
//! [`sweep`] removes what was staged and never took its place.

mod entry;
mod format;
mod include;
mod mounts;
mod nesting;
mod order;
mod pack;
mod place;
mod read;
mod rights;
mod stage;
mod switch;
mod walk;
mod warnings;

pub(crate) use entry::{Entry, What, is_name, shown};
pub use include::{IncludeName, IncludedDirectory, InvalidIncludeName};
pub(crate) use nesting::{Lies, lies};
pub(crate) use pack::{PackError, Source, pack};
pub(crate) use place::Place;
pub(crate) use read::{Sink, read_entries};
pub(crate) use stage::Stage;
pub use switch::KeptDirectory;
pub(crate) use switch::{Staged, Switch, sweep};
pub(crate) use warnings::Warnings;

/// The directory of the included directories inside the archive.
pub(crate) const FILES: &str = "files";

/// Names that a restore uses at the top of a directory whose contents it replaces.
pub(crate) const STAGE: &str = ".recovery-stage-";
/// The contents that were there before, while they are moved away.
pub(crate) const MOVING: &str = ".recovery-moving-";
/// The contents that were there before.
pub(crate) const BEFORE: &str = ".recovery-before-";

/// Whether something at the top of an included directory does not belong to its contents: what a restore has put
/// there, and what the file system itself keeps at the top of a mount.
pub(crate) fn is_reserved(name: &[u8], of_mount_point: bool) -> bool {
    [STAGE, MOVING, BEFORE].iter().any(|prefix| name.starts_with(prefix.as_bytes()))
        || (of_mount_point && name == b"lost+found")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]
mod tests;
