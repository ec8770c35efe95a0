//! The run directory: what a run leaves on disk, and where; and how a run is trained and used.

mod directory_error;
mod ensemble;
mod evaluations;
mod event;
pub mod health;
pub mod job;
mod name;
mod root;
mod run_directory;
mod trained;
mod training_run;

pub use directory_error::DirectoryError;
pub use ensemble::{CheckpointOf, TrainedEnsemble};
pub use evaluations::{KeptEvaluation, KeptEvaluationError};
pub use event::{Acknowledgement, End, EndReason, Event, FORMAT, JobKind, Record, Start, Text};
pub use name::{Name, NameError};
pub use root::{Kind, Root};
pub use run_directory::RunDirectory;
pub use trained::{TrainedRun, TrainedRunError, data_set_of};
pub use training_run::{RunError, TrainingRun};
