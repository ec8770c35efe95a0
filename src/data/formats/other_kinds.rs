//! Files that hold no captions, so that an error can say what they are and what to do with them.

use super::extension_of;
use crate::data::error::DatasetError;
use crate::data::image_files::walk;
use crate::files::FileKind;
use crate::text::{counted, display_path};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// # Errors
/// If a file is of a kind that is not read for captions.
pub(super) fn check(file: &Path) -> Result<(), DatasetError> {
    let kind = FileKind::of_file(file).filter(|_| file.is_file());
    let next = |kind| match kind {
        FileKind::Parquet if extension_of(file) != "parquet" => Some("rename it to metadata.parquet"),
        kind => next_step(kind),
    };
    match kind.and_then(|kind| Some((kind, next(kind)?))) {
        None => Ok(()),
        Some((kind, next)) => Err(DatasetError::NotCaptions {
            file: file.to_owned(),
            kind,
            next,
        }),
    }
}

/// What to do with a file of this kind; `None` if it may hold captions.
pub(in crate::data) fn next_step(kind: FileKind) -> Option<&'static str> {
    Some(match kind {
        FileKind::HtmlPage => "the download failed; open the address in a browser and see what it wants",
        FileKind::GitLfsPointer => "fetch the file with `git lfs pull`",
        FileKind::Zeros => "the download did not finish; start it again",
        FileKind::Image => "name the directory of the images, or their captions file",
        FileKind::Heif | FileKind::Avif | FileKind::JpegXl | FileKind::Jpeg2000 | FileKind::Svg => {
            "convert the images to JPEG or PNG, and name their captions file"
        }
        FileKind::Video => "save its frames as images and name their directory",
        FileKind::Spreadsheet => "save it as CSV",
        FileKind::Tar => {
            "give it as SOURCE if it is a shard of a WebDataset, or unpack it with `tar xf` and name the directory"
        }
        FileKind::Arrow => {
            "load the dataset in Python, save its images as files and its captions with `to_csv`, and name the directory"
        }
        FileKind::Zip => "unpack it with `unzip` and name the directory",
        FileKind::Gzip => "unpack it with `gunzip`, or with `tar xf` if it is a .tar.gz, and name the result",
        FileKind::Archive => "unpack it and name the directory",
        FileKind::Npy
        | FileKind::Npz
        | FileKind::Document
        | FileKind::TorchZip
        | FileKind::Keras
        | FileKind::Safetensors
        | FileKind::Pickle
        | FileKind::Hdf5 => "save its captions as captions.csv with the columns image and caption",
        FileKind::Parquet | FileKind::Text | FileKind::Unknown => return None,
    })
}

/// Files below a source that are of a kind which is not read: the most frequent one.
#[derive(Debug)]
pub struct OtherFiles {
    first: PathBuf,
    kind: FileKind,
    next: &'static str,
    count: usize,
}

impl OtherFiles {
    /// The files below some directories; none if there are none, or these cannot be listed.
    pub(in crate::data) fn below(directories: &[PathBuf]) -> Option<Box<Self>> {
        let kind = |path: &Path| FileKind::by_extension(path).filter(|kind| *kind != FileKind::Image);
        let mut kinds: BTreeMap<FileKind, BTreeSet<PathBuf>> = BTreeMap::new();
        for directory in directories {
            let _ = walk(directory, &|path| kind(path).is_some(), &mut |path, _| {
                if let Some(kind) = kind(&path) {
                    kinds.entry(kind).or_default().insert(path);
                }
            });
        }
        let unread = kinds.into_iter().filter_map(|(kind, files)| {
            Some(Self {
                count: files.len(),
                first: files.into_iter().next()?,
                next: next_step(kind)?,
                kind,
            })
        });
        unread.max_by_key(|files| files.count).map(Box::new)
    }
}

impl fmt::Display for OtherFiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            kind,
            next,
            count,
        } = self;
        match count {
            1 => write!(out, "there is {}, ", display_path(first))?,
            _ => write!(
                out,
                "there are {} such as {}, ",
                counted(*count as u64, "files"),
                display_path(first)
            )?,
        }
        write!(out, "{kind}: {next}")
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
            match check(&file) {
                Err(DatasetError::NotCaptions { kind, .. }) => Some(kind),
                checked => checked.map(|()| None).unwrap(),
            }
        };
        for (name, content, expected) in [
            ("a.npz", &b"PK\x03\x04\xff"[..], FileKind::Npz),
            ("a.jpg", b"\xff\xd8\xff\xe0", FileKind::Image),
            ("captions.csv", b"\xff\xd8\xff\xe0", FileKind::Image),
            ("a.mp4", b"\0\0\0\x20ftypisom", FileKind::Video),
            ("a.mp4", b"", FileKind::Video),
            ("a.xlsx", b"PK\x03\x04\xff", FileKind::Spreadsheet),
            ("captions.csv", b"PK\x03\x04\xff", FileKind::Zip),
            ("captions.csv", b"<!DOCTYPE html><html>", FileKind::HtmlPage),
            ("captions.csv", b"PAR1\x15\x04", FileKind::Parquet),
            (
                "captions.csv",
                b"version https://git-lfs.github.com/spec/v1\noid",
                FileKind::GitLfsPointer,
            ),
        ] {
            assert_eq!(kind(name, content), Some(expected), "{name}");
        }
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
