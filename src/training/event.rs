//! What a training tells of itself while it runs.

use crate::metrics::Scores;
use serde::{Deserialize, Serialize};

/// Something that happened in a training.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainingEvent {
    /// A batch was learned from.
    Step(Step),
    /// The dev split was captioned and scored.
    Evaluation(Evaluation),
    /// A few dev images were captioned, always the same.
    Samples(Samples),
    /// Long work between batches gets on.
    Progress(Progress),
    /// A checkpoint was written.
    Checkpoint(Saved),
    /// Something to know, in words.
    Message(String),
}

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// `latest` or `best`.
    pub name: String,
    /// Updates made so far.
    pub step: u64,
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
    /// Mean reward of the captions drawn, in self-critical training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f32>,
    /// The learning rate used.
    pub learning_rate: f32,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f32,
    /// Tokens of the batch; padding does not exist.
    pub tokens: usize,
    /// Tokens of the batch over the seconds it took.
    pub tokens_per_second: f32,
    /// Memory of the process, in bytes, where the system tells.
    pub memory: Option<u64>,
}

/// The dev split, captioned and scored.
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
    /// Scores of the captions written for the dev images.
    pub scores: Scores,
    /// Whether no earlier epoch was better.
    pub best: bool,
    /// Why it was done.
    pub occasion: Occasion,
}

/// Why the dev split is captioned and scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// An epoch is done; it may become the best one.
    EpochEnd,
    /// Somebody asked; it changes nothing.
    Asked,
}

/// Captions of a few dev images, always the same ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Updates made so far.
    pub step: u64,
    /// Images and captions.
    pub captions: Vec<Sample>,
}

/// An image with the caption written for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The image's key in the data set.
    pub image: String,
    /// The caption.
    pub caption: String,
}

/// How far long work has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, such as `captioning`.
    pub task: String,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
    /// What is counted, such as `images`.
    pub unit: String,
}
