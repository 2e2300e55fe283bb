//! The bytes of an archive as they come out of its gzip: in bounded memory, to the very end, and never more than an
//! archive of its size can hold.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
};

use flate2::bufread::GzDecoder;

use super::damaged;
use crate::{archive::Flaw, work::Meter};

/// The unit of a tar.
pub(super) const BLOCK: usize = 512;
const BLOCK_BYTES: u64 = BLOCK as u64;
/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// An archive may unpack to this much whatever its size, and else to so many times its size. A real dump packs to a
/// tenth; gzip itself can do a thousandth.
const MAX_UNPACKED: u64 = 1024 * 1024 * 1024;
const MAX_RATIO: u64 = 200;

/// How much an archive of this size may unpack to.
pub(super) fn limit(packed: u64) -> u64 {
    packed.saturating_mul(MAX_RATIO).max(MAX_UNPACKED)
}

/// The file, counted as it is read.
struct Counted<'a> {
    file: File,
    meter: &'a Meter,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// What the gzip holds.
pub(super) struct Stream<'a> {
    decoder: GzDecoder<BufReader<Counted<'a>>>,
    produced: u64,
    limit: u64,
    meter: &'a Meter,
}

impl<'a> Stream<'a> {
    /// What is in this file, given up after so many bytes.
    pub(super) fn new(file: File, limit: u64, meter: &'a Meter) -> Self {
        let counted = Counted { file, meter };
        Self { decoder: GzDecoder::new(BufReader::with_capacity(CHUNK, counted)), produced: 0, limit, meter }
    }

    /// How much may still come.
    pub(super) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.produced)
    }

    /// Reads some bytes; none at the end, whose checksum is right.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, Flaw> {
        if self.meter.is_stopped() {
            return Err(Flaw::Stopped);
        }
        let read = loop {
            match self.decoder.read(buffer) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(error)),
            }
        };
        self.produced += read as u64;
        if self.produced > self.limit {
            return damaged(format!("it unpacks to more than {MAX_RATIO} times its size"));
        }
        Ok(read)
    }

    fn explain(&self, error: io::Error) -> Flaw {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if self.produced == 0 => {
                Flaw::Damaged("it is not compressed with gzip".to_owned())
            }
            io::ErrorKind::UnexpectedEof => Flaw::Damaged("it ends too early: it was cut off".to_owned()),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if self.produced == 0 => {
                Flaw::Damaged("it is not compressed with gzip, or damaged at its beginning".to_owned())
            }
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Flaw::Damaged(
                "it cannot be uncompressed to its end: its bytes or its checksum are wrong".to_owned(),
            ),
            _ => Flaw::Io(error),
        }
    }

    /// Reads as many bytes as the buffer has; `what` is what they are.
    pub(super) fn fill(&mut self, mut buffer: &mut [u8], what: &str) -> Result<(), Flaw> {
        while !buffer.is_empty() {
            let read = self.some(buffer)?;
            if read == 0 {
                return damaged(format!("it ends where {what} should stand"));
            }
            buffer = buffer.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads the contents of an entry and the padding after them.
    pub(super) fn contents(
        &mut self,
        size: u64,
        what: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        let mut left = size;
        let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(CHUNK));
            let read = self.some(buffer.get_mut(..want).unwrap_or_default())?;
            if read == 0 {
                return damaged(format!("it ends in the middle of {what}"));
            }
            take(buffer.get(..read).unwrap_or_default())?;
            left -= read as u64;
        }
        self.padding(size)
    }

    /// Lets somebody read the contents of a file, then reads on to the end of the padding after them.
    pub(super) fn lend(
        &mut self,
        size: u64,
        take: impl FnOnce(&mut dyn Read) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        let mut contents = Contents { stream: self, left: size, flaw: None };
        let taken = take(&mut contents);
        let rest = if taken.is_ok() { io::copy(&mut contents, &mut io::sink()).map(drop) } else { Ok(()) };
        // What is wrong with the archive goes before what became of it.
        if let Some(flaw) = contents.flaw {
            return Err(flaw);
        }
        taken?;
        rest?;
        self.padding(size)
    }

    fn padding(&mut self, size: u64) -> Result<(), Flaw> {
        let padding = size.next_multiple_of(BLOCK_BYTES) - size;
        let mut block = [0; BLOCK];
        let padding = usize::try_from(padding).unwrap_or(0);
        self.fill(block.get_mut(..padding).unwrap_or_default(), "the end of an entry")
    }

    /// After the first block of zeros: a second one, nothing but zeros, and the end of the file.
    pub(super) fn end(mut self) -> Result<(), Flaw> {
        let mut buffer = vec![0; CHUNK];
        self.fill(buffer.get_mut(..BLOCK).unwrap_or_default(), "the end of the tar")?;
        loop {
            let filled = buffer.get(..).unwrap_or_default();
            if filled.iter().any(|byte| *byte != 0) {
                return damaged("something follows the end of its tar");
            }
            if self.some(&mut buffer)? == 0 {
                break;
            }
        }
        if self.decoder.into_inner().fill_buf()?.is_empty() {
            Ok(())
        } else {
            damaged("something follows its gzip stream")
        }
    }
}

/// The contents of a file on loan.
struct Contents<'a, 's> {
    stream: &'a mut Stream<'s>,
    left: u64,
    /// Why they could not be read.
    flaw: Option<Flaw>,
}

impl Read for Contents<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(buffer.len()));
        let Some(room) = buffer.get_mut(..most).filter(|room| !room.is_empty()) else { return Ok(0) };
        let read = match self.stream.some(room) {
            Ok(0) => damaged("it ends in the middle of a file"),
            read => read,
        };
        match read {
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(flaw) => {
                self.flaw = Some(flaw);
                Err(io::Error::other("the archive cannot be read"))
            }
        }
    }
}
