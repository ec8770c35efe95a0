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
//! `captions.jsonl` has an object on each line with the keys `image` (or `photo`), `caption` or `captions`, and
//! optionally `split`:
//!
//! ```json
//! {"image": "dogs/rex.jpg", "captions": ["A brown dog runs.", "A dog on grass."], "split": "train"}
//! ```
//!
//! The image's name is its path within the folder or the directory of images.

use super::{Format, Reader, csv_table, lines};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use crate::data::split::Split;
use serde::Deserialize;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Folder,
    files: "captions.csv or captions.jsonl",
    is_named: |name| {
        let names = ["captions.csv", "captions.jsonl"];
        names.iter().any(|known| name.eq_ignore_ascii_case(known))
    },
    recognizes: |file| has_extension(file, "csv") || has_extension(file, "jsonl"),
    read,
    has_several_files: false,
};

#[derive(Deserialize)]
struct JsonLine {
    #[serde(alias = "photo")]
    image: String,
    caption: Option<String>,
    #[serde(default)]
    captions: Vec<String>,
    split: Option<String>,
}

fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    if has_extension(file, "jsonl") {
        // A truncated line is not valid JSON, so a missing line ending at the end of the file is no problem.
        lines::read(file, index, take).map(drop)
    } else {
        csv_table::read(file, index)
    }
}

fn has_extension(file: &Path, known: &str) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(known))
}

fn take(index: &mut CaptionIndex, line: &str) -> Result<(), String> {
    let line: JsonLine = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
    if line.image.is_empty() {
        return Err("the image has no name".to_owned());
    }
    if line.caption.is_none() && line.captions.is_empty() {
        return Err(format!("neither `caption` nor `captions` for {}", line.image));
    }
    let split = line
        .split
        .map(|name| name.parse::<Split>())
        .transpose()
        .map_err(|error| error.to_string())?;
    for caption in line.caption.into_iter().chain(line.captions) {
        index.caption(&line.image, SourceCaption::new(caption));
    }
    if let Some(split) = split {
        index.split(&line.image, split);
    }
    Ok(())
}
