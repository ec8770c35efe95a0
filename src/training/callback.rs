//! The interface of a training to the code around it: events, commands, and the outcome.

use super::settings::RunSettings;
use super::state::TrainState;
use crate::jobs::{ControlCommand, Event, SessionError};
use crate::model::CheckpointError;

/// The receiver of a training's events and the source of its commands.
pub trait Callback {
    /// Receives every event.
    fn on_event(&mut self, event: Event);

    /// The next command, called before every step until it returns `None`. It may block; that is a pause.
    fn poll_command(&mut self, state: &TrainState, settings: &RunSettings) -> Option<ControlCommand>;

    /// Whether to abort long work between two steps because the process is asked to exit.
    fn should_abort(&self) -> bool;

    /// Called before a checkpoint is written.
    ///
    /// # Errors
    /// If it must not be written.
    fn before_checkpoint(&mut self) -> Result<(), SessionError>;

    /// Called if a checkpoint cannot be written because the disk is full. It may block until there is space.
    fn on_disk_full(&mut self, error: &CheckpointError) -> Retry;
}

/// Whether to write a checkpoint again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Write it again.
    Now,
    /// Fail.
    Never,
}

/// The end of a training that met no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Complete,
    /// The dev metric did not improve for `training.early_stopping_patience` epochs.
    EarlyStopped,
    /// It was asked to stop; `latest` holds its state.
    Interrupted,
}
