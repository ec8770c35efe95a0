//! The working directory with its datasets and runs.

use super::JobDirectory;
use super::error::DirectoryError;
use super::name::Name;
use super::run_directory::RunDirectory;
use crate::files::{ConfinedPath, roots_in};
use crate::suggest::nearest;
use std::fmt;
use std::path::{Path, PathBuf};

/// At most this many names are listed in an error.
const MAX_NAMES_LISTED: usize = 8;

/// The kind of a directory under the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryKind {
    /// A prepared dataset.
    Dataset,
    /// A run.
    Run,
}

impl DirectoryKind {
    /// The file that marks a directory of this kind.
    fn marker(self) -> &'static str {
        match self {
            Self::Dataset => "dataset.toml",
            Self::Run => "config.toml",
        }
    }

    /// The command that creates one.
    fn command(self) -> &'static str {
        match self {
            Self::Dataset => "cutline prepare",
            Self::Run => "cutline train",
        }
    }
}

impl fmt::Display for DirectoryKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Dataset => "dataset",
            Self::Run => "run",
        })
    }
}

/// The working directory, with `datasets/` and `checkpoints/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// The root at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The working directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of a dataset, which need not exist.
    pub fn dataset_dir(&self, name: &Name) -> ConfinedPath {
        self.parent_of(DirectoryKind::Dataset).join(name.as_str()).into()
    }

    /// The directory of a run, which need not exist.
    pub fn run_dir(&self, name: &Name) -> RunDirectory {
        RunDirectory::new(self.parent_of(DirectoryKind::Run).join(name.as_str()))
    }

    /// The names of all complete datasets, sorted.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if the directory cannot be listed.
    pub fn datasets(&self) -> Result<Vec<Name>, DirectoryError> {
        self.names(DirectoryKind::Dataset)
    }

    /// The names of all runs, sorted.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if the directory cannot be listed.
    pub fn runs(&self) -> Result<Vec<Name>, DirectoryError> {
        self.names(DirectoryKind::Run)
    }

    /// Finds a dataset by its name, or by a path that contains a separator.
    ///
    /// # Errors
    /// [`DirectoryError::Missing`] says which datasets there are.
    pub fn find_dataset(&self, name: &str) -> Result<ConfinedPath, DirectoryError> {
        Ok(self.find(DirectoryKind::Dataset, name)?.into())
    }

    /// Finds a run by its name, or by a path that contains a separator.
    ///
    /// # Errors
    /// [`DirectoryError::Missing`] says which runs there are, [`DirectoryError::NotARun`] that the directory
    /// is something else.
    pub fn find_run(&self, name: &str) -> Result<RunDirectory, DirectoryError> {
        let run = RunDirectory::new(self.find(DirectoryKind::Run, name)?);
        if run.config().is_file() {
            Ok(run)
        } else {
            Err(DirectoryError::NotARun {
                path: run.path().to_owned(),
            })
        }
    }

    /// Finds a run that is to be renamed or removed: `.` and `..` would make it easy to name another directory by mistake.
    ///
    /// # Errors
    /// [`DirectoryError::Indirect`] for a path with `.` or `..`, otherwise as [`Root::find_run`].
    pub fn find_run_by_name(&self, name: &str) -> Result<RunDirectory, DirectoryError> {
        if name
            .split(std::path::is_separator)
            .any(|part| matches!(part, "." | ".."))
        {
            return Err(DirectoryError::Indirect { path: name.into() });
        }
        self.find_run(name)
    }

    /// Finds the training job of a run by the run's name, or any job by the path of its directory, relative to the
    /// current directory or the root.
    ///
    /// # Errors
    /// [`DirectoryError::Missing`] says which runs there are, [`DirectoryError::NotAJob`] that the directory is
    /// something else.
    pub fn find_job(&self, name: &str) -> Result<JobDirectory, DirectoryError> {
        let below = self.path.join(name);
        let path = match self.find(DirectoryKind::Run, name) {
            Err(DirectoryError::NoDirectory { .. }) if below.is_dir() => below,
            path => path?,
        };
        let directory = self.confine(path);
        let run = RunDirectory::new(directory.clone());
        let job = match run.config().is_file() {
            true => run.job(),
            false => JobDirectory::new(directory),
        };
        if run.config().is_file() || job.events().is_file() {
            Ok(job)
        } else {
            Err(DirectoryError::NotAJob {
                path: run.path().to_owned(),
            })
        }
    }

    /// The path of a directory, confined to the run or the dataset that it belongs to.
    fn confine(&self, path: PathBuf) -> ConfinedPath {
        let parents = [DirectoryKind::Dataset, DirectoryKind::Run].map(|kind| self.parent_of(kind));
        let within = parents.iter().find_map(|parent| {
            let mut below = path.strip_prefix(parent).ok()?.components();
            let root = parent.join(below.next()?);
            Some(ConfinedPath::from(root).join(below.as_path()))
        });
        within
            .filter(|within| within.as_path() == path)
            .unwrap_or_else(|| path.into())
    }

    /// All prepare and evaluate jobs, each with the path by which [`Root::find_job`] finds it.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if a directory cannot be listed.
    pub fn other_jobs(&self) -> Result<Vec<(PathBuf, JobDirectory)>, DirectoryError> {
        let mut directories = self.prepare_directories()?;
        for run in self.directories(DirectoryKind::Run)? {
            // Another user's directory may be unreadable; the others are still listed.
            directories.extend(
                RunDirectory::new(run)
                    .evaluation_directories()
                    .unwrap_or_default(),
            );
        }
        let jobs = directories.into_iter().map(JobDirectory::new);
        let jobs = jobs.filter(|job| job.events().is_file());
        Ok(jobs.map(|job| (self.job_path(&job), job)).collect())
    }

    /// The path by which [`Root::find_job`] finds a prepare or evaluate job.
    pub(crate) fn job_path(&self, job: &JobDirectory) -> PathBuf {
        let path = job.path();
        path.strip_prefix(&self.path).unwrap_or(path).to_owned()
    }

    /// The directories of the prepare jobs of all datasets, which need not exist.
    pub(crate) fn prepare_directories(&self) -> Result<Vec<ConfinedPath>, DirectoryError> {
        let datasets = self.directories(DirectoryKind::Dataset)?.into_iter();
        Ok(datasets
            .map(|dataset| ConfinedPath::from(dataset).join("prepare"))
            .collect())
    }

    /// Creates the directory of a new run.
    ///
    /// # Errors
    /// [`DirectoryError::Taken`] if there is a run of that name. A directory without `config.toml` does not count: its
    /// creator died before writing it, or is about to and holds the lock.
    pub fn create_run(&self, name: &Name) -> Result<RunDirectory, DirectoryError> {
        let run = self.run_dir(name);
        match self.try_create(&run)? {
            Created::New => Ok(run),
            Created::Taken if !run.config().exists() => Ok(run),
            Created::Taken => Err(DirectoryError::Taken {
                path: run.path().to_owned(),
            }),
        }
    }

    /// Creates the directory of a new run under the first free name `<stem>-001`, `<stem>-002`, ...
    ///
    /// Processes that start at the same time get different names.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if the directory cannot be created.
    pub fn create_new_run(&self, stem: &Name) -> Result<RunDirectory, DirectoryError> {
        let mut number = 1_u32;
        loop {
            let run = RunDirectory::new(
                self.parent_of(DirectoryKind::Run)
                    .join(format!("{stem}-{number:03}")),
            );
            match self.try_create(&run)? {
                Created::New => return Ok(run),
                Created::Taken => number += 1,
            }
        }
    }

    fn try_create(&self, run: &RunDirectory) -> Result<Created, DirectoryError> {
        let parent = ConfinedPath::from(self.parent_of(DirectoryKind::Run));
        parent
            .create_dir_all()
            .map_err(DirectoryError::io("create", &parent))?;
        // Creating the directory reserves the name: of several processes only one succeeds.
        match run.directory().create_dir() {
            Ok(()) => Ok(Created::New),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Created::Taken),
            Err(source) => Err(DirectoryError::io("create", run.path())(source)),
        }
    }

    fn parent_of(&self, kind: DirectoryKind) -> PathBuf {
        self.path.join(match kind {
            DirectoryKind::Dataset => "datasets",
            DirectoryKind::Run => "checkpoints",
        })
    }

    /// None if the parent directory does not exist yet.
    fn names(&self, kind: DirectoryKind) -> Result<Vec<Name>, DirectoryError> {
        let is_one = |path: &PathBuf| ConfinedPath::from(path).join(kind.marker()).is_file();
        let name = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
        let directories = self.directories(kind)?;
        Ok(directories.into_iter().filter(is_one).filter_map(name).collect())
    }

    fn directories(&self, kind: DirectoryKind) -> Result<Vec<PathBuf>, DirectoryError> {
        let parent = self.parent_of(kind);
        roots_in(&parent).map_err(DirectoryError::io("list", parent))
    }

    fn find(&self, kind: DirectoryKind, name: &str) -> Result<PathBuf, DirectoryError> {
        // A bare name is never a path: beside `datasets/flickr8k` there is often the source in `./flickr8k`.
        let is_path = name.contains(std::path::is_separator);
        let path = match name.parse::<Name>() {
            Ok(valid) => self.parent_of(kind).join(valid.as_str()),
            Err(_) => PathBuf::from(name),
        };
        match path.is_dir() {
            true => Ok(path),
            false if is_path => {
                // Completions of the shell end with a separator.
                let bare = name.trim_end_matches(std::path::is_separator);
                let bare = bare.parse::<Name>().ok();
                let named = bare.map(|name| self.parent_of(kind).join(name.as_str()));
                named
                    .filter(|named| named.is_dir())
                    .ok_or(DirectoryError::NoDirectory { kind, path })
            }
            false => Err(self.missing(kind, name)),
        }
    }

    fn missing(&self, kind: DirectoryKind, name: &str) -> DirectoryError {
        let names = self.names(kind).unwrap_or_default();
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        let advice = if names.is_empty() {
            format!("make one with `{}`, or give --root", kind.command())
        } else if let Some(near) = nearest(name, names.iter().copied()) {
            format!("did you mean `{near}`?")
        } else {
            let more = names.len().saturating_sub(MAX_NAMES_LISTED);
            let more = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            format!(
                "there are: {}{more}",
                names[..names.len().min(MAX_NAMES_LISTED)].join(", ")
            )
        };
        DirectoryError::Missing {
            kind,
            name: name.to_owned(),
            parent: self.parent_of(kind),
            advice,
        }
    }
}

enum Created {
    New,
    Taken,
}
#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn root() -> (tempfile::TempDir, Root) {
        let place = tempfile::tempdir().unwrap();
        let root = Root::new(place.path());
        (place, root)
    }

    #[test]
    fn free_names_are_numbered() {
        let (_directory, root) = root();
        let stem = name("flickr8k-merge");
        for expected in ["flickr8k-merge-001", "flickr8k-merge-002"] {
            let run = root.create_new_run(&stem).unwrap();
            assert_eq!(run.name(), expected);
            assert!(!root.runs().unwrap().contains(&name(expected)), "not written yet");
            std::fs::write(run.config(), "").unwrap();
        }
        assert_eq!(
            root.runs().unwrap(),
            [name("flickr8k-merge-001"), name("flickr8k-merge-002")]
        );
    }

    #[test]
    fn taken_name_is_rejected() {
        let (_directory, root) = root();
        let run = root.create_run(&name("mine")).unwrap();
        assert_eq!(
            root.create_run(&name("mine")).unwrap(),
            run,
            "without config.toml the name is free"
        );
        std::fs::write(run.config(), "").unwrap();
        assert!(
            matches!(root.create_run(&name("mine")), Err(DirectoryError::Taken { path }) if path == run.path())
        );
    }

    #[test]
    fn run_is_found_by_name_and_by_path() {
        let (_directory, root) = root();
        let run = root.create_run(&name("mine")).unwrap();
        assert!(matches!(
            root.find_run("mine"),
            Err(DirectoryError::NotARun { .. })
        ));
        std::fs::write(run.config(), "").unwrap();
        assert_eq!(root.find_run("mine").unwrap(), run);
        assert_eq!(root.find_run("mine/").unwrap(), run);
        assert_eq!(root.find_run(run.path().to_str().unwrap()).unwrap(), run);
    }

    #[test]
    fn missing_dataset_error_lists_the_existing_ones() {
        let (_directory, root) = root();
        let error = root.find_dataset("flickr8k").unwrap_err().to_string();
        assert!(error.starts_with("there is no dataset `flickr8k` in "), "{error}");
        assert!(
            error.ends_with("make one with `cutline prepare`, or give --root"),
            "{error}"
        );
        for dataset in ["flickr8k", "scenes"] {
            let directory = root.dataset_dir(&name(dataset));
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("dataset.toml"), "").unwrap();
        }
        std::fs::write(root.path().join("datasets/README.md"), "").unwrap();
        let error = root.find_dataset("flikr8k").unwrap_err().to_string();
        assert!(error.ends_with("did you mean `flickr8k`?"), "{error}");
        let error = root.find_dataset("").unwrap_err().to_string();
        assert!(error.ends_with("there are: flickr8k, scenes"), "{error}");
        assert_eq!(
            root.find_dataset("scenes").unwrap(),
            root.dataset_dir(&name("scenes"))
        );
    }
}
