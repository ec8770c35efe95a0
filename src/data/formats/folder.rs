//! A plain folder of images with a captions file of the user's own making.
//!
//! `captions.csv` has a header with the columns `image` (or `photo`), `caption` and, if wanted, `split`
//! (train, dev, test), and one caption a line; an image with five captions has five lines:
//!
//! ```csv
//! image,caption,split
//! dogs/rex.jpg,"A brown dog , running .",train
//! ```
//!
//! `captions.jsonl` has an object a line with the keys `image` (or `photo`), `caption` or `captions`, and,
//! if wanted, `split`:
//!
//! ```json
//! {"image": "dogs/rex.jpg", "captions": ["A brown dog runs.", "A dog on grass."], "split": "train"}
//! ```
//!
//! The image's name is its path within the folder, or within the directory of images.

use super::{Format, Reader};
use super::{csv_table, lines};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use crate::data::split::Split;
use serde::Deserialize;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Folder,
    files: "captions.csv or captions.jsonl",
    is_named,
    recognizes,
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

/// The file's name.
fn is_named(name: &str) -> bool {
    ["captions.csv", "captions.jsonl"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a file of any name has such an extension.
fn recognizes(file: &Path) -> bool {
    is_jsonl(file)
        || file
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    if is_jsonl(file) {
        // A line of JSON shows where it ends, so a missing line end at the end of the file loses nothing.
        lines::read(file, index, take).map(drop)
    } else {
        csv_table::read(file, index)
    }
}

fn is_jsonl(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"))
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
