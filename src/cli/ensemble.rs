//! The checkpoints that `evaluate` and `caption` use: one run's, or those of an ensemble.

use clap::Args;

use super::{Context, choices};
use crate::jobs::{CheckpointKind, CheckpointRef, DirectoryError};
use crate::nn::Backend;
use crate::pack::CaptionMembers;
use crate::training::RunEnsemble;

#[derive(Clone, Debug, Args)]
pub(super) struct EnsembleArgs {
    /// The run's name, or the path of its directory; for `caption` also that of a packed file
    #[arg(value_name = "RUN")]
    run: String,
    /// The checkpoint to use
    #[arg(long, value_name = "CHECKPOINT", value_parser = choices::named::<CheckpointKind>(), default_value_t)]
    pub(super) checkpoint: CheckpointKind,
    /// Average log-probabilities with this run; repeat for more members. Members need the same vocabulary, but may have
    /// different encoders and decoders. RUN/best and RUN/latest choose the checkpoint [default: that of --checkpoint]
    #[arg(long, value_name = "RUN")]
    ensemble: Vec<String>,
}

impl EnsembleArgs {
    /// The run that owns the settings, the dataset and the evaluations.
    pub(super) fn first(&self) -> CheckpointRef {
        CheckpointRef {
            run: self.run.clone(),
            checkpoint: self.checkpoint,
        }
    }

    /// The runs of `--ensemble`, as given.
    fn others(&self) -> Vec<CheckpointRef> {
        self.ensemble
            .iter()
            .map(|text| CheckpointRef::parse(text, self.checkpoint))
            .collect()
    }

    /// The runs of `--ensemble`, by their names.
    pub(super) fn named_others(&self, context: &Context) -> Result<Vec<CheckpointRef>, DirectoryError> {
        self.others()
            .iter()
            .map(|other| other.with_run_name(&context.root))
            .collect()
    }

    /// Packed files and runs, for captioning.
    pub(super) fn open_members<D: Backend>(
        &self,
        device: &D,
        context: &Context,
    ) -> anyhow::Result<CaptionMembers<D>> {
        let (first, others) = (self.first(), self.others());
        Ok(CaptionMembers::open(&first, &others, &context.root, device)?)
    }

    pub(super) fn open<D: Backend>(&self, device: &D, context: &Context) -> anyhow::Result<RunEnsemble<D>> {
        let (first, others) = (self.first(), self.others());
        Ok(RunEnsemble::open(&first, &others, &context.root, device)?)
    }
}
