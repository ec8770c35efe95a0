//! Checkpoints of a training: when they are due, how they are written, and going on from one.

use super::supervisor::{SecondTry, Supervisor};
use super::trainer::{Trainer, TrainingError};
use crate::jobs::{CheckpointSaved, Event};
use crate::model::{Checkpoint, NamedMatrix, save};
use crate::nn::{Backend, Moments};
use std::path::Path;
use std::time::Instant;

/// When `latest` was saved last.
pub(super) struct Cadence {
    saved: Instant,
}

impl Cadence {
    pub(super) fn start() -> Self {
        Self {
            saved: Instant::now(),
        }
    }
}

impl<D: Backend> Trainer<'_, D> {
    /// Goes back to where a checkpoint was written: weights, moments and position.
    ///
    /// # Errors
    /// Where the checkpoint is damaged, or of another model.
    pub fn resume(&mut self, path: &Path) -> Result<(), TrainingError> {
        let checkpoint = Checkpoint::open(path)?;
        self.position = serde_json::from_value(checkpoint.training().clone()).map_err(|error| {
            TrainingError::Position {
                path: path.into(),
                why: error.to_string(),
            }
        })?;
        checkpoint.restore(&mut self.model)?;
        let device = self.model.device().clone();
        self.adam.step = self.position.step - self.position.phase().step;
        let changes = std::mem::take(&mut self.position.changes);
        self.change(changes)?;
        for (parameter, moments) in self.model.parameters().into_iter().zip(&mut self.adam.moments) {
            let shape = parameter.shape();
            let [first, second] = moment_names(&parameter.name);
            for (name, moment) in [(first, &mut moments.first), (second, &mut moments.second)] {
                let values = checkpoint.matrix(&device, &name, shape)?;
                *moment = D::try_moment(&values).map_err(TrainingError::device)?;
            }
        }
        let weights = self.average.iter_mut().flat_map(|average| &mut average.weights);
        for (parameter, average) in self.model.parameters().into_iter().zip(weights) {
            let values = checkpoint.matrix(&device, &average_name(&parameter.name), parameter.shape())?;
            *average = D::try_moment(&values).map_err(TrainingError::device)?;
        }
        Ok(())
    }

    /// Whether so many updates or minutes have gone by.
    pub(super) fn is_checkpoint_due(&self) -> bool {
        let training = &self.settings.training;
        let steps = training.checkpoint_steps;
        let seconds = training.checkpoint_minutes * 60.0;
        let by_steps = steps > 0 && self.position.step.is_multiple_of(steps);
        let by_minutes = seconds > 0.0 && self.cadence.saved.elapsed().as_secs_f32() >= seconds;
        by_steps || by_minutes
    }

    /// Writes `latest`, unless the last update has ruined the weights: the checkpoint before is worth more.
    pub(super) fn save_latest(&mut self, supervisor: &mut dyn Supervisor) -> Result<(), TrainingError> {
        self.settle(supervisor)?;
        self.check_weights()?;
        self.save_to("latest", supervisor, Self::write_latest)?;
        self.cadence = Cadence::start();
        Ok(())
    }

    pub(super) fn save_best(&self, supervisor: &mut dyn Supervisor) -> Result<(), TrainingError> {
        self.save_to("best", supervisor, |trainer| {
            let best = &trainer.checkpoints.best;
            Ok(save(best, &trainer.model, Vec::new(), serde_json::Value::Null)?)
        })
    }

    /// Writes a checkpoint, as often as the supervisor finds it worth another try.
    fn save_to(
        &self,
        name: &str,
        supervisor: &mut dyn Supervisor,
        write: fn(&Self) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        loop {
            match write(self) {
                Err(TrainingError::Checkpoint(error))
                    if error.is_disk_full() && supervisor.out_of_space(&error) == SecondTry::Now => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        supervisor.observe(Event::Checkpoint(CheckpointSaved {
            name: name.into(),
            step: self.position.step,
        }));
        Ok(())
    }

    fn check_weights(&self) -> Result<(), TrainingError> {
        for parameter in &self.model.parameters() {
            if !D::try_norm_squared(&parameter.value)
                .map_err(TrainingError::device)?
                .is_finite()
            {
                return Err(self.not_finite("weights"));
            }
        }
        Ok(())
    }

    fn write_latest(&self) -> Result<(), TrainingError> {
        let mut matrices = Vec::new();
        for (parameter, Moments { first, second }) in self.model.parameters().iter().zip(&self.adam.moments) {
            for (name, moment) in moment_names(&parameter.name).into_iter().zip([first, second]) {
                let values = self.model.device().try_moment_values(moment, parameter.shape());
                let values = values.map_err(TrainingError::device)?;
                matrices.push(NamedMatrix::new(name, &values));
            }
        }
        let averages = self.average.iter().flat_map(|average| &average.weights);
        for (parameter, average) in self.model.parameters().iter().zip(averages) {
            let values = self.model.device().try_moment_values(average, parameter.shape());
            let values = values.map_err(TrainingError::device)?;
            matrices.push(NamedMatrix::new(average_name(&parameter.name), &values));
        }
        let position = serde_json::to_value(&self.position).map_err(|error| TrainingError::Position {
            path: self.checkpoints.latest.clone(),
            why: error.to_string(),
        })?;
        Ok(save(&self.checkpoints.latest, &self.model, matrices, position)?)
    }
}

fn moment_names(parameter: &str) -> [String; 2] {
    ["exp_avg", "exp_avg_sq"].map(|moment| format!("{moment}.{parameter}"))
}

fn average_name(parameter: &str) -> String {
    format!("ema.{parameter}")
}
