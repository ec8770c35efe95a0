//! Files that hold no captions, so that an error can say what they are.

use super::extension_of;
use crate::files::ConfinedPath;
use std::io::Read as _;
use std::path::Path;

/// A kind of file that is not read for captions.
#[derive(Debug)]
pub(super) struct OtherKind {
    /// Its name with an article.
    pub(super) name: &'static str,
    /// What to do with it.
    pub(super) next: &'static str,
    extensions: &'static [&'static str],
    /// Bytes at an offset from the start.
    bytes: &'static [(usize, &'static [u8])],
}

const CONVERT: &str = "save its captions as captions.csv with the columns image and caption";
const UNPACK: &str = "unpack it and name the directory";

/// By the extension first: some kinds are archives of another.
static KINDS: [OtherKind; 10] = [
    OtherKind {
        name: "an image",
        next: "name the directory of the images, or their captions file",
        extensions: &[
            "jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "heic", "avif",
        ],
        bytes: &[
            (0, b"\xff\xd8\xff"),
            (0, b"\x89PNG"),
            (0, b"GIF8"),
            (8, b"WEBP"),
            (0, b"II*\0"),
            (0, b"MM\0*"),
        ],
    },
    OtherKind {
        name: "a video",
        next: "save its frames as images and name their directory",
        extensions: &["mp4", "avi", "mov", "mkv", "webm"],
        bytes: &[(4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3")],
    },
    OtherKind {
        name: "a file of NumPy arrays",
        next: CONVERT,
        extensions: &["npz", "npy"],
        bytes: &[(0, b"\x93NUMPY")],
    },
    OtherKind {
        name: "a spreadsheet",
        next: "save it as CSV",
        extensions: &["xlsx", "xls", "ods"],
        bytes: &[(0, b"\xd0\xcf\x11\xe0")],
    },
    OtherKind {
        name: "a pickle or a file of weights",
        next: CONVERT,
        extensions: &["pkl", "pickle", "pt", "pth", "ckpt", "safetensors", "keras"],
        bytes: &[
            (0, b"\x80\x02"),
            (0, b"\x80\x03"),
            (0, b"\x80\x04"),
            (0, b"\x80\x05"),
        ],
    },
    OtherKind {
        name: "an HDF5 file",
        next: CONVERT,
        extensions: &["h5", "hdf5"],
        bytes: &[(0, b"\x89HDF")],
    },
    OtherKind {
        name: "a document",
        next: CONVERT,
        extensions: &["pdf", "doc", "docx", "odt"],
        bytes: &[(0, b"%PDF")],
    },
    OtherKind {
        name: "a tar archive",
        next: "give it as SOURCE if it is a shard of a WebDataset, or unpack it and name the directory",
        extensions: &["tar", "tgz"],
        bytes: &[(257, b"ustar")],
    },
    OtherKind {
        name: "an Arrow file",
        next: "save it with `to_csv`, or as Parquet",
        extensions: &["arrow", "feather"],
        bytes: &[(0, b"ARROW1")],
    },
    OtherKind {
        name: "an archive",
        next: UNPACK,
        extensions: &["zip", "gz", "7z", "rar", "bz2", "xz", "zst"],
        bytes: &[
            (0, b"PK\x03\x04"),
            (0, b"\x1f\x8b"),
            (0, b"7z\xbc\xaf"),
            (0, b"Rar!"),
            (0, b"BZh"),
            (0, b"\xfd7zXZ"),
            (0, b"\x28\xb5\x2f\xfd"),
        ],
    },
];

impl OtherKind {
    /// The kind of a file; `None` if it may hold captions. An extension counts for a file that is not text.
    pub(super) fn of(file: &Path) -> Option<&'static Self> {
        const START: u64 = 512;
        let mut start = Vec::new();
        let opened = ConfinedPath::from(file).open().ok()?;
        opened.take(START).read_to_end(&mut start).ok()?;
        let has_bytes = |kind: &&Self| {
            let mut places = kind.bytes.iter();
            places.any(|&(offset, bytes)| start.get(offset..).is_some_and(|rest| rest.starts_with(bytes)))
        };
        let extension = extension_of(file);
        let is_text = str::from_utf8(&start).is_ok_and(|text| !text.contains('\0'));
        let by_extension = KINDS
            .iter()
            .find(|kind| kind.extensions.contains(&extension.as_str()));
        by_extension
            .filter(|_| !is_text || start.is_empty())
            .or_else(|| KINDS.iter().find(has_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_from_captions() {
        let directory = tempfile::tempdir().unwrap();
        let kind = |name: &str, content: &[u8]| {
            let file = directory.path().join(name);
            std::fs::write(&file, content).unwrap();
            OtherKind::of(&file).map(|kind| kind.name)
        };
        assert_eq!(kind("a.npz", b"PK\x03\x04\xff"), Some("a file of NumPy arrays"));
        assert_eq!(kind("a.jpg", b"\xff\xd8\xff\xe0"), Some("an image"));
        assert_eq!(kind("captions.csv", b"\xff\xd8\xff\xe0"), Some("an image"));
        assert_eq!(kind("a.mp4", b"\0\0\0\x20ftypisom"), Some("a video"));
        assert_eq!(kind("a.mp4", b""), Some("a video"));
        assert_eq!(kind("a.xlsx", b"PK\x03\x04\xff"), Some("a spreadsheet"));
        assert_eq!(kind("a.zip", b"PK\x03\x04\xff"), Some("an archive"));
        for (name, content) in [
            ("captions.csv", &b"image,caption\na.jpg,caf\xe9"[..]),
            ("captions.csv", b""),
            ("captions.csv", b"\xff\xfei\0m\0"),
            ("captions.jpg", b"image,caption\n"),
            ("metadata.parquet", b"PAR1\x15\x04"),
        ] {
            assert_eq!(kind(name, content), None, "{name}");
        }
    }
}
