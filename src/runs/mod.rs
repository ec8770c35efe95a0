//! The run directory: what a run leaves on disk, and where; and how a run is trained and used.

mod directory;
mod event;
pub mod job;
mod name;
mod trained;
mod training_run;

pub use directory::{DirectoryError, Kind, Root, RunDirectory};
pub use event::{Acknowledgement, End, EndReason, Event, FORMAT, JobKind, Record, Start, Text};
pub use name::{Name, NameError};
pub use trained::{TrainedRun, TrainedRunError};
pub use training_run::{RunError, TrainingRun};
