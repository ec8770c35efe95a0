//! All settings of a run.

use super::lr_schedule::LrSchedule;
use crate::config::AutoOr;
use crate::decoders::DecoderSettings;
use crate::jobs::DevEvaluation;
use crate::metrics::{METRICS, Metric};
use crate::model::{AugmentSettings, EncoderSettings};
use crate::nn::AdamSettings;
use crate::nn::cpu::partitions::DEFAULT_PARTITIONS;
use crate::search::SearchSettings;
use crate::text::statistics::LengthHistogram;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::VariantNames;

/// All settings of a run: the keys of `--config` files and of `--set key=value`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "SETTINGS describes each setting")]
pub struct RunSettings {
    pub seed: u64,
    pub encoder: EncoderSettings,
    pub augment: AugmentSettings,
    pub decoder: DecoderSettings,
    pub training: TrainingSettings,
    /// The search for captions, on the dev split after every epoch and by default later.
    pub search: SearchSettings,
}

/// The fraction of captions that the lengths chosen by `auto` leave whole.
const FITTED_FRACTION: f64 = 0.99;
/// Longer captions than this need more memory and time than they are worth.
const MAX_FITTED_LENGTH: usize = 256;
const MIN_CAPTION_LENGTH: usize = 30;

impl RunSettings {
    /// Sets the lengths that are `auto` so that they fit captions of these lengths.
    pub fn fit_lengths(&mut self, captions: &LengthHistogram) {
        let fitted = captions.quantile(FITTED_FRACTION);
        let fit = |length: &mut AutoOr<usize>, least| {
            *length = AutoOr::Set(length.unwrap_or(fitted.clamp(least, MAX_FITTED_LENGTH)));
        };
        fit(&mut self.search.max_length, SearchSettings::DEFAULT_MAX_LENGTH);
        fit(&mut self.training.max_caption_length, MIN_CAPTION_LENGTH);
    }
}

/// Settings of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "SETTINGS describes each setting")]
pub struct TrainingSettings {
    pub epochs: usize,
    pub batch_size: usize,
    pub sampler: Sampler,
    pub max_caption_length: AutoOr<usize>,
    pub learning_rate: f32,
    pub lr_schedule: LrSchedule,
    pub optimizer: AdamSettings,
    pub label_smoothing: f32,
    pub word_dropout: f32,
    /// Probability, in the last epoch, of replacing an input word by the decoder's own prediction; it rises linearly
    /// from 0 in the first epoch.
    pub scheduled_sampling: f32,
    pub ema_decay: f32,
    pub scst: ScstSettings,
    pub monitor: Monitor,
    pub early_stopping_patience: usize,
    pub checkpoint_steps: u64,
    pub checkpoint_minutes: f32,
    /// Parts that work on the CPU is divided into; results depend on it, and not on the number of threads.
    pub cpu_partitions: usize,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            epochs: 12,
            batch_size: 64,
            sampler: Sampler::Bucketed,
            max_caption_length: AutoOr::Auto,
            learning_rate: 1e-3,
            lr_schedule: LrSchedule::default(),
            optimizer: AdamSettings::default(),
            label_smoothing: 0.1,
            word_dropout: 0.0,
            scheduled_sampling: 0.0,
            ema_decay: 0.0,
            scst: ScstSettings::default(),
            monitor: Monitor::Metric(Metric::CIDER_D),
            early_stopping_patience: 5,
            checkpoint_steps: 0,
            checkpoint_minutes: 10.0,
            cpu_partitions: DEFAULT_PARTITIONS,
        }
    }
}

/// Self-critical sequence training (Rennie et al. 2017): after the cross-entropy epochs, starting from the best
/// checkpoint, the model samples captions and raises the probability of those with a reward above the others of
/// their image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "SETTINGS describes each setting")]
pub struct ScstSettings {
    pub epochs: usize,
    pub samples: usize,
    pub learning_rate: f32,
    pub dropout: f32,
    /// Factor of the logits at the start of the phase (an inverse temperature): label smoothing and dropout flatten
    /// the distribution, and most samples from a flat one are too poor to learn from.
    pub initial_logit_scale: f32,
    pub reward: RewardSettings,
}

impl Default for ScstSettings {
    fn default() -> Self {
        Self {
            epochs: 0,
            samples: 5,
            learning_rate: 5e-5,
            dropout: 0.0,
            initial_logit_scale: 2.0,
            reward: RewardSettings::default(),
        }
    }
}

/// Weights of the metrics in the reward of a sampled caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "SETTINGS describes each setting")]
pub struct RewardSettings {
    pub cider_d: f32,
    pub bleu_4: f32,
}

impl Default for RewardSettings {
    fn default() -> Self {
        Self {
            cider_d: 1.0,
            bleu_4: 0.0,
        }
    }
}

/// How captions are grouped into batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Sampler {
    /// Captions of similar length.
    #[default]
    Bucketed,
    /// Images with all their captions, so that an encoder in training runs once per image and epoch.
    ByImage,
}

/// Captions that are no sentences yet score this by chance.
const MIN_SCORE: f64 = 0.01;

/// A value of the dev split that checkpoints are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// A metric; higher is better.
    Metric(Metric),
    /// The cross-entropy; lower is better.
    Loss,
}

impl Monitor {
    /// The value of an evaluation; higher is better. A metric below 0.01 counts as 0.
    pub fn value(self, evaluation: &DevEvaluation) -> f64 {
        match self {
            Self::Metric(metric) => match evaluation.scores.score(metric) {
                score if score < MIN_SCORE => 0.0,
                score => score,
            },
            Self::Loss => -evaluation.dev_loss,
        }
    }

    /// A message that the dev loss decides instead of the metric.
    pub(super) fn tie_message(self, evaluation: &DevEvaluation) -> String {
        let (name, value) = match self {
            Self::Metric(metric) => (metric.label(), evaluation.scores.score(metric)),
            Self::Loss => ("loss", evaluation.dev_loss),
        };
        let tie = match self {
            Self::Metric(_) if value < MIN_SCORE => {
                format!("{value:.4}, which counts as 0 as all below {MIN_SCORE}, as in the best epoch so far")
            }
            _ => format!("{value:.4}, exactly as in the best epoch so far"),
        };
        format!(
            "the dev {name} is {tie}: among epochs of the same {name}, the one with the lowest dev loss is the best"
        )
    }
}

impl Serialize for Monitor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Metric(metric) => metric.serialize(serializer),
            Self::Loss => serializer.serialize_str("loss"),
        }
    }
}

impl<'de> Deserialize<'de> for Monitor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; METRICS.len() + 1] = Metric::keys("loss");
        let name = String::deserialize(deserializer)?;
        match (name.as_str(), Metric::from_key(&name)) {
            ("loss", _) => Ok(Self::Loss),
            (_, Some(metric)) => Ok(Self::Metric(metric)),
            (_, None) => Err(D::Error::unknown_variant(&name, &NAMES)),
        }
    }
}
