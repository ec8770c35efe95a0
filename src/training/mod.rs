//! Training: data and batches, the loop, SCST, evaluation on the dev split, checkpoints, and the run around them.
//!
//! A training is a function of its settings, its data and its state: every random number comes from a stream named by
//! the seed and the step or epoch. A resumed training repeats what an uninterrupted one would have done, bit for bit on
//! the CPU.

mod callback;
mod checkpointing;
mod data;
mod error;
mod lr_schedule;
mod memory;
pub mod presets;
mod run;
mod run_config;
mod run_ensemble;
mod scst;
mod settings;
mod settings_changes;
mod settings_table;
mod state;
#[cfg(test)]
mod tests;
mod trained_run;
mod trainer;
mod validation;

pub use callback::{Callback, Outcome, Retry};
pub use checkpointing::Checkpoints;
pub use data::{DevSplit, EncodedCaption, EncodedSplit};
pub use error::TrainingError;
pub use lr_schedule::{LrSchedule, LrScheduleKind};
pub use run::{RunError, TrainingRun, lacks_features};
pub use run_config::{DataRecord, RecordError, RunConfig};
pub use run_ensemble::{RunEnsemble, check_same_vocabulary};
pub use settings::{Monitor, RewardSettings, RunSettings, Sampler, ScstSettings, TrainingSettings};
pub use settings_changes::{ChangeError, Changes};
pub use settings_table::{OutOfRange, SETTINGS, Setting, SettingsForm, Values};
pub use state::{Best, PhaseStart, TrainState};
pub use trained_run::{TrainedRun, TrainedRunError, dataset_of};
pub use trainer::Trainer;
