//! A file that goes to the disk while it is written. Without this the page cache takes all of it, and the one sync at
//! the end waits for everything, while neither a processor nor the disk had to.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    sync::mpsc::{self, SyncSender},
    thread::{self, JoinHandle},
};

/// How many bytes are written between two requests to send them to the disk.
const EVERY: u64 = 16 * 1024 * 1024;

/// A file, and the thread that syncs what was written to it.
#[derive(Debug)]
pub(crate) struct EarlySync {
    file: File,
    since: u64,
    wake: SyncSender<()>,
    syncing: JoinHandle<io::Result<()>>,
}

impl EarlySync {
    /// Begins with an empty file.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let (wake, asked) = mpsc::sync_channel(1);
        let same = file.try_clone()?;
        let syncing = thread::Builder::new().name("early-sync".to_owned()).spawn(move || {
            // An error is told to one caller only: whoever gets it must pass it on.
            asked.iter().try_for_each(|()| same.sync_data())
        })?;
        Ok(Self { file, since: 0, wake, syncing })
    }

    /// The file, where nothing went wrong. What was written last is not on the disk yet.
    pub(crate) fn into_file(self) -> io::Result<File> {
        let Self { file, wake, syncing, .. } = self;
        drop(wake);
        syncing
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that syncs a file has panicked")))?;
        Ok(file)
    }
}

impl Write for EarlySync {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.since += written as u64;
        // Where the thread is busy, it is asked the next time; where it has met an error, it tells so at the end.
        if self.since >= EVERY && self.wake.try_send(()).is_ok() {
            self.since = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for EarlySync {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_file() {
        let mut out = EarlySync::new(tempfile::tempfile().unwrap()).unwrap();
        let piece = vec![7; 1024 * 1024];
        for _ in 0..40 {
            out.write_all(&piece).unwrap();
        }
        out.seek(SeekFrom::Start(0)).unwrap();
        out.write_all(b"head").unwrap();
        let file = out.into_file().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 40 * 1024 * 1024);
    }

    #[test]
    fn what_the_disk_refuses_is_told_at_the_end() {
        // It takes every byte, and cannot be synced.
        let mut out = EarlySync::new(File::options().write(true).open("/dev/null").unwrap()).unwrap();
        out.write_all(&vec![0; usize::try_from(EVERY).unwrap()]).unwrap();
        out.into_file().unwrap_err();
    }
}
