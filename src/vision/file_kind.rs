//! What a file that is not what was hoped for looks like, so that an error can say so.

use std::fmt;

/// A kind of file that is often mistaken for an image or for weights, recognized by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A web page: what a download that needed a login or a click leaves behind.
    HtmlPage,
    /// The stand-in that git keeps for a file in Git LFS.
    GitLfsPointer,
    /// HDF5: Keras' `.h5` and `.weights.h5`.
    Hdf5,
    /// A zip archive: also `.npz`, Keras' `.keras`.
    Zip,
    /// A gzip archive: also `.tar.gz`.
    Gzip,
    /// A Python pickle that is not PyTorch's.
    Pickle,
    /// HEIF, as telephones save images (`.heic`).
    Heif,
    /// A PDF document.
    Pdf,
    /// Some other text.
    Text,
    /// Nothing but zeros: a download that was given its room and never filled.
    Zeros,
    /// None of these.
    Unknown,
}

/// First bytes that settle the matter; longer ones are to come before shorter ones with the same start.
const SIGNATURES: [(&[u8], FileKind); 9] = [
    (
        b"version https://git-lfs.github.com/spec/",
        FileKind::GitLfsPointer,
    ),
    (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
    (b"PK\x03\x04", FileKind::Zip),
    (b"\x1f\x8b", FileKind::Gzip),
    (b"%PDF-", FileKind::Pdf),
    (b"\x80\x02", FileKind::Pickle),
    (b"\x80\x03", FileKind::Pickle),
    (b"\x80\x04", FileKind::Pickle),
    (b"\x80\x05", FileKind::Pickle),
];

/// How much of the file's start is looked at.
const LOOKED_AT: usize = 512;

impl FileKind {
    /// Judges by the first bytes of a file; more than it needs may be given.
    pub(crate) fn detect(contents: &[u8]) -> Self {
        let start = &contents[..contents.len().min(LOOKED_AT)];
        if let Some((_, kind)) = SIGNATURES.iter().find(|(bytes, _)| start.starts_with(bytes)) {
            return *kind;
        }
        if start.get(4..8) == Some(b"ftyp") {
            return Self::Heif;
        }
        if !start.is_empty() && start.iter().all(|&byte| byte == 0) {
            return Self::Zeros;
        }
        match text(start) {
            Some(text) if is_html(text) => Self::HtmlPage,
            Some(_) => Self::Text,
            None => Self::Unknown,
        }
    }
}

/// The bytes as text, where they are UTF-8 without control characters (a character cut at the end is fine).
fn text(bytes: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || c.is_whitespace();
    (!text.is_empty() && text.chars().all(printable)).then_some(text)
}

fn is_html(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<head")
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HtmlPage => "a web page (HTML)",
            Self::GitLfsPointer => "a Git LFS pointer, not the file it stands for",
            Self::Hdf5 => "an HDF5 file",
            Self::Zip => "a zip archive",
            Self::Gzip => "a gzip archive",
            Self::Pickle => "a Python pickle",
            Self::Heif => "a HEIF or AVIF picture",
            Self::Pdf => "a PDF document",
            Self::Text => "a text file",
            Self::Zeros => "nothing but zero bytes",
            Self::Unknown => "a file of unknown kind",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_mistakes_are_recognized() {
        let cases: [(&[u8], FileKind); 8] = [
            (b"\n<!DOCTYPE html><html>", FileKind::HtmlPage),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
                FileKind::GitLfsPointer,
            ),
            (b"\x89HDF\r\n\x1a\n\0\0", FileKind::Hdf5),
            (b"\0\0\0\x18ftypheic", FileKind::Heif),
            (b"A dog runs .\n", FileKind::Text),
            ("Ein grüner H\u{fc}gel".as_bytes(), FileKind::Text),
            (&[0; 40], FileKind::Zeros),
            (b"\x13\xff\x00\x07", FileKind::Unknown),
        ];
        for (bytes, expected) in cases {
            assert_eq!(FileKind::detect(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn text_cut_inside_a_character_is_still_text() {
        let long = "ü".repeat(LOOKED_AT);
        assert_eq!(
            FileKind::detect(&long.as_bytes()[..LOOKED_AT - 1]),
            FileKind::Text
        );
    }
}
