//! Where an entry of the tar belongs, and what it is.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
};

use tar::{EntryType, Header};

use super::{DIRECTORIES, SCRIPT, container::Extension, damaged};
use crate::{
    archive::Flaw,
    files::{Entry, What, is_name, shown},
};

/// Something below `sources/` or `memory/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    /// `sources` or `memory`.
    pub directory: &'static str,
    /// What stands there.
    pub item: Item,
}

/// What can stand below such a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A file, a directory or a symbolic link that stays inside its directory.
    Entry(Entry),
    /// Another name of a file that stood before: paths below the directory.
    SecondName {
        /// The other name.
        path: Vec<u8>,
        /// The name that the file has already.
        of: Vec<u8>,
    },
    /// What no place is found for: a link that leads elsewhere, a device, a pipe. Fit to be shown.
    LeftOut(String),
}

/// Where an entry belongs.
pub(super) enum Place {
    Script,
    Below(FileEntry),
    /// Nothing that this program knows; it is read over.
    Elsewhere,
}

pub(super) fn place(
    header: &Header,
    kind: EntryType,
    extension: &Extension,
    size: u64,
) -> Result<Place, Flaw> {
    let raw = extension.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
    let path = plain_path(&raw)?;
    let names: Vec<&str> = path.components().filter_map(|part| part.as_os_str().to_str()).collect();
    // Before POSIX a directory was a file whose name ends in a slash.
    let is_directory = kind.is_dir() || (kind.is_file() && raw.ends_with(b"/") && size == 0);
    if names == [SCRIPT] {
        return if kind.is_file() && !is_directory {
            Ok(Place::Script)
        } else {
            damaged(format!("its {SCRIPT} is no plain file"))
        };
    }
    let displayed = shown(&raw);
    let directory = DIRECTORIES.into_iter().find(|name| path.starts_with(name));
    let kind = match kind {
        _ if is_directory => EntryType::Directory,
        EntryType::Regular | EntryType::Symlink | EntryType::Link => kind,
        EntryType::Char | EntryType::Block | EntryType::Fifo => kind,
        _ => return damaged(format!("it holds something that is no file: {displayed}")),
    };
    if size > 0 && kind != EntryType::Regular {
        return damaged(format!("it claims contents of what has none: {displayed}"));
    }
    let Some(directory) = directory else { return Ok(Place::Elsewhere) };
    let below = bytes_below(&path, directory);
    let names = below.split(|byte| *byte == b'/');
    if names.clone().count() > Entry::MAX_DEPTH || (!below.is_empty() && !names.clone().all(is_name)) {
        return damaged(format!("it holds a path that no directory can have: {displayed}"));
    }
    let target = || {
        let raw = extension.link.clone().or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        raw.unwrap_or_default()
    };
    let what = match kind {
        EntryType::Directory => What::Directory,
        EntryType::Regular => What::File { size, data: None },
        EntryType::Symlink if stays_below(&path, &target()) => What::Link { target: target() },
        EntryType::Link => {
            let item = match plain_path(&target()) {
                Ok(of) if of.starts_with(directory) && of != path => {
                    Item::SecondName { path: below, of: bytes_below(&of, directory) }
                }
                _ => Item::LeftOut(displayed),
            };
            return Ok(Place::Below(FileEntry { directory, item }));
        }
        _ => return Ok(Place::Below(FileEntry { directory, item: Item::LeftOut(displayed) })),
    };
    let (seconds, nanoseconds) = extension
        .mtime
        .unwrap_or((header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0), 0));
    let number = |said: Option<u32>, field: std::io::Result<u64>| {
        said.or_else(|| field.ok().and_then(|number| number.try_into().ok())).unwrap_or(0)
    };
    let item = Item::Entry(Entry {
        path: below,
        what,
        mode: header.mode().unwrap_or(0o644) & Entry::MODE,
        uid: number(extension.uid, header.uid()),
        gid: number(extension.gid, header.gid()),
        seconds,
        nanoseconds,
    });
    Ok(Place::Below(FileEntry { directory, item }))
}

/// The path below the directory, as bytes.
fn bytes_below(path: &Path, directory: &str) -> Vec<u8> {
    path.strip_prefix(directory).unwrap_or(Path::new("")).as_os_str().as_bytes().to_vec()
}

/// The path without `.`; one that leads elsewhere is refused, wherever in the archive it stands.
fn plain_path(raw: &[u8]) -> Result<PathBuf, Flaw> {
    let path = PathBuf::from(OsString::from_vec(raw.to_owned()));
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) if !raw.contains(&0) => plain.push(name),
            Component::CurDir => {}
            _ => {
                return damaged(format!("it holds a path that leads elsewhere: {}", shown(raw)));
            }
        }
    }
    Ok(plain)
}

/// Whether a link at `path` leads to something inside the same directory of the archive.
fn stays_below(path: &Path, target: &[u8]) -> bool {
    let target = PathBuf::from(OsString::from_vec(target.to_owned()));
    // The first name is the directory itself, which the link must not leave.
    let mut depth = path.components().count().saturating_sub(2);
    if target.as_os_str().is_empty() || target.as_os_str().len() > Entry::MAX_LINK {
        return false;
    }
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}
