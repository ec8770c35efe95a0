//! An image with its captions, in a source and in a dataset.

use super::split::Split;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// An image of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceImage {
    /// The image's unique name in the source.
    pub key: String,
    /// The path of its file.
    pub path: PathBuf,
    /// Its split, if the source has splits.
    pub split: Option<Split>,
    /// Its captions, in the order of the source.
    pub captions: Vec<SourceCaption>,
}

/// A caption of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCaption {
    /// The caption before cleaning.
    pub raw: String,
    /// The tokens, if the source has tokens.
    pub tokens: Option<Vec<String>>,
}

impl SourceCaption {
    /// A caption without tokens.
    pub fn new(raw: impl Into<String>) -> Self {
        Self {
            raw: raw.into(),
            tokens: None,
        }
    }
}

/// An image of a dataset: its file can be decoded, and it has at least one caption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The image's unique name in the source.
    pub key: String,
    /// The path of its file.
    pub path: PathBuf,
    /// Its split.
    pub split: Split,
    /// Its captions, in the order of the source.
    pub captions: Vec<Caption>,
}

/// A caption and its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// The caption before cleaning.
    pub raw: String,
    /// At least one token; without start and end token.
    pub tokens: Vec<String>,
}
