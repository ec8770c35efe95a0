//! A plain folder of images with a captions file.
//!
//! `captions.csv` has a header with the columns `image` (or `photo`), `caption` and optionally `split` (train, dev,
//! test), and one caption a line; an image with five captions has five lines:
//!
//! ```csv
//! image,caption,split
//! dogs/rex.jpg,"A brown dog , running .",train
//! ```
//!
//! `captions.jsonl` (or Hugging Face's `metadata.jsonl`) has an object on each line with the keys `image`, `caption` or
//! `captions`, and optionally `split`. Columns and keys may have other usual names, see `columns.rs`:
//!
//! ```json
//! {"image": "dogs/rex.jpg", "captions": ["A brown dog runs.", "A dog on grass."], "split": "train"}
//! ```
//!
//! The image's name is its path within the folder or the directory of images.

use super::{Format, Reader, json, table};
#[cfg(not(feature = "parquet"))]
use crate::data::error::DatasetError;
#[cfg(not(feature = "parquet"))]
use crate::data::index::CaptionIndex;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Folder,
    files: "captions.csv, captions.jsonl, metadata.jsonl or metadata.parquet",
    is_named: |name| {
        let names = [
            "captions.csv",
            "captions.jsonl",
            "metadata.jsonl",
            "metadata.parquet",
        ];
        names.iter().any(|known| name.eq_ignore_ascii_case(known))
    },
    recognizes: |file, images| {
        (has_extension(file, "csv") && table::recognizes(file, images))
            || has_extension(file, "jsonl")
            || has_extension(file, "parquet")
    },
    read: |file, index| {
        if has_extension(file, "jsonl") {
            json::read_lines(file, index)
        } else if has_extension(file, "parquet") {
            read_parquet(file, index)
        } else {
            table::read(file, index)
        }
    },
    has_several_files: false,
};

#[cfg(feature = "parquet")]
use super::parquet::read as read_parquet;

#[cfg(not(feature = "parquet"))]
fn read_parquet(file: &Path, _: &mut CaptionIndex) -> Result<(), DatasetError> {
    Err(DatasetError::NoParquet {
        file: file.to_owned(),
    })
}

fn has_extension(file: &Path, known: &str) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(known))
}
