//! How two directories lie to each other.

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{mounts::Mounts, place::resolve};

/// Where one directory lies, seen from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    /// Neither is in the other.
    Apart,
    /// They are the same.
    Here,
    /// It is in the other one.
    Inside {
        /// Something is mounted on it or between them: whoever walks the other one does not come to it.
        behind_a_mount: bool,
    },
    /// The other one is in it.
    Around,
}

/// Where `path` lies, seen from `other`. Symbolic links are followed; what does not exist lies where it would.
pub(crate) fn lies(path: &Path, other: &Path) -> io::Result<Lies> {
    let (path, other) = (real(path), real(other));
    if path == other {
        return Ok(Lies::Here);
    }
    if other.starts_with(&path) {
        return Ok(Lies::Around);
    }
    let Ok(inside) = path.strip_prefix(&other) else { return Ok(Lies::Apart) };
    let points = Mounts::read()?.below(&other);
    let behind_a_mount = points.iter().any(|point| {
        let point = Path::new(std::ffi::OsStr::from_bytes(point));
        inside.starts_with(point)
    });
    Ok(Lies::Inside { behind_a_mount })
}

fn real(path: &Path) -> PathBuf {
    resolve(path).ok().flatten().unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_told_apart_by_where_they_really_are() {
        let place = tempfile::tempdir().unwrap();
        let (data, sources) = (place.path().join("data"), place.path().join("data/sources"));
        std::fs::create_dir_all(&sources).unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        let inside = Lies::Inside { behind_a_mount: false };
        for (path, other, expect) in [
            (&sources, &data, inside),
            (&sources, &link, inside),
            (&link.join("sources"), &sources, Lies::Here),
            (&link.join("missing"), &data.join("missing"), Lies::Here),
            (&link, &sources, Lies::Around),
            (&data.join("sources-2"), &sources, Lies::Apart),
        ] {
            assert_eq!(lies(path, other).unwrap(), expect, "{} {}", path.display(), other.display());
        }
        let proc = lies(Path::new("/proc/self"), Path::new("/")).unwrap();
        assert_eq!(proc, Lies::Inside { behind_a_mount: true });
    }
}
