//! COCO's captions JSON (`captions_train2014.json`): images by id and annotations that point at them.
//!
//! Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server" (2015).

use super::json;
use super::{Format, Reader};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use crate::data::problems::ProblemKind;
use crate::data::split;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Coco,
    files: "captions_*.json",
    is_named: |name| name.starts_with("captions_") && name.ends_with(".json"),
    recognizes: |file| json::has_extension(file) && json::mentions(file, "annotations"),
    read,
    has_several_files: true,
};

#[derive(Deserialize)]
struct CocoFile {
    images: Vec<CocoImage>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: Id,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Id,
    /// `null` if it is missing.
    caption: Option<String>,
}

/// COCO's ids are numbers; other datasets of this format also have texts.
#[derive(Deserialize, PartialEq, Eq, Hash)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

/// Reads one file. The split of its images is in its name (`captions_val2014.json`: dev).
fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let CocoFile { images, annotations } = json::read(file)?;
    let split = file
        .file_name()
        .and_then(|name| split::named_in(&name.to_string_lossy()));
    let mut names = HashMap::new();
    for CocoImage { id, file_name } in images {
        index.image(&file_name);
        if let Some(split) = split {
            index.split(&file_name, split);
        }
        names.insert(id, file_name);
    }
    for Annotation { image_id, caption } in annotations {
        let caption = caption.unwrap_or_default();
        match names.get(&image_id) {
            Some(key) => index.caption(key, SourceCaption::new(caption)),
            None => {
                let location = format!("{}, image id {image_id}", file.display());
                let problems = &mut index.problems;
                problems.add(ProblemKind::CaptionWithoutImage, location, caption);
            }
        }
    }
    Ok(())
}
