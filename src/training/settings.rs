//! All settings of a run.

use super::schedule::Schedule;
use crate::captioning::SearchSettings;
use crate::decoders::DecoderSettings;
use crate::nn::AdamSettings;
use crate::vision::backbones::small_cnn::SmallCnnSettings;
use serde::{Deserialize, Serialize};

/// All settings of a run: what `--config` files and `--set key=value` change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// Where all randomness of the run starts: first weights, order of captions, dropout.
    pub seed: u64,
    /// Where the decoder's regions come from.
    pub encoder: EncoderSettings,
    /// The decoder.
    pub decoder: DecoderSettings,
    /// The training.
    pub training: TrainingSettings,
    /// How captions are searched for, on the dev split after every epoch and by default later.
    pub search: SearchSettings,
}

/// Where the decoder's regions come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderSettings {
    /// Stored features, or a network that is trained along.
    pub kind: EncoderKind,
    /// Which of the data set's features, by the name of their directory; empty: the only ones there are.
    pub features: String,
    /// Whether stored features are brought to mean 0 and deviation 1, channel by channel.
    pub standardize: bool,
    /// The layer of a published network up to which those behind the stored one are trained further, together with the
    /// decoder; empty: none are.
    pub fine_tune: String,
    /// The share of the learning rate at which they change.
    pub fine_tune_rate: f32,
    /// The network that is trained along.
    pub small_cnn: SmallCnnSettings,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            kind: EncoderKind::default(),
            features: String::new(),
            standardize: true,
            fine_tune: String::new(),
            fine_tune_rate: 0.1,
            small_cnn: SmallCnnSettings::default(),
        }
    }
}

/// Which encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderKind {
    /// Stored features where the data set has some, otherwise the small CNN.
    #[default]
    Auto,
    /// Features that `prepare` has stored.
    Features,
    /// A small CNN trained together with the decoder.
    SmallCnn,
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingSettings {
    /// How many times every caption is read, at most.
    pub epochs: usize,
    /// Captions of a batch.
    pub batch_size: usize,
    /// What batches are made of.
    pub batch_by: BatchBy,
    /// Words after which a caption is cut, for training only.
    pub longest_caption: usize,
    /// The highest learning rate.
    pub learning_rate: f32,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// The optimizer.
    pub optimizer: AdamSettings,
    /// Share of the target probability spread over all words.
    pub label_smoothing: f32,
    /// Share of the words read that are replaced by the unknown word.
    pub word_dropout: f32,
    /// Share of the words read that are replaced by those that the decoder would have written there (scheduled sampling),
    /// in the last epoch; it grows from nothing in the first.
    pub scheduled_sampling: f32,
    /// What is scored and kept is a moving average of the weights, of which each update leaves this share; zero: the
    /// weights themselves.
    pub average: f32,
    /// Share of the images that are seen in a mirror; the data set must have been prepared with `--mirrored`.
    pub mirrored: f32,
    /// How many windows images are seen through, parts of them; the data set must have been prepared with `--windows`.
    pub windows: u32,
    /// Share of the images that are seen through one of the windows, where there are some.
    pub windowed: f32,
    /// A second phase, in which captions are drawn and rewarded.
    pub self_critical: SelfCritical,
    /// What on the dev split decides which checkpoint is the best.
    pub metric: Metric,
    /// Training stops after this many epochs without a better one; zero: never.
    pub patience: usize,
    /// `latest` is saved after so many updates; zero: at the end of an epoch only.
    pub checkpoint_steps: u64,
    /// `latest` is saved after so many minutes; zero: at the end of an epoch only.
    pub checkpoint_minutes: f32,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            epochs: 12,
            batch_size: 64,
            batch_by: BatchBy::Caption,
            longest_caption: 30,
            learning_rate: 1e-3,
            schedule: Schedule::default(),
            optimizer: AdamSettings::default(),
            label_smoothing: 0.1,
            word_dropout: 0.0,
            scheduled_sampling: 0.0,
            average: 0.0,
            mirrored: 0.0,
            windows: 0,
            windowed: 0.5,
            self_critical: SelfCritical::default(),
            metric: Metric::CiderD,
            patience: 5,
            checkpoint_steps: 0,
            checkpoint_minutes: 10.0,
        }
    }
}

/// Self-critical sequence training (Rennie et al. 2017): after the epochs that read captions, from the best of them on,
/// the model writes captions of its own, and those that score above the others of their image are made likelier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfCritical {
    /// How many times captions are drawn for every image, at most; zero: there is no such phase.
    pub epochs: usize,
    /// Captions drawn for an image at a time.
    pub samples: usize,
    /// The highest learning rate.
    pub learning_rate: f32,
    /// Share of the elements dropped; see [`DecoderSettings::dropout`].
    pub dropout: f32,
    /// What logits are multiplied by as the phase begins: after label smoothing and dropout a model is less sure than it
    /// might be, and most of what it draws is not worth comparing.
    pub sharpening: f32,
    /// What a point of CIDEr-D is worth.
    pub cider_d: f32,
    /// What a caption's own BLEU-4 is worth.
    pub bleu_4: f32,
}

impl Default for SelfCritical {
    fn default() -> Self {
        Self {
            epochs: 0,
            samples: 5,
            learning_rate: 5e-5,
            dropout: 0.0,
            sharpening: 2.0,
            cider_d: 1.0,
            bleu_4: 0.0,
        }
    }
}

/// What batches are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchBy {
    /// Captions of similar length, of images as they come.
    #[default]
    Caption,
    /// Images with all their captions: an encoder that is trained along then sees each image once an epoch.
    Image,
}

/// A figure of the dev split that tells checkpoints apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// BLEU-1.
    #[serde(rename = "bleu_1")]
    Bleu1,
    /// BLEU-4.
    #[serde(rename = "bleu_4")]
    Bleu4,
    /// ROUGE-L.
    #[serde(rename = "rouge_l")]
    RougeL,
    /// CIDEr-D.
    #[default]
    #[serde(rename = "cider_d")]
    CiderD,
    /// The cross-entropy; less is better.
    #[serde(rename = "loss")]
    Loss,
}
