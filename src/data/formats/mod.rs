//! The formats of captions files: a reader each, and how a format is recognized.
//!
//! A new format is a file with a `READER`, a variant of [`Format`] and a row in [`READERS`].

mod cell;
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
pub(super) mod other_kinds;
#[cfg(feature = "parquet")]
mod parquet;
pub(super) mod sidecars;
pub(super) mod split_lists;
mod table;
mod text_file;

use super::error::DatasetError;
use super::image_files::ImageFiles;
use super::index::CaptionIndex;
use crate::suggest::{Named, UnknownName, unknown_name};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
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
    /// A `.txt`, `.caption` or `.json` file beside each image.
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
    /// Whether the content of a file has the format; names without extension are known by the images.
    recognizes: fn(&Path, &ImageFiles) -> bool,
    read: fn(&Path, &mut CaptionIndex) -> Result<(), DatasetError>,
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
    /// Reads a captions file.
    ///
    /// # Errors
    /// If it is of a kind that holds no captions, cannot be read, or has no valid line.
    pub(super) fn read(&self, file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
        other_kinds::check(file)?;
        index.file = file.display().to_string();
        (self.read)(file, index)
    }

    /// The readers of all formats, or of this one; none for the built-in dataset.
    pub(super) fn of(format: Option<Format>) -> impl Iterator<Item = &'static Self> {
        READERS
            .iter()
            .filter(move |reader| format.is_none_or(|format| reader.format == format))
    }

    /// The captions files of this format in a directory, or in the subdirectory where its distribution has them. A whole
    /// JSON file with the name but another content is not one of them.
    pub(super) fn find(&self, directory: &Path, images: &ImageFiles) -> Result<Vec<PathBuf>, DatasetError> {
        const SUBDIRECTORIES: [&str; 3] = ["", "annotations", "Flickr8k_text"];
        files_where(directory, &SUBDIRECTORIES, |file| {
            (self.is_named)(&name_of(file)) && ((self.recognizes)(file, images) || !json::is_whole(file))
        })
    }

    /// The files of any name in a directory, or else in its `annotations` or `data`, that have this format by their content.
    pub(super) fn find_by_content(
        &self,
        directory: &Path,
        images: &ImageFiles,
    ) -> Result<Vec<PathBuf>, DatasetError> {
        const EXTENSIONS: [&str; 7] = ["csv", "tsv", "txt", "token", "json", "jsonl", "parquet"];
        if self.format == Format::Sidecars {
            let is_one = (self.recognizes)(directory, images);
            return Ok(is_one.then(|| directory.to_owned()).into_iter().collect());
        }
        files_where(directory, &["", "annotations", "data"], |file| {
            let extension = extension_of(file);
            EXTENSIONS.contains(&extension.as_str())
                && !is_of_a_library(file)
                && (self.recognizes)(file, images)
                // The text of one image may start with the name of another.
                && !(matches!(extension.as_str(), "txt" | "json") && images.have(&stem_of(file)))
        })
    }

    /// The reader of a captions file, by its content or else (it may be truncated) by its name.
    pub(super) fn of_file(file: &Path, images: &ImageFiles) -> Result<&'static Self, DatasetError> {
        other_kinds::check(file)?;
        let by_content = READERS.iter().find(|reader| (reader.recognizes)(file, images));
        by_content
            .or_else(|| READERS.iter().find(|reader| (reader.is_named)(&name_of(file))))
            .ok_or_else(|| match fs::metadata(file) {
                Ok(metadata) if metadata.len() == 0 => DatasetError::Empty {
                    file: file.to_owned(),
                },
                _ => DatasetError::NotRecognized {
                    path: file.to_owned(),
                    looked_for: "the first lines of each format".to_owned(),
                    others: None,
                },
            })
    }
}

/// Whether a library wrote a file beside its data: Hugging Face's `datasets`, or img2dataset, whose shards hold the captions
/// of `00000.parquet` too.
fn is_of_a_library(file: &Path) -> bool {
    const DATASETS: [&str; 4] = [
        "dataset_dict.json",
        "dataset_info.json",
        "dataset_infos.json",
        "state.json",
    ];
    let stem = stem_of(file);
    let shard = format!("{}.tar", stem.strip_suffix("_stats").unwrap_or(&stem));
    DATASETS.contains(&name_of(file).as_str()) || file.with_file_name(shard).is_file()
}

/// The files with a property in the first of these subdirectories that has one.
fn files_where(
    directory: &Path,
    subdirectories: &[&str],
    is_one: impl Fn(&PathBuf) -> bool,
) -> Result<Vec<PathBuf>, DatasetError> {
    for name in subdirectories {
        let directory = directory.join(name);
        if !directory.is_dir() {
            continue;
        }
        let mut files = files_in(&directory)?;
        files.retain(&is_one);
        if !files.is_empty() {
            return Ok(files);
        }
    }
    Ok(Vec::new())
}

fn extension_of(file: &Path) -> String {
    file.extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

pub(super) fn stem_of(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn name_of(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The files of a directory, sorted by name.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut files = paths_in(directory)?;
    files.retain(|path| path.is_file());
    Ok(files)
}

/// What a directory holds, sorted by name.
pub(super) fn paths_in(directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let entries = fs::read_dir(directory).map_err(DatasetError::reading(directory))?;
    let paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>();
    let mut paths = paths.map_err(DatasetError::reading(directory))?;
    paths.sort_unstable();
    Ok(paths)
}
