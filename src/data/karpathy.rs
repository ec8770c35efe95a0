//! Karpathy's JSON (`dataset_flickr8k.json`, `dataset_coco.json`): captions with tokens and splits.
//!
//! Karpathy & Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions" (2015).

use super::error::DataSetError;
use super::gathering::Gathering;
use super::image::SourceCaption;
use super::json;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
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

/// Whether a file's name is that of such a file.
pub(super) fn is_named(name: &str) -> bool {
    name.starts_with("dataset") && name.ends_with(".json")
}

/// Whether a JSON file of any name has this form.
pub(super) fn recognizes(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json") && json::mentions(file, "sentences")
}

pub(super) fn read(file: &Path, gathering: &mut Gathering) -> Result<(), DataSetError> {
    let File { images } = json::read(file)?;
    for image in images {
        let key = match image.filepath.as_deref() {
            None | Some("") => image.filename,
            Some(directory) => format!("{directory}/{}", image.filename),
        };
        gathering.image(&key);
        if let Some(split) = image.split.and_then(|name| name.parse().ok()) {
            gathering.split(&key, split);
        }
        for Sentence { raw, tokens } in image.sentences {
            gathering.caption(&key, SourceCaption { raw, tokens });
        }
    }
    Ok(())
}
