//! How keys stand in a file: commands in the protocol of Redis, in one form.
//!
//! `RESTORE key ttl payload REPLACE ABSTTL` brings a key back, and `UNLINK key`, which no archive has, says that there
//! was none. Everything that is not one of these, byte by byte, is damage.

use std::io::{self, BufReader, Read, Write};

use recovery_core::keys::{DumpedKey, RedisKey};

use crate::archive::{CHUNK, Flaw};

/// The longest key or value: a server takes no longer one (`proto-max-bulk-len`).
const MAX_LENGTH: u64 = 512 * 1024 * 1024;
/// The latest moment that a server can name.
const MAX_TIME: u64 = i64::MAX as u64;

const RESTORE: &[u8] = b"*6\r\n$7\r\nRESTORE\r\n";
const REPLACE: &[u8] = b"\r\n$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n";
const UNLINK: &[u8] = b"*2\r\n$6\r\nUNLINK\r\n";

/// One key on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// It held this.
    Restore(DumpedKey),
    /// It was not there.
    Unlink(RedisKey),
}

/// Writes the command that brings a key back. Fails where no server would take it.
pub(crate) fn write_restore(out: &mut impl Write, dumped: &DumpedKey) -> io::Result<()> {
    let DumpedKey { key: RedisKey(key), payload, expires_at_ms } = dumped;
    let time = expires_at_ms.unwrap_or(0);
    if [key.len(), payload.len()].into_iter().any(|length| length as u64 > MAX_LENGTH) || time > MAX_TIME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a key is larger than a server takes it back",
        ));
    }
    let time = time.to_string();
    out.write_all(RESTORE)?;
    write!(out, "${}\r\n", key.len())?;
    out.write_all(key)?;
    write!(out, "\r\n${}\r\n{time}\r\n${}\r\n", time.len(), payload.len())?;
    out.write_all(payload)?;
    out.write_all(REPLACE)
}

/// Writes the command that removes a key.
pub(crate) fn write_unlink(out: &mut impl Write, RedisKey(key): &RedisKey) -> io::Result<()> {
    out.write_all(UNLINK)?;
    write!(out, "${}\r\n", key.len())?;
    out.write_all(key)?;
    out.write_all(b"\r\n")
}

/// Reads a member of an archive to its end: `keys` commands that restore keys, and nothing else.
pub(crate) fn check(path: &str, keys: u64, contents: &mut dyn Read) -> Result<(), Flaw> {
    let mut commands = Commands::of_archive(path, contents);
    let mut found = 0;
    while commands.skip()? {
        found += 1;
    }
    if found == keys {
        return Ok(());
    }
    Err(Flaw::Damaged(format!("{path} holds {found} keys, and its manifest says {keys}")))
}

/// The commands of a file, one after the other.
pub(crate) struct Commands<R> {
    path: String,
    from: BufReader<R>,
    may_unlink: bool,
}

/// What a command says, without the value.
enum Head {
    Restore(RedisKey, Option<u64>, u64),
    Unlink(RedisKey),
}

impl<R: Read> Commands<R> {
    /// Those of a member of an archive, which only restore keys.
    pub(crate) fn of_archive(path: &str, from: R) -> Self {
        Self { path: path.to_owned(), from: BufReader::with_capacity(CHUNK, from), may_unlink: false }
    }

    /// Those of a file in which was noted what keys held, and that they held nothing.
    pub(crate) fn of_saved(path: &str, from: R) -> Self {
        Self { may_unlink: true, ..Self::of_archive(path, from) }
    }

    /// The next one; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Command>, Flaw> {
        Ok(match self.head()? {
            None => None,
            Some(Head::Unlink(key)) => Some(Command::Unlink(key)),
            Some(Head::Restore(key, expires_at_ms, length)) => {
                let payload = self.bytes(length)?;
                self.expect(REPLACE)?;
                Some(Command::Restore(DumpedKey { key, payload, expires_at_ms }))
            }
        })
    }

    /// Reads one and lets it go; `false` at the end. Takes no memory for its value.
    pub(crate) fn skip(&mut self) -> Result<bool, Flaw> {
        match self.head()? {
            None => return Ok(false),
            Some(Head::Unlink(_)) => {}
            Some(Head::Restore(_, _, length)) => {
                let skipped = io::copy(&mut self.from.by_ref().take(length), &mut io::sink())?;
                if skipped < length {
                    return self.damaged();
                }
                self.expect(REPLACE)?;
            }
        }
        Ok(true)
    }

    /// Everything before the value.
    fn head(&mut self) -> Result<Option<Head>, Flaw> {
        // The first byte tells the end of the file from a file that ends too early.
        let mut begin = [0; 2];
        if self.from.read(begin.get_mut(..1).unwrap_or_default())? == 0 {
            return Ok(None);
        }
        self.fill(begin.get_mut(1..).unwrap_or_default())?;
        let rest = |command: &'static [u8]| command.get(2..).unwrap_or_default();
        if RESTORE.starts_with(&begin) {
            self.expect(rest(RESTORE))?;
            let key = self.key()?;
            let length = self.length(20)?;
            let time = self.bytes(length)?;
            self.expect(b"\r\n")?;
            let time = number(&time).filter(|time| *time <= MAX_TIME);
            let Some(time) = time else { return self.damaged() };
            let length = self.length(MAX_LENGTH)?;
            Ok(Some(Head::Restore(key, (time > 0).then_some(time), length)))
        } else if self.may_unlink && UNLINK.starts_with(&begin) {
            self.expect(rest(UNLINK))?;
            Ok(Some(Head::Unlink(self.key()?)))
        } else {
            self.damaged()
        }
    }

    fn key(&mut self) -> Result<RedisKey, Flaw> {
        let length = self.length(MAX_LENGTH)?;
        let key = self.bytes(length)?;
        self.expect(b"\r\n")?;
        Ok(RedisKey(key))
    }

    /// `$`, a length and the end of the line.
    fn length(&mut self, most: u64) -> Result<u64, Flaw> {
        self.expect(b"$")?;
        let mut digits = Vec::new();
        loop {
            let mut byte = [0];
            self.fill(&mut byte)?;
            match byte {
                [b'\r'] => break,
                [digit] if digits.len() < 10 => digits.push(digit),
                _ => return self.damaged(),
            }
        }
        self.expect(b"\n")?;
        match number(&digits).filter(|length| *length <= most) {
            Some(length) => Ok(length),
            None => self.damaged(),
        }
    }

    /// So many bytes; what is claimed takes no memory before it is there.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Flaw> {
        let mut bytes = Vec::new();
        self.from.by_ref().take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length { self.damaged() } else { Ok(bytes) }
    }

    fn expect(&mut self, expected: &[u8]) -> Result<(), Flaw> {
        let mut found = vec![0; expected.len()];
        self.fill(&mut found)?;
        if found == expected { Ok(()) } else { self.damaged() }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Flaw> {
        match self.from.read_exact(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.damaged(),
            read => Ok(read?),
        }
    }

    fn damaged<T>(&self) -> Result<T, Flaw> {
        Err(Flaw::Damaged(format!("{} holds something else than commands that restore keys", self.path)))
    }
}

/// A number as it is written here: digits, and no zero before others.
fn number(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || digits.first() != Some(&b'0'));
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}
