//! What an evaluation finds: figures, their doubtfulness, and every image's caption.

use super::collapse::Collapse;
use crate::data::Split;
use crate::metrics::{Diversity, Example, Interval, Scores, Shuffled};
use crate::search::SearchSettings;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// All that an evaluation finds. As JSON it has the scores at its top, as fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was evaluated.
    #[serde(flatten)]
    pub subject: Subject,
    /// How captions were searched for.
    pub search: SearchSettings,
    /// Scores and all that puts them into proportion.
    #[serde(flatten)]
    pub figures: Figures,
    /// What is wrong, where something is.
    pub collapse: Option<Collapse>,
    /// Every image with its caption, in the order of the split.
    pub captions: Vec<CaptionedImage>,
}

/// What was evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The run's name.
    pub run: String,
    /// `best` or `latest`.
    pub checkpoint: String,
    /// What wrote together with it, where an ensemble was evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensemble: Vec<EnsembleMember>,
    /// The data set's name.
    pub data_set: String,
    /// The data set's hash.
    pub data_hash: String,
    /// The split.
    pub split: Split,
}

impl Subject {
    /// Which checkpoint, or which ensemble, in a few words: `best checkpoint`.
    pub fn told_model(&self) -> String {
        let with: Vec<String> = self.ensemble.iter().map(EnsembleMember::to_string).collect();
        match with.as_slice() {
            [] => format!("{} checkpoint", self.checkpoint),
            with => format!("{} checkpoint with {}", self.checkpoint, with.join(", ")),
        }
    }
}

/// A checkpoint that wrote together with another run's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnsembleMember {
    /// The run's name.
    pub run: String,
    /// `best` or `latest`.
    pub checkpoint: String,
}

impl fmt::Display for EnsembleMember {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.run, self.checkpoint)
    }
}

/// Scores and all that puts them into proportion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Images captioned.
    pub images: usize,
    /// The scores of the whole split.
    #[serde(flatten)]
    pub scores: Scores,
    /// The 95 % bootstrap interval of each.
    pub intervals_95: Scores<Interval>,
    /// How varied the captions are.
    pub diversity: Diversity,
    /// What is left of the scores when captions go to other images.
    pub shuffled: Shuffled,
    /// What tells the causes of a collapse apart; of an ensemble, the first member's.
    pub evidence: Evidence,
}

/// What tells the causes of a collapse apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where the decoder's features come from.
    pub encoder: EncoderOrigin,
    /// The mean cosine similarity between what the decoder is given of different images; `None` for a single
    /// image, and in JSON where features are not numbers.
    pub feature_similarity: Option<f64>,
    /// The mean log-probability of a token of the captions, in nats.
    #[serde(deserialize_with = "number_or_nan")]
    pub token_log_probability: f64,
    /// What it would be if every word of the vocabulary were equally likely.
    pub uniform_log_probability: f64,
}

/// Where the decoder's features come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderOrigin {
    /// A network with published weights.
    Published,
    /// A network trained together with the decoder.
    TrainedAlong,
}

/// An image, the caption it got, and how good that is.
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

/// JSON has no word for what is no number, and writes `null`: a captioner that has diverged leaves such reports.
fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
