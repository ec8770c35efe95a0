//! The formats of captions files: a reader each, and how a format is recognized.
//!
//! A new format is a file with a `READER`, a variant of [`Format`] and a row in [`READERS`].

mod coco;
pub(super) mod columns;
mod descriptions;
pub(super) mod flickr8k;
pub mod folder;
mod json;
mod json_records;
mod kaggle;
mod karpathy;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod sidecars;
mod table;
mod text_file;

use super::error::DatasetError;
use super::index::CaptionIndex;
use crate::suggest::{Named, UnknownName, unknown_name};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// A format of captions files, or the built-in dataset.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(
    serialize_all = "lowercase",
    ascii_case_insensitive,
    parse_err_ty = UnknownName,
    parse_err_fn = unknown_name::<Self>
)]
pub enum Format {
    /// Karpathy's `dataset_*.json`, with tokens and splits.
    Karpathy,
    /// The token file of Flickr8k and Flickr30k, with split lists.
    #[strum(to_string = "flickr8k", serialize = "flickr", serialize = "flickr30k")]
    Flickr8k,
    /// COCO's `captions_*.json`.
    Coco,
    /// A folder's `captions.csv`, `captions.jsonl` or `metadata.jsonl`.
    Folder,
    /// Kaggle's `captions.txt` or `results.csv`, and other tables.
    #[strum(to_string = "kaggle", serialize = "table")]
    Kaggle,
    /// `captions.json`: a list of objects, or captions by image.
    Json,
    /// `descriptions.txt` of Keras tutorials.
    Descriptions,
    /// A `.txt` file beside each image.
    Sidecars,
    /// The built-in dataset, drawn by the program.
    Scenes,
}

impl Named for Format {
    const KIND: &'static str = "format";
}

/// How the captions files of a format are found and read.
pub(super) struct Reader {
    pub(super) format: Format,
    /// The files, for messages.
    pub(super) files: &'static str,
    /// Whether a file with this name has the format.
    is_named: fn(&str) -> bool,
    /// Whether the content of a file has the format.
    recognizes: fn(&Path) -> bool,
    pub(super) read: fn(&Path, &mut CaptionIndex) -> Result<(), DatasetError>,
    /// Whether there may be a file for each split, as in COCO.
    pub(super) has_several_files: bool,
}

/// The readers, in the order in which a directory with several formats is recognized: first those with splits of their
/// own, so that scores can be compared with published ones; Karpathy's before Flickr8k's because published captioners
/// use its tokens and splits.
static READERS: [Reader; 8] = [
    karpathy::READER,
    flickr8k::READER,
    coco::READER,
    folder::READER,
    kaggle::READER,
    json_records::READER,
    descriptions::READER,
    sidecars::READER,
];

impl Format {
    /// The name of the built-in dataset as a source.
    pub const SCENES: &str = "scenes";
}

impl Reader {
    /// The readers of all formats, or of this one; none for the built-in dataset.
    pub(super) fn of(format: Option<Format>) -> impl Iterator<Item = &'static Self> {
        READERS
            .iter()
            .filter(move |reader| format.is_none_or(|format| reader.format == format))
    }

    /// The captions files of this format in a directory, or in the subdirectory where its distribution has them.
    pub(super) fn find(&self, directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
        const SUBDIRECTORIES: [&str; 3] = ["", "annotations", "Flickr8k_text"];
        for directory in SUBDIRECTORIES.map(|name| directory.join(name)) {
            if !directory.is_dir() {
                continue;
            }
            let mut files = files_in(&directory)?;
            files.retain(|file| (self.is_named)(&name_of(file)));
            if !files.is_empty() {
                return Ok(files);
            }
        }
        Ok(Vec::new())
    }

    /// The files of any name in a directory, or else in its `annotations`, that have this format by their content.
    pub(super) fn find_by_content(&self, directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
        const EXTENSIONS: [&str; 6] = ["csv", "tsv", "txt", "token", "json", "jsonl"];
        if self.format == Format::Sidecars {
            let is_one = (self.recognizes)(directory);
            return Ok(is_one.then(|| directory.to_owned()).into_iter().collect());
        }
        for directory in [directory.to_owned(), directory.join("annotations")] {
            if !directory.is_dir() {
                continue;
            }
            let mut files = files_in(&directory)?;
            files.retain(|file| {
                let extension = file
                    .extension()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .to_lowercase();
                EXTENSIONS.contains(&extension.as_str()) && (self.recognizes)(file)
            });
            if !files.is_empty() {
                return Ok(files);
            }
        }
        Ok(Vec::new())
    }

    /// The reader of a captions file, by its content or else (it may be truncated) by its name.
    pub(super) fn of_file(file: &Path) -> Result<&'static Self, DatasetError> {
        let by_content = READERS.iter().find(|reader| (reader.recognizes)(file));
        by_content
            .or_else(|| READERS.iter().find(|reader| (reader.is_named)(&name_of(file))))
            .ok_or_else(|| DatasetError::NotRecognized {
                path: file.to_owned(),
                looked_for: "the first lines of each format".to_owned(),
            })
    }
}

fn name_of(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The files of a directory, sorted by name.
pub(super) fn files_in(directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(DatasetError::reading(directory))? {
        let path = entry.map_err(DatasetError::reading(directory))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
