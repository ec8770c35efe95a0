//! An image and its captions, as a source names them and as a prepared data set holds them.

use super::split::Split;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// An image as a source names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceImage {
    /// The name by which the source calls it; one image, one key.
    pub key: String,
    /// Where its file is.
    pub path: PathBuf,
    /// The split the source puts it in.
    pub split: Option<Split>,
    /// All its captions, in the source's order.
    pub captions: Vec<SourceCaption>,
}

/// A caption as a source gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCaption {
    /// The caption as it was written.
    pub raw: String,
    /// The source's own tokens, where it brings them.
    pub tokens: Option<Vec<String>>,
}

impl SourceCaption {
    /// A caption without tokens of its own.
    pub fn new(raw: impl Into<String>) -> Self {
        Self {
            raw: raw.into(),
            tokens: None,
        }
    }
}

/// An image of a prepared data set: its file decodes, and it has at least one caption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The name by which the source calls it; one image, one key.
    pub key: String,
    /// Where its file is.
    pub path: PathBuf,
    /// The split it belongs to.
    pub split: Split,
    /// All its captions, in the source's order.
    pub captions: Vec<Caption>,
}

/// A caption and its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// The caption as it was written.
    pub raw: String,
    /// At least one token, without start and end marker.
    pub tokens: Vec<String>,
}
