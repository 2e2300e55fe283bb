//! Goes through a directory and everything below it, each directory after what is in it. What is mounted somewhere below
//! is not entered. However deep it is, only some directories are open at a time, and nothing recurses.

use std::ffi::{CStr, CString};

use rustix::{
    fs::{Dir, Statx},
    io::Errno,
};

use super::open::{self, Opened};

/// How many directories are open at a time.
const MOST_OPEN: usize = 64;
/// What this service keeps at the top of a directory: what a restore has replaced.
const OURS: &[u8] = b".recovery-";

/// Is told what is met.
pub(super) trait Visitor {
    /// Why the walk ends early.
    type Stop;

    /// There is something in this directory that belongs to it: told before anything else of it.
    fn entered(&mut self, directory: &Opened) -> Result<(), Self::Stop>;

    /// Something in a directory that is no directory, or one before it is entered.
    fn met(&mut self, directory: &Opened, name: &CStr, data: &Statx) -> Result<Fate, Self::Stop>;

    /// A directory of which all was met, as it was when it was opened. `fate` is the worst of what is in it.
    fn left(
        &mut self,
        parent: &Opened,
        name: &CStr,
        directory: &Opened,
        data: &Statx,
        fate: Fate,
    ) -> Result<Fate, Self::Stop>;

    /// Something could not be looked at.
    fn failed(&mut self, error: Errno) -> Result<(), Self::Stop>;
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// All is well with it.
    Fine,
    /// It stays, because something is mounted there or below.
    Spared,
    /// It is still there and should not be.
    Left,
}

struct Level {
    /// Its name in the directory above.
    name: CString,
    /// `None` while it is closed for the sake of those below.
    opened: Option<Opened>,
    data: Statx,
    /// The directories in it that are still to be entered.
    directories: Vec<CString>,
    fate: Fate,
}

/// Walks through a directory; what became of the worst that is in it.
pub(super) fn walk<V: Visitor>(root: Opened, visitor: &mut V) -> Result<Fate, V::Stop> {
    let mount = root.data;
    let mut stack = vec![Level::read(CString::default(), root, &mount, true, visitor)?];
    loop {
        let Some(top) = stack.last_mut() else { return Ok(Fate::Fine) };
        let Some(name) = top.directories.pop() else {
            let Some(done) = stack.pop() else { return Ok(Fate::Fine) };
            let Some(parent) = stack.last_mut() else { return Ok(done.fate) };
            if let Err(error) = parent.reopen(&done) {
                // Somebody has moved it elsewhere: nothing that is known of it holds any more.
                visitor.failed(error)?;
                return Ok(Fate::Left);
            }
            if let (Some(opened), Some(directory)) = (&parent.opened, &done.opened) {
                let fate = visitor.left(opened, &done.name, directory, &done.data, done.fate)?;
                parent.fate = parent.fate.max(fate);
            }
            continue;
        };
        let Some(opened) = &top.opened else { continue };
        match opened.below(&name) {
            Ok(below) if !open::same_mount(&below.data, &mount) => top.fate = top.fate.max(Fate::Spared),
            Ok(below) => {
                let level = Level::read(name, below, &mount, false, visitor)?;
                stack.push(level);
                if let Some(level) = stack.len().checked_sub(MOST_OPEN + 1).and_then(|at| stack.get_mut(at)) {
                    level.opened = None;
                }
            }
            Err(Errno::NOENT) => {}
            Err(error) => {
                visitor.failed(error)?;
                top.fate = Fate::Left;
            }
        }
    }
}

impl Level {
    /// Meets everything in a directory.
    fn read<V: Visitor>(
        name: CString,
        opened: Opened,
        mount: &Statx,
        is_top: bool,
        visitor: &mut V,
    ) -> Result<Self, V::Stop> {
        let data = opened.data;
        let mut level = Self { name, opened: None, data, directories: Vec::new(), fate: Fate::Fine };
        let result = level.meet_all(&opened, mount, is_top, visitor)?;
        if let Err(error) = result {
            visitor.failed(error)?;
            level.fate = Fate::Left;
        }
        level.opened = Some(opened);
        Ok(level)
    }

    fn meet_all<V: Visitor>(
        &mut self,
        opened: &Opened,
        mount: &Statx,
        is_top: bool,
        visitor: &mut V,
    ) -> Result<Result<(), Errno>, V::Stop> {
        let entries = match Dir::read_from(opened.as_fd()) {
            Ok(entries) => entries,
            Err(error) => return Ok(Err(error)),
        };
        let mut entered = false;
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Ok(Err(error)),
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || (is_top && is_reserved(name, &opened.data)) {
                continue;
            }
            let data = match opened.look(name) {
                Ok(data) => data,
                Err(Errno::NOENT) => continue,
                Err(error) => return Ok(Err(error)),
            };
            if !open::same_mount(&data, mount) {
                self.fate = self.fate.max(Fate::Spared);
                continue;
            }
            if !entered {
                visitor.entered(opened)?;
                entered = true;
            }
            let fate = visitor.met(opened, name, &data)?;
            self.fate = self.fate.max(fate);
            if open::is_directory(&data) {
                self.directories.push(name.to_owned());
            }
        }
        Ok(Ok(()))
    }

    /// Opens it again, from the one that was below it.
    fn reopen(&mut self, below: &Self) -> Result<(), Errno> {
        if self.opened.is_some() {
            return Ok(());
        }
        let below = below.opened.as_ref().ok_or(Errno::NOENT)?;
        let opened = below.below(c"..")?;
        if !open::same_file(&opened.data, &self.data) {
            return Err(Errno::STALE);
        }
        self.opened = Some(opened);
        Ok(())
    }
}

/// What is at the top of a directory and does not belong to its contents.
fn is_reserved(name: &CStr, top: &Statx) -> bool {
    let name = name.to_bytes();
    name.starts_with(OURS) || (name == b"lost+found" && open::is_mount_point(top))
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, fs, os::unix::fs::symlink, path::PathBuf};

    use super::*;

    /// Exchanges a directory for a link in the moment before it is entered.
    struct Exchange {
        top: PathBuf,
        outside: PathBuf,
        met: Vec<CString>,
        failed: usize,
    }

    impl Visitor for Exchange {
        type Stop = Infallible;

        fn entered(&mut self, _: &Opened) -> Result<(), Infallible> {
            Ok(())
        }

        fn met(&mut self, _: &Opened, name: &CStr, _: &Statx) -> Result<Fate, Infallible> {
            self.met.push(name.to_owned());
            if name == c"victim" {
                fs::remove_dir(self.top.join("victim")).unwrap();
                symlink(&self.outside, self.top.join("victim")).unwrap();
            }
            Ok(Fate::Fine)
        }

        fn left(&mut self, _: &Opened, _: &CStr, _: &Opened, _: &Statx, f: Fate) -> Result<Fate, Infallible> {
            Ok(f)
        }

        fn failed(&mut self, _: Errno) -> Result<(), Infallible> {
            self.failed += 1;
            Ok(())
        }
    }

    #[test]
    fn a_directory_that_is_a_link_by_now_is_not_entered() {
        let world = tempfile::tempdir().unwrap();
        let (top, outside) = (world.path().join("top"), world.path().join("outside"));
        fs::create_dir_all(top.join("victim")).unwrap();
        fs::create_dir_all(outside.join("in")).unwrap();
        let mut exchange = Exchange { top: top.clone(), outside, met: Vec::new(), failed: 0 };
        let Ok(fate) = walk(open::open(&top).unwrap(), &mut exchange);
        assert_eq!((fate, exchange.failed), (Fate::Left, 1));
        assert_eq!(exchange.met, [c"victim".to_owned()], "nothing behind the link is met");
    }
}
