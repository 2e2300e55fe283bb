//! The few ways in which files of the state directory are read and changed.
//!
//! What root creates here belongs to the owner of the directory around it: after an operator's `sudo nova-recovery` the
//! service, which runs as somebody else, must still be able to lock, read and append.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

const CHUNK: u64 = 64 * 1024;

/// Creates a directory, with those above it, for its owner alone; one that is there is left as it is.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            give_to_owner(&File::open(path)?, path);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a file for reading and appending; creates it, for its owner alone, where it is missing.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).append(true).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match create(path) {
            // Another process was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(),
            created_or_failed => created_or_failed,
        },
        opened_or_failed => opened_or_failed,
    }
}

/// Creates a file for its owner alone. Creating never follows a link: whoever may write in the directory cannot have
/// root give a file elsewhere away.
fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)?;
    give_to_owner(&file, path);
    Ok(file)
}

/// Lets what root has just created belong to the owner of the directory that it is in. Only root creates what belongs
/// to root, and only root may give it away.
fn give_to_owner(created: &File, path: &Path) {
    let given = created.metadata().and_then(|made| {
        let owner = fs::metadata(parent_of(path))?;
        match (made.uid(), owner.uid()) {
            (0, 1..) => fchown(created, Some(owner.uid()), Some(owner.gid())),
            _ => Ok(()),
        }
    });
    if let Err(error) = given {
        tracing::warn!(%error, "a file of the state directory cannot be given to the directory's owner");
    }
}

/// The directory that something is in.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Appends a line and makes it durable. What a crash left behind the last whole line is cut off first; where the line
/// cannot be written whole, the file is as before. To be called under the directory's lock.
pub(super) fn append_line(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = open_or_create(path)?;
    let length = file.metadata()?.len();
    let whole = end_of_last_line(&mut file, length)?;
    if whole < length {
        tracing::warn!(bytes = length - whole, "a line that a crash cut short is removed");
        file.set_len(whole)?;
    }
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
        // If this fails as well, the next call does it.
        let _ = file.set_len(whole);
        return Err(error);
    }
    if length == 0 {
        sync_parent(path)?;
    }
    Ok(())
}

/// How long the file is up to and including its last line end.
fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        let chunk = read_range(file, start, end)?;
        if let Some(place) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn read_range(file: &mut File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file as a whole: a reader, also after a crash, sees the old contents or the new.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let new = temporary(path)?;
    let result = (|| {
        let mut file = create(&new)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&new);
    }
    result?;
    sync_parent(path)
}

/// What begins the names of files that are being written. No name of a document begins like this.
pub(super) const TEMPORARY: &str = ".new-";

fn temporary(path: &Path) -> io::Result<std::path::PathBuf> {
    let mut random = [0_u8; 8];
    random_bytes(&mut random)?;
    let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(path.with_file_name(format!("{TEMPORARY}{suffix}")))
}

/// Fills the buffer from the kernel's random source.
pub(super) fn random_bytes(buffer: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(buffer)
}

/// Makes a new, renamed or removed name durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent_of(path))?.sync_all()
}

/// The last `limit` whole lines of a file, the last first, without reading more of it than that. A file that does not
/// exist has none.
pub(super) fn last_lines(path: &Path, limit: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    // Without the last line end, the file is lines with one line end between each two.
    let Some(mut end) = end_of_last_line(&mut file, length)?.checked_sub(1) else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    // The end of a line whose beginning has not been read yet.
    let mut rest = Vec::new();
    loop {
        let start = end.saturating_sub(CHUNK);
        let mut bytes = read_range(&mut file, start, end)?;
        bytes.append(&mut rest);
        let mut parts: Vec<Vec<u8>> = bytes.rsplit(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if start > 0 {
            rest = parts.pop().unwrap_or_default();
        }
        lines.extend(parts.into_iter().take(limit - lines.len()));
        if start == 0 || lines.len() == limit {
            return Ok(lines);
        }
        end = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_read_from_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        let check = |contents: &str, limit: usize, expect: &[&str]| {
            fs::write(&path, contents).unwrap();
            let lines: Vec<String> = last_lines(&path, limit)
                .unwrap()
                .into_iter()
                .map(|line| String::from_utf8(line).unwrap())
                .collect();
            assert_eq!(lines, expect);
        };
        check("", 5, &[]);
        check("torn", 5, &[]);
        check("a\n", 5, &["a"]);
        check("a\nb\nc\n", 2, &["c", "b"]);
        check("a\nb\ntorn", 5, &["b", "a"]);
        check("a\n", 0, &[]);
        let (long, longer) = ("x".repeat(70_000), "y".repeat(200_000));
        check(&format!("first\n{longer}\n{long}\nlast\n"), 9, &["last", &long, &longer, "first"]);
        assert!(last_lines(&directory.path().join("missing"), 5).unwrap().is_empty());
    }

    #[test]
    fn a_torn_line_is_cut_off_by_the_next_append() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        let check = |before: &str, expect: &str| {
            fs::write(&path, before).unwrap();
            append_line(&path, b"new").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expect);
        };
        check("", "new\n");
        check("torn", "new\n");
        check("a\n", "a\nnew\n");
        check("a\nto", "a\nnew\n");
        check(&format!("a\n{}", "x".repeat(200_000)), "a\nnew\n");
    }
}
