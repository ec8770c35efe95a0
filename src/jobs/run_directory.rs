//! The directory of one run: what lies in it, and what can be done to it as a whole.

use super::directory_error::DirectoryError;
use super::name::Name;
use super::root::subdirectories;
use super::{
    DetachedProcess, JobDirectory, JobState, JobStatus, Lock, LockState, SpawnError, look_at_lock,
    spawn_detached,
};
use crate::config::Assignment;
use crate::files::write_atomically;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The directory of one run, and the paths of what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The run in this directory, which need not exist yet.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
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

    /// The directories of the evaluations there are, sorted, at work or done.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] if they cannot be listed.
    pub fn evaluation_directories(&self) -> Result<Vec<PathBuf>, DirectoryError> {
        subdirectories(&self.evaluations())
    }

    /// Starts a trainer of its own that goes on with the run, under settings changed by `sets`.
    ///
    /// # Errors
    ///
    /// Where it cannot be started, or ends before it has begun.
    pub fn take_up(&self, sets: &[Assignment]) -> Result<DetachedProcess, SpawnError> {
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
        let state = JobStatus::read(&self.job()).map_err(failed)?.state;
        let is_held = look_at_lock(&self.job().lock()).map_err(failed)? != LockState::Free;
        if is_held || state.is_live() {
            let run = self.name();
            return Err(DirectoryError::Live { run, state });
        }
        self.check_evaluations()
    }

    /// Whether nobody evaluates it.
    fn check_evaluations(&self) -> Result<(), DirectoryError> {
        for evaluation in self.evaluation_directories()? {
            let job = JobDirectory::new(evaluation);
            let failed = |source| DirectoryError::Io {
                action: "read",
                path: job.path().to_owned(),
                source,
            };
            if look_at_lock(&job.lock()).map_err(failed)? != LockState::Free {
                return Err(DirectoryError::Live {
                    run: job.path().display().to_string(),
                    state: JobState::Running,
                });
            }
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

    /// Gives the run another name, and so another directory.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Live`] where somebody works on it, [`DirectoryError::Taken`] where the name is another's.
    pub fn rename(&self, name: &Name) -> Result<Self, DirectoryError> {
        self.check_removable()?;
        let run = self.name();
        // Held until it has its new name: nobody takes it up in between.
        let _lock = Lock::take(&self.job().lock()).map_err(|_| DirectoryError::Live {
            run,
            state: JobState::Running,
        })?;
        let renamed = Self::new(self.path.with_file_name(name.as_str()));
        // Whoever makes the directory has the name; the run then takes the place of what is empty.
        match std::fs::create_dir(&renamed.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(DirectoryError::Taken { path: renamed.path });
            }
            made => made.map_err(|source| DirectoryError::Io {
                action: "create",
                path: renamed.path.clone(),
                source,
            })?,
        }
        std::fs::rename(&self.path, &renamed.path).map_err(|source| DirectoryError::Io {
            action: "rename",
            path: self.path.clone(),
            source,
        })?;
        Ok(renamed)
    }

    /// What a user has noted on the run, if anything.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] where it cannot be read.
    pub fn note(&self) -> Result<Option<String>, DirectoryError> {
        let path = self.note_file();
        match std::fs::read_to_string(&path) {
            Ok(note) => Ok(Some(note.trim().to_owned()).filter(|note| !note.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DirectoryError::Io {
                action: "read",
                path,
                source,
            }),
        }
    }

    /// Keeps a note on the run in place of the one before; an empty one removes it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] where it cannot be written or removed.
    pub fn set_note(&self, note: &str) -> Result<(), DirectoryError> {
        let path = self.note_file();
        let done = match note.trim() {
            "" => match std::fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
            note => write_atomically(&path, |out| writeln!(out, "{note}")),
        };
        done.map_err(|source| DirectoryError::Io {
            action: "write",
            path,
            source,
        })
    }

    fn note_file(&self) -> PathBuf {
        self.path.join("note.txt")
    }

    /// The checkpoint after the last finished step that was saved.
    pub fn latest(&self) -> PathBuf {
        self.path.join("latest.safetensors")
    }

    /// The checkpoint with the best dev score.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// In how many training images each n-gram is written of, so that captions can be ranked by consensus wherever the
    /// run is copied.
    pub fn ngrams(&self) -> PathBuf {
        self.path.join("ngrams.txt")
    }

    /// The vocabulary the decoder speaks, so that a run can be copied elsewhere and used.
    pub fn vocabulary(&self) -> PathBuf {
        self.path.join("vocabulary.txt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Root;

    fn run() -> (tempfile::TempDir, RunDirectory) {
        let place = tempfile::tempdir().unwrap();
        let run = Root::new(place.path())
            .create_run(&"mine".parse().unwrap())
            .unwrap();
        std::fs::write(run.config(), "").unwrap();
        (place, run)
    }

    #[test]
    fn a_run_takes_what_it_holds_along_to_another_name() {
        let (_place, run) = run();
        run.set_note("a first try").unwrap();
        let renamed = run.rename(&"yours".parse().unwrap()).unwrap();
        assert_eq!(renamed.name(), "yours");
        assert_eq!(renamed.note().unwrap().as_deref(), Some("a first try"));
        assert!(!run.path().exists());
    }

    #[test]
    fn a_run_keeps_its_name_while_somebody_works_on_it_or_the_other_is_taken() {
        let (_place, run) = run();
        std::fs::create_dir(run.path().with_file_name("yours")).unwrap();
        let yours: Name = "yours".parse().unwrap();
        assert!(matches!(run.rename(&yours), Err(DirectoryError::Taken { .. })));
        let _lock = Lock::take(&run.job().lock()).unwrap();
        let other: Name = "other".parse().unwrap();
        assert!(matches!(run.rename(&other), Err(DirectoryError::Live { .. })));
        assert!(run.path().exists());
    }

    #[test]
    fn a_run_that_is_being_evaluated_is_neither_renamed_nor_removed() {
        let (_place, run) = run();
        let evaluation = JobDirectory::new(run.evaluation(&"dev-best".parse().unwrap()));
        std::fs::create_dir_all(evaluation.path()).unwrap();
        let lock = Lock::take(&evaluation.lock()).unwrap();
        assert!(matches!(run.remove(), Err(DirectoryError::Live { .. })));
        drop(lock);
        run.remove().unwrap();
    }

    #[test]
    fn a_note_is_kept_replaced_and_removed() {
        let (_place, run) = run();
        assert_eq!(run.note().unwrap(), None);
        for note in ["one", "two  "] {
            run.set_note(note).unwrap();
            assert_eq!(run.note().unwrap().as_deref(), Some(note.trim()));
        }
        run.set_note(" ").unwrap();
        run.set_note("").unwrap();
        assert_eq!(run.note().unwrap(), None);
    }
}
