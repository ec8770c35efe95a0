//! Batches, loop, schedule, checkpoints.
//!
//! A training is a function of its settings, its data and its position: every random draw comes from a stream
//! named by the seed and the step or epoch, so one that is resumed repeats what an uninterrupted one would
//! have done.

mod batches;
mod changes;
mod data;
mod dev;
mod lr_schedule;
mod memory;
mod position;
pub mod preset;
mod record;
mod reward;
mod run_ensemble;
mod saving;
mod self_critical;
mod settings;
mod settings_table;
mod supervisor;
#[cfg(test)]
mod tests;
mod trained_run;
mod trainer;
mod unread;
mod update;

pub use batches::Example;
pub use changes::{ChangeError, Changes};
pub use data::{EncodedCaption, TrainingSplit};
pub use lr_schedule::{LrSchedule, LrScheduleKind};
pub use position::{Best, Position};
pub use record::{DataRecord, RecordError, RunRecord};
pub use run_ensemble::{CheckpointRef, RunEnsemble};
pub use settings::{
    AugmentSettings, EncoderKind, EncoderSettings, Monitor, RewardSettings, RunSettings, Sampler,
    ScstSettings, TrainingSettings,
};
pub use settings_table::{OutOfRange, SETTINGS, Setting, SettingsForm, Values};
pub use supervisor::{Order, SecondTry, Supervisor};
pub use trained_run::{TrainedRun, TrainedRunError, data_set_of};
pub use trainer::{Checkpoints, Ending, Trainer, TrainingError};
