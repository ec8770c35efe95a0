//! The kind of a file that is not an image or not weights, for error messages.

use std::fmt;

/// A kind of file that is often mistaken for an image or for weights, recognized by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// What a download leaves behind if it needed a login.
    HtmlPage,
    GitLfsPointer,
    /// Keras' `.h5` and `.weights.h5`.
    Hdf5,
    /// Also `.npz` and Keras' `.keras`.
    Zip,
    /// Also `.tar.gz`.
    Gzip,
    /// Not PyTorch's.
    Pickle,
    /// Images of phones (`.heic`).
    Heif,
    /// WebDataset shards too.
    Tar,
    Parquet,
    Pdf,
    Text,
    /// An incomplete download.
    Zeros,
    Unknown,
}

/// The first bytes of kinds.
const SIGNATURES: [(&[u8], FileKind); 10] = [
    (GIT_LFS, FileKind::GitLfsPointer),
    (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
    (b"PK\x03\x04", FileKind::Zip),
    (b"\x1f\x8b", FileKind::Gzip),
    (b"%PDF-", FileKind::Pdf),
    (b"PAR1", FileKind::Parquet),
    (b"\x80\x02", FileKind::Pickle),
    (b"\x80\x03", FileKind::Pickle),
    (b"\x80\x04", FileKind::Pickle),
    (b"\x80\x05", FileKind::Pickle),
];

const GIT_LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The number of bytes that are examined.
const EXAMINED: usize = 512;

impl FileKind {
    /// The kind of a file, from its content or its first bytes.
    pub(crate) fn detect(contents: &[u8]) -> Self {
        let start = &contents[..contents.len().min(EXAMINED)];
        if let Some((_, kind)) = SIGNATURES.iter().find(|(bytes, _)| start.starts_with(bytes)) {
            return *kind;
        }
        if start.get(4..8) == Some(b"ftyp") {
            return Self::Heif;
        }
        if start.get(257..262) == Some(b"ustar") {
            return Self::Tar;
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

/// The bytes as text, if they are UTF-8 without control characters. The last character may be truncated.
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
            Self::Heif => "a HEIF or AVIF image",
            Self::Tar => "a tar archive",
            Self::Parquet => "a Parquet table",
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
            (GIT_LFS, FileKind::GitLfsPointer),
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
        let long = "ü".repeat(EXAMINED);
        let cut = &long.as_bytes()[..EXAMINED - 1];
        assert_eq!(FileKind::detect(cut), FileKind::Text);
    }
}
