//! The state of a training: with weights and optimizer moments, everything that resuming needs.

use super::settings::Monitor;
use super::settings_changes::Changes;
use crate::jobs::DevEvaluation;
use serde::{Deserialize, Serialize};

/// The state of a training, saved in the checkpoint `latest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Completed epochs.
    pub epoch: usize,
    /// Completed batches of the current epoch.
    pub batch: usize,
    /// Completed steps.
    pub step: u64,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Learning rate drops of the plateau schedule.
    pub lr_drops: u32,
    /// Epochs since the best one or the last drop.
    pub plateau_epochs: usize,
    /// Sum of the current epoch's batch losses, each times its tokens.
    pub loss_sum: f64,
    /// Tokens of the current epoch's batches.
    pub tokens: usize,
    /// Settings changed since the run was started.
    #[serde(default)]
    pub changes: Changes,
    /// Whether the dev loss has decided between epochs of the same metric.
    #[serde(default)]
    pub loss_decided: bool,
    /// The start of the SCST phase, once it has started.
    #[serde(default)]
    pub scst: Option<PhaseStart>,
}

/// The start of a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseStart {
    /// Epochs completed before.
    pub epoch: usize,
    /// Steps completed before.
    pub step: u64,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The value of the monitored metric; larger is better.
    pub value: f64,
    /// The dev loss, which decides between epochs of the same value; smaller is better.
    pub dev_loss: f64,
    /// The epoch, from 0.
    pub epoch: usize,
}

/// How an epoch compares with the best one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BestComparison {
    /// Its metric is better.
    Better,
    /// Its metric is the same, and its dev loss is lower.
    SameWithLowerLoss,
    /// It is not better.
    Worse,
}

impl TrainState {
    /// How an epoch compares with the best one so far.
    pub(super) fn compare_to_best(&self, value: f64, dev_loss: f64) -> BestComparison {
        match self.best {
            None => BestComparison::Better,
            Some(best) if value > best.value => BestComparison::Better,
            // A metric that cannot rise, such as CIDEr-D of a single image, must not stop a training that learns.
            Some(best) if value == best.value && dev_loss < best.dev_loss => {
                BestComparison::SameWithLowerLoss
            }
            Some(_) => BestComparison::Worse,
        }
    }

    pub(super) fn count_step(&mut self) {
        self.batch += 1;
        self.step += 1;
    }

    /// Adds a batch to the epoch's loss. Floating-point sums depend on the order: call it in the order of the steps.
    pub(super) fn add_loss(&mut self, loss: f32, tokens: usize) {
        self.loss_sum += f64::from(loss) * tokens as f64;
        self.tokens += tokens;
    }

    /// The current epoch's loss per token.
    pub(super) fn train_loss(&self) -> f64 {
        self.loss_sum / self.tokens.max(1) as f64
    }

    /// Ends an epoch, and counts a learning rate drop after more than `patience` epochs without a better one.
    pub(super) fn end_epoch(&mut self, evaluation: &DevEvaluation, monitor: Monitor, patience: usize) {
        if evaluation.best {
            self.best = Some(Best {
                value: monitor.value(evaluation),
                dev_loss: evaluation.dev_loss,
                epoch: self.epoch,
            });
            self.plateau_epochs = 0;
        } else {
            self.plateau_epochs += 1;
            if self.plateau_epochs > patience {
                self.lr_drops += 1;
                self.plateau_epochs = 0;
            }
        }
        self.epoch += 1;
        (self.batch, self.loss_sum, self.tokens) = (0, 0.0, 0);
    }

    /// The start of the current phase.
    pub(super) fn phase(&self) -> PhaseStart {
        self.scst.unwrap_or_default()
    }

    /// Completed epochs of the current phase.
    pub(super) fn phase_epochs(&self) -> usize {
        self.epoch - self.phase().epoch
    }

    /// Epochs of this phase since the best one.
    pub(super) fn epochs_since_best(&self) -> usize {
        self.best.map_or(0, |best| {
            (self.epoch - 1)
                .saturating_sub(best.epoch)
                .min(self.phase_epochs())
        })
    }
}
