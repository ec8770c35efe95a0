//! Symptoms of a training or a captioner that fails.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A symptom with its figures. Displayed as a sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "symptom", rename_all = "snake_case")]
pub enum Symptom {
    /// Many images got the same caption.
    SameCaption {
        /// The fraction of images that got it.
        fraction: f64,
        /// The caption.
        caption: String,
    },
    /// Most predictions repeat a word.
    Repetition {
        /// Captions that repeat a word.
        captions: usize,
        /// Images.
        images: usize,
        /// An example.
        caption: String,
    },
    /// The scores of the dev split are close to zero.
    ZeroScores {
        /// BLEU-4 of the last epoch.
        bleu_4: f64,
        /// CIDEr-D of the last epoch.
        cider_d: f64,
    },
    /// Captions and references hardly share a word.
    NoWordOverlap {
        /// BLEU-1.
        bleu_1: f64,
    },
    /// The captions score nearly as well on other images.
    ImageIgnored {
        /// The fraction of BLEU-4 that is left.
        bleu_4_kept: f64,
        /// The fraction of CIDEr-D that is left.
        cider_d_kept: f64,
    },
    /// The gradient norm has spiked several times.
    ExplodingGradients {
        /// Spikes among the last 1,000 steps.
        count: usize,
        /// The last of these steps.
        step: u64,
        /// The norm at that step.
        norm: f32,
        /// The median before it.
        median: f32,
    },
    /// The loss has spiked several times, or has jumped and stayed high.
    LossSpikes {
        /// Spikes among the last 1,000 steps.
        count: usize,
        /// The first of these steps.
        step: u64,
        /// The loss at that step, in nats per token.
        loss: f32,
        /// The median before it.
        median: f32,
    },
    /// The training loss is above that of the untrained model.
    LossAboveStart {
        /// The loss of the first step, in nats per token.
        first: f64,
        /// The loss of the last epoch, in nats per token.
        last: f64,
    },
    /// The dev loss rises while the training loss falls.
    Overfitting {
        /// The epoch with the lowest dev loss, from 1.
        best_epoch: usize,
        /// The dev loss of that epoch, in nats per token.
        lowest: f64,
        /// The dev loss of the last epoch.
        last: f64,
        /// For how many epochs it has risen.
        epochs: usize,
    },
    /// A loss no longer falls although the learning rate is still high.
    Plateau {
        /// Which loss.
        loss: LossKind,
        /// The lowest value, in nats per token.
        lowest: f64,
        /// The epoch of the lowest value, from 1.
        since_epoch: usize,
    },
}

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Of the training split.
    Training,
    /// Of the dev split.
    Dev,
}

impl Symptom {
    /// What to try. Settings are named by their keys.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::SameCaption { .. } | Self::ImageIgnored { .. } => {
                "if the loss still falls, train longer (training.epochs); otherwise train again with a lower \
                 training.learning_rate, and see the likely causes that `cutline evaluate` prints"
            }
            Self::Repetition { .. } => {
                "it has not learned sentences yet: train for more steps (training.epochs, a smaller \
                 training.batch_size); if the learning rate still rises, with fewer \
                 training.lr_schedule.warmup_steps; search.no_repeat_ngram only hides it"
            }
            Self::ZeroScores { .. } | Self::NoWordOverlap { .. } => {
                "read the captions: if they are not sentences yet, train longer (training.epochs) or with another \
                 training.learning_rate; a small dev split has such scores by chance"
            }
            Self::ExplodingGradients { .. } => {
                "train with a lower training.learning_rate or a lower training.optimizer.max_grad_norm; if it began \
                 in the first steps, with more training.lr_schedule.warmup_steps"
            }
            Self::LossSpikes { .. } => {
                "train with a lower training.learning_rate, or more training.lr_schedule.warmup_steps if it began in \
                 the first steps; if the loss does not recover, resuming will not help"
            }
            Self::LossAboveStart { .. } => {
                "train again with a training.learning_rate of a tenth or less; the default is 1e-3"
            }
            Self::Overfitting { .. } => {
                "stop if the dev scores fall too: the best checkpoint is kept; next time try a higher \
                 decoder.dropout, training.label_smoothing or training.optimizer.weight_decay, a smaller \
                 decoder.hidden_size, or a lower training.early_stopping_patience"
            }
            Self::Plateau {
                loss: LossKind::Training,
                ..
            } => {
                "lower training.learning_rate during the run; if that does not help, try a larger \
                 decoder.hidden_size or less decoder.dropout next time"
            }
            Self::Plateau {
                loss: LossKind::Dev, ..
            } => {
                "lower training.learning_rate during the run, or stop: more epochs will hardly improve it; \
                 training.early_stopping_patience stops automatically"
            }
        }
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameCaption { fraction, caption } => write!(
                out,
                "{} of the images get the same caption: {caption}",
                Percent(*fraction)
            ),
            Self::Repetition {
                captions,
                images,
                caption,
            } => write!(out, "{captions} of {images} predictions repeat a word: {caption}"),
            Self::ZeroScores { bleu_4, cider_d } => write!(
                out,
                "the scores are close to zero: BLEU-4 {bleu_4:.4}, CIDEr-D {cider_d:.4}"
            ),
            Self::NoWordOverlap { bleu_1 } => write!(
                out,
                "captions and references hardly have a word in common (BLEU-1 {bleu_1:.4})"
            ),
            Self::ImageIgnored {
                bleu_4_kept,
                cider_d_kept,
            } => write!(
                out,
                "shuffled among the images, the captions keep {} of BLEU-4 and {} of CIDEr-D: the image hardly matters",
                Percent(*bleu_4_kept),
                Percent(*cider_d_kept)
            ),
            Self::ExplodingGradients {
                count,
                step,
                norm,
                median,
            } => write!(
                out,
                "exploding gradients: the norm has spiked {count} times, at step {step} to {norm:.1} from a median \
                 of {median:.1}"
            ),
            Self::LossSpikes {
                count,
                step,
                loss,
                median,
            } => write!(
                out,
                "the loss has spiked {count} times, first at step {step} from {median:.3} to {loss:.3}"
            ),
            Self::LossAboveStart { first, last } => write!(
                out,
                "the learning rate is far too high: the training loss, {last:.3}, is above that of the untrained \
                 model, {first:.3}"
            ),
            Self::Overfitting {
                best_epoch,
                lowest,
                last,
                epochs,
            } => write!(
                out,
                "overfitting: the dev loss has risen for {epochs} epochs, to {last:.3}, while the training loss \
                 falls; it was lowest after epoch {best_epoch}, {lowest:.3}"
            ),
            Self::Plateau {
                loss,
                lowest,
                since_epoch,
            } => {
                let loss = match loss {
                    LossKind::Training => "training",
                    LossKind::Dev => "dev",
                };
                write!(
                    out,
                    "the {loss} loss is on a plateau: no lower than {lowest:.3} since epoch {since_epoch}"
                )
            }
        }
    }
}

/// A fraction, shown in whole percent.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.0} %", self.0 * 100.0)
    }
}
