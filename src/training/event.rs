//! What a training tells of itself while it runs.

use crate::metrics::Scores;
use serde::{Deserialize, Serialize};

/// Something that happened in a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TrainingEvent {
    /// A batch was learned from.
    Step(Step),
    /// The dev split was captioned and scored, at the end of an epoch.
    Evaluation(Evaluation),
    /// A checkpoint was written.
    Checkpoint {
        /// `latest` or `best`.
        name: String,
        /// Updates made so far.
        step: u64,
    },
}

/// One update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// From 0.
    pub epoch: usize,
    /// Batches done in this epoch.
    pub batch: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Updates made so far, this one included.
    pub step: u64,
    /// Mean cross-entropy of the batch, in nats a token, label smoothing included.
    pub loss: f32,
    /// The learning rate used.
    pub learning_rate: f32,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f32,
    /// Tokens of the batch; padding does not exist.
    pub tokens: usize,
}

/// The dev split at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// From 0.
    pub epoch: usize,
    /// Updates made so far.
    pub step: u64,
    /// Mean of the epoch's training losses, in nats a token.
    pub training_loss: f64,
    /// Cross-entropy of the dev captions, in nats a token.
    pub loss: f64,
    /// Scores of the captions written for the dev photos.
    pub scores: Scores,
    /// Whether no earlier epoch was better.
    pub best: bool,
    /// A few captions, as `(place of the photo, words)`.
    pub samples: Vec<(usize, String)>,
}
