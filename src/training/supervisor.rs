//! Who a training reports to, and who may steer it while it runs.

use super::changes::Changes;
use super::position::Position;
use super::settings::RunSettings;
use crate::jobs::Event;
use crate::model::CheckpointError;

/// Who a training reports to, and who may steer it while it runs.
pub trait Supervisor {
    /// Is told of everything that happens.
    fn observe(&mut self, event: Event);

    /// What is to be done before the training goes on: asked before every batch, until there is nothing.
    ///
    /// It may take its time; that is what a pause is.
    fn next_order(&mut self, position: &Position, settings: &RunSettings) -> Option<Order>;

    /// Whether long work between batches is to be given up, because the process has been asked to end.
    fn is_hurried(&self) -> bool;

    /// A checkpoint could not be written for lack of space. It may wait until there is some.
    fn out_of_space(&mut self, error: &CheckpointError) -> SecondTry;
}

/// Something asked of a training.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Save, and end.
    Stop,
    /// Save `latest` now.
    Checkpoint,
    /// Caption and score the dev split now.
    Evaluate,
    /// Caption a few dev images now.
    Sample,
    /// Go on with other settings.
    Change(Changes),
}

/// What to do about a checkpoint that could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondTry {
    /// Write it again.
    Now,
    /// End with the error.
    No,
}
