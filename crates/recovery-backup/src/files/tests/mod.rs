//! Directories as they get into an archive and out of it again, on real file systems. Some of these tests mount and
//! give files to other users, so they run as root.

mod changing;
mod hostile;
mod rights;
mod round_trip;
mod switching;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use recovery_core::{
    BackupKind, BackupName, OperationId,
    database::{DatabaseProfile, LocaleProvider, PostgresVersion, RowCounts},
};
use time::macros::datetime;

use super::*;
use crate::{
    IncludedFiles, IncludedKeys, Manifest, Member,
    archive::{ArchiveReader, DATABASE, Flaw, Visitor, write_archive},
    work::Meter,
};

/// A directory to include, one for the archive, and the one that is made of it.
struct World {
    directory: tempfile::TempDir,
    include: IncludedDirectory,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["sources", "backups", "work"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let path = directory.path().canonicalize().unwrap().join("sources");
        Self { directory, include: IncludedDirectory { name: "sources".parse().unwrap(), path } }
    }

    fn source(&self) -> &Path {
        &self.include.path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, contents: &str) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Packs the directory.
    fn pack(&self) -> (PathBuf, Manifest) {
        let sources = [Source::open(self.include.clone()).unwrap()];
        self.pack_from(&sources)
    }

    fn pack_from(&self, sources: &[Source]) -> (PathBuf, Manifest) {
        let work = self.path("work");
        fs::create_dir_all(work.join(DATABASE)).unwrap();
        fs::write(work.join("database/toc.dat"), b"PGDMP").unwrap();
        let mut manifest = manifest();
        let path = "database/toc.dat".to_owned();
        manifest.members.push(Member { path, size: 5, sha256: String::new() });
        let target = self.path("backups").join(format!("{}.tar", OperationId::new()));
        write_archive(&target, &work, &work, &mut manifest, sources, &Meter::default()).unwrap();
        fs::remove_dir_all(work).unwrap();
        (target, manifest)
    }

    fn stage(&self, archive: &Path) -> Staged {
        let place = Place::find(&self.include, &self.path("backups")).unwrap();
        let stage = Stage::begin(place, OperationId::new()).unwrap();
        let unpack = Into(std::sync::Mutex::new(Some(stage)));
        read(archive, &unpack).unwrap();
        unpack.0.into_inner().unwrap().unwrap().finish().unwrap()
    }

    /// What stands beside the directory and at the top of it, but not its contents.
    fn traces(&self) -> Vec<String> {
        let named = |path: &Path| {
            let entries = fs::read_dir(path).unwrap();
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let mut names = named(self.directory.path());
        names.retain(|name| name.starts_with("sources."));
        names.extend(named(self.source()).into_iter().filter(|name| is_reserved(name.as_bytes(), false)));
        names.sort();
        names
    }
}

fn manifest() -> Manifest {
    let created_at = datetime!(2026-01-31 23:59:59 UTC);
    Manifest {
        format_version: Manifest::PLAIN,
        filename: BackupName::new(BackupKind::Manual, created_at, 1),
        kind: BackupKind::Manual,
        created_at,
        dumped_at: created_at,
        recovery_version: "0.1.0".into(),
        server_version: PostgresVersion(150_018),
        client_version: PostgresVersion(150_018),
        database: "nova".parse().unwrap(),
        profile: DatabaseProfile {
            owner: "nova".into(),
            encoding: "UTF8".into(),
            locale_provider: LocaleProvider::Libc,
            collate: "C".into(),
            ctype: "C".into(),
            locale: None,
            icu_rules: None,
            connection_limit: -1,
            tablespace: "pg_default".into(),
            comment: None,
            settings: Vec::new(),
            privileges: None,
        },
        extensions: BTreeMap::new(),
        roles: Vec::new(),
        schema_version: None,
        database_size_bytes: 8_000_000,
        rows: RowCounts::default(),
        members: Vec::new(),
        files: Vec::new(),
        redis: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Hands the entries of every included directory on.
struct Into(std::sync::Mutex<Option<Stage>>);

impl Visitor for Into {
    fn keys(&self, _keys: &IncludedKeys, _contents: &mut dyn Read) -> Result<(), Flaw> {
        panic!("no keys are in these archives")
    }

    fn member(&self, member: &Member, contents: &mut dyn Read) -> Result<(), Flaw> {
        ().member(member, contents)
    }

    fn directory(&self, _files: &IncludedFiles) -> Box<dyn Sink + '_> {
        Box::new(self.0.lock().unwrap())
    }
}

fn read(archive: &Path, visitor: &dyn Visitor) -> Result<Manifest, Flaw> {
    ArchiveReader::open(File::open(archive)?)?.read_to_end(visitor, &Meter::default())
}

/// Everything below a directory: what it is, whom it belongs to, when it was changed, and what it holds.
fn tree(root: &Path) -> BTreeMap<Vec<u8>, String> {
    fn below(root: &Path, path: &Path, tree: &mut BTreeMap<Vec<u8>, String>) {
        let data = fs::symlink_metadata(path).unwrap();
        let contents = if data.is_symlink() {
            format!("-> {:?}", fs::read_link(path).unwrap())
        } else if data.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                below(root, &entry.unwrap().path(), tree);
            }
            "directory".to_owned()
        } else if data.len() > 1 << 20 {
            format!("{} bytes", data.len())
        } else {
            format!("{:?}", fs::read(path).unwrap())
        };
        // A directory that is a mount point keeps what it was like.
        let (mode, owner) = if path == root { (0, (0, 0)) } else { (data.mode(), (data.uid(), data.gid())) };
        let time = if path == root { (0, 0) } else { (data.mtime(), data.mtime_nsec()) };
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        tree.insert(name, format!("{mode:o} {owner:?} {time:?} {contents}"));
    }
    let mut found = BTreeMap::new();
    below(root, root, &mut found);
    found.retain(|name, _| !is_reserved(name.split(|byte| *byte == b'/').next().unwrap(), false));
    found
}

fn run(program: &str, arguments: &[&std::ffi::OsStr], directory: &Path) -> (bool, String) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test looks at archives with the programs of an operator"
    )]
    let output = std::process::Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Something that is mounted until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(on: &Path) -> Self {
        Self::mount(&["-t", "tmpfs", "-o", "size=16m", "tmpfs"], on)
    }

    fn bind(from: &Path, on: &Path) -> Self {
        Self::mount(&["--bind", from.to_str().unwrap()], on)
    }

    fn mount(arguments: &[&str], on: &Path) -> Self {
        let mut arguments: Vec<&std::ffi::OsStr> = arguments.iter().map(|text| (*text).as_ref()).collect();
        arguments.push(on.as_os_str());
        let (done, said) = run("mount", &arguments, Path::new("/"));
        assert!(done, "these tests mount, as root: {said}");
        Self(on.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let (done, said) = run("umount", &[self.0.as_os_str()], Path::new("/"));
        if !done && !std::thread::panicking() {
            panic!("cannot unmount: {said}");
        }
    }
}
