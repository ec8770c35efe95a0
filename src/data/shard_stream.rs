//! The bytes of a tar shard: decompressed up to a limit, counted, and watched for their end mark.

use flate2::read::MultiGzDecoder;
use std::io::{self, Read};

/// Images hardly compress, and text compresses about ten times.
const MAX_EXPANSION: u64 = 50;
/// Shorter streams may expand more: a few empty entries do.
const MIN_LIMITED_BYTES: u64 = 64 << 20;

/// The stream itself, or what gzip compressed into it, up to [`MAX_EXPANSION`].
pub(super) fn decompressed<'r>(mut reader: &'r mut dyn Read) -> io::Result<Box<dyn Read + 'r>> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut start = Vec::new();
    (&mut reader).take(2).read_to_end(&mut start)?;
    let is_gzip = start == GZIP;
    let whole = io::Cursor::new(start).chain(reader);
    Ok(match is_gzip {
        true => Box::new(Expanded {
            decoder: MultiGzDecoder::new(CountedBytes {
                reader: whole,
                bytes: 0,
            }),
            bytes: 0,
        }),
        false => Box::new(whole),
    })
}

struct CountedBytes<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for CountedBytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// What a stream expands to. A stream that expands too much fails: it would fill the disk.
struct Expanded<R> {
    decoder: MultiGzDecoder<CountedBytes<R>>,
    bytes: u64,
}

impl<R: Read> Read for Expanded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.bytes += read as u64;
        let compressed = self.decoder.get_ref().bytes;
        if self.bytes > MIN_LIMITED_BYTES.max(compressed.saturating_mul(MAX_EXPANSION)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "it expands to more than {MAX_EXPANSION} times its size, which no shard of images does"
                ),
            ));
        }
        Ok(read)
    }
}

/// A tar file ends with two blocks of zero bytes; some programs write one.
pub(super) const TAR_BLOCK: usize = 512;

/// A reader that counts the zero bytes at the end of what is read.
pub(super) struct EndOfStream<R> {
    pub(super) reader: R,
    pub(super) zeros: usize,
}

impl<R: Read> Read for EndOfStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let zeros = buffer[..read].iter().rev().take_while(|byte| **byte == 0).count();
        self.zeros = if zeros == read {
            self.zeros.saturating_add(zeros)
        } else {
            zeros
        };
        Ok(read)
    }
}

/// A reader that reports what is read.
pub(super) struct Counted<'a> {
    pub(super) reader: &'a mut dyn Read,
    pub(super) progress: &'a mut dyn FnMut(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        (self.progress)(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_of_zeros_is_rejected_and_of_a_short_shard_is_read() {
        let compressed = |bytes: u64| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::copy(&mut io::repeat(0).take(bytes), &mut encoder).unwrap();
            encoder.finish().unwrap()
        };
        let expanded = |bytes: u64| {
            let stream = compressed(bytes);
            io::copy(
                &mut decompressed(&mut stream.as_slice()).unwrap(),
                &mut io::sink(),
            )
        };
        assert_eq!(expanded(MIN_LIMITED_BYTES).unwrap(), MIN_LIMITED_BYTES);
        let error = expanded(MIN_LIMITED_BYTES + 1).unwrap_err();
        assert!(error.to_string().contains("50 times"), "{error}");
    }
}
