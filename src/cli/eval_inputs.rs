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

/// The dataset that the run was trained on.
enum TrainedOn {
    /// The one that is evaluated.
    Evaluated,
    /// Another one, if it is there.
    Other(Option<Box<Dataset>>),
}

pub(super) struct EvalInputs<D: Backend> {
    pub(super) runs: RunEnsemble<D>,
    pub(super) dataset: Dataset,
    training: TrainedOn,
    pub(super) info: EvaluationInfo,
    /// One entry per member.
    inputs: Vec<ImageInputs>,
}

impl<D: Backend> EvalInputs<D> {
    /// `data` is another dataset than that of the run.
    pub(super) fn open(
        args: &EnsembleArgs,
        data: Option<&str>,
        split: Split,
        device: &D,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let runs = args.open(device, context)?;
        let own = runs.first.dataset_directory(&context.root);
        let (directory, training) = match data {
            None => (own?, None),
            Some(name) => {
                let training = own.ok().map(|own| Dataset::load(&own)).transpose()?.map(Box::new);
                (context.root.find_dataset(name)?, training)
            }
        };
        let dataset = Dataset::load(&directory)?;
        match data {
            None if dataset.hash != runs.first.record.data.hash => context.notice(&format!(
                "warning: {} has changed since this run was trained on it; its images may have been training images",
                display_path(directory.as_path())
            )),
            None => {}
            Some(_) => notices(&dataset, training.as_deref()).iter().for_each(|notice| context.notice(notice)),
        }
        let images: Vec<&Image> = dataset.images(split).collect();
        anyhow::ensure!(!images.is_empty(), EvaluationError::Empty(split));
        let own_datasets = data.is_none().then_some(&context.root);
        let inputs = runs.inputs(&images, &directory, own_datasets)?;
        let info = EvaluationInfo {
            run: runs.first.directory.name(),
            checkpoint: args.checkpoint,
            ensemble: args.named_others(context)?,
            dataset: dataset.manifest.name.clone(),
            data_hash: dataset.hash.clone(),
            split,
            tokenizer: dataset.manifest.tokenizer(),
        };
        let training = match data {
            None => TrainedOn::Evaluated,
            Some(_) => TrainedOn::Other(training),
        };
        Ok(Self {
            runs,
            dataset,
            training,
            info,
            inputs,
        })
    }

    /// The dataset that the run was trained on, if it is there.
    pub(super) fn training_dataset(&self) -> Option<&Dataset> {
        match &self.training {
            TrainedOn::Evaluated => Some(&self.dataset),
            TrainedOn::Other(training) => training.as_deref(),
        }
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

/// What makes scores on another dataset than that of the run differ.
fn notices(dataset: &Dataset, training: Option<&Dataset>) -> Vec<String> {
    let Some(training) = training else {
        return vec!["the run's own dataset is not here: all captions count as novel".to_owned()];
    };
    let [ours, own] = [dataset, training].map(|dataset| dataset.manifest.tokenizer());
    let notice = || {
        format!(
            "{} has captions prepared with {ours}, the run's own dataset with {own}: of the scores, compare those by PTB",
            dataset.manifest.name
        )
    };
    (ours != own).then(notice).into_iter().collect()
}
