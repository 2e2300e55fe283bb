//! Reads the entries of an included directory out of an archive.

use std::io::{self, Read};

use super::{
    entry::{Entry, What, shown},
    format::read_head,
    order::Order,
};
use crate::archive::{Flaw, padding};

/// Receives the entries of an included directory, in order.
pub(crate) trait Sink {
    /// One entry, with the contents that belong to it: the data of a file without its holes. Need not read them.
    fn entry(&mut self, entry: &Entry, contents: &mut dyn Read) -> io::Result<()>;
}

/// Lets the entries go.
impl Sink for () {
    fn entry(&mut self, _entry: &Entry, _contents: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }
}

/// Only one at a time receives entries.
impl<S: Sink> Sink for std::sync::MutexGuard<'_, Option<S>> {
    fn entry(&mut self, entry: &Entry, contents: &mut dyn Read) -> io::Result<()> {
        self.as_mut().map_or(Ok(()), |sink| sink.entry(entry, contents))
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Files.
    pub files: u64,
    /// Files, directories and links, the included directory itself among them.
    pub entries: u64,
    /// The bytes of all files, holes left out.
    pub bytes: u64,
}

impl Tally {
    /// Counts one more.
    pub(crate) fn count(&mut self, entry: &Entry) {
        self.files += u64::from(matches!(entry.what, What::File { .. }));
        self.entries += 1;
        // The sum cannot be more than what was read or written.
        self.bytes = self.bytes.saturating_add(entry.stored());
    }
}

/// Reads to the end of `from`, which holds nothing but entries below `prefix`.
pub(crate) fn read_entries(prefix: &str, from: &mut impl Read, sink: &mut dyn Sink) -> Result<Tally, Flaw> {
    let (mut order, mut tally) = (Order::default(), Tally::default());
    // A byte that was looked at stands before the rest.
    let mut first = [0; 1];
    while read_some(from, &mut first)? {
        let mut rest = first.as_slice().chain(&mut *from);
        let entry = read_head(prefix, &mut rest)?;
        if !order.admits(&entry) {
            return Err(Flaw::Damaged(format!(
                "{prefix} holds {:?} in a place of its own",
                shown(&entry.path)
            )));
        }
        let stored = entry.stored();
        let mut contents = rest.take(stored);
        sink.entry(&entry, &mut contents)?;
        io::copy(&mut contents, &mut io::sink())?;
        if contents.limit() > 0 {
            return Err(Flaw::Damaged(format!("{prefix} ends in the middle of a file")));
        }
        expect_padding(prefix, &mut contents.into_inner(), stored)?;
        tally.count(&entry);
    }
    Ok(tally)
}

fn read_some(from: &mut impl Read, byte: &mut [u8; 1]) -> io::Result<bool> {
    loop {
        match from.read(byte) {
            Ok(read) => return Ok(read > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn expect_padding(prefix: &str, from: &mut impl Read, stored: u64) -> Result<(), Flaw> {
    let mut zeros = Vec::new();
    from.take(padding(stored)).read_to_end(&mut zeros)?;
    if zeros.len() as u64 != padding(stored) || zeros.iter().any(|byte| *byte != 0) {
        return Err(Flaw::Damaged(format!("the padding after a file of {prefix} was altered")));
    }
    Ok(())
}
