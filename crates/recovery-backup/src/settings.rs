//! How backups are made.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use crate::{IncludedDirectory, RetentionPolicy};

/// Where backups lie and how they are made.
#[derive(Clone, Debug)]
pub struct BackupSettings {
    /// The directory of the archives. Created where it is missing.
    pub directory: PathBuf,
    /// A directory for small short-lived files, usually the system's temporary one.
    pub temporary_directory: PathBuf,
    /// How many tables `pg_dump` and `pg_restore` work on at once, 1 to 64.
    pub jobs: usize,
    /// How dump files are compressed.
    pub compression: Compression,
    /// Directories in which `pg_dump` and `pg_restore` are looked for.
    pub tool_directories: Vec<PathBuf>,
    /// How long a database that a restore replaced is kept.
    pub keep_replaced: Duration,
    /// Which backups are kept.
    pub retention: RetentionPolicy,
    /// Directories that belong to every backup besides the database; none is in another one, or has the backup
    /// directory in it.
    pub include: Vec<IncludedDirectory>,
    /// Directories that a factory reset may empty. A backup holds them where it is asked to, and a restore of one that
    /// does puts them back; nothing else in an archive says where something is written. One that is in `include`, too,
    /// has that name.
    pub reset_directories: Vec<IncludedDirectory>,
    /// The numbered database of Redis that is the recovery service's own: no key of it is saved or written back.
    pub own_key_database: Option<u8>,
}

impl BackupSettings {
    /// Backups in this directory, and for the rest what suits most: as many jobs as cores, compression by what the
    /// client can, replaced databases kept for three days.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            temporary_directory: "/tmp".into(),
            jobs: Self::default_jobs(),
            compression: Compression::Auto,
            tool_directories: Self::default_tool_directories(),
            keep_replaced: Duration::from_secs(72 * 3600),
            retention: RetentionPolicy::default(),
            include: Vec::new(),
            reset_directories: Vec::new(),
            own_key_database: None,
        }
    }

    /// Where Debian, the official container images and the usual packages put PostgreSQL's programs.
    #[must_use]
    pub fn default_tool_directories() -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin")))
            .collect();
        directories.sort();
        directories.extend(["/usr/local/bin", "/usr/bin"].map(PathBuf::from));
        directories
    }

    /// As many jobs as the machine has cores, at most 8.
    #[must_use]
    pub fn default_jobs() -> usize {
        std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
    }
}

/// How dump files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// zstd level 1 where `pg_dump` has it (16 and later), else gzip level 1.
    #[default]
    Auto,
    /// gzip, level 1 to 9.
    Gzip(u8),
    /// zstd, level 1 to 19; needs `pg_dump` 16 or later.
    Zstd(u8),
    /// None.
    None,
}

/// A text that names no compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected auto, none, gzip, gzip:1 to gzip:9, zstd, or zstd:1 to zstd:19")]
pub struct InvalidCompression;

impl FromStr for Compression {
    type Err = InvalidCompression;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (method, level) = match text.split_once(':') {
            Some((method, level)) => (method, Some(level.parse::<u8>().map_err(|_| InvalidCompression)?)),
            None => (text, None),
        };
        match (method, level) {
            ("auto", None) => Ok(Self::Auto),
            ("none", None) => Ok(Self::None),
            ("gzip", level) if (1..=9).contains(&level.unwrap_or(1)) => Ok(Self::Gzip(level.unwrap_or(1))),
            ("zstd", level) if (1..=19).contains(&level.unwrap_or(1)) => Ok(Self::Zstd(level.unwrap_or(1))),
            _ => Err(InvalidCompression),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
            Self::None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_goes_to_text_and_back() {
        for text in ["auto", "none", "gzip:1", "gzip:9", "zstd:1", "zstd:19"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("gzip".parse(), Ok(Compression::Gzip(1)));
        for text in ["", "gzip:0", "gzip:10", "zstd:20", "lz4", "auto:1", "gzip:x", "gzip:-1"] {
            assert_eq!(text.parse::<Compression>(), Err(InvalidCompression), "{text}");
        }
    }
}
