//! What an evaluation works on: the models of runs, the images of a split, and what each model is given of them.

use super::Context;
use super::members::{MemberArgs, named};
use super::terminal::display_path;
use crate::data::{Dataset, Image, Split};
use crate::evaluation::{EvaluationError, Subject};
use crate::model::ImageInputs;
use crate::nn::Backend;
use crate::search::Member;
use crate::training::RunEnsemble;

/// Models and a split, opened.
pub(super) struct Material<D: Backend> {
    pub(super) runs: RunEnsemble<D>,
    pub(super) data_set: Dataset,
    pub(super) subject: Subject,
    inputs: Vec<ImageInputs>,
}

impl<D: Backend> Material<D> {
    /// Opens what the arguments name.
    ///
    /// # Errors
    /// Where something is missing, or the split is empty.
    pub(super) fn open(
        args: &MemberArgs,
        split: Split,
        device: &D,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let runs = args.open(device, context)?;
        let directory = runs.first.data_set_directory(&context.root)?;
        let data_set = Dataset::load(&directory)?;
        if data_set.hash != runs.first.record.data.hash {
            context.notice(&format!(
                "warning: {} is not the data set that this run learned from; its images may have been among the \
                 training images",
                display_path(&directory)
            ));
        }
        let images: Vec<&Image> = data_set.images(split).collect();
        anyhow::ensure!(!images.is_empty(), EvaluationError::Empty(split));
        let inputs = runs.inputs(&images, &directory, &context.root)?;
        let subject = Subject {
            run: runs.first.directory.name(),
            checkpoint: args.checkpoint.name().to_owned(),
            ensemble: named(&args.others(context)?),
            data_set: data_set.manifest.name.clone(),
            data_hash: data_set.hash.clone(),
            split,
        };
        Ok(Self {
            runs,
            data_set,
            subject,
            inputs,
        })
    }

    /// The images of the split.
    pub(super) fn images(&self) -> Vec<&Image> {
        self.data_set.images(self.subject.split).collect()
    }

    /// The models, each with what it is given of the images.
    pub(super) fn members(&self) -> Vec<Member<'_, D>> {
        let models = self.runs.members().map(|run| &run.model);
        models
            .zip(&self.inputs)
            .map(|(model, inputs)| Member { model, inputs })
            .collect()
    }
}
