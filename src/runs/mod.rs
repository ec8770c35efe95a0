//! Training a run in its directory.

mod training_run;

pub use training_run::{RunError, TrainingRun};
