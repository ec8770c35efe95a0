//! Why a directory of a data set or a run is not there, not one, or not free.

use super::JobState;
use super::root::DirectoryKind;
use std::path::PathBuf;
use thiserror::Error;

/// Why a data set or a run was not found or not made.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// Neither a name under the root nor a path leads to a directory.
    #[error("there is no {kind} `{wanted}` in {}; {advice}", looked_in.display())]
    Missing {
        /// A data set or a run.
        kind: DirectoryKind,
        /// The name or path asked for.
        wanted: String,
        /// Where it was looked for.
        looked_in: PathBuf,
        /// The nearest name, or the names there are.
        advice: String,
    },
    /// There is no directory at a path.
    #[error("there is no directory {}; give the {kind}'s name, or the path of its directory", path.display())]
    NoDirectory {
        /// A data set or a run.
        kind: DirectoryKind,
        /// The path.
        path: PathBuf,
    },
    /// A directory without the settings that make it a run.
    #[error("{} is not a run: it holds no config.toml; give the directory that training wrote", path.display())]
    NotARun {
        /// The directory at fault.
        path: PathBuf,
    },
    /// A directory without the log of a job.
    #[error("{} is no job: it holds no events.jsonl; give a run's name, or the directory of a job", path.display())]
    NotAJob {
        /// The directory at fault.
        path: PathBuf,
    },
    /// Somebody works on the run.
    #[error("{run} is {}; stop it first: cutline control {run} stop", state.name())]
    Live {
        /// The run.
        run: String,
        /// Its state.
        state: JobState,
    },
    /// The name is taken.
    #[error("{} exists already; choose another name, or resume that run", path.display())]
    Taken {
        /// The directory that is there.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}; check the permissions and the space left", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path at fault.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
