//! The directory of a run: its files, and operations on the whole directory.

use super::error::DirectoryError;
use super::name::Name;
use super::root::Root;
use super::{
    FileError, JobDirectory, JobState, JobStatus, Lock, LockError, LockState, SpawnError, last_part,
    spawn_detached,
};
use crate::config::Assignment;
use crate::files::ConfinedPath;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Longer notes are not read.
const MAX_NOTE_BYTES: u64 = 64 << 10;

/// The directory of a run and the paths of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    directory: ConfinedPath,
}

impl RunDirectory {
    /// The run in this directory, which need not exist yet.
    pub(crate) fn new(directory: impl Into<ConfinedPath>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The directory itself.
    pub fn directory(&self) -> &ConfinedPath {
        &self.directory
    }

    /// Its path, for messages.
    pub fn path(&self) -> &Path {
        self.directory.as_path()
    }

    /// The working directory that the run is in, if it is in its `checkpoints/`.
    pub fn root(&self) -> Root {
        Root::new(self.path().ancestors().nth(2).unwrap_or(Path::new("")))
    }

    /// The run's name, the last part of its path.
    pub fn name(&self) -> String {
        last_part(self.path())
    }

    /// The resolved settings, the seed, the dataset's hash and Cutline's version.
    pub fn config(&self) -> ConfinedPath {
        self.directory.join("config.toml")
    }

    /// Its training job.
    pub fn job(&self) -> JobDirectory {
        JobDirectory::of_run(&self.directory)
    }

    /// The directory of an evaluation, by its name.
    pub fn evaluation(&self, name: &Name) -> ConfinedPath {
        self.evaluations().join(name.as_str())
    }

    /// The directory of its evaluations.
    pub fn evaluations(&self) -> ConfinedPath {
        self.directory.join("evaluations")
    }

    /// The directories of all evaluations, running or done, sorted.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if they cannot be listed.
    pub fn evaluation_directories(&self) -> Result<Vec<ConfinedPath>, DirectoryError> {
        let evaluations = self.evaluations();
        evaluations
            .subdirectories()
            .map_err(DirectoryError::io("list", evaluations))
    }

    /// Resumes the training in a detached process, with the settings `sets` changed. Returns its process id.
    ///
    /// # Errors
    /// If it cannot be started, or ends before its `start` event.
    pub fn resume_detached(&self, sets: &[Assignment]) -> Result<u32, SpawnError> {
        // An absolute path does not depend on the process's root or current directory.
        let path = std::path::absolute(self.path()).unwrap_or_else(|_| self.path().to_owned());
        let mut arguments: Vec<OsString> = vec!["train".into(), "--resume".into(), path.into()];
        for set in sets {
            arguments.extend(["--set".into(), format!("{}={}", set.key(), set.text()).into()]);
        }
        spawn_detached(&self.job(), &arguments)
    }

    /// Checks that no process trains or evaluates the run.
    ///
    /// # Errors
    /// [`DirectoryError::Live`] if one does.
    pub fn check_removable(&self) -> Result<(), DirectoryError> {
        let JobStatus { state, error, .. } = JobStatus::read(&self.job());
        if let Some(FileError { path, source }) = error {
            return Err(DirectoryError::io("read", path)(source));
        }
        let is_held = is_locked(&self.job())?;
        if is_held || state.is_live() {
            let run = self.name();
            return Err(DirectoryError::Live { run, state });
        }
        self.check_evaluations()
    }

    fn check_evaluations(&self) -> Result<(), DirectoryError> {
        if !self.evaluations().is_dir() {
            return Ok(());
        }
        for evaluation in self.evaluation_directories()? {
            let job = JobDirectory::new(evaluation);
            if is_locked(&job)? || JobStatus::read(&job).state.is_live() {
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
    /// [`DirectoryError::Live`] if a process works on it.
    pub fn remove(&self) -> Result<(), DirectoryError> {
        self.check_removable()?;
        self.directory
            .remove_root()
            .map_err(DirectoryError::io("remove", self.path()))
    }

    /// Renames the run and its directory.
    ///
    /// # Errors
    /// [`DirectoryError::Live`] if a process works on it, [`DirectoryError::Taken`] if another run has the name.
    pub fn rename(&self, name: &Name) -> Result<Self, DirectoryError> {
        self.check_removable()?;
        // Held until the directory is renamed: no process may resume the run in between.
        let _lock = Lock::take(&self.job().lock()).map_err(|error| match error {
            LockError::Held(_) => DirectoryError::Live {
                run: self.name(),
                state: JobState::Running,
            },
            LockError::File(FileError { path, source }) => DirectoryError::io("write", path)(source),
        })?;
        let renamed = Self::new(self.directory.with_file_name(name.as_str()));
        match self.directory.rename_to(name.as_str()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(DirectoryError::Taken {
                path: renamed.path().to_owned(),
            }),
            done => done
                .map(|()| renamed)
                .map_err(DirectoryError::io("rename", self.path())),
        }
    }

    /// The user's note on the run, if any.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if it cannot be read.
    pub fn note(&self) -> Result<Option<String>, DirectoryError> {
        let path = self.note_file();
        match path.read_to_string(MAX_NOTE_BYTES) {
            Ok(note) => Ok(Some(note.trim().to_owned()).filter(|note| !note.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DirectoryError::io("read", path)(source)),
        }
    }

    /// Replaces the note on the run; an empty one removes it.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if it cannot be written or removed.
    pub fn set_note(&self, note: &str) -> Result<(), DirectoryError> {
        let path = self.note_file();
        let done = match note.trim() {
            "" => path.remove_file(),
            note => path.write_atomically(|out| writeln!(out, "{note}")),
        };
        done.map_err(DirectoryError::io("write", path))
    }

    fn note_file(&self) -> ConfinedPath {
        self.directory.join("note.txt")
    }

    /// The last saved checkpoint.
    pub fn latest(&self) -> ConfinedPath {
        self.directory.join("latest.safetensors")
    }

    /// The checkpoint with the best dev score.
    pub fn best(&self) -> ConfinedPath {
        self.directory.join("best.safetensors")
    }

    /// Document frequencies of the training captions' n-grams, for MBR reranking.
    pub fn ngrams(&self) -> ConfinedPath {
        self.directory.join("ngrams.tsv")
    }

    /// The vocabulary, so that a run can be copied elsewhere and used.
    pub fn vocabulary(&self) -> ConfinedPath {
        self.directory.join("vocabulary.txt")
    }
}

fn is_locked(job: &JobDirectory) -> Result<bool, DirectoryError> {
    let state = LockState::read(&job.lock()).map_err(DirectoryError::io("read", job.path()))?;
    // An unknown lock of another host: the state tells whether its process is alive.
    Ok(matches!(state, LockState::Held(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Root;

    fn run() -> (tempfile::TempDir, RunDirectory) {
        let directory = tempfile::tempdir().unwrap();
        let run = Root::new(directory.path())
            .create_run(&"mine".parse().unwrap())
            .unwrap();
        std::fs::write(run.config(), "").unwrap();
        (directory, run)
    }

    #[test]
    fn renamed_run_keeps_its_files() {
        let (_directory, run) = run();
        run.set_note("a first try").unwrap();
        let renamed = run.rename(&"yours".parse().unwrap()).unwrap();
        assert_eq!(renamed.name(), "yours");
        assert_eq!(renamed.note().unwrap().as_deref(), Some("a first try"));
        assert!(!run.path().exists());
    }

    #[test]
    fn rename_fails_while_the_run_is_live_or_the_name_is_taken() {
        let (_directory, run) = run();
        std::fs::create_dir(run.path().with_file_name("yours")).unwrap();
        let yours: Name = "yours".parse().unwrap();
        assert!(matches!(run.rename(&yours), Err(DirectoryError::Taken { .. })));
        let _lock = Lock::take(&run.job().lock()).unwrap();
        let other: Name = "other".parse().unwrap();
        assert!(matches!(run.rename(&other), Err(DirectoryError::Live { .. })));
        assert!(run.path().exists());
    }

    #[test]
    fn remove_fails_while_the_run_is_evaluated() {
        let (_directory, run) = run();
        let evaluation = JobDirectory::new(run.evaluation(&"dev-best".parse().unwrap()));
        std::fs::create_dir_all(evaluation.path()).unwrap();
        let lock = Lock::take(&evaluation.lock()).unwrap();
        assert!(matches!(run.remove(), Err(DirectoryError::Live { .. })));
        drop(lock);
        run.remove().unwrap();
    }

    #[test]
    fn note_is_kept_replaced_and_removed() {
        let (_directory, run) = run();
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
