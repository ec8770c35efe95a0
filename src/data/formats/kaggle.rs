//! Tables of captions: Kaggle's copies of Flickr8k (`captions.txt`) and Flickr30k (`results.csv`), Hugging Face's
//! `metadata.csv`, and any other table with a column for the image and one for the caption.

use super::{Format, Reader, table};

pub(super) const READER: Reader = Reader {
    format: Format::Kaggle,
    files: "captions.txt, results.csv or metadata.csv",
    is_named: |name| {
        let names = [
            "captions.txt",
            "captions.tsv",
            "results.csv",
            "metadata.csv",
            "flickr_annotations_30k.csv",
        ];
        names.iter().any(|known| name.eq_ignore_ascii_case(known))
    },
    recognizes: table::recognizes,
    read: table::read,
    has_several_files: false,
};
