//! The evaluations that runs keep: finding them, listing them, reading their reports.

use super::{NamedReport, Report};
use crate::data::Split;
use crate::files::ConfinedPath;
use crate::jobs::{DirectoryError, Name, Root, RunDirectory};
use std::io;
use std::path::{Path, PathBuf};

/// The evaluation that a run is judged by where none is named: what `cutline evaluate RUN` makes.
const USUAL: &str = "dev-best";
/// The checkpoints that the usual names of evaluations end in.
const CHECKPOINTS: [&str; 2] = ["best", "latest"];
const REPORT: &str = "report.json";
/// Longer reports are not read.
pub(crate) const MAX_REPORT_BYTES: u64 = 1 << 30;

/// The report of an evaluation, on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvaluation {
    /// The run that it is of; none for a report that lies elsewhere.
    pub run: Option<String>,
    /// Its name in the run; for a report that lies elsewhere, the path that was given.
    pub name: String,
    /// The report.
    pub path: ConfinedPath,
}

/// Why there is no report to read.
#[derive(Debug, thiserror::Error)]
pub enum KeptEvaluationError {
    /// There is no such run.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The run has not been evaluated so.
    #[error("run `{run}` has no evaluation `{name}`; make it with: {command}{others}")]
    NotMade {
        /// The run.
        run: String,
        /// The evaluation's name.
        name: String,
        /// What makes it.
        command: String,
        /// The evaluations that it has, as the end of a sentence.
        others: String,
    },
    /// There is no file at a path.
    #[error("there is no report {}; give a run's name, RUN/EVALUATION, or the path of a report.json", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}; check the permissions", path.display())]
    Io {
        /// The report.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not the report of an evaluation: {source}; evaluate again", path.display())]
    Damaged {
        /// The report.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl KeptEvaluation {
    /// What it is called beside others: `RUN/EVALUATION`, or the path of a report that lies elsewhere.
    pub fn title(&self) -> String {
        match &self.run {
            Some(run) => format!("{run}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Reads the report. The run is called what it is called now, and not what it was called then.
    ///
    /// # Errors
    /// Where the file cannot be read, or is no report.
    pub fn read(&self) -> Result<NamedReport, KeptEvaluationError> {
        let text = self
            .path
            .read(MAX_REPORT_BYTES)
            .map_err(|source| KeptEvaluationError::Io {
                path: (&self.path).into(),
                source,
            })?;
        let mut report: Report =
            serde_json::from_slice(&text).map_err(|source| KeptEvaluationError::Damaged {
                path: (&self.path).into(),
                source,
            })?;
        if let Some(run) = &self.run {
            report.subject.run.clone_from(run);
        }
        Ok(NamedReport {
            name: self.title(),
            report,
        })
    }
}

impl RunDirectory {
    /// Its evaluations that have a report, by name.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if the directory cannot be listed.
    pub fn kept_evaluations(&self) -> Result<Vec<KeptEvaluation>, DirectoryError> {
        let directories = self.evaluation_directories()?.into_iter();
        let all = directories.map(|directory| KeptEvaluation {
            run: Some(self.name()),
            name: directory.file_name().to_string_lossy().into_owned(),
            path: directory.join(REPORT),
        });
        Ok(all.filter(|kept| kept.path.is_file()).collect())
    }

    /// Its evaluation of that name.
    ///
    /// # Errors
    /// [`KeptEvaluationError::NotMade`] says which command makes it.
    pub fn kept_evaluation(&self, name: &Name) -> Result<KeptEvaluation, KeptEvaluationError> {
        let kept = KeptEvaluation {
            run: Some(self.name()),
            name: name.to_string(),
            path: self.evaluation(name).join(REPORT),
        };
        if kept.path.is_file() {
            return Ok(kept);
        }
        let others: Vec<String> = self
            .kept_evaluations()?
            .into_iter()
            .map(|kept| kept.name)
            .collect();
        Err(KeptEvaluationError::NotMade {
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
    /// The evaluations of all runs that have a report, by run and by name.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if a directory cannot be listed.
    pub fn evaluations(&self) -> Result<Vec<KeptEvaluation>, DirectoryError> {
        let mut all = Vec::new();
        for run in self.runs()? {
            all.extend(self.run_dir(&run).kept_evaluations()?);
        }
        Ok(all)
    }

    /// The evaluation that `wanted` means: the usual one of a run, by the run's name or the path of its directory; any
    /// one, as `RUN/EVALUATION`; or the report at a path.
    ///
    /// # Errors
    /// Says what there is instead, or which command makes it.
    pub fn find_evaluation(&self, wanted: &str) -> Result<KeptEvaluation, KeptEvaluationError> {
        if let Some((run, name)) = self.run_and_evaluation(wanted) {
            return run.kept_evaluation(&name);
        }
        let path = Path::new(wanted);
        if path.is_file() {
            return Ok(at_path(path));
        }
        if path.join(REPORT).is_file() {
            return Ok(at_path(&path.join(REPORT)));
        }
        match self.find_run(wanted) {
            Ok(run) => run.kept_evaluation(&Name::sanitized(USUAL)),
            Err(DirectoryError::Missing { .. } | DirectoryError::NoDirectory { .. })
                if wanted.ends_with(".json") =>
            {
                Err(KeptEvaluationError::NoFile {
                    path: path.to_owned(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The run and the name of an evaluation, where `wanted` is `RUN/EVALUATION` and there is such a run.
    fn run_and_evaluation(&self, wanted: &str) -> Option<(RunDirectory, Name)> {
        let (run, name) = wanted.split_once('/')?;
        let (run, name) = (self.run_dir(&run.parse().ok()?), name.parse().ok()?);
        run.config().is_file().then_some((run, name))
    }
}

/// The report at a path, which may lie in a run.
fn at_path(path: &Path) -> KeptEvaluation {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut above = whole.ancestors().skip(1);
    match (above.next(), above.next(), above.next()) {
        (Some(evaluation), Some(evaluations), Some(run))
            if whole.ends_with(REPORT)
                && RunDirectory::new(run).evaluations().as_path() == evaluations
                && RunDirectory::new(run).config().is_file() =>
        {
            KeptEvaluation {
                run: Some(last_part(run)),
                name: last_part(evaluation),
                path: RunDirectory::new(run)
                    .evaluations()
                    .join(last_part(evaluation))
                    .join(REPORT),
            }
        }
        _ => KeptEvaluation {
            run: None,
            name: path.to_string_lossy().into_owned(),
            path: path.into(),
        },
    }
}

/// What `cutline evaluate RUN` is to be given so that the evaluation gets this name.
fn flags_that_make(name: &Name) -> String {
    let usual = Split::ALL
        .into_iter()
        .flat_map(|split| CHECKPOINTS.map(|checkpoint| (split, checkpoint)))
        .find(|(split, checkpoint)| name.as_str() == format!("{split}-{checkpoint}"));
    match usual {
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
        let place = tempfile::tempdir().unwrap();
        let root = Root::new(place.path());
        let run = root.create_run(&name("mine")).unwrap();
        std::fs::write(run.config(), "").unwrap();
        for evaluation in ["dev-best", "test-best"] {
            let directory = run.evaluation(&name(evaluation));
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join(REPORT), "{}").unwrap();
        }
        // Under way, or stopped before its end.
        std::fs::create_dir_all(run.evaluation(&name("beam-5"))).unwrap();
        (place, root)
    }

    #[test]
    fn evaluations_with_a_report_are_listed() {
        let (_place, root) = root();
        let titles: Vec<String> = root
            .evaluations()
            .unwrap()
            .iter()
            .map(KeptEvaluation::title)
            .collect();
        assert_eq!(titles, ["mine/dev-best", "mine/test-best"]);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Root::new(empty.path()).evaluations().unwrap(), []);
    }

    #[test]
    fn evaluation_is_found_by_run_by_name_and_by_path() {
        let (place, root) = root();
        let directory = root.run_dir(&name("mine")).path().to_owned();
        let evaluation = directory.join("evaluations/test-best");
        for (wanted, title) in [
            ("mine", "mine/dev-best"),
            ("mine/test-best", "mine/test-best"),
            (directory.to_str().unwrap(), "mine/dev-best"),
            (evaluation.to_str().unwrap(), "mine/test-best"),
            (evaluation.join(REPORT).to_str().unwrap(), "mine/test-best"),
        ] {
            let found = root.find_evaluation(wanted).unwrap();
            assert_eq!(found.title(), title, "{wanted}");
            assert!(found.path.is_file(), "{wanted}");
        }
        let elsewhere = place.path().join("kept.json");
        std::fs::write(&elsewhere, "{}").unwrap();
        let found = root.find_evaluation(elsewhere.to_str().unwrap()).unwrap();
        assert_eq!(
            (found.run.clone(), found.title()),
            (None, elsewhere.to_str().unwrap().to_owned())
        );
    }

    #[test]
    fn missing_evaluation_error_names_the_command() {
        let (_place, root) = root();
        for (wanted, command) in [
            ("mine/beam-5", "cutline evaluate mine --name beam-5"),
            ("mine/train-best", "cutline evaluate mine --split train"),
            (
                "mine/dev-latest",
                "cutline evaluate mine --split dev --checkpoint latest",
            ),
        ] {
            let error = root.find_evaluation(wanted).unwrap_err().to_string();
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
        let (_place, root) = root();
        let error = root.find_evaluation("mine").unwrap().read().unwrap_err();
        assert!(
            matches!(&error, KeptEvaluationError::Damaged { path, .. } if path.ends_with("dev-best/report.json")),
            "{error}"
        );
    }
}
