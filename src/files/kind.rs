//! The kind of a file that is not what a reader expects, for error messages.

use std::fmt;

/// A kind of file that is often mistaken for an image, weights or an archive, recognized by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are clear")]
pub enum FileKind {
    /// What a download leaves behind if it needed a login.
    HtmlPage,
    GitLfsPointer,
    /// Keras' `.h5` and `.weights.h5`.
    Hdf5,
    /// NumPy's `.npy`.
    Npy,
    /// NumPy's `.npz`.
    Npz,
    /// PyTorch's `.pth` and `.pt`.
    TorchZip,
    /// Also Keras' `.keras`.
    Zip,
    /// Also `.tar.gz`.
    Gzip,
    /// Not PyTorch's.
    Pickle,
    /// Images of phones (`.heic`).
    Heif,
    Avif,
    JpegXl,
    Jpeg2000,
    Svg,
    /// `.mp4`, `.mov`, `.mkv`, `.webm` and `.avi`.
    Video,
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
const SIGNATURES: [(&[u8], FileKind); 17] = [
    (GIT_LFS, FileKind::GitLfsPointer),
    (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
    (b"PK\x03\x04", FileKind::Zip),
    (b"\x1f\x8b", FileKind::Gzip),
    (b"%PDF-", FileKind::Pdf),
    (b"PAR1", FileKind::Parquet),
    (b"\x93NUMPY", FileKind::Npy),
    (b"\xff\x0a", FileKind::JpegXl),
    (b"\0\0\0\x0cJXL ", FileKind::JpegXl),
    (b"\0\0\0\x0cjP  ", FileKind::Jpeg2000),
    (b"\xff\x4f\xff\x51", FileKind::Jpeg2000),
    (b"\x1a\x45\xdf\xa3", FileKind::Video),
    (b"\0\0\x01\xba", FileKind::Video),
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
            return match kind {
                Self::Zip => Self::of_zip(start),
                kind => *kind,
            };
        }
        if let (Some(b"ftyp"), Some(brand)) = (start.get(4..8), start.get(8..12)) {
            return match brand {
                b"avif" | b"avis" => Self::Avif,
                [b'h', b'e', ..] | b"mif1" | b"msf1" => Self::Heif,
                _ => Self::Video,
            };
        }
        if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"AVI ") {
            return Self::Video;
        }
        if start.get(257..262) == Some(b"ustar") {
            return Self::Tar;
        }
        if !start.is_empty() && start.iter().all(|&byte| byte == 0) {
            return Self::Zeros;
        }
        // A page may be in any encoding.
        let markup = String::from_utf8_lossy(start);
        let markup = markup.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
        let markup = markup.to_ascii_lowercase();
        if ["<!doctype html", "<html", "<head", "<body"]
            .iter()
            .any(|tag| markup.starts_with(tag))
        {
            return Self::HtmlPage;
        }
        match text(start) {
            Some(_) if markup.starts_with('<') && markup.contains("<svg") => Self::Svg,
            Some(_) if markup.starts_with('<') && markup.contains("<html") => Self::HtmlPage,
            Some(_) => Self::Text,
            None => Self::Unknown,
        }
    }

    /// The kind of an archive, by the name of its first entry.
    fn of_zip(start: &[u8]) -> Self {
        let length = start
            .get(26..28)
            .map_or(0, |bytes| usize::from(bytes[0]) + 256 * usize::from(bytes[1]));
        let name = start.get(30..30 + length).unwrap_or_default();
        if name.ends_with(b".npy") {
            Self::Npz
        } else if name.ends_with(b"/data.pkl") {
            Self::TorchZip
        } else {
            Self::Zip
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

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HtmlPage => "a web page (HTML)",
            Self::GitLfsPointer => "a Git LFS pointer, not the file it stands for",
            Self::Hdf5 => "an HDF5 file",
            Self::Npy => "a NumPy array (.npy)",
            Self::Npz => "an archive of NumPy arrays (.npz)",
            Self::TorchZip => "a file of PyTorch (.pth)",
            Self::Zip => "a zip archive",
            Self::Gzip => "a gzip archive",
            Self::Pickle => "a Python pickle",
            Self::Heif => "a HEIC image",
            Self::Avif => "an AVIF image",
            Self::JpegXl => "a JPEG XL image",
            Self::Jpeg2000 => "a JPEG 2000 image",
            Self::Svg => "an SVG drawing",
            Self::Video => "a video",
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
        let cases: [(&[u8], FileKind); 18] = [
            (b"\xef\xbb\xbf<?xml version='1.0'?>\n<html>", FileKind::HtmlPage),
            (b"<HTML><title>caf\xe9", FileKind::HtmlPage),
            (b"<?xml version='1.0'?><svg width='9'/>", FileKind::Svg),
            (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", FileKind::Npy),
            (
                b"PK\x03\x04----------------------\x09\0\0\0arr_0.npy\x93NUMPY",
                FileKind::Npz,
            ),
            (
                b"PK\x03\x04----------------------\x08\0\0\0a.jpgxyz",
                FileKind::Zip,
            ),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", FileKind::Video),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x86", FileKind::Video),
            (b"RIFF\xff\0\0\0AVI LIST", FileKind::Video),
            (b"\0\0\0\x1cftypavif\0\0\0\0", FileKind::Avif),
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
