//! Text in the encodings that captions are saved in: UTF-8, UTF-16, and one-byte encodings.

use crate::data::error::DatasetError;
use crate::data::index::CaptionIndex;
use crate::files::ConfinedPath;
use chardetng::EncodingDetector;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::path::Path;

/// A file's content as bytes of UTF-8 with LF or CR LF line endings, without byte order mark. Lines that are not valid
/// remain in a file that is UTF-8 otherwise. Another encoding is noted in the index.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn read(file: &Path, index: &mut CaptionIndex) -> Result<Vec<u8>, DatasetError> {
    let (mut text, encoding) = decode(bytes(file)?);
    if encoding != UTF_8 {
        let name = encoding.name();
        index.note(format!("{}: read as {name}", file.display()));
    }
    if !text.contains(&b'\n') {
        // Line endings of old Macs and of some spreadsheets.
        text.iter_mut()
            .filter(|byte| **byte == b'\r')
            .for_each(|byte| *byte = b'\n');
    }
    Ok(text)
}

/// The text of a small file in any of the encodings.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn text(file: &Path) -> Result<String, DatasetError> {
    let (text, _) = decode(bytes(file)?);
    Ok(
        String::from_utf8(text)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// The content of a captions file: a plain file, for a pipe may never end, of a size that memory can hold.
///
/// # Errors
/// If it is another kind of file, too long, or cannot be read.
pub(super) fn bytes(file: &Path) -> Result<Vec<u8>, DatasetError> {
    const MAX_BYTES: u64 = 4 << 30;
    ConfinedPath::from(file)
        .read(MAX_BYTES)
        .map_err(DatasetError::reading(file))
}

/// The start of a file as text, for recognizing its format; `None` if it cannot be read.
pub(super) fn start(file: &Path, length: usize) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let opened = ConfinedPath::from(file).open().ok()?;
    opened.take(length as u64).read_to_end(&mut bytes).ok()?;
    let (text, _) = decode(bytes);
    Some(
        String::from_utf8_lossy(&text)
            .replace("\r\n", "\n")
            .replace('\r', "\n"),
    )
}

fn decode(mut bytes: Vec<u8>) -> (Vec<u8>, &'static Encoding) {
    if let Some((encoding, mark)) = Encoding::for_bom(&bytes) {
        if encoding != UTF_8 {
            return (encoded(encoding, &bytes), encoding);
        }
        bytes.drain(..mark);
        return (bytes, UTF_8);
    }
    if let Some(encoding) = utf_16(&bytes) {
        return (encoded(encoding, &bytes), encoding);
    }
    // One valid line beyond ASCII shows that the others are damaged, not encoded otherwise.
    let is_utf8 = |line: &[u8]| !line.is_ascii() && str::from_utf8(line).is_ok();
    if bytes.is_ascii() || bytes.split(|&byte| byte == b'\n').any(is_utf8) {
        return (bytes, UTF_8);
    }
    let mut detector = EncodingDetector::new();
    detector.feed(&bytes, true);
    let encoding = detector.guess(None, false);
    (encoded(encoding, &bytes), encoding)
}

/// UTF-16 without byte order mark, by the zero bytes of ASCII characters: names of images and delimiters.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    const START: usize = 1 << 12;
    let pairs = bytes[..bytes.len().min(START)].chunks_exact(2);
    let (mut first, mut second, count) = (0, 0, pairs.len());
    for pair in pairs {
        first += usize::from(pair[0] == 0);
        second += usize::from(pair[1] == 0);
    }
    let is_common = |zeros: usize| 10 * zeros >= count.max(1);
    match (is_common(first), is_common(second)) {
        (true, false) => Some(UTF_16BE),
        (false, true) => Some(UTF_16LE),
        _ => None,
    }
}

fn encoded(encoding: &'static Encoding, bytes: &[u8]) -> Vec<u8> {
    let (text, _) = encoding.decode_with_bom_removal(bytes);
    text.into_owned().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_detected() {
        let utf16: Vec<u8> = "\u{feff}café\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let big_endian: Vec<u8> = "café\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, name) in [
            ("café\n".as_bytes(), "UTF-8"),
            (b"\xef\xbb\xbfcaf\xc3\xa9\n", "UTF-8"),
            (
                b"image,caption\na.jpg,\xe9t\xe9 in a street with a ch\xe2teau\n",
                "windows-1252",
            ),
            (&utf16, "UTF-16LE"),
            (&utf16[2..], "UTF-16LE"),
            (&big_endian, "UTF-16BE"),
        ] {
            let (text, encoding) = decode(bytes.to_vec());
            assert_eq!(encoding.name(), name);
            assert!(str::from_utf8(&text).unwrap().contains("café") || name == "windows-1252");
        }
        let (text, encoding) = decode(b"\xc3\xa9\nt\xe9o\n".to_vec());
        assert_eq!((encoding, text.len()), (UTF_8, 7), "one damaged line");
    }
}
