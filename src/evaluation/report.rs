//! The report of an evaluation: scores, intervals, diagnostics, and the caption of each image.

use crate::data::Split;
use crate::diagnosis::{Diagnosis, Evidence, number_or_nan};
use crate::jobs::{CheckpointKind, CheckpointRef};
use crate::metrics::{Diversity, Example, Interval, Scores, Shuffled};
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

/// The tokens of captions and their references, for the metrics.
pub(super) struct TokenizedCaptions(Vec<(Vec<String>, Vec<Vec<String>>)>);

impl TokenizedCaptions {
    pub(super) fn new<'a>(images: impl IntoIterator<Item = &'a CaptionedImage>) -> Self {
        let tokens = |text: &String| text.split_whitespace().map(str::to_owned).collect();
        let tokenized = images.into_iter().map(|image| {
            (
                tokens(&image.caption),
                image.references.iter().map(tokens).collect(),
            )
        });
        Self(tokenized.collect())
    }

    pub(super) fn examples(&self) -> Vec<Example<'_>> {
        let examples = self.0.iter().map(|(hypothesis, references)| Example {
            hypothesis,
            references,
        });
        examples.collect()
    }
}
