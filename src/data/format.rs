//! The registry of formats: every form in which captioned images are read, and how each is recognized.

use super::error::DataSetError;
use super::gathering::Gathering;
use super::{coco, flickr8k, folder, kaggle, karpathy};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A form in which captioned images lie on disk, or the built-in data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Karpathy's `dataset_*.json`, with tokens and splits.
    Karpathy,
    /// Flickr8k's and Flickr30k's token file, with split lists.
    Flickr8k,
    /// COCO's `captions_*.json`.
    Coco,
    /// A plain folder's `captions.csv` or `captions.jsonl`.
    Folder,
    /// Kaggle's `captions.txt`.
    Kaggle,
    /// The built-in data set, drawn by the program.
    Scenes,
}

/// Whether a captions file of any name is in a certain format.
type Recognize = fn(&Path) -> bool;

impl Format {
    /// Every format, in the order in which a directory that holds several is recognized: first those that
    /// bring their own splits, so that figures can be compared with published ones; Karpathy's before
    /// Flickr8k's because published captioners use its tokens and splits.
    pub const ALL: [Self; 6] = [
        Self::Karpathy,
        Self::Flickr8k,
        Self::Coco,
        Self::Folder,
        Self::Kaggle,
        Self::Scenes,
    ];

    /// The name of the built-in data set as a source.
    pub const SCENES: &str = "scenes";

    /// The name by which commands and settings call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Karpathy => "karpathy",
            Self::Flickr8k => "flickr8k",
            Self::Coco => "coco",
            Self::Folder => "folder",
            Self::Kaggle => "kaggle",
            Self::Scenes => Self::SCENES,
        }
    }

    /// The files this format is looked for in, as shown to a user.
    pub fn files(self) -> &'static str {
        match self {
            Self::Karpathy => "dataset*.json",
            Self::Flickr8k => "*.token.txt",
            Self::Coco => "captions_*.json",
            Self::Folder => "captions.csv or captions.jsonl",
            Self::Kaggle => "captions.txt",
            Self::Scenes => "(none: drawn by the program)",
        }
    }

    /// The captions files of this format in a directory, and where its distribution puts them below it.
    pub(super) fn find(self, directory: &Path) -> Result<Vec<PathBuf>, DataSetError> {
        const BELOW: [&str; 2] = ["annotations", "Flickr8k_text"];
        let mut found = self.find_directly(directory)?;
        for below in BELOW.map(|name| directory.join(name)) {
            if found.is_empty() && below.is_dir() {
                found = self.find_directly(&below)?;
            }
        }
        Ok(found)
    }

    fn find_directly(self, directory: &Path) -> Result<Vec<PathBuf>, DataSetError> {
        let mut files = files_in(directory)?;
        files.retain(|file| self.is_named(&file.file_name().unwrap_or_default().to_string_lossy()));
        Ok(files)
    }

    /// Whether a file's name is that of captions in this format.
    fn is_named(self, name: &str) -> bool {
        match self {
            Self::Karpathy => karpathy::is_named(name),
            Self::Flickr8k => flickr8k::is_named(name),
            Self::Coco => coco::is_named(name),
            Self::Folder => folder::is_named(name),
            Self::Kaggle => kaggle::is_named(name),
            Self::Scenes => false,
        }
    }

    /// The format of a captions file, by its content or else (it may be torn) by its name.
    pub(super) fn of_file(file: &Path) -> Result<Self, DataSetError> {
        let recognizers: [(Self, Recognize); 5] = [
            (Self::Karpathy, karpathy::recognizes),
            (Self::Coco, coco::recognizes),
            (Self::Flickr8k, flickr8k::recognizes),
            (Self::Folder, folder::recognizes),
            (Self::Kaggle, kaggle::recognizes),
        ];
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        recognizers
            .into_iter()
            .find_map(|(format, recognizes)| recognizes(file).then_some(format))
            .or_else(|| Self::ALL.into_iter().find(|format| format.is_named(&name)))
            .ok_or_else(|| DataSetError::NotRecognized {
                place: file.to_owned(),
                looked_for: "what each form of captions begins with".to_owned(),
            })
    }

    /// Reads captions files of this format.
    pub(super) fn read(self, files: &[PathBuf], gathering: &mut Gathering) -> Result<(), DataSetError> {
        let read = match self {
            Self::Karpathy => karpathy::read,
            Self::Flickr8k => flickr8k::read,
            Self::Coco => coco::read,
            Self::Folder => folder::read,
            Self::Kaggle => kaggle::read,
            Self::Scenes => return Err(DataSetError::ScenesAreDrawn),
        };
        files.iter().try_for_each(|file| read(file, gathering))
    }

    /// Whether captions may be spread over several files: COCO has one a split.
    pub(super) fn takes_several_files(self) -> bool {
        self == Self::Coco
    }
}

/// The files of a directory, sorted by name.
pub(super) fn files_in(directory: &Path) -> Result<Vec<PathBuf>, DataSetError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(DataSetError::reading(directory))? {
        let path = entry.map_err(DataSetError::reading(directory))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A name that is no format's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no format is called {0:?}: use karpathy, flickr8k (also for Flickr30k), coco, folder, kaggle or scenes"
)]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let name = name.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|format| {
                let is_flickr = matches!(name.as_str(), "flickr" | "flickr30k");
                format.name() == name || (is_flickr && *format == Self::Flickr8k)
            })
            .ok_or(UnknownFormat(name))
    }
}
