//! One thing in an included directory: a file, a directory or a symbolic link.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

/// One thing in an included directory, without its contents. Access control lists and other extended attributes are not
/// kept, and a file with several names is several files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path below the directory, any bytes joined by `/`; empty for the directory itself.
    pub path: Vec<u8>,
    /// What it is.
    pub what: What,
    /// Its permission bits, those of set-user-ID, set-group-ID and the sticky bit included.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was last changed: seconds since 1970.
    pub seconds: i64,
    /// And nanoseconds, less than 1,000,000,000.
    pub nanoseconds: u32,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// What it points to, as it stands there: any bytes.
        target: Vec<u8>,
    },
    /// A file.
    File {
        /// Its length in bytes, holes included.
        size: u64,
        /// Where its data lies, in order and with holes between; `None` where it has no hole.
        data: Option<Vec<Extent>>,
    },
}

/// A piece of a file that is no hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl Entry {
    /// The permission bits.
    pub(crate) const MODE: u32 = 0o7777;
    /// The longest path below the directory.
    pub(crate) const MAX_PATH: usize = 32 * 1024;
    /// The most directories inside one another: each is an open file while it is worked on.
    pub(crate) const MAX_DEPTH: usize = 256;
    /// The longest name.
    pub(crate) const MAX_NAME: usize = 255;
    /// The longest target of a link.
    pub(crate) const MAX_LINK: usize = 4095;
    /// The most pieces of one file; beyond that the rest of it counts as data.
    pub(crate) const MAX_EXTENTS: usize = 10_000;

    /// What the file system says of something that stands at `path`.
    pub(crate) fn new(path: Vec<u8>, what: What, data: &Metadata) -> Self {
        Self {
            path,
            what,
            mode: data.mode() & Self::MODE,
            uid: data.uid(),
            gid: data.gid(),
            seconds: data.mtime(),
            nanoseconds: u32::try_from(data.mtime_nsec()).unwrap_or(0),
        }
    }

    /// The names that its path consists of; none for the directory itself.
    pub(crate) fn names(&self) -> Vec<&[u8]> {
        if self.path.is_empty() { Vec::new() } else { self.path.split(|byte| *byte == b'/').collect() }
    }

    /// How many bytes of contents belong to it, holes left out.
    pub(crate) fn stored(&self) -> u64 {
        match &self.what {
            What::File { size, data: None } => *size,
            What::File { data: Some(extents), .. } => extents.iter().map(|extent| extent.length).sum(),
            What::Directory | What::Link { .. } => 0,
        }
    }
}

/// Whether this can be the name of something in a directory.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= Entry::MAX_NAME
        && !name.contains(&0)
        && !name.contains(&b'/')
}

/// How a path from the file system is shown to a person: line ends and the like cannot get into it.
pub(crate) fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut short: String = text.chars().take(120).flat_map(char::escape_debug).collect();
    if text.chars().count() > 120 {
        short.push('…');
    }
    short
}
