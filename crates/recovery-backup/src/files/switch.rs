//! What was staged takes its place; what was there is kept, and can come back the same way.
//!
//! Each step is one rename and can be told from what exists, so that a switch that was cut off anywhere is carried on
//! by carrying it out again.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::BackupError;

use super::{
    BEFORE, IncludeName, IncludedDirectory, MOVING, STAGE, is_reserved,
    mounts::Mounts,
    place::{Manner, Place, resolve},
    rights::{unlock, unlock_all},
    stage::Stage,
};

/// How often a directory is looked at again into which programs go on writing while it is emptied.
const ROUNDS: usize = 100;

/// Contents that are complete and ready to take their place. Dropped, they are removed, unless they were released.
#[derive(Debug)]
pub(crate) struct Staged {
    place: Place,
    path: PathBuf,
    inode: u64,
    released: AtomicBool,
}

impl Staged {
    pub(super) fn new(place: Place, path: PathBuf, inode: u64) -> Self {
        Self { place, path, inode, released: AtomicBool::new(false) }
    }

    /// The switch that puts them in their place, with what is there now kept under a name of this time.
    pub(crate) fn switch(&self, at: OffsetDateTime) -> Result<Switch, BackupError> {
        let failed = BackupError::include("find a name for what is now in", &self.place.name);
        let Place { name, target, manner } = self.place.clone();
        Switch { name, target, manner, incoming: self.path.clone(), inode: self.inode, kept: PathBuf::new() }
            .keeping(at)
            .map_err(failed)
    }

    /// It is written down that they are to take their place: they are not removed any more, whatever becomes of the
    /// operation.
    pub(crate) fn release(&self) {
        self.released.store(true, Relaxed);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.released.load(Relaxed) {
            discard(&self.path);
        }
    }
}

/// The contents that a directory had before a restore or rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDirectory {
    /// What the directory is called in archives.
    pub name: IncludeName,
    target: PathBuf,
    manner: Manner,
    /// Where they are.
    kept: PathBuf,
}

impl KeptDirectory {
    /// Fails where they are not there any more.
    pub(crate) fn look(&self) -> io::Result<()> {
        fs::symlink_metadata(&self.kept).map(drop)
    }

    /// The switch that puts them back; what is there now is kept in its turn.
    pub(crate) fn switch(&self, at: OffsetDateTime) -> io::Result<Switch> {
        let inode = fs::symlink_metadata(&self.kept)?.ino();
        let (name, target, manner) = (self.name.clone(), self.target.clone(), self.manner);
        Switch { name, target, manner, incoming: self.kept.clone(), inode, kept: PathBuf::new() }.keeping(at)
    }

    /// Their name, without the directory that they are in.
    #[must_use]
    pub fn kept_as(&self) -> String {
        self.kept.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether this switch has a use for them.
    pub(crate) fn is_needed_by(&self, switch: &Switch) -> bool {
        switch.uses().contains(&self.kept)
    }

    /// Removes them. That they are gone already is no error.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove(&self.kept)
    }
}

/// One directory that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Switch {
    /// What it is called in archives.
    pub name: IncludeName,
    target: PathBuf,
    manner: Manner,
    /// What takes its place.
    incoming: PathBuf,
    /// By which that is known wherever it is.
    inode: u64,
    /// Where what was there goes.
    kept: PathBuf,
}

/// Called before each step with its name; fails where the step must not be taken. Only tests ever fail.
pub(crate) type Gate<'a> = &'a dyn Fn(&'static str) -> io::Result<()>;

impl Switch {
    /// What is kept once this is done.
    pub(crate) fn keeps(&self) -> KeptDirectory {
        let (name, target, manner) = (self.name.clone(), self.target.clone(), self.manner);
        KeptDirectory { name, target, manner, kept: self.kept.clone() }
    }

    fn keeping(mut self, at: OffsetDateTime) -> io::Result<Self> {
        let at = at.to_offset(time::UtcOffset::UTC);
        let (date, time) = (at.date(), at.time());
        let stamp = format!(
            "{:04}{:02}{:02}_{:02}{:02}{:02}",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        );
        for attempt in 1..=9999 {
            let counter = if attempt > 1 { format!("_{attempt}") } else { String::new() };
            self.kept = match self.manner {
                Manner::Whole => {
                    let mut name = self.target.file_name().unwrap_or_default().to_owned();
                    name.push(format!(".before-{stamp}{counter}"));
                    self.target.with_file_name(name)
                }
                Manner::Contents => self.target.join(format!("{BEFORE}{stamp}{counter}")),
            };
            if !exists(&self.kept)? && !exists(&self.moving())? {
                return Ok(self);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Where contents are until all of them have been moved away.
    fn moving(&self) -> PathBuf {
        let name = self.kept.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.target.join(name.replacen(BEFORE, MOVING, 1))
    }

    /// Where contents may be that have not come to their place: until it is done, nothing of this may be removed.
    fn uses(&self) -> [PathBuf; 3] {
        [self.incoming.clone(), self.moving(), self.kept.clone()]
    }

    /// Does what is left to do.
    pub(crate) fn carry_out(&self, gate: Gate<'_>) -> io::Result<()> {
        match self.manner {
            Manner::Whole => self.exchange(gate),
            Manner::Contents => self.replace_contents(gate),
        }
    }

    /// Whether nothing was done yet.
    pub(crate) fn is_untouched(&self) -> io::Result<bool> {
        Ok(match self.manner {
            Manner::Whole => inode(&self.target)? != Some(self.inode) && !exists(&self.kept)?,
            Manner::Contents => !exists(&self.kept)? && !exists(&self.moving())?,
        })
    }

    fn exchange(&self, gate: Gate<'_>) -> io::Result<()> {
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        if inode(&self.target)? != Some(self.inode) {
            gate("exchange")?;
            // There is nothing to exchange after the first of two renames, and where there never was a directory.
            if !exists(&self.target)? && !exists(&self.kept)? {
                fs::create_dir(&self.target)?;
            }
            let exchanged = renameat_with(CWD, &self.incoming, CWD, &self.target, RenameFlags::EXCHANGE);
            match exchanged {
                Ok(()) => {}
                Err(Errno::NOENT) if !exists(&self.target)? => fs::rename(&self.incoming, &self.target)?,
                // Not every file system can.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    fs::rename(&self.target, &self.kept)?;
                    fs::rename(&self.incoming, &self.target)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        gate("retire")?;
        if exists(&self.incoming)? {
            rename_new(&self.incoming, &self.kept)?;
        }
        sync(parent)
    }

    fn replace_contents(&self, gate: Gate<'_>) -> io::Result<()> {
        if !exists(&self.kept)? {
            let moving = self.moving();
            if !exists(&moving)? {
                // Without what takes its place, nothing is moved away.
                fs::symlink_metadata(&self.incoming)?;
                fs::create_dir(&moving)?;
            }
            gate("move away")?;
            empty_into(&self.target, &moving, gate)?;
            sync(&moving)?;
            gate("keep")?;
            // From here on, what is in the directory is what came in.
            rename_new(&moving, &self.kept)?;
            sync(&self.target)?;
        }
        if exists(&self.incoming)? {
            for name in names(&self.incoming)? {
                gate("move in")?;
                let to = self.target.join(&name);
                // A program may have made something of that name just now. Nobody's file is written over.
                if exists(&to)? {
                    carry(&to, &free_name(&self.kept, &name)?)?;
                }
                carry(&self.incoming.join(&name), &to)?;
            }
            gate("tidy")?;
            fs::remove_dir(&self.incoming)?;
        }
        sync(&self.target)
    }

    /// Puts contents back that were being moved away, so that the directory is as it was. Says `false` where it is too
    /// late for that.
    pub(crate) fn take_back(&self) -> io::Result<bool> {
        let moving = self.moving();
        if self.manner == Manner::Contents && !exists(&self.kept)? && exists(&moving)? {
            for name in names(&moving)? {
                carry(&moving.join(&name), &free_name(&self.target, &name)?)?;
            }
            fs::remove_dir(&moving)?;
            sync(&self.target)?;
        }
        self.is_untouched()
    }

    /// Removes what was to take the place, where that is a staged copy of an archive and not what a restore has kept.
    pub(crate) fn abandon(&self) {
        if is_stage(&self.incoming) {
            discard(&self.incoming);
        }
    }
}

/// Moves everything out of a directory but what is reserved, until nothing comes any more.
fn empty_into(from: &Path, to: &Path, gate: Gate<'_>) -> io::Result<()> {
    for _ in 0..ROUNDS {
        let mut names = names(from)?;
        names.retain(|name| !is_reserved(name.as_encoded_bytes(), true));
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            gate("move away")?;
            match carry(&from.join(&name), &free_name(to, &name)?) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved?,
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "programs go on writing to it"))
}

/// This name in a directory, or one like it that is free.
fn free_name(directory: &Path, name: &OsString) -> io::Result<PathBuf> {
    let plain = directory.join(name);
    if !exists(&plain)? {
        return Ok(plain);
    }
    for attempt in 2..=9999 {
        let mut other = name.clone();
        other.push(format!(".{attempt}"));
        let other = directory.join(other);
        if !exists(&other)? {
            return Ok(other);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes what earlier stagings have left beside or in these directories, but nothing that an unfinished switch needs:
/// once directories were exchanged, the name of what was staged is that of the contents from before. Nobody may be
/// staging.
pub(crate) fn sweep(directories: &[IncludedDirectory], unfinished: &[Switch]) -> Vec<String> {
    let mut swept = Vec::new();
    let uses: Vec<PathBuf> = unfinished.iter().flat_map(Switch::uses).collect();
    // By name alone: the same directory may be reached by another path now, and no two operations share a name.
    let is_needed = |name: &OsString| uses.iter().any(|path| path.file_name() == Some(name));
    for directory in directories {
        let Ok(Some(target)) = resolve(&directory.path) else { continue };
        let parent = target.parent().unwrap_or(Path::new("/"));
        let own = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (place, prefix) in [(parent, format!("{own}{}", Stage::MARK)), (&target, STAGE.to_owned())] {
            for name in names(place).unwrap_or_default() {
                let is_ours =
                    name.to_str().and_then(|name| name.strip_prefix(&prefix)).is_some_and(is_short_id);
                if is_ours && !is_needed(&name) && discard(&place.join(&name)) {
                    swept.push(name.to_string_lossy().into_owned());
                }
            }
        }
    }
    swept
}

fn is_stage(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('-').is_some_and(|(before, id)| {
        is_short_id(id) && (format!("{before}-") == STAGE || format!("{before}-").ends_with(Stage::MARK))
    })
}

fn is_short_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Removes a directory that nobody needs; that it cannot be is no reason to fail. Says whether it is gone.
pub(super) fn discard(path: &Path) -> bool {
    let removed = remove(path);
    if let Err(error) = &removed {
        tracing::warn!(path = %path.display(), %error, "cannot remove staged files; the next start tries again");
    }
    removed.is_ok()
}

/// Removes a directory with everything in it, and nothing that somebody has mounted there.
fn remove(path: &Path) -> io::Result<()> {
    let mounts = Mounts::read()?;
    if mounts.is_point(path) || !mounts.below(path).is_empty() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "something is mounted in it"));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unlock_all(path).and_then(|()| fs::remove_dir_all(path)).map_err(|_| error)
        }
        removed => removed,
    }
}

fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn exists(path: &Path) -> io::Result<bool> {
    Ok(inode(path)?.is_some())
}

/// What is known of something wherever it is on its file system; `None` where it does not exist.
fn inode(path: &Path) -> io::Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Ok(data) => Ok(Some(data.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Renames into another directory, and fails where something has that name. A directory goes elsewhere only if it may
/// be written; one that is ours may be for that moment. A crash then can leave it writable to its owner, and that is all.
fn carry(from: &Path, to: &Path) -> io::Result<()> {
    match rename_new(from, to) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let Some(unlocked) = unlock(from)? else { return Err(error) };
            let moved = rename_new(from, to);
            unlocked.lock()?;
            moved
        }
        moved => moved,
    }
}

/// Renames, and fails where something has that name.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !exists(to)? => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}
