//! Kaggle's copy of Flickr8k and Flickr30k: `captions.txt`, CSV with the header `image,caption`, no splits.

use super::{Format, Reader, csv_table, lines};

pub(super) const READER: Reader = Reader {
    format: Format::Kaggle,
    files: "captions.txt",
    is_named: |name| name.eq_ignore_ascii_case("captions.txt"),
    recognizes: |file| lines::first(file).is_some_and(|line| csv_table::is_header(&line)),
    read: csv_table::read,
    has_several_files: false,
};
