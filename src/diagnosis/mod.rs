//! Signs that a training is not well, told from its log while it runs: what is seen, and what to try.
//!
//! What `cutline evaluate` finds out about a checkpoint (`Collapse`) is more certain; this comes
//! sooner.

mod jumps;
#[cfg(test)]
mod tests;

use crate::jobs::{DevEvaluation, Event, Predictions, Record, StepEvent, Trigger};
use crate::metrics::Metric;
use jumps::{Jump, Jumps, Threshold};
use std::fmt;

/// So many evaluations, or captionings of the sample images, in a row make a sign; one may be chance.
const IN_A_ROW: usize = 2;
/// Fewer images share a caption by chance.
const FEWEST_IMAGES: usize = 3;
/// Below both, the captions have hardly two words in a row in common with any reference.
const ZERO_BLEU_4: f64 = 1e-3;
const ZERO_CIDER_D: f64 = 0.01;
/// Epochs without a lower loss before that is a sign.
const EPOCHS_WITHOUT_GAIN: usize = 3;
/// A loss that is lower by a smaller share is not lower.
const LEAST_GAIN: f64 = 0.002;
/// At a smaller share of the highest learning rate a loss is meant to come to rest.
const AT_REST: f32 = 0.25;
/// So many jumps among the latest steps are a sign.
const JUMPS: usize = 3;
/// Of gradient norms. Sentences differ, and so do their gradients; those of a sound training by less than this.
const OF_GRADIENTS: Threshold = Threshold {
    factor: 10.0,
    margin: 1.0,
};
/// Of losses, in nats a token.
const OF_LOSSES: Threshold = Threshold {
    factor: 2.0,
    margin: 0.5,
};

/// What a log tells of how well a training does.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    epochs: Vec<Epoch>,
    samples: Vec<Sampling>,
    gradients: Jumps,
    losses: Jumps,
    learning_rate: LearningRate,
    /// Whether the training rewards captions by now.
    rewards: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            epochs: Vec::new(),
            samples: Vec::new(),
            gradients: Jumps::new(OF_GRADIENTS),
            losses: Jumps::new(OF_LOSSES),
            learning_rate: LearningRate::default(),
            rewards: false,
        }
    }
}

/// An epoch at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Epoch {
    /// From 1, as people count.
    number: usize,
    step: u64,
    train_loss: f64,
    dev_loss: f64,
    bleu_4: f64,
    cider_d: f64,
}

/// The sample images, captioned.
#[derive(Clone, Debug, PartialEq)]
struct Sampling {
    step: u64,
    images: usize,
    /// The caption of all, where they have but one.
    only_caption: Option<String>,
    /// How many captions say a word three times in a row.
    stuttering: usize,
    /// One of them.
    stutter: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct LearningRate {
    last: f32,
    highest: f32,
}

/// A sign that a training is not well; its text says what is seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Sign {
    /// All sample images have got the same caption, more than once.
    SameCaption {
        /// The sample images.
        images: usize,
        /// Their caption.
        caption: String,
    },
    /// Most sample captions say a word over and over, more than once.
    Stutter {
        /// How many do.
        captions: usize,
        /// Of so many.
        images: usize,
        /// One of them.
        caption: String,
    },
    /// The captions of the dev split have nothing in common with its references, more than once.
    NothingRight {
        /// BLEU-4 of the last epoch.
        bleu_4: f64,
        /// CIDEr-D of the last epoch.
        cider_d: f64,
    },
    /// The gradient norm has jumped several times.
    GradientsExplode {
        /// How often among the latest 1,000 steps.
        times: usize,
        /// The last of these steps.
        step: u64,
        /// The norm there.
        norm: f32,
        /// What was usual before it.
        usual: f32,
    },
    /// The loss has jumped several times, or to stay.
    LossJumps {
        /// How often among the latest 1,000 steps.
        times: usize,
        /// The first of these steps.
        step: u64,
        /// The loss there, in nats a token.
        loss: f32,
        /// What was usual before it.
        usual: f32,
    },
    /// The dev loss rises while the training loss falls.
    OverFitting {
        /// The epoch with the lowest dev loss, from 1.
        best_epoch: usize,
        /// The dev loss there, in nats a token.
        lowest: f64,
        /// The dev loss of the last epoch.
        now: f64,
        /// For how many epochs it has risen.
        epochs: usize,
    },
    /// A loss has stopped falling, at a learning rate at which it should fall.
    LossStands {
        /// Which one.
        loss: Loss,
        /// The lowest value, in nats a token.
        lowest: f64,
        /// The epoch of it, from 1.
        since_epoch: usize,
    },
}

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// That of the captions that are learned from.
    Training,
    /// That of the dev split.
    Dev,
}

impl Health {
    /// Takes the next event of the log into account.
    pub fn count(&mut self, record: &Record) {
        match &record.event {
            // What an earlier session told after this step is undone, and will be told again.
            Event::Start(start) => self.forget_after(start.job.step),
            Event::Step(step) => self.count_step(step),
            Event::Evaluation(evaluation) => self.count_evaluation(evaluation),
            Event::Predictions(samples) => self.count_samples(samples),
            _ => {}
        }
    }

    /// The signs there are now, the gravest first; none where all is well, or too little is known.
    pub fn signs(&self) -> Vec<Sign> {
        let over_fitting = self.over_fitting();
        let stands = match over_fitting {
            None => self.loss_stands(),
            Some(_) => None,
        };
        [
            self.loss_jumps(),
            self.gradients_explode(),
            self.same_caption(),
            self.stutter(),
            self.nothing_right(),
            over_fitting,
            stands,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn forget_after(&mut self, step: u64) {
        self.epochs.retain(|epoch| epoch.step <= step);
        self.samples.retain(|samples| samples.step <= step);
        self.gradients.forget_after(step);
        self.losses.forget_after(step);
        if step == 0 {
            self.learning_rate = LearningRate::default();
        }
    }

    fn count_step(&mut self, step: &StepEvent) {
        if step.reward.is_some() {
            return self.forget_losses();
        }
        self.gradients.count(step.step, step.grad_norm);
        self.losses.count(step.step, step.loss);
        let highest = self.learning_rate.highest.max(step.learning_rate);
        self.learning_rate = LearningRate {
            last: step.learning_rate,
            highest,
        };
    }

    /// Once captions are rewarded, no loss is to fall any more, and gradients are of another scale.
    fn forget_losses(&mut self) {
        if !self.rewards {
            self.rewards = true;
            self.epochs.clear();
            self.losses = Jumps::new(OF_LOSSES);
            self.gradients = Jumps::new(OF_GRADIENTS);
        }
    }

    fn count_evaluation(&mut self, evaluation: &DevEvaluation) {
        // One that was asked for lies within an epoch, whose loss is not complete.
        if evaluation.trigger != Trigger::EpochEnd || self.rewards {
            return;
        }
        // A session may tell the very step again that it goes on from.
        self.epochs.retain(|epoch| epoch.step < evaluation.step);
        self.epochs.push(Epoch {
            number: evaluation.epoch + 1,
            step: evaluation.step,
            train_loss: evaluation.train_loss,
            dev_loss: evaluation.dev_loss,
            bleu_4: evaluation.scores.score(Metric::BLEU_4),
            cider_d: evaluation.scores.score(Metric::CIDER_D),
        });
    }

    fn count_samples(&mut self, samples: &Predictions) {
        self.samples.retain(|earlier| earlier.step < samples.step);
        let mut captions = samples.captions.iter().map(|sample| &sample.caption);
        let first = captions.next();
        let only = first.filter(|first| captions.all(|caption| caption == *first));
        let captions = samples.captions.iter().map(|sample| &sample.caption);
        let stuttering = || captions.clone().filter(|caption| stutters(caption));
        self.samples.push(Sampling {
            step: samples.step,
            images: samples.captions.len(),
            only_caption: only.cloned(),
            stuttering: stuttering().count(),
            stutter: stuttering().next().cloned(),
        });
    }

    fn same_caption(&self) -> Option<Sign> {
        let latest = latest(&self.samples, IN_A_ROW)?;
        let is_collapsed =
            |samples: &Sampling| samples.images >= FEWEST_IMAGES && samples.only_caption.is_some();
        // Before that, no decoder has learned more than the commonest words.
        if self.epochs.len() < IN_A_ROW || !latest.iter().all(is_collapsed) {
            return None;
        }
        let last = latest.last()?;
        Some(Sign::SameCaption {
            images: last.images,
            caption: last.only_caption.clone()?,
        })
    }

    fn stutter(&self) -> Option<Sign> {
        let latest = latest(&self.samples, IN_A_ROW)?;
        let is_ill = |samples: &Sampling| samples.images > 0 && 2 * samples.stuttering > samples.images;
        if self.epochs.len() < IN_A_ROW || !latest.iter().all(is_ill) {
            return None;
        }
        let last = latest.last()?;
        Some(Sign::Stutter {
            captions: last.stuttering,
            images: last.images,
            caption: last.stutter.clone()?,
        })
    }

    fn nothing_right(&self) -> Option<Sign> {
        let latest = latest(&self.epochs, IN_A_ROW)?;
        let is_zero = |epoch: &Epoch| epoch.bleu_4 < ZERO_BLEU_4 && epoch.cider_d < ZERO_CIDER_D;
        let last = latest.last().filter(|_| latest.iter().all(is_zero))?;
        Some(Sign::NothingRight {
            bleu_4: last.bleu_4,
            cider_d: last.cider_d,
        })
    }

    fn gradients_explode(&self) -> Option<Sign> {
        let found = self.gradients.found();
        let &Jump { step, value, usual } = found.back().filter(|_| found.len() >= JUMPS)?;
        Some(Sign::GradientsExplode {
            times: found.len(),
            step,
            norm: value,
            usual,
        })
    }

    fn loss_jumps(&self) -> Option<Sign> {
        let found = self.losses.found();
        let &Jump { step, value, usual } = found.front().filter(|_| found.len() >= JUMPS)?;
        Some(Sign::LossJumps {
            times: found.len(),
            step,
            loss: value,
            usual,
        })
    }

    fn over_fitting(&self) -> Option<Sign> {
        let drifts_apart =
            |pair: &&[Epoch]| pair[1].dev_loss > pair[0].dev_loss && pair[1].train_loss < pair[0].train_loss;
        let epochs = self.epochs.windows(2).rev().take_while(drifts_apart).count();
        let (best, last) = (lowest(&self.epochs, |epoch| epoch.dev_loss)?, self.epochs.last()?);
        (epochs >= IN_A_ROW && last.dev_loss > best.dev_loss * (1.0 + LEAST_GAIN)).then_some(
            Sign::OverFitting {
                best_epoch: best.number,
                lowest: best.dev_loss,
                now: last.dev_loss,
                epochs,
            },
        )
    }

    fn loss_stands(&self) -> Option<Sign> {
        let LearningRate { last, highest } = self.learning_rate;
        if last < AT_REST * highest {
            return None;
        }
        let stands = |loss, value: fn(&Epoch) -> f64| {
            let before = self.epochs.len().checked_sub(EPOCHS_WITHOUT_GAIN)?;
            let (earlier, latest) = self.epochs.split_at(before);
            let best = lowest(earlier, value)?;
            let enough = value(best) * (1.0 - LEAST_GAIN);
            latest
                .iter()
                .all(|epoch| value(epoch) > enough)
                .then_some(Sign::LossStands {
                    loss,
                    lowest: value(best),
                    since_epoch: best.number,
                })
        };
        stands(Loss::Training, |epoch| epoch.train_loss).or_else(|| stands(Loss::Dev, |epoch| epoch.dev_loss))
    }
}

/// Whether a word comes three times in a row.
fn stutters(caption: &str) -> bool {
    let words: Vec<&str> = caption.split_whitespace().collect();
    words
        .windows(3)
        .any(|three| three[0] == three[1] && three[1] == three[2])
}

/// The last `count`; none where there are fewer.
fn latest<T>(all: &[T], count: usize) -> Option<&[T]> {
    all.get(all.len().checked_sub(count)?..)
}

fn lowest(epochs: &[Epoch], value: impl Fn(&Epoch) -> f64) -> Option<&Epoch> {
    epochs
        .iter()
        .min_by(|one, other| value(one).total_cmp(&value(other)))
}

impl Sign {
    /// What to try; settings are named by their keys.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::SameCaption { .. } => {
                "if the loss still falls, give it more time (training.epochs); otherwise train again with a lower \
                 training.learning_rate, and see what `cutline evaluate` names as causes"
            }
            Self::Stutter { .. } => {
                "it has not learned sentences yet: give it more steps (training.epochs, a smaller \
                 training.batch_size); where the learning rate still rises, a shorter \
                 training.lr_schedule.warmup_steps; search.no_repeat_ngram hides it only"
            }
            Self::NothingRight { .. } => {
                "look at the captions: if they are no sentences yet, it needs more time (training.epochs) or another \
                 training.learning_rate; if they are, the references may be of other images"
            }
            Self::GradientsExplode { .. } => {
                "train with a lower training.learning_rate or a lower training.optimizer.max_grad_norm; if it began \
                 in the first steps, with a longer training.lr_schedule.warmup_steps"
            }
            Self::LossJumps { .. } => {
                "train with a lower training.learning_rate, or a longer training.lr_schedule.warmup_steps if it was in \
                 the first steps; if the loss does not come back, resuming will not help"
            }
            Self::OverFitting { .. } => {
                "stop if the dev scores fall too: the best checkpoint is kept; next time try a higher \
                 decoder.dropout, training.label_smoothing or training.optimizer.weight_decay, a smaller \
                 decoder.hidden_size, or a lower training.early_stopping_patience"
            }
            Self::LossStands {
                loss: Loss::Training, ..
            } => {
                "lower training.learning_rate while it runs; if that does not help, try a larger decoder.hidden_size or \
                 less decoder.dropout next time"
            }
            Self::LossStands { loss: Loss::Dev, .. } => {
                "lower training.learning_rate while it runs, or stop: more epochs will hardly make it better; \
                 training.early_stopping_patience does so by itself"
            }
        }
    }
}

/// What is seen.
impl fmt::Display for Sign {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameCaption { images, caption } => {
                write!(out, "all {images} sample images get the same caption: {caption}")
            }
            Self::Stutter {
                captions,
                images,
                caption,
            } => write!(
                out,
                "{captions} of {images} sample captions say a word over and over: {caption}"
            ),
            Self::NothingRight { bleu_4, cider_d } => write!(
                out,
                "the dev captions have nothing in common with the references: BLEU-4 {bleu_4:.4}, CIDEr-D \
                 {cider_d:.4}"
            ),
            Self::GradientsExplode {
                times,
                step,
                norm,
                usual,
            } => write!(
                out,
                "the gradients explode: {times} times lately the norm was far above the usual, at step {step} \
                 {norm:.1} instead of {usual:.1}"
            ),
            Self::LossJumps {
                times,
                step,
                loss,
                usual,
            } => write!(
                out,
                "the loss jumps: {times} times lately, first at step {step} from {usual:.3} to {loss:.3}"
            ),
            Self::OverFitting {
                best_epoch,
                lowest,
                now,
                epochs,
            } => write!(
                out,
                "over-fitting: the dev loss has risen for {epochs} epochs, to {now:.3}, while the training loss \
                 falls; it was lowest after epoch {best_epoch}, {lowest:.3}"
            ),
            Self::LossStands {
                loss,
                lowest,
                since_epoch,
            } => {
                let loss = match loss {
                    Loss::Training => "training",
                    Loss::Dev => "dev",
                };
                write!(
                    out,
                    "the {loss} loss has stopped falling: no lower than {lowest:.3} since epoch {since_epoch}"
                )
            }
        }
    }
}
