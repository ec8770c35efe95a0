//! The checkpoints that `evaluate` and `caption` write with: a run's, alone or together with other runs'.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Context;
use crate::evaluation::EnsembleMember;
use crate::jobs::{DirectoryError, RunDirectory};
use crate::nn::Backend;
use crate::training::{CheckpointRef, RunEnsemble};

/// A run and those that write together with it.
#[derive(Clone, Debug, Args)]
pub(super) struct MemberArgs {
    /// The run's name, or the path of its directory
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    /// The checkpoint to use
    #[arg(long, value_enum, default_value_t)]
    pub(super) checkpoint: Checkpoint,
    /// Write together with this run: every word is chosen by the mean of all log-probabilities; may be given again.
    /// The runs need the same vocabulary, not the same encoder or decoder. Its checkpoint is that of --checkpoint unless
    /// /best or /latest follows
    #[arg(long, value_name = "RUN")]
    ensemble: Vec<String>,
}

/// Which of a run's checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Checkpoint {
    /// The one with the best dev score
    #[default]
    Best,
    /// The last one saved
    Latest,
}

impl Checkpoint {
    const ALL: [Self; 2] = [Self::Best, Self::Latest];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Latest => "latest",
        }
    }

    /// Its file.
    fn path(self, run: &RunDirectory) -> PathBuf {
        match self {
            Self::Best => run.best(),
            Self::Latest => run.latest(),
        }
    }
}

/// A checkpoint of a run that was found.
pub(super) struct Chosen {
    pub(super) directory: RunDirectory,
    checkpoint: Checkpoint,
}

impl Chosen {
    /// As reports name it.
    pub(super) fn named(&self) -> EnsembleMember {
        EnsembleMember {
            run: self.directory.name(),
            checkpoint: self.checkpoint.name().to_owned(),
        }
    }

    fn file(&self) -> CheckpointRef {
        CheckpointRef {
            path: self.checkpoint.path(&self.directory),
            run: self.directory.clone(),
        }
    }
}

/// As reports name them.
pub(super) fn named(chosen: &[Chosen]) -> Vec<EnsembleMember> {
    chosen.iter().map(Chosen::named).collect()
}

impl MemberArgs {
    /// The run that others write together with.
    pub(super) fn first(&self, context: &Context) -> Result<Chosen, DirectoryError> {
        Ok(Chosen {
            directory: context.root.find_run(&self.run)?,
            checkpoint: self.checkpoint,
        })
    }

    /// The runs that write together with it.
    pub(super) fn others(&self, context: &Context) -> Result<Vec<Chosen>, DirectoryError> {
        self.ensemble
            .iter()
            .map(|wanted| self.find(wanted, context))
            .collect()
    }

    /// All of them with their models.
    pub(super) fn open<D: Backend>(&self, device: &D, context: &Context) -> anyhow::Result<RunEnsemble<D>> {
        let first = self.first(context)?.file();
        let others = self.others(context)?;
        let others: Vec<CheckpointRef> = others.iter().map(Chosen::file).collect();
        Ok(RunEnsemble::open(&first, &others, device)?)
    }

    /// `RUN`, or `RUN/CHECKPOINT`.
    fn find(&self, wanted: &str, context: &Context) -> Result<Chosen, DirectoryError> {
        let with_checkpoint = |checkpoint: Checkpoint| {
            let run = wanted.strip_suffix(checkpoint.name())?.strip_suffix('/')?;
            Some((run, checkpoint))
        };
        let named = Checkpoint::ALL.into_iter().find_map(with_checkpoint);
        let (run, checkpoint) = named.unwrap_or((wanted, self.checkpoint));
        Ok(Chosen {
            directory: context.root.find_run(run)?,
            checkpoint,
        })
    }
}
