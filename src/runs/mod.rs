//! Training a run in its directory, and opening the checkpoints of trained runs.

mod ensemble;
mod trained;
mod training_run;

pub use ensemble::{CheckpointOf, TrainedEnsemble};
pub use trained::{TrainedRun, TrainedRunError, data_set_of};
pub use training_run::{RunError, TrainingRun};
