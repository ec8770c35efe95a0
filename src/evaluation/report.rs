//! What an evaluation finds: figures, their doubtfulness, and every image's caption.

use crate::data::Split;
use crate::diagnosis::{Diagnosis, Evidence, number_or_nan};
use crate::metrics::{Diversity, Example, Interval, Scores, Shuffled};
use crate::search::SearchSettings;
use serde::{Deserialize, Serialize};
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
    /// Symptoms of failure with their likely causes, if any.
    pub diagnosis: Option<Diagnosis>,
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
    /// Evidence for the causes of a failure; of the first member of an ensemble.
    pub evidence: Evidence,
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
