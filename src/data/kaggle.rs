//! Kaggle's copy of Flickr8k and Flickr30k: `captions.txt`, CSV with the header `image,caption`, no splits.

use super::error::DataSetError;
use super::gathering::Gathering;
use super::{lines, table};
use std::path::Path;

/// The file's name.
pub(super) fn is_named(name: &str) -> bool {
    name.eq_ignore_ascii_case("captions.txt")
}

/// Whether a file of any name begins with such a header.
pub(super) fn recognizes(file: &Path) -> bool {
    lines::first(file).is_some_and(|line| table::is_header(&line))
}

pub(super) fn read(file: &Path, gathering: &mut Gathering) -> Result<(), DataSetError> {
    table::read(file, gathering)
}
