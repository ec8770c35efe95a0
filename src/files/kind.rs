//! The kind of a file that is not what a reader expects, for error messages.

use super::ConfinedPath;
use std::fmt;
use std::io::Read as _;
use std::path::Path;

/// A kind of file that is often mistaken for captions, an image, weights or an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the table of kinds has their names")]
pub enum FileKind {
    /// What a download leaves behind if it needed a login.
    HtmlPage,
    GitLfsPointer,
    Image,
    /// Images of phones (`.heic`).
    Heif,
    Avif,
    JpegXl,
    Jpeg2000,
    Svg,
    Video,
    Npy,
    Npz,
    Spreadsheet,
    Document,
    TorchZip,
    Keras,
    Safetensors,
    /// Not PyTorch's.
    Pickle,
    Hdf5,
    /// WebDataset shards too.
    Tar,
    Arrow,
    Parquet,
    Gzip,
    Zip,
    /// Of another compression.
    Archive,
    Text,
    /// An incomplete download.
    Zeros,
    Unknown,
}

/// How a kind is called and recognized.
struct KnownKind {
    kind: FileKind,
    /// The name with an article.
    name: &'static str,
    extensions: &'static [&'static str],
    /// Bytes at an offset from the start.
    bytes: &'static [(usize, &'static [u8])],
}

/// The table of kinds.
#[rustfmt::skip]
const KINDS: [KnownKind; 27] = {
    const fn kind(kind: FileKind, name: &'static str, extensions: &'static [&'static str], bytes: &'static [(usize, &'static [u8])]) -> KnownKind {
        KnownKind { kind, name, extensions, bytes }
    }
    [
        kind(FileKind::HtmlPage, "a web page (HTML)", &["html", "htm"], &[]),
        kind(FileKind::GitLfsPointer, "a Git LFS pointer, not the file it stands for", &[], &[(0, b"version https://git-lfs.github.com/spec/")]),
        kind(FileKind::Image, "an image", &["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff"], &[(0, b"\xff\xd8\xff"), (0, b"\x89PNG"), (0, b"GIF8"), (8, b"WEBP"), (0, b"II*\0"), (0, b"MM\0*")]),
        kind(FileKind::Heif, "a HEIC image", &["heic", "heif"], &[(4, b"ftyphe"), (4, b"ftypmif1"), (4, b"ftypmsf1")]),
        kind(FileKind::Avif, "an AVIF image", &["avif"], &[(4, b"ftypavi")]),
        kind(FileKind::JpegXl, "a JPEG XL image", &["jxl"], &[(0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL ")]),
        kind(FileKind::Jpeg2000, "a JPEG 2000 image", &["jp2", "j2k"], &[(0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51")]),
        kind(FileKind::Svg, "an SVG drawing", &["svg"], &[]),
        kind(FileKind::Video, "a video", &["mp4", "avi", "mov", "mkv", "webm"], &[(4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (0, b"\0\0\x01\xba"), (8, b"AVI ")]),
        kind(FileKind::Npy, "a NumPy array (.npy)", &["npy"], &[(0, b"\x93NUMPY")]),
        kind(FileKind::Npz, "an archive of NumPy arrays (.npz)", &["npz"], &[]),
        kind(FileKind::Spreadsheet, "a spreadsheet", &["xlsx", "xls", "ods"], &[(0, b"\xd0\xcf\x11\xe0")]),
        kind(FileKind::Document, "a document, such as PDF or Word", &["pdf", "doc", "docx", "odt"], &[(0, b"%PDF")]),
        kind(FileKind::TorchZip, "a file of PyTorch (.pth)", &["pt", "pth", "ckpt"], &[]),
        kind(FileKind::Keras, "a Keras model", &["keras"], &[]),
        kind(FileKind::Safetensors, "a file of weights (.safetensors)", &["safetensors"], &[]),
        kind(FileKind::Pickle, "a Python pickle", &["pkl", "pickle"], &[(0, b"\x80\x02"), (0, b"\x80\x03"), (0, b"\x80\x04"), (0, b"\x80\x05")]),
        kind(FileKind::Hdf5, "an HDF5 file", &["h5", "hdf5"], &[(0, b"\x89HDF\r\n\x1a\n")]),
        kind(FileKind::Tar, "a tar archive", &["tar", "tgz"], &[(257, b"ustar")]),
        kind(FileKind::Arrow, "an Arrow file", &["arrow", "feather"], &[(0, b"ARROW1")]),
        kind(FileKind::Parquet, "a Parquet table", &["parquet"], &[(0, b"PAR1")]),
        kind(FileKind::Gzip, "a gzip archive", &["gz"], &[(0, b"\x1f\x8b")]),
        kind(FileKind::Zip, "a zip archive", &["zip"], &[(0, b"PK\x03\x04")]),
        kind(FileKind::Archive, "an archive", &["7z", "rar", "bz2", "xz", "zst"], &[(0, b"7z\xbc\xaf"), (0, b"Rar!"), (0, b"BZh"), (0, b"\xfd7zXZ"), (0, b"\x28\xb5\x2f\xfd")]),
        kind(FileKind::Text, "a text file", &[], &[]),
        kind(FileKind::Zeros, "nothing but zero bytes", &[], &[]),
        kind(FileKind::Unknown, "a file of unknown kind", &[], &[]),
    ]
};

/// The number of bytes that are examined.
const EXAMINED: usize = 512;

impl FileKind {
    /// The kind of a file, from its content or its first bytes.
    pub(crate) fn detect(contents: &[u8]) -> Self {
        let start = &contents[..contents.len().min(EXAMINED)];
        let has = |&(offset, bytes): &(usize, &[u8])| {
            start.get(offset..).is_some_and(|rest| rest.starts_with(bytes))
        };
        if let Some(found) = KINDS.iter().find(|kind| kind.bytes.iter().any(has)) {
            return match found.kind {
                Self::Zip => Self::of_zip(start),
                kind => kind,
            };
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

    /// The kind of a file by its content or, as some kinds are archives of another, by its extension unless it is text;
    /// `None` if it cannot be read.
    pub(crate) fn of_file(file: &Path) -> Option<Self> {
        let mut start = Vec::new();
        let opened = ConfinedPath::from(file).open().ok()?;
        opened.take(EXAMINED as u64).read_to_end(&mut start).ok()?;
        let is_text = text(&start).is_some();
        let by_extension = Self::by_extension(file).filter(|_| !is_text);
        Some(by_extension.unwrap_or_else(|| Self::detect(&start)))
    }

    /// The kind that the extension of a name says.
    pub(crate) fn by_extension(name: &Path) -> Option<Self> {
        let extension = name.extension()?;
        let has = |known: &&str| extension.eq_ignore_ascii_case(known);
        let found = KINDS.iter().find(|kind| kind.extensions.iter().any(has));
        found.map(|found| found.kind)
    }

    /// The kind of an archive, by the name of its first entry.
    fn of_zip(start: &[u8]) -> Self {
        let length = start
            .get(26..28)
            .map_or(0, |bytes| usize::from(bytes[0]) + 256 * usize::from(bytes[1]));
        let name = start.get(30..30 + length).unwrap_or_default();
        const OFFICE: [&[u8]; 4] = [b"[Content_Types].xml", b"xl/", b"_rels/", b"docProps/"];
        if name.ends_with(b".npy") {
            Self::Npz
        } else if name.ends_with(b"/data.pkl") {
            Self::TorchZip
        } else if OFFICE.iter().any(|known| name.starts_with(known)) {
            Self::Spreadsheet
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
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = KINDS.iter().find(|kind| kind.kind == *self);
        out.write_str(found.map_or("a file", |found| found.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_mistakes_are_recognized() {
        let cases: [(&[u8], FileKind); 20] = [
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
            (
                b"PK\x03\x04----------------------\x13\0\0\0[Content_Types].xml",
                FileKind::Spreadsheet,
            ),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", FileKind::Video),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x86", FileKind::Video),
            (b"RIFF\xff\0\0\0AVI LIST", FileKind::Video),
            (b"\0\0\0\x1cftypavif\0\0\0\0", FileKind::Avif),
            (b"\x89PNG\r\n", FileKind::Image),
            (b"\n<!DOCTYPE html><html>", FileKind::HtmlPage),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
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
        let long = "ü".repeat(EXAMINED);
        let cut = &long.as_bytes()[..EXAMINED - 1];
        assert_eq!(FileKind::detect(cut), FileKind::Text);
    }

    #[test]
    fn every_kind_has_a_row_of_the_table() {
        for kind in &KINDS {
            assert_eq!(kind.kind.to_string(), kind.name);
        }
        let kinds: std::collections::BTreeSet<FileKind> = KINDS.iter().map(|kind| kind.kind).collect();
        assert_eq!(
            (kinds.len(), KINDS.len()),
            (FileKind::Unknown as usize + 1, kinds.len())
        );
    }
}
