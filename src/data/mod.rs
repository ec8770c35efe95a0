//! Captioned datasets: readers of formats, splits, validation, and the files that `prepare` writes.
//!
//! A [`DataSource`] in one of the [`Format`]s is read into images with captions. [`prepare`] tokenizes the captions,
//! assigns splits, validates the images, and writes a [`Dataset`] and a [`PrepareReport`], which lists everything that
//! was dropped.
//!
//! # Recognizing the format
//!
//! The first of these formats that the directory has captions files of is read; the report names the others. `--format`
//! chooses another format, `--captions` another file.
//!
//! | format | files | splits |
//! | --- | --- | --- |
//! | `karpathy` | `dataset*.json` | its own |
//! | `flickr8k` | `*.token.txt`, `*.token` | split lists |
//! | `coco` | `captions_*.json`, all of them | by the file's name, as `captions_val2014.json` |
//! | `folder` | `captions.csv` or `captions.jsonl`, see [`folder`] | a column or key `split` |
//! | `kaggle` | `captions.txt` and other tables | a column |
//! | `json` | `captions.json` | a key, or a list for each split |
//! | `descriptions` | `descriptions.txt` | none |
//! | `sidecars` | a text beside each image | none |
//!
//! Split lists are `*train*.txt`, `*dev*.txt` or `*val*.txt`, `*test*.txt`, `splits.csv` and `splits.json`; they are read for
//! all formats without splits.
//!
//! [`webdataset`] unpacks tar shards, which are then read as a `folder`.
//!
//! Captions are searched for in the directory, in `annotations/`, `Flickr8k_text/` and the directories of splits, then two
//! levels below; images in `images/`, `photos/`
//! and the directories of Flickr8k, Flickr30k and COCO, then in the directory itself.

mod build;
mod dataset;
mod error;
mod formats;
mod image;
mod image_files;
mod index;
mod problems;
mod report;
mod shard_stream;
mod source;
mod split;
pub mod synthetic;
#[cfg(test)]
mod tests;
mod validate;
pub mod webdataset;

pub use build::{PrepareSettings, build, build_and_save, prepare};
pub use dataset::{Dataset, DatasetManifest, SourceRecord};
pub use error::DatasetError;
pub use formats::columns::ColumnNames;
pub use formats::other_kinds::OtherFiles;
pub use formats::{Format, folder};
pub use image::{Caption, Image, SourceCaption, SourceImage};
pub use image_files::{ImageNames, image_files};
pub use problems::{Problem, ProblemKind, Problems};
pub use report::{PrepareReport, SplitStatistics, SplitsFrom};
pub use source::{DataSource, RawDataset, captions_by_name};
pub use split::{Split, SplitShares};
pub use validate::{Decode, OnProgress, PrepareProgress, PrepareStage};
