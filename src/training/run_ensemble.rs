//! An ensemble of trained runs.

use super::trained_run::{TrainedRun, TrainedRunError};
use crate::data::Image;
use crate::files::ConfinedPath;
use crate::jobs::{CheckpointRef, Root};
use crate::model::{ImageInputs, InputsError};
use crate::nn::Backend;
use crate::text::Vocabulary;

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
            let names = [&first, &other].map(|run| run.directory.name());
            check_same_vocabulary((&names[0], &first.vocabulary), (&names[1], &other.vocabulary))?;
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
    /// the member's own dataset, if that has the same images: then `own_datasets` is given.
    ///
    /// # Errors
    /// Fails if a member's features are in neither dataset, or if an image does not decode.
    pub fn inputs(
        &self,
        images: &[&Image],
        directory: &ConfinedPath,
        own_datasets: Option<&Root>,
    ) -> Result<Vec<ImageInputs>, InputsError> {
        let inputs = |member: &TrainedRun<D>| {
            let encoder = &member.model.spec().encoder;
            let open =
                |directory: &ConfinedPath| ImageInputs::open(encoder, directory, images.iter().copied());
            let own = || member.dataset_directory(own_datasets?).ok();
            match (open(directory), own()) {
                (Err(InputsError::NoSuchFeatures { .. }), Some(own)) => open(&own),
                (opened, _) => opened,
            }
        };
        self.members().map(inputs).collect()
    }
}

/// Checks that the vocabularies of two members are the same, word for word.
///
/// # Errors
/// [`TrainedRunError::OtherWords`] names the first word that differs.
pub fn check_same_vocabulary(
    (name, vocabulary): (&str, &Vocabulary),
    (other, other_vocabulary): (&str, &Vocabulary),
) -> Result<(), TrainedRunError> {
    let quoted = |word: Option<&str>| word.map_or("missing".to_owned(), |word| format!("{word:?}"));
    match vocabulary.first_difference(other_vocabulary) {
        None => Ok(()),
        Some((position, [word, other_word])) => Err(TrainedRunError::OtherWords {
            run: name.to_owned(),
            other: other.to_owned(),
            position,
            word: quoted(word),
            other_word: quoted(other_word),
        }),
    }
}
