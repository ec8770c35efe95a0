//! Checkpoints of a training: when they are due, how they are written, and how a training resumes from one.

use super::callback::{Callback, Retry};
use super::error::TrainingError;
use super::state::{Best, TrainState};
use super::trainer::{Trainer, optimizer};
use crate::files::ConfinedPath;
use crate::jobs::{CheckpointSaved, DevEvaluation, Event};
use crate::model::{Checkpoint, NamedMatrix, save};
use crate::nn::{Backend, DeviceResult, Moments};
use std::time::Instant;

/// The paths of a run's checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The last one written, from which a training resumes: weights, optimizer moments and state.
    pub latest: ConfinedPath,
    /// The one with the best dev metric: weights only.
    pub best: ConfinedPath,
}

/// Measures the time since `latest` was saved.
pub(super) struct CheckpointTimer {
    saved: Instant,
}

impl CheckpointTimer {
    pub(super) fn start() -> Self {
        Self {
            saved: Instant::now(),
        }
    }
}

impl<D: Backend> Trainer<'_, D> {
    /// Restores weights, optimizer moments and state from a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is damaged, belongs to another model, or has no state, as `best`.
    pub fn resume(&mut self, path: impl Into<ConfinedPath>) -> Result<(), TrainingError> {
        let path = path.into();
        let checkpoint = Checkpoint::open(&path)?;
        self.state =
            serde_json::from_value(checkpoint.training().clone()).map_err(|error| TrainingError::State {
                path: path.into(),
                why: error.to_string(),
            })?;
        checkpoint.restore(&mut self.model)?;
        self.adam.step = self.state.step - self.state.phase().step;
        let changes = std::mem::take(&mut self.state.changes);
        self.change(changes)?;
        self.restore_moments(&checkpoint)
    }

    /// Restores the weights of the checkpoint `best` and starts after the epoch of its evaluation, with new moments.
    ///
    /// # Errors
    /// If the checkpoint is damaged, or belongs to another model.
    pub fn resume_best(
        &mut self,
        path: impl Into<ConfinedPath>,
        evaluation: &DevEvaluation,
    ) -> Result<(), TrainingError> {
        Checkpoint::open(path)?.restore(&mut self.model)?;
        (self.adam, self.ema) = optimizer(&self.settings, &self.model).map_err(TrainingError::device)?;
        self.state = TrainState {
            epoch: evaluation.epoch + 1,
            step: evaluation.step,
            best: Some(Best {
                value: self.settings.training.monitor.value(evaluation),
                dev_loss: evaluation.dev_loss,
                epoch: evaluation.epoch,
            }),
            ..TrainState::default()
        };
        Ok(())
    }

    fn restore_moments(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainingError> {
        let device = self.model.device().clone();
        let restore = |name: String, shape, moment: &mut D::Moment| -> Result<(), TrainingError> {
            let values = checkpoint.matrix(&device, &name, shape)?;
            *moment = D::try_moment(&values).map_err(TrainingError::device)?;
            Ok(())
        };
        for (parameter, moments) in self.model.parameters().into_iter().zip(&mut self.adam.moments) {
            let (name, shape) = (&parameter.name, parameter.shape());
            restore(exp_avg(name), shape, &mut moments.first)?;
            restore(exp_avg_sq(name), shape, &mut moments.second)?;
        }
        let weights = self.ema.iter_mut().flat_map(|ema| &mut ema.weights);
        for (parameter, average) in self.model.parameters().into_iter().zip(weights) {
            restore(ema(&parameter.name), parameter.shape(), average)?;
        }
        Ok(())
    }

    /// Whether `training.checkpoint_steps` or `training.checkpoint_minutes` have passed.
    pub(super) fn is_checkpoint_due(&self) -> bool {
        let training = &self.settings.training;
        let steps = training.checkpoint_steps;
        let seconds = training.checkpoint_minutes * 60.0;
        let by_steps = steps > 0 && self.state.step.is_multiple_of(steps);
        let by_minutes = seconds > 0.0 && self.timer.saved.elapsed().as_secs_f32() >= seconds;
        by_steps || by_minutes
    }

    /// Writes `latest`, unless the weights are no longer finite: then the previous checkpoint is worth more.
    pub(super) fn save_latest(&mut self, callback: &mut dyn Callback) -> Result<(), TrainingError> {
        // The state must count the losses of all steps that have changed the weights.
        self.flush(callback)?;
        if !self.has_finite_weights().map_err(TrainingError::device)? {
            return Err(TrainingError::NotFinite {
                what: "weights",
                step: self.state.step,
            });
        }
        self.save_as("latest", callback, Self::write_latest)?;
        self.timer = CheckpointTimer::start();
        Ok(())
    }

    pub(super) fn save_best(&self, callback: &mut dyn Callback) -> Result<(), TrainingError> {
        self.save_as("best", callback, |trainer| {
            let best = &trainer.checkpoints.best;
            Ok(save(best, &trainer.model, Vec::new(), serde_json::Value::Null)?)
        })
    }

    /// Writes a checkpoint, again and again while the disk is full and the callback retries.
    fn save_as(
        &self,
        name: &str,
        callback: &mut dyn Callback,
        write: fn(&Self) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        loop {
            // At each attempt: while it waits for space, another process may take the run over.
            callback.before_checkpoint()?;
            match write(self) {
                Err(TrainingError::Checkpoint(error))
                    if error.is_disk_full() && callback.on_disk_full(&error) == Retry::Now => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        callback.on_event(Event::Checkpoint(CheckpointSaved {
            name: name.into(),
            step: self.state.step,
        }));
        Ok(())
    }

    fn has_finite_weights(&self) -> DeviceResult<D, bool> {
        for parameter in &self.model.parameters() {
            if !D::try_norm_squared(&parameter.value)?.is_finite() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write_latest(&self) -> Result<(), TrainingError> {
        let moments = self.moments().map_err(TrainingError::device)?;
        let state = serde_json::to_value(&self.state).map_err(|error| TrainingError::State {
            path: (&self.checkpoints.latest).into(),
            why: error.to_string(),
        })?;
        Ok(save(&self.checkpoints.latest, &self.model, moments, state)?)
    }

    fn moments(&self) -> DeviceResult<D, Vec<NamedMatrix>> {
        let device = self.model.device();
        let mut matrices = Vec::new();
        for (parameter, Moments { first, second }) in self.model.parameters().iter().zip(&self.adam.moments) {
            let (name, shape) = (&parameter.name, parameter.shape());
            for (name, moment) in [(exp_avg(name), first), (exp_avg_sq(name), second)] {
                matrices.push(NamedMatrix::new(name, &device.try_moment_values(moment, shape)?));
            }
        }
        let averages = self.ema.iter().flat_map(|ema| &ema.weights);
        for (parameter, average) in self.model.parameters().iter().zip(averages) {
            let values = device.try_moment_values(average, parameter.shape())?;
            matrices.push(NamedMatrix::new(ema(&parameter.name), &values));
        }
        Ok(matrices)
    }
}

// The names of PyTorch's Adam, with the parameter's name behind them.

fn exp_avg(parameter: &str) -> String {
    format!("exp_avg.{parameter}")
}

fn exp_avg_sq(parameter: &str) -> String {
    format!("exp_avg_sq.{parameter}")
}

fn ema(parameter: &str) -> String {
    format!("ema.{parameter}")
}
