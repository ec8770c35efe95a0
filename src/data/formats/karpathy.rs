//! Karpathy's JSON (`dataset_flickr8k.json`, `dataset_coco.json`): captions with tokens and splits.
//!
//! Karpathy & Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions" (2015).

use super::json;
use super::{Format, Reader};
use crate::data::error::DatasetError;
use crate::data::image::SourceCaption;
use crate::data::index::CaptionIndex;
use serde::Deserialize;
use std::path::Path;

pub(super) const READER: Reader = Reader {
    format: Format::Karpathy,
    files: "dataset*.json",
    is_named: |name| name.starts_with("dataset") && name.ends_with(".json"),
    recognizes: |file, _| json::mentions(file, &["images", "sentences"]),
    read,
    has_several_files: false,
};

#[derive(Deserialize)]
struct KarpathyFile {
    images: Vec<KarpathyImage>,
}

#[derive(Deserialize)]
struct KarpathyImage {
    /// COCO's directory within the images, as `val2014`.
    filepath: Option<String>,
    filename: String,
    split: Option<String>,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: String,
    tokens: Option<Vec<String>>,
}

fn read(file: &Path, index: &mut CaptionIndex) -> Result<(), DatasetError> {
    let KarpathyFile { images } = json::read(file, index)?;
    for image in images {
        let key = match image.filepath.as_deref() {
            None | Some("") => image.filename,
            Some(directory) => format!("{directory}/{}", image.filename),
        };
        index.image(&key);
        if let Some(split) = image.split.and_then(|name| name.parse().ok()) {
            index.split(&key, split);
        }
        for Sentence { raw, tokens } in image.sentences {
            index.caption(&key, SourceCaption { raw, tokens });
        }
    }
    Ok(())
}
