//! Symptoms of a running training, from its event log.

use super::spikes::{Spike, SpikeDetector, SpikeThreshold};
use super::symptom::{LossKind, Symptom};
use crate::jobs::{DevEvaluation, Event, Predictions, Record, StepEvent, Trigger};
use crate::metrics::Metric;
use std::mem::discriminant;

/// A symptom must last for this many evaluations or predictions; one may be chance.
const IN_A_ROW: usize = 2;
/// Fewer images may share a caption by chance.
const MIN_IMAGES: usize = 3;
/// Below both, captions and references hardly share a bigram.
const ZERO_BLEU_4: f64 = 1e-3;
const ZERO_CIDER_D: f64 = 0.01;
/// Epochs without a lower loss that make a plateau.
const PLATEAU_EPOCHS: usize = 3;
/// A smaller relative improvement does not count.
const MIN_IMPROVEMENT: f64 = 0.002;
/// Below this fraction of the highest learning rate a plateau is expected.
const LOW_LEARNING_RATE: f32 = 0.25;
/// Spikes among the last steps that make a symptom.
const MIN_SPIKES: usize = 3;
/// For gradient norms. They differ between batches, but by less than this in a healthy training.
const GRADIENT_SPIKE: SpikeThreshold = SpikeThreshold {
    factor: 10.0,
    margin: 1.0,
};
/// For losses, in nats per token.
const LOSS_SPIKE: SpikeThreshold = SpikeThreshold {
    factor: 2.0,
    margin: 0.5,
};

/// Watches the event log of a training for symptoms.
///
/// `cutline evaluate` is more certain ([`Diagnosis`](super::Diagnosis)); this is earlier.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingMonitor {
    pub(super) epochs: Vec<EpochSummary>,
    pub(super) predictions: Vec<PredictionSummary>,
    gradients: SpikeDetector,
    pub(super) losses: SpikeDetector,
    learning_rate: LearningRateRange,
    /// The loss of the first step, before any update.
    first_loss: Option<f64>,
    /// Whether the self-critical phase has started.
    is_scst: bool,
    /// The symptoms of earlier epochs: the last of each kind, with the epoch from 1.
    earlier: Vec<(usize, Symptom)>,
    /// The step of a session that has logged no step yet.
    resumed: Option<u64>,
}

impl Default for TrainingMonitor {
    fn default() -> Self {
        Self {
            epochs: Vec::new(),
            predictions: Vec::new(),
            gradients: SpikeDetector::new(GRADIENT_SPIKE),
            losses: SpikeDetector::new(LOSS_SPIKE),
            learning_rate: LearningRateRange::default(),
            first_loss: None,
            is_scst: false,
            earlier: Vec::new(),
            resumed: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct EpochSummary {
    /// From 1.
    number: usize,
    step: u64,
    train_loss: f64,
    dev_loss: f64,
    bleu_4: f64,
    cider_d: f64,
}

/// A summary of a `predictions` event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PredictionSummary {
    step: u64,
    images: usize,
    /// The caption, if all images have the same.
    only_caption: Option<String>,
    /// Captions with a word three times in a row.
    repetitive: usize,
    /// The first of them.
    repetitive_caption: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct LearningRateRange {
    last: f32,
    highest: f32,
}

impl TrainingMonitor {
    /// Adds the next event.
    pub fn add(&mut self, record: &Record) {
        if let (Event::Step(_) | Event::Evaluation(_) | Event::Predictions(_), Some(step)) =
            (&record.event, self.resumed)
        {
            self.resumed = None;
            self.forget_after(step);
        }
        match &record.event {
            // Steps after the checkpoint are computed and logged again, unless the session fails before.
            Event::Start(start) => self.resumed = Some(start.job.step),
            Event::Step(step) => self.add_step(step),
            Event::Evaluation(evaluation) => self.add_evaluation(evaluation),
            Event::Predictions(predictions) => self.add_predictions(predictions),
            _ => {}
        }
    }

    /// The current symptoms, the most serious first.
    pub fn symptoms(&self) -> Vec<Symptom> {
        let overfitting = self.overfitting();
        let plateau = match overfitting {
            None => self.plateau(),
            Some(_) => None,
        };
        [
            self.loss_above_start(),
            self.loss_spikes(),
            self.exploding_gradients(),
            self.same_caption(),
            self.repetition(),
            self.zero_scores(),
            overfitting,
            plateau,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Symptoms of earlier epochs that are no longer there: the last of each kind, with the epoch from 1.
    pub fn past_symptoms(&self) -> Vec<(usize, Symptom)> {
        let now: Vec<_> = self.symptoms().iter().map(discriminant).collect();
        let earlier = self.earlier.iter();
        let is_past = |(_, symptom): &&(usize, Symptom)| !now.contains(&discriminant(symptom));
        earlier.filter(is_past).cloned().collect()
    }

    fn remember(&mut self, epoch: usize) {
        for symptom in self.symptoms() {
            self.earlier
                .retain(|(_, known)| discriminant(known) != discriminant(&symptom));
            self.earlier.push((epoch, symptom));
        }
    }

    fn forget_after(&mut self, step: u64) {
        self.epochs.retain(|epoch| epoch.step <= step);
        self.predictions.retain(|earlier| earlier.step <= step);
        self.gradients.forget_after(step);
        self.losses.forget_after(step);
        let last = self.epochs.last().map_or(0, |epoch| epoch.number);
        self.earlier.retain(|(epoch, _)| *epoch <= last);
        if step == 0 {
            self.learning_rate = LearningRateRange::default();
        }
    }

    fn add_step(&mut self, step: &StepEvent) {
        if step.reward.is_some() {
            return self.start_scst();
        }
        if step.step == 1 {
            self.first_loss = Some(f64::from(step.loss));
        }
        self.gradients.add(step.step, step.grad_norm);
        self.losses.add(step.step, step.loss);
        let highest = self.learning_rate.highest.max(step.learning_rate);
        self.learning_rate = LearningRateRange {
            last: step.learning_rate,
            highest,
        };
    }

    /// In SCST the loss need not fall, and gradients have another scale.
    fn start_scst(&mut self) {
        if !self.is_scst {
            self.is_scst = true;
            self.epochs.clear();
            self.losses = SpikeDetector::new(LOSS_SPIKE);
            self.gradients = SpikeDetector::new(GRADIENT_SPIKE);
        }
    }

    fn add_evaluation(&mut self, evaluation: &DevEvaluation) {
        // A manual evaluation is in the middle of an epoch, whose mean loss is incomplete.
        if evaluation.trigger != Trigger::EpochEnd || self.is_scst {
            return;
        }
        // A resumed session may log the evaluation at its first step again.
        self.epochs.retain(|epoch| epoch.step < evaluation.step);
        self.epochs.push(EpochSummary {
            number: evaluation.epoch + 1,
            step: evaluation.step,
            train_loss: evaluation.train_loss,
            dev_loss: evaluation.dev_loss,
            bleu_4: evaluation.scores.score(Metric::BLEU_4),
            cider_d: evaluation.scores.score(Metric::CIDER_D),
        });
        self.remember(evaluation.epoch + 1);
    }

    fn add_predictions(&mut self, predictions: &Predictions) {
        self.predictions.retain(|earlier| earlier.step < predictions.step);
        let captions = || predictions.captions.iter().map(|prediction| &prediction.caption);
        let only = captions()
            .next()
            .filter(|first| captions().all(|caption| caption == *first));
        let repetitive = || captions().filter(|caption| repeats_a_word(caption));
        self.predictions.push(PredictionSummary {
            step: predictions.step,
            images: predictions.captions.len(),
            only_caption: only.cloned(),
            repetitive: repetitive().count(),
            repetitive_caption: repetitive().next().cloned(),
        });
    }

    pub(super) fn same_caption(&self) -> Option<Symptom> {
        let last = self.lasting(|summary| summary.images >= MIN_IMAGES && summary.only_caption.is_some())?;
        Some(Symptom::SameCaption {
            fraction: 1.0,
            caption: last.only_caption.clone()?,
        })
    }

    /// The last predictions, if the last few of them all are so.
    fn lasting(&self, is_so: impl Fn(&PredictionSummary) -> bool) -> Option<&PredictionSummary> {
        // Before that, any decoder has learned only the most common words.
        if !self.is_scst && self.epochs.len() < IN_A_ROW {
            return None;
        }
        let latest = latest(&self.predictions, IN_A_ROW)?;
        latest.last().filter(|_| latest.iter().all(is_so))
    }

    fn repetition(&self) -> Option<Symptom> {
        let last = self.lasting(|summary| summary.images > 0 && 2 * summary.repetitive > summary.images)?;
        Some(Symptom::Repetition {
            captions: last.repetitive,
            images: last.images,
            caption: last.repetitive_caption.clone()?,
        })
    }

    fn zero_scores(&self) -> Option<Symptom> {
        let latest = latest(&self.epochs, IN_A_ROW)?;
        let is_zero = |epoch: &EpochSummary| epoch.bleu_4 < ZERO_BLEU_4 && epoch.cider_d < ZERO_CIDER_D;
        let last = latest.last().filter(|_| latest.iter().all(is_zero))?;
        Some(Symptom::ZeroScores {
            bleu_4: last.bleu_4,
            cider_d: last.cider_d,
        })
    }

    fn exploding_gradients(&self) -> Option<Symptom> {
        let spikes = self.gradients.spikes();
        let &Spike { step, value, median } = spikes.back().filter(|_| spikes.len() >= MIN_SPIKES)?;
        Some(Symptom::ExplodingGradients {
            count: spikes.len(),
            step,
            norm: value,
            median,
        })
    }

    fn loss_above_start(&self) -> Option<Symptom> {
        let (first, last) = (self.first_loss?, self.epochs.last()?.train_loss);
        (last > first).then_some(Symptom::LossAboveStart { first, last })
    }

    fn loss_spikes(&self) -> Option<Symptom> {
        let spikes = self.losses.spikes();
        let &Spike { step, value, median } = spikes.front().filter(|_| spikes.len() >= MIN_SPIKES)?;
        Some(Symptom::LossSpikes {
            count: spikes.len(),
            step,
            loss: value,
            median,
        })
    }

    pub(super) fn overfitting(&self) -> Option<Symptom> {
        let diverges = |pair: &&[EpochSummary]| {
            pair[1].dev_loss > pair[0].dev_loss && pair[1].train_loss < pair[0].train_loss
        };
        let epochs = self.epochs.windows(2).rev().take_while(diverges).count();
        let (best, last) = (lowest(&self.epochs, |epoch| epoch.dev_loss)?, self.epochs.last()?);
        (epochs >= IN_A_ROW && last.dev_loss > best.dev_loss * (1.0 + MIN_IMPROVEMENT)).then_some(
            Symptom::Overfitting {
                best_epoch: best.number,
                lowest: best.dev_loss,
                last: last.dev_loss,
                epochs,
            },
        )
    }

    pub(super) fn plateau(&self) -> Option<Symptom> {
        let LearningRateRange { last, highest } = self.learning_rate;
        if last < LOW_LEARNING_RATE * highest {
            return None;
        }
        let plateau = |loss, value: fn(&EpochSummary) -> f64| {
            let before = self.epochs.len().checked_sub(PLATEAU_EPOCHS)?;
            let (earlier, latest) = self.epochs.split_at(before);
            let best = lowest(earlier, value)?;
            let threshold = value(best) * (1.0 - MIN_IMPROVEMENT);
            latest
                .iter()
                .all(|epoch| value(epoch) > threshold)
                .then_some(Symptom::Plateau {
                    loss,
                    lowest: value(best),
                    since_epoch: best.number,
                })
        };
        plateau(LossKind::Training, |epoch| epoch.train_loss)
            .or_else(|| plateau(LossKind::Dev, |epoch| epoch.dev_loss))
    }
}

/// Whether a word occurs three times in a row.
fn repeats_a_word(caption: &str) -> bool {
    let words: Vec<&str> = caption.split_whitespace().collect();
    words
        .windows(3)
        .any(|three| three[0] == three[1] && three[1] == three[2])
}

/// The last `count` elements, or `None` if there are fewer.
fn latest<T>(all: &[T], count: usize) -> Option<&[T]> {
    all.get(all.len().checked_sub(count)?..)
}

fn lowest(epochs: &[EpochSummary], value: impl Fn(&EpochSummary) -> f64) -> Option<&EpochSummary> {
    epochs
        .iter()
        .min_by(|one, other| value(one).total_cmp(&value(other)))
}
