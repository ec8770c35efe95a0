//! The report of an evaluation: scores, intervals, diagnostics, and the caption of each image.

use super::scoring::{CorpusScores, TokenizedCaptions};
use crate::data::{Image, Split};
use crate::diagnosis::{Diagnosis, Evidence, number_or_nan};
use crate::jobs::{CheckpointKind, CheckpointRef};
use crate::metrics::{Diversity, Interval, Scores, Shuffled};
use crate::search::SearchSettings;
use serde::{Deserialize, Serialize};

/// The result of an evaluation. The JSON has the scores at the top level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The model, dataset and split.
    #[serde(flatten)]
    pub info: EvaluationInfo,
    /// The search settings.
    pub search: SearchSettings,
    /// The scores, with intervals and diagnostics.
    #[serde(flatten)]
    pub summary: EvaluationSummary,
    /// Symptoms of failure with their likely causes, if any.
    pub diagnosis: Option<Diagnosis>,
    /// The images with their captions, in the order of the split.
    pub captions: Vec<CaptionedImage>,
}

/// The model, dataset and split of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationInfo {
    /// The run's name.
    pub run: String,
    /// Which of its checkpoints.
    pub checkpoint: CheckpointKind,
    /// The other members of an ensemble.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensemble: Vec<CheckpointRef>,
    /// The dataset's name.
    pub dataset: String,
    /// The dataset's hash.
    pub data_hash: String,
    /// The split.
    pub split: Split,
    /// How the dataset's captions were tokenized; empty in older reports.
    #[serde(default)]
    pub tokenizer: String,
}

impl EvaluationInfo {
    /// The checkpoint or ensemble in a few words: `best checkpoint`.
    pub fn model_label(&self) -> String {
        let with: Vec<String> = self.ensemble.iter().map(CheckpointRef::to_string).collect();
        match with.as_slice() {
            [] => format!("{} checkpoint", self.checkpoint),
            with => format!("{} checkpoint with {}", self.checkpoint, with.join(", ")),
        }
    }
}

/// The scores of an evaluation, with intervals and diagnostics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationSummary {
    /// Images captioned.
    pub images: usize,
    /// The scores of the whole split.
    #[serde(flatten)]
    pub scores: Scores,
    /// The 95 % bootstrap interval of each.
    pub intervals_95: Scores<Interval>,
    /// What the scores depend on; empty in older reports.
    #[serde(default)]
    pub signature: String,
    /// The scores by coco-caption's tokenizer, against the references before cleaning; none in older reports.
    #[serde(default)]
    pub ptb: Option<CorpusScores>,
    /// The diversity of the captions.
    pub diversity: Diversity,
    /// The scores after shuffling captions among images.
    pub shuffled: Shuffled,
    /// Evidence for the causes of a failure; of the first member of an ensemble.
    pub evidence: Evidence,
}

/// An image with its generated caption and its scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionedImage {
    /// The image's key.
    pub image: String,
    /// Its caption: tokens, joined by spaces.
    pub caption: String,
    /// Natural logarithm of the caption's probability.
    #[serde(deserialize_with = "number_or_nan")]
    pub log_probability: f64,
    /// The caption's own scores; the document frequencies of CIDEr-D are the split's.
    #[serde(flatten)]
    pub scores: Scores,
    /// The references' tokens, joined by spaces.
    pub references: Vec<String>,
}

impl CaptionedImage {
    /// An image and its caption, not scored yet.
    pub fn new(image: &Image, caption: String, log_probability: f64) -> Self {
        let references = image.captions.iter().map(|caption| caption.tokens.join(" "));
        Self {
            image: image.key.clone(),
            caption,
            log_probability,
            scores: Scores::default(),
            references: references.collect(),
        }
    }
}

/// The tokens of images' captions and references.
pub(super) fn tokenized<'a>(images: impl IntoIterator<Item = &'a CaptionedImage>) -> TokenizedCaptions {
    let pairs = images.into_iter().map(|image| {
        (
            image.caption.as_str(),
            image.references.iter().map(String::as_str),
        )
    });
    TokenizedCaptions::new(pairs, |text| text.split_whitespace().map(str::to_owned).collect())
}
