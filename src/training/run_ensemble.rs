//! An ensemble of trained runs.

use super::trained_run::{TrainedRun, TrainedRunError};
use crate::data::Image;
use crate::files::ConfinedPath;
use crate::jobs::{CheckpointRef, Root};
use crate::model::{ImageInputs, InputsError};
use crate::nn::Backend;
use crate::search::{Captioner, CaptionerError};
use std::path::PathBuf;

/// Trained runs with the same vocabulary; a single one is an ensemble too.
pub struct RunEnsemble<D: Backend> {
    /// The run whose settings and dataset the ensemble uses.
    pub first: TrainedRun<D>,
    /// The other members.
    pub others: Vec<TrainedRun<D>>,
}

impl<D: Backend> RunEnsemble<D> {
    /// Opens checkpoints.
    ///
    /// # Errors
    /// [`TrainedRunError::Directory`] for an unknown run; those of [`TrainedRun::open`]. Fails if the vocabularies differ.
    pub fn open(
        first: &CheckpointRef,
        others: &[CheckpointRef],
        root: &Root,
        device: &D,
    ) -> Result<Self, TrainedRunError> {
        let open = |member: &CheckpointRef| {
            let run = root.find_run(&member.run)?;
            TrainedRun::open(&run, &run.checkpoint(member.checkpoint), device)
        };
        let first = open(first)?;
        let open = |other: &CheckpointRef| {
            let other = open(other)?;
            check_same_vocabulary(&first, &other)?;
            Ok::<_, TrainedRunError>(other)
        };
        let others = others.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { first, others })
    }

    /// All runs, in order.
    pub fn members(&self) -> impl Iterator<Item = &TrainedRun<D>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The inputs of each member for images of the dataset in `directory`. Features that are not stored there are read from
    /// the member's own dataset.
    ///
    /// # Errors
    /// Fails if a member's features are in neither dataset, or if an image does not decode.
    pub fn inputs(
        &self,
        images: &[&Image],
        directory: &ConfinedPath,
        root: &Root,
    ) -> Result<Vec<ImageInputs>, InputsError> {
        let inputs = |member: &TrainedRun<D>| {
            let encoder = &member.model.spec().encoder;
            let open =
                |directory: &ConfinedPath| ImageInputs::open(encoder, directory, images.iter().copied());
            match (open(directory), member.dataset_directory(root)) {
                (Err(InputsError::NoSuchFeatures { .. }), Ok(own)) => open(&own),
                (opened, _) => opened,
            }
        };
        self.members().map(inputs).collect()
    }

    /// A captioner for any image. `weights` are files of published weights in the order of the members; the last one also
    /// serves the members after it. Without any, each member uses its recorded one.
    ///
    /// # Errors
    /// Those of [`Captioner::new`].
    pub fn captioner(self, weights: &[PathBuf]) -> Result<Captioner<D>, CaptionerError> {
        let Self { first, others } = self;
        let file = |index: usize, member: &TrainedRun<D>| {
            let named = weights.get(index).or(weights.last());
            named.or(member.record.data.weights.as_ref()).cloned()
        };
        let own = file(0, &first);
        let mut captioner = Captioner::new(first.model, first.vocabulary, own.as_deref())?;
        for (index, member) in (1..).zip(others) {
            let own = file(index, &member);
            captioner = captioner.with(member.model, own.as_deref())?;
        }
        Ok(captioner)
    }

    /// Whether a member reads features that another program made.
    pub fn reads_features_made_elsewhere(&self) -> bool {
        let encoder = |member: &TrainedRun<D>| member.model.spec().encoder.is_made_elsewhere();
        self.members().any(encoder)
    }

    /// A captioner of features that another program made, which all members read.
    ///
    /// # Errors
    /// If a member reads pixels.
    pub fn feature_captioner(self) -> Result<Captioner<D>, CaptionerError> {
        let Self { first, others } = self;
        let captioner = Captioner::of_features(first.model, first.vocabulary)?;
        let with = |captioner: Captioner<D>, member: TrainedRun<D>| captioner.with_features(member.model);
        others.into_iter().try_fold(captioner, with)
    }
}

fn check_same_vocabulary<D: Backend>(
    one: &TrainedRun<D>,
    other: &TrainedRun<D>,
) -> Result<(), TrainedRunError> {
    let (mut ours, mut theirs) = (one.vocabulary.words(), other.vocabulary.words());
    let quoted = |word: Option<&str>| word.map_or("missing".to_owned(), |word| format!("{word:?}"));
    for position in 1.. {
        match (ours.next(), theirs.next()) {
            (None, None) => break,
            (word, other_word) if word == other_word => {}
            (word, other_word) => {
                return Err(TrainedRunError::OtherWords {
                    run: one.directory.name(),
                    other: other.directory.name(),
                    position,
                    word: quoted(word),
                    other_word: quoted(other_word),
                });
            }
        }
    }
    Ok(())
}
