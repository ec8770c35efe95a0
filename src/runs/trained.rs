//! A run as those who use it see it: the model of a checkpoint, its vocabulary, and where its data set is.

use crate::jobs::{DirectoryError, Root, RunDirectory};
use crate::model::{Checkpoint, CheckpointError, Model};
use crate::nn::Backend;
use crate::search::{DocumentFrequencies, DocumentFrequenciesError, Search, SearchSettings};
use crate::text::{Vocabulary, VocabularyError};
use crate::training::{RecordError, RunRecord};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a run cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrainedRunError {
    /// The run's settings cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Training has not come as far as this checkpoint.
    #[error(
        "{}: the run has no such checkpoint yet; checkpoints are written at the end of an epoch and when training is stopped",
        path.display()
    )]
    NoCheckpoint {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The vocabulary cannot be read.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The vocabulary is not the one that the model was trained with.
    #[error(
        "{}: {found} words, but the model of {} writes {expected}; copy both from the same run",
        path.display(), checkpoint.display()
    )]
    OtherVocabulary {
        /// The vocabulary's file.
        path: PathBuf,
        /// Its words, markers included.
        found: usize,
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The words that the model knows, markers included.
        expected: usize,
    },
    /// The run is older than the table that a consensus rests on.
    #[error(
        "{}: run `{run}` has no table of n-grams, which a consensus among captions is weighed by: an earlier version trained it; copy the file from a run on the same data set, go on with the training (cutline train --resume {run}), which writes it, or search without (--mbr-weight 0)",
        path.display()
    )]
    NoNGrams {
        /// The run.
        run: String,
        /// Where the table should lie.
        path: PathBuf,
    },
    /// The table of n-grams cannot be read.
    #[error(transparent)]
    NGrams(#[from] DocumentFrequenciesError),
    /// Two runs that are to write together have different words.
    #[error(
        "run `{run}` and run `{other}` cannot write together: word {place} is {word} in the first vocabulary and {other_word} in the second; take runs that were trained on the same data set, prepared in the same way"
    )]
    OtherWords {
        /// One run.
        run: String,
        /// The other one.
        other: String,
        /// The first word that differs, counted from 1.
        place: usize,
        /// It in the one, in quotes, or that it is missing.
        word: String,
        /// It in the other.
        other_word: String,
    },
}

/// A run that captions can be written with.
pub struct TrainedRun<D: Backend> {
    /// Where it lies.
    pub directory: RunDirectory,
    /// What it was started with.
    pub record: RunRecord,
    /// The model of the checkpoint.
    pub model: Model<D>,
    /// The words that the model writes.
    pub vocabulary: Vocabulary,
}

impl<D: Backend> TrainedRun<D> {
    /// Opens a checkpoint of a run, such as [`RunDirectory::best`].
    ///
    /// # Errors
    /// Names the file that is missing, damaged or of another run.
    pub fn open(run: &RunDirectory, checkpoint: &Path, device: &D) -> Result<Self, TrainedRunError> {
        let record = RunRecord::load(&run.config())?;
        if !checkpoint.exists() {
            return Err(TrainedRunError::NoCheckpoint {
                path: checkpoint.to_owned(),
            });
        }
        let model = Checkpoint::open(checkpoint)?.model(device)?;
        let vocabulary = Vocabulary::read(&run.vocabulary())?;
        if vocabulary.len() != model.spec().vocabulary {
            return Err(TrainedRunError::OtherVocabulary {
                path: run.vocabulary(),
                found: vocabulary.len(),
                checkpoint: checkpoint.to_owned(),
                expected: model.spec().vocabulary,
            });
        }
        Ok(Self {
            directory: run.clone(),
            record,
            model,
            vocabulary,
        })
    }

    /// A search by these settings.
    ///
    /// # Errors
    /// See [`RunDirectory::search`].
    pub fn search(&self, settings: SearchSettings) -> Result<Search, TrainedRunError> {
        self.directory.search(settings, &self.vocabulary)
    }

    /// In how many training images each n-gram is written of.
    ///
    /// # Errors
    /// Where the run is older than that table, or it is damaged.
    pub fn ngrams(&self) -> Result<Arc<DocumentFrequencies>, TrainedRunError> {
        self.directory.read_ngrams(&self.vocabulary)
    }

    /// Where the data set lies that the run learned from: where it was then or, if it has moved since, under
    /// the same name below `root`.
    ///
    /// # Errors
    /// Where it is in neither place.
    pub fn data_set_directory(&self, root: &Root) -> Result<PathBuf, DirectoryError> {
        data_set_of(&self.record, root)
    }
}

impl RunDirectory {
    /// A search by these settings, for a model of this run, which writes the words of `vocabulary`.
    ///
    /// # Errors
    /// Where a consensus counts and the run's table of n-grams is missing or damaged.
    pub fn search(
        &self,
        settings: SearchSettings,
        vocabulary: &Vocabulary,
    ) -> Result<Search, TrainedRunError> {
        Search::new(settings, || self.read_ngrams(vocabulary))
    }

    fn read_ngrams(&self, vocabulary: &Vocabulary) -> Result<Arc<DocumentFrequencies>, TrainedRunError> {
        let path = self.ngrams();
        if !path.exists() {
            let run = self.name();
            return Err(TrainedRunError::NoNGrams { run, path });
        }
        Ok(Arc::new(DocumentFrequencies::read(&path, vocabulary.len())?))
    }
}

/// Where the data set lies that a run with this record learned from; see [`TrainedRun::data_set_directory`].
///
/// # Errors
/// Where it is in neither place.
pub fn data_set_of(record: &RunRecord, root: &Root) -> Result<PathBuf, DirectoryError> {
    let then = &record.data.directory;
    match then.is_dir() {
        true => Ok(then.clone()),
        false => root.find_dataset(&record.data.name),
    }
}
