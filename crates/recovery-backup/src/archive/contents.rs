//! What a dump file decodes to, and whether it does so to its end. A dump compressed with zstd carries no checksum of its contents, so this
//! says nothing about single bits: the hashes do that.

use std::io::{self, BufReader, Read, Write};

use flate2::bufread::MultiGzDecoder;

use super::{CHUNK, Flaw};

/// Reads a member to its end, decoding it by what its name says, and hands what comes out to `sink`.
pub(crate) fn decode_to_end(path: &str, contents: &mut dyn Read, sink: &mut dyn Write) -> Result<(), Flaw> {
    let mut raw = BufReader::with_capacity(CHUNK, contents);
    let decoded = if path.ends_with(".gz") {
        copy_out(&mut MultiGzDecoder::new(&mut raw), sink)
    } else if path.ends_with(".zst") {
        decode_zstd(&mut raw, sink)
    } else if path.ends_with("/toc.dat") {
        check_magic(&mut raw)
    } else {
        Ok(())
    };
    match decoded {
        Ok(()) => {}
        // Decoders report bad data as these; anything else comes from the disk or from the sink.
        Err(error) if is_bad_data(&error) => {
            return Err(Flaw::Damaged(format!("{path} cannot be decoded to its end")));
        }
        Err(error) => return Err(error.into()),
    }
    copy_out(&mut raw, &mut io::sink()).map_err(Flaw::Io)
}

fn is_bad_data(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
    )
}

fn copy_out(from: &mut impl Read, sink: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(chunk) if !chunk.is_empty() => sink.write_all(chunk)?,
            _ => return Ok(()),
        }
    }
}

fn decode_zstd(raw: &mut impl Read, sink: &mut dyn Write) -> io::Result<()> {
    let bad = |_| io::Error::from(io::ErrorKind::InvalidData);
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(raw).map_err(bad)?;
    copy_out(&mut decoder, sink).map_err(|error| match error.kind() {
        io::ErrorKind::Other => io::ErrorKind::InvalidData.into(),
        _ => error,
    })
}

fn check_magic(raw: &mut impl Read) -> io::Result<()> {
    let mut magic = [0; 5];
    raw.read_exact(&mut magic)?;
    if &magic == b"PGDMP" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
