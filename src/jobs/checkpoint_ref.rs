//! Names for the checkpoints of runs: `flickr8k-merge-001/best`.

use super::error::DirectoryError;
use super::root::Root;
use super::run_directory::RunDirectory;
use crate::files::ConfinedPath;
use crate::suggest::{Named, UnknownName, unknown_name};
use serde::{Deserialize, Serialize};
use std::fmt;
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

/// Which checkpoint of a run.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum CheckpointKind {
    /// The checkpoint with the best dev score.
    #[default]
    Best,
    /// The checkpoint saved last.
    Latest,
}

impl Named for CheckpointKind {
    const KIND: &'static str = "checkpoint";
}

/// A checkpoint of a run, as flags and reports name it: `RUN/best`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRef {
    /// The run's name, or the path of its directory.
    pub run: String,
    /// Which of its checkpoints.
    pub checkpoint: CheckpointKind,
}

impl CheckpointRef {
    /// Reads `RUN` or `RUN/CHECKPOINT`; the former means the checkpoint of kind `default`.
    pub fn parse(text: &str, default: CheckpointKind) -> Self {
        let split = text.rsplit_once('/');
        let named = split.and_then(|(run, kind)| Some((run, kind.parse().ok()?)));
        let (run, checkpoint) = named.unwrap_or((text, default));
        Self {
            run: run.to_owned(),
            checkpoint,
        }
    }

    /// The same checkpoint with the run's name in place of a path.
    ///
    /// # Errors
    /// Where there is no such run.
    pub fn with_run_name(&self, root: &Root) -> Result<Self, DirectoryError> {
        Ok(Self {
            run: root.find_run(&self.run)?.name(),
            checkpoint: self.checkpoint,
        })
    }
}

impl fmt::Display for CheckpointRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.run, self.checkpoint)
    }
}

impl RunDirectory {
    /// The file of a checkpoint.
    pub fn checkpoint(&self, kind: CheckpointKind) -> ConfinedPath {
        match kind {
            CheckpointKind::Best => self.best(),
            CheckpointKind::Latest => self.latest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_takes_kind_from_suffix_or_default() {
        let parse = |text| CheckpointRef::parse(text, CheckpointKind::Latest).to_string();
        assert_eq!(parse("merge-001"), "merge-001/latest");
        assert_eq!(parse("merge-001/best"), "merge-001/best");
        assert_eq!(parse("/runs/best/latest"), "/runs/best/latest");
    }
}
