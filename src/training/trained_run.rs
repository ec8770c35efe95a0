//! A trained run, opened for use: the model of a checkpoint, its vocabulary and its dataset.

use super::run_config::{RecordError, RunConfig};
use crate::files::ConfinedPath;
use crate::jobs::{DirectoryError, Root, RunDirectory};
use crate::model::{Checkpoint, CheckpointError, Model};
use crate::nn::Backend;
use crate::search::{DocumentFrequencies, DocumentFrequenciesError, Search, SearchSettings};
use crate::text::{Vocabulary, VocabularyError};
use std::path::PathBuf;
use std::sync::Arc;

/// Why a run cannot be opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum TrainedRunError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(
        "{}: the run has no such checkpoint yet; best is written at the end of an epoch, latest also when training is stopped{}",
        path.display(),
        if *has_latest { ": there is one, --checkpoint latest" } else { "" }
    )]
    NoCheckpoint { path: PathBuf, has_latest: bool },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    #[error(
        "{}: {found} words, but the model of {} writes {expected}; copy both from the same run",
        path.display(), checkpoint.display()
    )]
    OtherVocabulary {
        path: PathBuf,
        found: usize,
        checkpoint: PathBuf,
        expected: usize,
    },
    #[error(
        "{}: run `{run}` has no document frequencies of n-grams, which minimum Bayes risk needs; copy the file from a run on the same dataset, write it by resuming the training (cutline train --resume {run}), or search without (--mbr-weight 0)",
        path.display()
    )]
    NoDocumentFrequencies { run: String, path: PathBuf },
    #[error(transparent)]
    DocumentFrequencies(#[from] DocumentFrequenciesError),
    #[error(
        "`{run}` and `{other}` cannot form an ensemble: word {position} is {word} in the first vocabulary and {other_word} in the second; choose runs trained on the same prepared dataset"
    )]
    OtherWords {
        run: String,
        other: String,
        position: usize,
        word: String,
        other_word: String,
    },
}

/// A run with the model of a checkpoint.
pub struct TrainedRun<D: Backend> {
    /// The run's directory.
    pub directory: RunDirectory,
    /// Its settings and dataset.
    pub record: RunConfig,
    /// The model of the checkpoint.
    pub model: Model<D>,
    /// The model's vocabulary.
    pub vocabulary: Vocabulary,
}

impl<D: Backend> TrainedRun<D> {
    /// Opens a checkpoint of a run, such as [`RunDirectory::best`].
    ///
    /// # Errors
    /// Fails if a file is missing, damaged or of another run; the error names it.
    pub fn open(run: &RunDirectory, checkpoint: &ConfinedPath, device: &D) -> Result<Self, TrainedRunError> {
        let record = RunConfig::load(run.config())?;
        if !checkpoint.exists() {
            return Err(TrainedRunError::NoCheckpoint {
                path: checkpoint.into(),
                has_latest: run.latest().exists(),
            });
        }
        let model = Checkpoint::open(checkpoint)?.model(device)?;
        let vocabulary = Vocabulary::read(run.vocabulary())?;
        if vocabulary.len() != model.spec().vocabulary {
            return Err(TrainedRunError::OtherVocabulary {
                path: run.vocabulary().into(),
                found: vocabulary.len(),
                checkpoint: checkpoint.into(),
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

    /// A search with these settings.
    ///
    /// # Errors
    /// See [`RunDirectory::search`].
    pub fn search(&self, settings: SearchSettings) -> Result<Search, TrainedRunError> {
        self.directory.search(settings, &self.vocabulary)
    }

    /// The document frequencies of n-grams in the training captions.
    ///
    /// # Errors
    /// Fails if the file is missing or damaged.
    pub fn document_frequencies(&self) -> Result<Arc<DocumentFrequencies>, TrainedRunError> {
        self.directory.read_document_frequencies(&self.vocabulary)
    }

    /// The directory of the run's dataset: the recorded one, or the one of that name below `root`.
    ///
    /// # Errors
    /// Fails if neither exists.
    pub fn dataset_directory(&self, root: &Root) -> Result<ConfinedPath, DirectoryError> {
        dataset_of(&self.directory, &self.record, root)
    }
}

impl RunDirectory {
    /// A search with these settings, for a model of this run and its vocabulary.
    ///
    /// # Errors
    /// Fails if the search uses minimum Bayes risk and the file of document frequencies is missing or damaged.
    pub fn search(
        &self,
        settings: SearchSettings,
        vocabulary: &Vocabulary,
    ) -> Result<Search, TrainedRunError> {
        Search::new(settings, || self.read_document_frequencies(vocabulary))
    }

    fn read_document_frequencies(
        &self,
        vocabulary: &Vocabulary,
    ) -> Result<Arc<DocumentFrequencies>, TrainedRunError> {
        let path = self.ngrams();
        if !path.exists() {
            let run = self.name();
            return Err(TrainedRunError::NoDocumentFrequencies {
                run,
                path: path.into(),
            });
        }
        Ok(Arc::new(DocumentFrequencies::read(&path, vocabulary.len())?))
    }
}

/// The directory of a run's dataset; see [`TrainedRun::dataset_directory`].
///
/// # Errors
/// Fails if it is in neither place.
pub fn dataset_of(
    run: &RunDirectory,
    record: &RunConfig,
    root: &Root,
) -> Result<ConfinedPath, DirectoryError> {
    let recorded = run.root().path().join(&record.data.directory);
    match recorded.is_dir() {
        true => Ok(recorded.into()),
        false => root.find_dataset(&record.data.name),
    }
}
