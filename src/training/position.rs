//! Where a training stands: with weights and moments, all it needs to go on.

use super::changes::Changes;
use super::settings::Monitor;
use crate::jobs::DevEvaluation;
use serde::{Deserialize, Serialize};

/// Where a training stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Batches done in the epoch after those.
    pub batch: usize,
    /// Updates made.
    pub step: u64,
    /// The best value that was monitored, larger is better, and the epoch it was met in.
    pub best: Option<Best>,
    /// How often the learning rate was reduced on a plateau.
    pub reductions: u32,
    /// Epochs since the best, or since the last reduction.
    pub waited: usize,
    /// Losses of this epoch's batches, times their tokens.
    pub loss_sum: f64,
    /// Tokens of this epoch's batches.
    pub tokens: usize,
    /// Settings changed on the way.
    #[serde(default)]
    pub changes: Changes,
    /// Where the self-critical phase began, once it has.
    #[serde(default)]
    pub scst: Option<Beginning>,
}

/// Where a phase began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// Epochs done before.
    pub epoch: usize,
    /// Updates made before.
    pub step: u64,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The monitored value, larger is better.
    pub value: f64,
    /// The epoch, from 0.
    pub epoch: usize,
}

impl Position {
    /// One more batch was learned from.
    pub(super) fn advance(&mut self) {
        self.batch += 1;
        self.step += 1;
    }

    /// Takes a batch's loss into account, in the order of the batches.
    pub(super) fn count(&mut self, loss: f32, tokens: usize) {
        self.loss_sum += f64::from(loss) * tokens as f64;
        self.tokens += tokens;
    }

    /// The mean loss of this epoch's tokens so far.
    pub(super) fn training_loss(&self) -> f64 {
        self.loss_sum / self.tokens.max(1) as f64
    }

    /// Ends an epoch. Reduces the learning rate after `wait` epochs without a better one.
    pub(super) fn end_epoch(&mut self, evaluation: &DevEvaluation, monitor: Monitor, wait: usize) {
        if evaluation.best {
            self.best = Some(Best {
                value: monitor.value(evaluation),
                epoch: self.epoch,
            });
            self.waited = 0;
        } else {
            self.waited += 1;
            if self.waited > wait {
                self.reductions += 1;
                self.waited = 0;
            }
        }
        self.epoch += 1;
        (self.batch, self.loss_sum, self.tokens) = (0, 0.0, 0);
    }

    /// Where the phase that lasts now began.
    pub(super) fn phase(&self) -> Beginning {
        self.scst.unwrap_or_default()
    }

    /// Epochs of this phase since the best one.
    pub(super) fn stale(&self) -> usize {
        let of_phase = self.epoch - self.phase().epoch;
        self.best.map_or(0, |best| {
            (self.epoch - 1).saturating_sub(best.epoch).min(of_phase)
        })
    }
}
