//! Captioned data sets: readers, splits, checks, and what `prepare` leaves on disk.
//!
//! A [`Source`] is read in one of the [`Format`]s into images with all their captions; [`prepare`] turns
//! captions into tokens, settles the splits, checks every image's file, and leaves a [`DataSet`] and a
//! [`Report`] on disk. Nothing is dropped that is not listed there.
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
//! `images/` and the directories that Flickr8k, Flickr30k and COCO come with, then in the directory itself.

mod check;
mod coco;
mod error;
mod flickr8k;
pub mod folder;
mod format;
mod gathering;
mod image;
mod json;
mod kaggle;
mod karpathy;
mod lines;
mod prepare;
mod prepared;
mod problems;
mod report;
pub mod scenes;
mod source;
mod split;
mod table;
#[cfg(test)]
mod tests;

pub use check::{Decode, OnProgress, Progress, Stage};
pub use error::DataSetError;
pub use format::{Format, UnknownFormat};
pub use image::{Caption, Image, SourceCaption, SourceImage};
pub use prepare::{PrepareSettings, examine, prepare, prepare_reading};
pub use prepared::{DataSet, Manifest, SourceRecord};
pub use problems::{Problem, ProblemKind, Problems};
pub use report::{Report, SplitStatistics, SplitsFrom};
pub use source::{Reading, Source};
pub use split::{Split, SplitShares, UnknownSplit};
