//! The directory of one run: what lies in it, and what can be done to it as a whole.

use super::directory_error::DirectoryError;
use super::job::{Detached, JobDirectory, LockState, SpawnError, Status, look_at_lock, spawn_detached};
use super::name::Name;
use crate::config::Assignment;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The directory of one run, and the paths of what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The run in this directory, which need not exist yet.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's name: the last part of its path.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or(self.path.as_os_str())
            .to_string_lossy()
            .into_owned()
    }

    /// The settings as resolved, the seed, the data set's hash and the program's version.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The job of training it.
    pub fn job(&self) -> JobDirectory {
        JobDirectory::of_run(&self.path)
    }

    /// The directory of an evaluation, by its name.
    pub fn evaluation(&self, name: &Name) -> PathBuf {
        self.evaluations().join(name.as_str())
    }

    /// The directory of its evaluations.
    pub fn evaluations(&self) -> PathBuf {
        self.path.join("evaluations")
    }

    /// Starts a trainer of its own that goes on with the run, under settings changed by `sets`.
    ///
    /// # Errors
    ///
    /// Where it cannot be started, or ends before it has begun.
    pub fn take_up(&self, sets: &[Assignment]) -> Result<Detached, SpawnError> {
        // From whatever directory, and under whatever root, it finds the run by its path.
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut arguments: Vec<OsString> = vec!["train".into(), "--resume".into(), path.into()];
        for set in sets {
            arguments.extend(["--set".into(), format!("{}={}", set.key(), set.text()).into()]);
        }
        spawn_detached(&self.job(), &arguments)
    }

    /// Whether it may be removed: nobody works on it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Live`] where somebody does.
    pub fn check_removable(&self) -> Result<(), DirectoryError> {
        let failed = |source| DirectoryError::Io {
            action: "read",
            path: self.path.clone(),
            source,
        };
        let state = Status::read(&self.job()).map_err(failed)?.state;
        let is_held = look_at_lock(&self.job().lock()).map_err(failed)? != LockState::Free;
        if is_held || state.is_live() {
            let run = self.name();
            return Err(DirectoryError::Live { run, state });
        }
        Ok(())
    }

    /// Removes the run with its checkpoints.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Live`] where somebody works on it.
    pub fn remove(&self) -> Result<(), DirectoryError> {
        self.check_removable()?;
        std::fs::remove_dir_all(&self.path).map_err(|source| DirectoryError::Io {
            action: "remove",
            path: self.path.clone(),
            source,
        })
    }

    /// The checkpoint after the last finished step that was saved.
    pub fn latest(&self) -> PathBuf {
        self.path.join("latest.safetensors")
    }

    /// The checkpoint with the best dev score.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The vocabulary the decoder speaks, so that a run can be copied elsewhere and used.
    pub fn vocabulary(&self) -> PathBuf {
        self.path.join("vocabulary.txt")
    }
}
