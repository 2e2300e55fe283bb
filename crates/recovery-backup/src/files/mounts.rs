//! Which directories are mount points.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// The mount points of this process, as the system lists them.
#[derive(Debug)]
pub(crate) struct Mounts(Vec<PathBuf>);

impl Mounts {
    /// Asks the system.
    pub(crate) fn read() -> io::Result<Self> {
        Ok(Self::parse(&fs::read("/proc/self/mountinfo")?))
    }

    fn parse(list: &[u8]) -> Self {
        let points = list.split(|byte| *byte == b'\n').filter_map(|line| {
            let point = line.split(|byte| *byte == b' ').nth(4)?;
            Some(PathBuf::from(OsString::from_vec(unescaped(point))))
        });
        Self(points.collect())
    }

    /// Whether something is mounted on this very path, which holds no symbolic link.
    pub(crate) fn is_point(&self, path: &Path) -> bool {
        self.0.iter().any(|point| point == path)
    }

    /// What is mounted somewhere below a path, told from there.
    pub(crate) fn below(&self, path: &Path) -> Vec<Vec<u8>> {
        let below = |point: &PathBuf| {
            let rest = point.strip_prefix(path).ok()?.as_os_str().as_bytes();
            (!rest.is_empty()).then(|| rest.to_vec())
        };
        self.0.iter().filter_map(below).collect()
    }
}

/// A blank, a tab, a line end and a backslash stand there as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_from_the_list_of_the_system() {
        let mounts = Mounts::parse(
            b"22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n\
              35 22 0:30 / /srv/a\\040b\\134c rw shared:1 - tmpfs tmpfs rw\n\
              36 35 0:31 /x /srv/a\\040b\\134c/in/side rw - ext4 /dev/vda1 rw\n",
        );
        let path = Path::new("/srv/a b\\c");
        assert!(mounts.is_point(path) && mounts.is_point(Path::new("/")));
        assert!(!mounts.is_point(Path::new("/srv")));
        assert_eq!(mounts.below(path), [b"in/side".to_vec()]);
        assert_eq!(mounts.below(Path::new("/srv")), [b"a b\\c".to_vec(), b"a b\\c/in/side".to_vec()]);
        assert!(mounts.below(Path::new("/srv/a")).is_empty());
    }
}
