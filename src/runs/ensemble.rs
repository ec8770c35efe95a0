//! Runs whose models write captions together.

use super::trained::{TrainedRun, TrainedRunError};
use crate::data::Image;
use crate::jobs::{Root, RunDirectory};
use crate::model::{ImageInputs, InputsError};
use crate::nn::Backend;
use crate::search::{Captioner, CaptionerError};
use std::path::{Path, PathBuf};

/// A checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointOf {
    /// The run.
    pub run: RunDirectory,
    /// The checkpoint's file, such as [`RunDirectory::best`].
    pub path: PathBuf,
}

/// Runs with the same vocabulary; a single one is an ensemble too.
pub struct TrainedEnsemble<D: Backend> {
    /// The run that lends the ensemble its settings and its data set.
    pub first: TrainedRun<D>,
    /// Those that write together with it.
    pub others: Vec<TrainedRun<D>>,
}

impl<D: Backend> TrainedEnsemble<D> {
    /// Opens checkpoints.
    ///
    /// # Errors
    /// Those of [`TrainedRun::open`]; where a run's vocabulary is not the first one's, word for word.
    pub fn open(first: &CheckpointOf, others: &[CheckpointOf], device: &D) -> Result<Self, TrainedRunError> {
        let first = TrainedRun::open(&first.run, &first.path, device)?;
        let open = |other: &CheckpointOf| {
            let other = TrainedRun::open(&other.run, &other.path, device)?;
            check_same_words(&first, &other)?;
            Ok::<_, TrainedRunError>(other)
        };
        let others = others.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { first, others })
    }

    /// All runs, the first one first.
    pub fn members(&self) -> impl Iterator<Item = &TrainedRun<D>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// What each member is given of images of the data set in `directory`. Features that are not stored there are looked
    /// for in the data set that the member itself learned from.
    ///
    /// # Errors
    /// Where a member's features are in neither place, or an image does not decode.
    pub fn inputs(
        &self,
        images: &[&Image],
        directory: &Path,
        root: &Root,
    ) -> Result<Vec<ImageInputs>, InputsError> {
        let of_member = |member: &TrainedRun<D>| {
            let encoder = &member.model.spec().encoder;
            let open = |directory: &Path| ImageInputs::open(encoder, directory, images.iter().copied());
            match (open(directory), member.data_set_directory(root)) {
                (Err(InputsError::NoSuchFeatures { .. }), Ok(own)) => open(&own),
                (opened, _) => opened,
            }
        };
        self.members().map(of_member).collect()
    }

    /// What captions any image. `weights` are files of published weights in the order of the members, the last one for
    /// all that follow; without any, each member's own one is used.
    ///
    /// # Errors
    /// Those of [`Captioner::new`].
    pub fn captioner(self, weights: &[PathBuf]) -> Result<Captioner<D>, CaptionerError> {
        let Self { first, others } = self;
        let file = |place: usize, member: &TrainedRun<D>| {
            let given = weights.get(place).or(weights.last());
            given.or(member.record.data.weights.as_ref()).cloned()
        };
        let own = file(0, &first);
        let mut captioner = Captioner::new(first.model, first.vocabulary, own.as_deref())?;
        for (place, member) in (1..).zip(others) {
            let own = file(place, &member);
            captioner = captioner.with(member.model, own.as_deref())?;
        }
        Ok(captioner)
    }
}

fn check_same_words<D: Backend>(one: &TrainedRun<D>, other: &TrainedRun<D>) -> Result<(), TrainedRunError> {
    let (mut ours, mut theirs) = (one.vocabulary.words(), other.vocabulary.words());
    let quoted = |word: Option<&str>| word.map_or("missing".to_owned(), |word| format!("{word:?}"));
    for place in 1.. {
        match (ours.next(), theirs.next()) {
            (None, None) => break,
            (word, other_word) if word == other_word => {}
            (word, other_word) => {
                return Err(TrainedRunError::OtherWords {
                    run: one.directory.name(),
                    other: other.directory.name(),
                    place,
                    word: quoted(word),
                    other_word: quoted(other_word),
                });
            }
        }
    }
    Ok(())
}
