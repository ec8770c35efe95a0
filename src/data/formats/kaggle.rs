//! Kaggle's copy of Flickr8k and Flickr30k: `captions.txt`, CSV with the header `image,caption`, no splits.

use super::{Format, Reader};
use super::{csv_table, lines};
use crate::data::error::DatasetError;
use crate::data::index::CaptionIndex;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Kaggle,
    files: "captions.txt",
    is_named,
    recognizes,
    read,
    has_several_files: false,
};

/// The file's name.
fn is_named(name: &str) -> bool {
    name.eq_ignore_ascii_case("captions.txt")
}

/// Whether a file of any name begins with such a header.
fn recognizes(file: &Path) -> bool {
    lines::first(file).is_some_and(|line| csv_table::is_header(&line))
}

fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    csv_table::read(file, index)
}
