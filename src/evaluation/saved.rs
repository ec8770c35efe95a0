//! Evaluations saved in runs: finding, listing and reading their reports.

use super::{NamedReport, Report};
use crate::data::Split;
use crate::files::ConfinedPath;
use crate::jobs::{DirectoryError, Name, Root, RunDirectory};
use std::io;
use std::path::{Path, PathBuf};

/// The evaluation of a run if none is named: that of `cutline evaluate RUN`.
const DEFAULT: &str = "dev-best";
/// The checkpoints in default names of evaluations.
const CHECKPOINTS: [&str; 2] = ["best", "latest"];
const REPORT: &str = "report.json";
/// Longer reports are not read.
pub(crate) const MAX_REPORT_BYTES: u64 = 1 << 30;

/// An evaluation with a report on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedEvaluation {
    /// The run; none for a report outside of runs.
    pub run: Option<String>,
    /// The name in the run; the path for a report outside of runs.
    pub name: String,
    /// The report.
    pub path: ConfinedPath,
}

/// Why a report cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum SavedEvaluationError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("run `{run}` has no evaluation `{name}`; make it with: {command}{others}")]
    Missing {
        run: String,
        name: String,
        command: String,
        others: String,
    },
    #[error("there is no report {}; give a run's name, RUN/EVALUATION, or the path of a report.json", path.display())]
    NoFile { path: PathBuf },
    #[error("cannot read {}: {source}; check the permissions", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not the report of an evaluation: {source}; evaluate again", path.display())]
    Invalid {
        path: PathBuf,
        source: serde_json::Error,
    },
}

impl SavedEvaluation {
    /// `RUN/EVALUATION`, or the path of a report outside of runs.
    pub fn title(&self) -> String {
        match &self.run {
            Some(run) => format!("{run}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Reads the report; its run gets the current name.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a report.
    pub fn read(&self) -> Result<NamedReport, SavedEvaluationError> {
        let text = self
            .path
            .read(MAX_REPORT_BYTES)
            .map_err(|source| SavedEvaluationError::Io {
                path: (&self.path).into(),
                source,
            })?;
        let mut report: Report =
            serde_json::from_slice(&text).map_err(|source| SavedEvaluationError::Invalid {
                path: (&self.path).into(),
                source,
            })?;
        if let Some(run) = &self.run {
            report.info.run.clone_from(run);
        }
        Ok(NamedReport {
            name: self.title(),
            report,
        })
    }
}

impl RunDirectory {
    /// Its evaluations with a report, by name.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if the directory cannot be listed.
    pub fn saved_evaluations(&self) -> Result<Vec<SavedEvaluation>, DirectoryError> {
        let directories = self.evaluation_directories()?.into_iter();
        let all = directories.map(|directory| SavedEvaluation {
            run: Some(self.name()),
            name: directory.file_name().to_string_lossy().into_owned(),
            path: directory.join(REPORT),
        });
        Ok(all.filter(|evaluation| evaluation.path.is_file()).collect())
    }

    /// Its evaluation of that name.
    ///
    /// # Errors
    /// [`SavedEvaluationError::Missing`] says which command makes it.
    pub fn saved_evaluation(&self, name: &Name) -> Result<SavedEvaluation, SavedEvaluationError> {
        let evaluation = SavedEvaluation {
            run: Some(self.name()),
            name: name.to_string(),
            path: self.evaluation(name).join(REPORT),
        };
        if evaluation.path.is_file() {
            return Ok(evaluation);
        }
        let others: Vec<String> = self
            .saved_evaluations()?
            .into_iter()
            .map(|evaluation| evaluation.name)
            .collect();
        Err(SavedEvaluationError::Missing {
            run: self.name(),
            name: name.to_string(),
            command: format!("cutline evaluate {}{}", self.name(), flags_that_make(name)),
            others: match others.is_empty() {
                true => String::new(),
                false => format!(" (it has: {})", others.join(", ")),
            },
        })
    }
}

impl Root {
    /// The evaluations of all runs with a report, by run and name.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if a directory cannot be listed.
    pub fn evaluations(&self) -> Result<Vec<SavedEvaluation>, DirectoryError> {
        let mut all = Vec::new();
        for run in self.runs()? {
            all.extend(self.run_dir(&run).saved_evaluations()?);
        }
        Ok(all)
    }

    /// The evaluation that `text` names: `RUN/EVALUATION`, the path of a report, or the default evaluation of a run by the
    /// run's name or path.
    ///
    /// # Errors
    /// Names the existing evaluations, or the command that creates it.
    pub fn find_evaluation(&self, text: &str) -> Result<SavedEvaluation, SavedEvaluationError> {
        if let Some((run, name)) = self.run_and_evaluation(text) {
            return run.saved_evaluation(&name);
        }
        let path = Path::new(text);
        if path.is_file() {
            return Ok(at_path(path));
        }
        if path.join(REPORT).is_file() {
            return Ok(at_path(&path.join(REPORT)));
        }
        match self.find_run(text) {
            Ok(run) => run.saved_evaluation(&Name::sanitized(DEFAULT)),
            Err(DirectoryError::Missing { .. } | DirectoryError::NoDirectory { .. })
                if text.ends_with(".json") =>
            {
                Err(SavedEvaluationError::NoFile {
                    path: path.to_owned(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The run and the name of an evaluation, if `text` is `RUN/EVALUATION` and the run exists.
    fn run_and_evaluation(&self, text: &str) -> Option<(RunDirectory, Name)> {
        let (run, name) = text.split_once('/')?;
        let (run, name) = (self.run_dir(&run.parse().ok()?), name.parse().ok()?);
        run.config().is_file().then_some((run, name))
    }
}

/// The report at a path, inside a run or not.
fn at_path(path: &Path) -> SavedEvaluation {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut above = whole.ancestors().skip(1);
    match (above.next(), above.next(), above.next()) {
        (Some(evaluation), Some(evaluations), Some(run))
            if whole.ends_with(REPORT)
                && RunDirectory::new(run).evaluations().as_path() == evaluations
                && RunDirectory::new(run).config().is_file() =>
        {
            SavedEvaluation {
                run: Some(last_part(run)),
                name: last_part(evaluation),
                path: RunDirectory::new(run)
                    .evaluations()
                    .join(last_part(evaluation))
                    .join(REPORT),
            }
        }
        _ => SavedEvaluation {
            run: None,
            name: path.to_string_lossy().into_owned(),
            path: path.into(),
        },
    }
}

/// The flags of `cutline evaluate RUN` that give an evaluation this name.
fn flags_that_make(name: &Name) -> String {
    let default = Split::ALL
        .into_iter()
        .flat_map(|split| CHECKPOINTS.map(|checkpoint| (split, checkpoint)))
        .find(|(split, checkpoint)| name.as_str() == format!("{split}-{checkpoint}"));
    match default {
        Some((Split::Dev, "best")) => String::new(),
        Some((split, "best")) => format!(" --split {split}"),
        Some((split, checkpoint)) => format!(" --split {split} --checkpoint {checkpoint}"),
        None => format!(" --name {name}"),
    }
}

fn last_part(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// A root with a run `mine`, evaluated as `dev-best` and `test-best`.
    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        let run = root.create_run(&name("mine")).unwrap();
        std::fs::write(run.config(), "").unwrap();
        for evaluation in ["dev-best", "test-best"] {
            let evaluation = run.evaluation(&name(evaluation));
            std::fs::create_dir_all(&evaluation).unwrap();
            std::fs::write(evaluation.join(REPORT), "{}").unwrap();
        }
        // Unfinished.
        std::fs::create_dir_all(run.evaluation(&name("beam-5"))).unwrap();
        (directory, root)
    }

    #[test]
    fn evaluations_with_a_report_are_listed() {
        let (_directory, root) = root();
        let titles: Vec<String> = root
            .evaluations()
            .unwrap()
            .iter()
            .map(SavedEvaluation::title)
            .collect();
        assert_eq!(titles, ["mine/dev-best", "mine/test-best"]);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Root::new(empty.path()).evaluations().unwrap(), []);
    }

    #[test]
    fn evaluation_is_found_by_run_by_name_and_by_path() {
        let (directory, root) = root();
        let run = root.run_dir(&name("mine")).path().to_owned();
        let evaluation = run.join("evaluations/test-best");
        for (text, title) in [
            ("mine", "mine/dev-best"),
            ("mine/test-best", "mine/test-best"),
            (run.to_str().unwrap(), "mine/dev-best"),
            (evaluation.to_str().unwrap(), "mine/test-best"),
            (evaluation.join(REPORT).to_str().unwrap(), "mine/test-best"),
        ] {
            let found = root.find_evaluation(text).unwrap();
            assert_eq!(found.title(), title, "{text}");
            assert!(found.path.is_file(), "{text}");
        }
        let elsewhere = directory.path().join("saved.json");
        std::fs::write(&elsewhere, "{}").unwrap();
        let found = root.find_evaluation(elsewhere.to_str().unwrap()).unwrap();
        assert_eq!(
            (found.run.clone(), found.title()),
            (None, elsewhere.to_str().unwrap().to_owned())
        );
    }

    #[test]
    fn missing_evaluation_error_names_the_command() {
        let (_directory, root) = root();
        for (text, command) in [
            ("mine/beam-5", "cutline evaluate mine --name beam-5"),
            ("mine/train-best", "cutline evaluate mine --split train"),
            (
                "mine/dev-latest",
                "cutline evaluate mine --split dev --checkpoint latest",
            ),
        ] {
            let error = root.find_evaluation(text).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("make it with: {command} (it has: dev-best, test-best)")),
                "{error}"
            );
        }
        std::fs::remove_dir_all(root.run_dir(&name("mine")).evaluations()).unwrap();
        let error = root.find_evaluation("mine").unwrap_err().to_string();
        assert!(error.ends_with("make it with: cutline evaluate mine"), "{error}");
        let error = root.find_evaluation("mien").unwrap_err().to_string();
        assert!(error.ends_with("did you mean `mine`?"), "{error}");
        let error = root.find_evaluation("./no-such.json").unwrap_err().to_string();
        assert!(error.starts_with("there is no report ./no-such.json"), "{error}");
    }

    #[test]
    fn invalid_report_is_named() {
        let (_directory, root) = root();
        let error = root.find_evaluation("mine").unwrap().read().unwrap_err();
        assert!(
            matches!(&error, SavedEvaluationError::Invalid { path, .. } if path.ends_with("dev-best/report.json")),
            "{error}"
        );
    }
}
