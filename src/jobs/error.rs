//! Errors of files and directories of jobs, runs and datasets.

use super::JobState;
use super::root::DirectoryKind;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A file operation failed.
#[derive(Debug, Error)]
#[error("{}: {source}{}", path.display(), advice(source))]
pub struct FileError {
    /// The file or directory.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

/// The next thing to try after an error of the operating system; our own errors say it themselves.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(_) => "; check permissions and free space",
        None => "",
    }
}

impl FileError {
    /// For `map_err`: adds the path to an I/O error.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self { path, source }
    }
}

/// A dataset or run directory is missing, is something else, or is in use.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// Neither a name under the root nor a path leads to a directory.
    #[error("there is no {kind} `{name}` in {}; {advice}", parent.display())]
    Missing {
        /// A dataset or a run.
        kind: DirectoryKind,
        /// The requested name or path.
        name: String,
        /// The searched directory.
        parent: PathBuf,
        /// The nearest name, or all names.
        advice: String,
    },
    /// A path that leads to no directory.
    #[error("there is no directory {}; give the {kind}'s name, or the path of its directory", path.display())]
    NoDirectory {
        /// A dataset or a run.
        kind: DirectoryKind,
        /// The path.
        path: PathBuf,
    },
    /// A directory without `config.toml`.
    #[error("{} is not a run: it has no config.toml; give the directory that training wrote", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// A path through `.` or `..` to a run that is to be renamed or removed.
    #[error("{} contains `.` or `..`; give the run's name", path.display())]
    Indirect {
        /// The path.
        path: PathBuf,
    },
    /// A directory without `events.jsonl`.
    #[error("{} is not a job: it has no events.jsonl; give a run's name, or the directory of a job", path.display())]
    NotAJob {
        /// The directory.
        path: PathBuf,
    },
    /// A process works on the run.
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
        /// The existing directory.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// The verb: `read`, `write`, `create` ...
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl DirectoryError {
    /// For `map_err`: adds the action and the path to an I/O error.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
