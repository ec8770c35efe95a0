//! Where things live: data sets and runs under one working directory, each under a name of its own.

use super::JobDirectory;
use super::directory_error::DirectoryError;
use super::name::Name;
use super::run_directory::RunDirectory;
use crate::suggest::nearest;
use std::fmt;
use std::path::{Path, PathBuf};

/// How many existing names an error lists.
const NAMES_SHOWN: usize = 8;

/// What a directory under the root holds; the word for it in messages, and the command that makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryKind {
    /// A prepared data set.
    Dataset,
    /// A run.
    Run,
}

impl DirectoryKind {
    /// The file that makes a directory one.
    fn marker(self) -> &'static str {
        match self {
            Self::Dataset => "dataset.toml",
            Self::Run => "config.toml",
        }
    }

    fn maker(self) -> &'static str {
        match self {
            Self::Dataset => "cutline prepare",
            Self::Run => "cutline train",
        }
    }
}

impl fmt::Display for DirectoryKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Dataset => "data set",
            Self::Run => "run",
        })
    }
}

/// The working directory: `datasets/` and `checkpoints/` lie in it.
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

    /// Where the data set of that name lives, whether or not it exists.
    pub fn dataset_dir(&self, name: &Name) -> PathBuf {
        self.home(DirectoryKind::Dataset).join(name.as_str())
    }

    /// Where the run of that name lives, whether or not it exists.
    pub fn run_dir(&self, name: &Name) -> RunDirectory {
        RunDirectory::new(self.home(DirectoryKind::Run).join(name.as_str()))
    }

    /// The names of the data sets that are whole, sorted; none where there is no `datasets/` yet.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] if the directory cannot be listed.
    pub fn datasets(&self) -> Result<Vec<Name>, DirectoryError> {
        self.names(DirectoryKind::Dataset)
    }

    /// The names of the runs that were started, sorted; none where there is no `checkpoints/` yet.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] if the directory cannot be listed.
    pub fn runs(&self) -> Result<Vec<Name>, DirectoryError> {
        self.names(DirectoryKind::Run)
    }

    /// The existing data set that `wanted` names, or leads to as a path with a separator in it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Missing`] says which data sets there are.
    pub fn find_dataset(&self, wanted: &str) -> Result<PathBuf, DirectoryError> {
        self.find(DirectoryKind::Dataset, wanted)
    }

    /// The existing run that `wanted` names, or leads to as a path with a separator in it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Missing`] says which runs there are, [`DirectoryError::NotARun`] that the directory
    /// is something else.
    pub fn find_run(&self, wanted: &str) -> Result<RunDirectory, DirectoryError> {
        let run = RunDirectory::new(self.find(DirectoryKind::Run, wanted)?);
        if run.config().is_file() {
            Ok(run)
        } else {
            Err(DirectoryError::NotARun {
                path: run.path().to_owned(),
            })
        }
    }

    /// The job that `wanted` names: that of training a run, by the run's name, or any by the path of its directory,
    /// from here or from the root.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Missing`] says which runs there are, [`DirectoryError::NotAJob`] that the directory is
    /// something else.
    pub fn find_job(&self, wanted: &str) -> Result<JobDirectory, DirectoryError> {
        let below = self.path.join(wanted);
        let path = match self.find(DirectoryKind::Run, wanted) {
            Err(DirectoryError::NoDirectory { .. }) if below.is_dir() => below,
            found => found?,
        };
        let run = RunDirectory::new(path);
        let job = match run.config().is_file() {
            true => run.job(),
            false => JobDirectory::new(run.path()),
        };
        if run.config().is_file() || job.events().is_file() {
            Ok(job)
        } else {
            Err(DirectoryError::NotAJob {
                path: run.path().to_owned(),
            })
        }
    }

    /// All jobs but those of training: preparing data sets and evaluating runs. Each with the path by which
    /// [`Root::find_job`] finds it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] if a directory cannot be listed.
    pub fn other_jobs(&self) -> Result<Vec<(PathBuf, JobDirectory)>, DirectoryError> {
        let mut places = Vec::new();
        for data_set in subdirectories(&self.home(DirectoryKind::Dataset))? {
            places.push(data_set.join("prepare"));
        }
        for run in subdirectories(&self.home(DirectoryKind::Run))? {
            places.extend(RunDirectory::new(run).evaluation_directories()?);
        }
        let named = |path: PathBuf| {
            let name = path.strip_prefix(&self.path).unwrap_or(&path).to_owned();
            (name, JobDirectory::new(path))
        };
        let jobs = places.into_iter().map(named);
        Ok(jobs.filter(|(_, job)| job.events().is_file()).collect())
    }

    /// Makes the directory of a new run under a name of the user's choice.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Taken`] if there is one of that name. A directory that was made by a program which died
    /// before it had written what the run is counts as none; the lock holds off one that is just about to.
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

    /// Makes the directory of a new run under the first free name `<stem>-001`, `<stem>-002`, ...
    ///
    /// Two programs that start at once get two names.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] if the directory cannot be made.
    pub fn create_new_run(&self, stem: &Name) -> Result<RunDirectory, DirectoryError> {
        let mut number = 1_u32;
        loop {
            let run = RunDirectory::new(self.home(DirectoryKind::Run).join(format!("{stem}-{number:03}")));
            match self.try_create(&run)? {
                Created::New => return Ok(run),
                Created::Taken => number += 1,
            }
        }
    }

    fn try_create(&self, run: &RunDirectory) -> Result<Created, DirectoryError> {
        let failed = |path: &Path, source| DirectoryError::Io {
            action: "create",
            path: path.to_owned(),
            source,
        };
        let home = self.home(DirectoryKind::Run);
        std::fs::create_dir_all(&home).map_err(|source| failed(&home, source))?;
        match std::fs::create_dir(run.path()) {
            Ok(()) => Ok(Created::New),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Created::Taken),
            Err(source) => Err(failed(run.path(), source)),
        }
    }

    fn home(&self, kind: DirectoryKind) -> PathBuf {
        self.path.join(match kind {
            DirectoryKind::Dataset => "datasets",
            DirectoryKind::Run => "checkpoints",
        })
    }

    fn names(&self, kind: DirectoryKind) -> Result<Vec<Name>, DirectoryError> {
        let is_one = |path: &PathBuf| path.join(kind.marker()).is_file();
        let name = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
        let directories = subdirectories(&self.home(kind))?;
        Ok(directories.into_iter().filter(is_one).filter_map(name).collect())
    }

    fn find(&self, kind: DirectoryKind, wanted: &str) -> Result<PathBuf, DirectoryError> {
        // A bare name is never a path: beside `datasets/flickr8k` there is often the source in `./flickr8k`.
        let is_path = wanted.contains(std::path::is_separator);
        let path = match wanted.parse::<Name>() {
            Ok(name) => self.home(kind).join(name.as_str()),
            Err(_) => PathBuf::from(wanted),
        };
        match path.is_dir() {
            true => Ok(path),
            false if is_path => Err(DirectoryError::NoDirectory { kind, path }),
            false => Err(self.missing(kind, wanted)),
        }
    }

    fn missing(&self, kind: DirectoryKind, wanted: &str) -> DirectoryError {
        let names = self.names(kind).unwrap_or_default();
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        let advice = if names.is_empty() {
            format!("make one with `{}`, or give --root", kind.maker())
        } else if let Some(near) = nearest(wanted, names.iter().copied()) {
            format!("did you mean `{near}`?")
        } else {
            let more = names.len().saturating_sub(NAMES_SHOWN);
            let more = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            format!(
                "there are: {}{more}",
                names[..names.len().min(NAMES_SHOWN)].join(", ")
            )
        };
        DirectoryError::Missing {
            kind,
            wanted: wanted.to_owned(),
            looked_in: self.home(kind),
            advice,
        }
    }
}

/// The directories in a directory, sorted; none where it does not exist.
pub(super) fn subdirectories(directory: &Path) -> Result<Vec<PathBuf>, DirectoryError> {
    let failed = |source| DirectoryError::Io {
        action: "list",
        path: directory.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
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
        let (_place, root) = root();
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
    fn a_taken_name_is_refused() {
        let (_place, root) = root();
        let run = root.create_run(&name("mine")).unwrap();
        assert_eq!(
            root.create_run(&name("mine")).unwrap(),
            run,
            "whoever made it has not come to write what it is"
        );
        std::fs::write(run.config(), "").unwrap();
        assert!(
            matches!(root.create_run(&name("mine")), Err(DirectoryError::Taken { path }) if path == run.path())
        );
    }

    #[test]
    fn a_run_is_found_by_name_and_by_path() {
        let (_place, root) = root();
        let run = root.create_run(&name("mine")).unwrap();
        assert!(matches!(
            root.find_run("mine"),
            Err(DirectoryError::NotARun { .. })
        ));
        std::fs::write(run.config(), "").unwrap();
        assert_eq!(root.find_run("mine").unwrap(), run);
        assert_eq!(root.find_run(run.path().to_str().unwrap()).unwrap(), run);
    }

    #[test]
    fn what_is_missing_is_named_beside_what_there_is() {
        let (_place, root) = root();
        let error = root.find_dataset("flickr8k").unwrap_err().to_string();
        assert!(
            error.starts_with("there is no data set `flickr8k` in "),
            "{error}"
        );
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
