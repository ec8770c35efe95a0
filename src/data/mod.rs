//! Captioned data sets: readers, splits, checks, and what `prepare` leaves on disk.
//!
//! A [`DataSource`] is read in one of the [`Format`]s into images with all their captions; [`prepare`] turns
//! captions into tokens, assigns the splits, validates every image's file, and leaves a [`Dataset`] and a
//! [`PrepareReport`] on disk. Nothing is dropped that is not listed there.
//!
//! # How a format is recognized
//!
//! A directory is asked for each format's captions files, in this order, and the first that is there is
//! read; the report names the others. `--format` chooses another, `--captions` another file.
//!
//! | format | files | splits |
//! | --- | --- | --- |
//! | `karpathy` | `dataset*.json` | its own |
//! | `flickr8k` | `*.token.txt`, `*.token` | `*train*.txt`, `*dev*.txt` or `*val*.txt`, `*test*.txt` beside it |
//! | `coco` | `captions_*.json`, all of them | by the file's name, as `captions_val2014.json` |
//! | `folder` | `captions.csv` or `captions.jsonl`, see [`folder`] | a column or key `split` |
//! | `kaggle` | `captions.txt` | none |
//!
//! Captions are looked for in the directory, in `annotations/` and in `Flickr8k_text/`; images in `images/`,
//! `photos/` and the directories that Flickr8k, Flickr30k and COCO come with, then in the directory itself.

mod build;
mod dataset;
mod error;
mod formats;
mod image;
mod index;
mod problems;
mod report;
mod source;
mod split;
pub mod synthetic;
#[cfg(test)]
mod tests;
mod validate;

pub use build::{PrepareSettings, build, build_and_save, prepare};
pub use dataset::{Dataset, DatasetManifest, SourceRecord};
pub use error::DatasetError;
pub use formats::{Format, folder};
pub use image::{Caption, Image, SourceCaption, SourceImage};
pub use problems::{Problem, ProblemKind, Problems};
pub use report::{PrepareReport, SplitStatistics, SplitsFrom};
pub use source::{DataSource, RawDataset};
pub use split::{Split, SplitShares};
pub use validate::{Decode, OnProgress, PrepareProgress, PrepareStage};
