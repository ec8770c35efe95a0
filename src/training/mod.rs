//! Batches, loop, schedule, checkpoints.
//!
//! A training is a function of its settings, its data and its position: every random draw comes from a stream
//! named by the seed and the step or epoch, so one that is resumed repeats what an uninterrupted one would
//! have done.

mod batches;
mod data;
mod event;
mod position;
mod record;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;
mod trainer;
mod validity;

pub use batches::Example;
pub use data::{EncodedCaption, TrainingSplit};
pub use event::{Evaluation, Step, TrainingEvent};
pub use position::Position;
pub use record::{DataRecord, RecordError, RunRecord};
pub use schedule::{Schedule, Shape};
pub use settings::{BatchBy, EncoderKind, EncoderSettings, Metric, RunSettings, TrainingSettings};
pub use trainer::{Checkpoints, Ending, Trainer, TrainingError};
pub use validity::OutOfRange;
