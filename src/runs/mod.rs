//! The run directory: what a run leaves on disk, and where.

mod directory;

pub use directory::{DirectoryError, Kind, Name, NameError, Root, RunDirectory};
