//! Updates that have been made, as far as the host is concerned, and that nobody has asked the device about yet.

use super::memory::resident_memory;
use super::supervisor::Supervisor;
use super::trainer::{Trainer, TrainingError};
use crate::jobs::{Event, StepEvent};
use crate::nn::{Backend, DeviceScalar};
use std::time::Instant;

/// An update whose loss and gradient the host may not know yet.
pub(super) struct Unread<D: Backend> {
    pub(super) epoch: usize,
    pub(super) batch: usize,
    pub(super) batches: usize,
    /// Updates made, this one included.
    pub(super) step: u64,
    pub(super) loss: DeviceScalar<D>,
    pub(super) reward: Option<f32>,
    pub(super) learning_rate: f32,
    pub(super) grad_norm: DeviceScalar<D>,
    pub(super) tokens: usize,
    pub(super) since: Instant,
}

impl<D: Backend> Trainer<'_, D> {
    /// Asks what came of the updates that nobody has asked about, and tells of them.
    ///
    /// # Errors
    /// Where a loss or a gradient was not finite. The weights are lost then; those before were saved.
    pub(super) fn settle(&mut self, supervisor: &mut dyn Supervisor) -> Result<(), TrainingError> {
        let unread = std::mem::take(&mut self.unread);
        let Some(since) = unread.first().map(|first| first.since) else {
            return Ok(());
        };
        // The host waits at the first, and then all are done.
        let figures: Vec<(f32, f32)> = unread
            .iter()
            .map(|update| (update.loss.get(), update.grad_norm.get()))
            .collect();
        let tokens: usize = unread.iter().map(|update| update.tokens).sum();
        let tokens_per_second = tokens as f32 / since.elapsed().as_secs_f32();
        let memory = resident_memory();
        for (update, (loss, grad_norm)) in unread.into_iter().zip(figures) {
            for (what, value) in [("loss", loss), ("gradient", grad_norm)] {
                check_finite(what, value, update.step - 1)?;
            }
            self.position.count(loss, update.tokens);
            supervisor.observe(Event::Step(StepEvent {
                epoch: update.epoch,
                batch: update.batch,
                batches: update.batches,
                step: update.step,
                loss,
                reward: update.reward,
                learning_rate: update.learning_rate,
                grad_norm,
                tokens: update.tokens,
                tokens_per_second,
                memory,
                metrics: std::collections::BTreeMap::new(),
            }));
        }
        Ok(())
    }
}

/// Refuses what is not finite after so many updates.
pub(super) fn check_finite(what: &'static str, value: f32, step: u64) -> Result<(), TrainingError> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(TrainingError::NotFinite { what, step }),
    }
}
