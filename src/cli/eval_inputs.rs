//! The inputs of an evaluation: the models of an ensemble, and each model's inputs for the images of a split.

use super::Context;
use super::ensemble::EnsembleArgs;
use super::terminal::display_path;
use crate::data::{Dataset, Image, Split};
use crate::evaluation::{EvaluationError, EvaluationInfo};
use crate::model::ImageInputs;
use crate::nn::Backend;
use crate::search::Member;
use crate::training::RunEnsemble;

pub(super) struct EvalInputs<D: Backend> {
    pub(super) runs: RunEnsemble<D>,
    pub(super) dataset: Dataset,
    pub(super) info: EvaluationInfo,
    /// One entry per member.
    inputs: Vec<ImageInputs>,
}

impl<D: Backend> EvalInputs<D> {
    pub(super) fn open(
        args: &EnsembleArgs,
        split: Split,
        device: &D,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let runs = args.open(device, context)?;
        let directory = runs.first.dataset_directory(&context.root)?;
        let dataset = Dataset::load(&directory)?;
        if dataset.hash != runs.first.record.data.hash {
            context.notice(&format!(
                "warning: {} has changed since this run was trained on it; its images may have been training images",
                display_path(directory.as_path())
            ));
        }
        let images: Vec<&Image> = dataset.images(split).collect();
        anyhow::ensure!(!images.is_empty(), EvaluationError::Empty(split));
        let inputs = runs.inputs(&images, &directory, &context.root)?;
        let info = EvaluationInfo {
            run: runs.first.directory.name(),
            checkpoint: args.checkpoint,
            ensemble: args.named_others(context)?,
            dataset: dataset.manifest.name.clone(),
            data_hash: dataset.hash.clone(),
            split,
            tokenizer: dataset.manifest.tokenizer(),
        };
        Ok(Self {
            runs,
            dataset,
            info,
            inputs,
        })
    }

    /// The images of the split.
    pub(super) fn images(&self) -> Vec<&Image> {
        self.dataset.images(self.info.split).collect()
    }

    pub(super) fn members(&self) -> Vec<Member<'_, D>> {
        let models = self.runs.members().map(|run| &run.model);
        models
            .zip(&self.inputs)
            .map(|(model, inputs)| Member { model, inputs })
            .collect()
    }
}
