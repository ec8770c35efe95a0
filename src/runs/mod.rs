//! The run directory: what a run leaves on disk, and where.

mod directory;
mod name;
mod trained;

pub use directory::{DirectoryError, Kind, Root, RunDirectory};
pub use name::{Name, NameError};
pub use trained::{TrainedRun, TrainedRunError};
