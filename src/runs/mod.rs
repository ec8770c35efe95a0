//! The run directory: what a run leaves on disk, and where.

mod directory;
mod event_log;
mod name;
mod training_run;

pub use directory::{DirectoryError, Kind, Root, RunDirectory};
pub use name::{Name, NameError};
pub use training_run::{RunError, TrainingRun};
