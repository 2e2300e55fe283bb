//! Directories in memory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use recovery_core::port::{DataDirectories, DirectoryError, DirectorySize, Emptied};

use crate::{Faults, lock};

/// A file system with directories, files, links and mount points. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryDirectories {
    nodes: Arc<Mutex<BTreeMap<PathBuf, DirectoryNode>>>,
    faults: Faults<DirectoryPoint, DirectoryError>,
}

/// Something with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryNode {
    /// A directory.
    Directory {
        /// Whether nothing may be removed from it.
        read_only: bool,
    },
    /// A directory on which something else is mounted; what is below its path is in there.
    MountPoint,
    /// A file.
    File(Vec<u8>),
    /// A symbolic link, to where it does not matter: nobody may follow it.
    Link,
}

/// Where a fake `DataDirectories` can be told to fail: as the call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryPoint {
    /// `measure`
    Measure,
    /// `empty`
    Empty,
}

impl MemoryDirectories {
    /// A file system in which there is nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The faults that it has in store.
    #[must_use]
    pub fn faults(&self) -> &Faults<DirectoryPoint, DirectoryError> {
        &self.faults
    }

    /// Puts something at a path, in place of what is there, with the directories that it is in.
    pub fn put(&self, path: impl Into<PathBuf>, node: DirectoryNode) {
        let path = path.into();
        assert!(path.is_absolute(), "{}", path.display());
        let mut nodes = lock(&self.nodes);
        for above in path.ancestors().skip(1) {
            nodes.entry(above.to_owned()).or_insert(DirectoryNode::Directory { read_only: false });
        }
        nodes.insert(path, node);
    }

    /// Puts a file there.
    pub fn put_file(&self, path: impl Into<PathBuf>, content: &str) {
        self.put(path, DirectoryNode::File(content.as_bytes().to_vec()));
    }

    /// Puts a directory there.
    pub fn put_directory(&self, path: impl Into<PathBuf>) {
        self.put(path, DirectoryNode::Directory { read_only: false });
    }

    /// Everything that there is.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<PathBuf, DirectoryNode> {
        lock(&self.nodes).clone()
    }

    /// Whether it is a directory that can be worked on.
    fn check(&self, path: &Path) -> Result<(), DirectoryError> {
        let owned = || path.to_owned();
        let not = |found| Err(DirectoryError::NotADirectory { path: owned(), found });
        assert!(path.is_absolute() && path.parent().is_some(), "{}", path.display());
        match lock(&self.nodes).get(path) {
            None => Err(DirectoryError::Missing { path: owned() }),
            Some(DirectoryNode::Link) => not("a symbolic link"),
            Some(DirectoryNode::File(_)) => not("a file"),
            Some(DirectoryNode::Directory { .. } | DirectoryNode::MountPoint) => Ok(()),
        }
    }

    /// What belongs to a directory.
    fn inside(&self, directory: &Path) -> BTreeMap<PathBuf, DirectoryNode> {
        let nodes = lock(&self.nodes);
        let is_mounted = |path: &Path| {
            let between = path.ancestors().take_while(|above| *above != directory);
            between.into_iter().any(|above| nodes.get(above) == Some(&DirectoryNode::MountPoint))
        };
        let inside = |path: &&PathBuf| path.starts_with(directory) && path.as_path() != directory;
        nodes
            .keys()
            .filter(inside)
            .filter(|path| !is_mounted(path))
            .map(|path| (path.clone(), nodes[path].clone()))
            .collect()
    }
}

fn size(node: &DirectoryNode) -> DirectorySize {
    match node {
        DirectoryNode::File(content) => DirectorySize { files: 1, bytes: content.len() as u64 },
        DirectoryNode::Link => DirectorySize { files: 1, bytes: 0 },
        DirectoryNode::Directory { .. } | DirectoryNode::MountPoint => DirectorySize::default(),
    }
}

#[async_trait]
impl DataDirectories for MemoryDirectories {
    async fn measure(&self, path: &Path) -> Result<DirectorySize, DirectoryError> {
        self.faults.pass(DirectoryPoint::Measure).await?;
        self.check(path)?;
        let inside = self.inside(path);
        let locked =
            |path: &Path| self.contents().get(path) == Some(&DirectoryNode::Directory { read_only: true });
        if inside.keys().any(|entry| entry.parent().is_some_and(locked)) {
            let why = "its file system is read-only";
            return Err(DirectoryError::ReadOnly { path: path.to_owned(), why });
        }
        let mut total = DirectorySize::default();
        for node in inside.values() {
            total.files += size(node).files;
            total.bytes += size(node).bytes;
        }
        Ok(total)
    }

    async fn empty(
        &self,
        path: &Path,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Emptied, DirectoryError> {
        self.faults.pass(DirectoryPoint::Empty).await?;
        self.check(path)?;
        let mut emptied = Emptied::default();
        // What is in a directory comes after it.
        for (entry, node) in self.inside(path).into_iter().rev() {
            let mut nodes = lock(&self.nodes);
            let parent = entry.parent().map(|parent| nodes[parent].clone());
            let stays = nodes.keys().any(|other| other.starts_with(&entry) && *other != entry);
            if parent == Some(DirectoryNode::Directory { read_only: true }) {
                emptied.left += 1;
                emptied.why.get_or_insert_with(|| "Read-only file system (os error 30)".to_owned());
            } else if !stays {
                nodes.remove(&entry);
                emptied.removed.files += size(&node).files;
                emptied.removed.bytes += size(&node).bytes;
                report(emptied.removed.files);
            }
        }
        report(emptied.removed.files);
        Ok(emptied)
    }
}
