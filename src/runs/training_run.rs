//! A training in a run directory: started or resumed, held by a lock, logged.

use super::directory::{DirectoryError, RunDirectory};
use super::event_log::EventLog;
use crate::captioning::{EncoderSpec, InputsError, Model, ModelSpec, PhotoInputs, feature_directories};
use crate::dataset::{DataSet, DataSetError, Photo, Split};
use crate::nn::{Backend, random_stream};
use crate::text::VocabularyError;
use crate::training::{
    Checkpoints, DataRecord, EncoderKind, EncoderSettings, Ending, OutOfRange, RecordError, RunRecord,
    RunSettings, Trainer, TrainingError, TrainingEvent, TrainingSplit,
};
use crate::vision::store::{FeatureStore, weights_file};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Why a run cannot be started, resumed or brought to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data set.
    #[error(transparent)]
    DataSet(#[from] DataSetError),
    /// The run's directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The run's `config.toml`.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The run's vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] OutOfRange),
    /// Features or photos.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// The training itself.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// Several features to choose from, or not the ones asked for.
    #[error("the data set has features {found:?}; choose with --set encoder.features=NAME")]
    WhichFeatures {
        /// What there is.
        found: Vec<String>,
    },
    /// No features where features were asked for.
    #[error(
        "the data set has no features; prepare it with --backbone and --weights, or train a small CNN along: --set encoder.kind=small_cnn"
    )]
    NoFeatures,
    /// Another data set than the run was started on.
    #[error(
        "{}: the data set has changed since run `{run}` was started on it; start a new run, or prepare it as it was", directory.display()
    )]
    OtherData {
        /// The data set.
        directory: PathBuf,
        /// The run.
        run: String,
    },
    /// Another trainer holds the run.
    #[error("run `{0}` is being trained by another process; wait for it, or stop it first")]
    Locked(String),
    /// The operating system refused.
    #[error("{}: {source}; check permissions and free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A training in its run directory, ready to go.
#[derive(Debug)]
pub struct TrainingRun {
    directory: RunDirectory,
    record: RunRecord,
    data: DataSet,
    encoder: EncoderSpec,
    start: Start,
    /// Released when the process ends, whatever ends it.
    _lock: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    New,
    FromLatest,
}

impl TrainingRun {
    /// A new run on the data set in `data_set`; `create` makes its directory once all else is in order.
    ///
    /// # Errors
    /// Where the data set or its features cannot be used, or files cannot be written.
    pub fn start(
        data_set: &Path,
        settings: RunSettings,
        create: impl FnOnce() -> Result<RunDirectory, DirectoryError>,
    ) -> Result<Self, RunError> {
        settings.check()?;
        let data = DataSet::load(data_set)?;
        let features = choose_features(&settings.encoder, data_set)?;
        let encoder = encoder_spec(&settings.encoder, features.as_deref())?;
        let record = RunRecord {
            program: env!("CARGO_PKG_VERSION").into(),
            data: DataRecord {
                name: data.manifest.name.clone(),
                directory: std::path::absolute(data_set).map_err(|source| RunError::Io {
                    path: data_set.into(),
                    source,
                })?,
                hash: data.hash.clone(),
                weights: features.as_deref().and_then(weights_file),
            },
            settings,
        };
        let directory = create()?;
        let lock = lock(&directory)?;
        data.vocabulary.write(&directory.vocabulary())?;
        record.save(&directory.config())?;
        Ok(Self {
            directory,
            record,
            data,
            encoder,
            start: Start::New,
            _lock: lock,
        })
    }

    /// Goes on with a run from its latest checkpoint; from the beginning where it was stopped before its first.
    ///
    /// # Errors
    /// Where another trainer holds the run, its data set has changed, or a file cannot be read.
    pub fn resume(directory: RunDirectory) -> Result<Self, RunError> {
        let lock = lock(&directory)?;
        let record = RunRecord::load(&directory.config())?;
        let data = DataSet::load(&record.data.directory)?;
        if data.hash != record.data.hash {
            return Err(RunError::OtherData {
                directory: record.data.directory,
                run: directory.name(),
            });
        }
        let features = choose_features(&record.settings.encoder, &record.data.directory)?;
        let encoder = encoder_spec(&record.settings.encoder, features.as_deref())?;
        let start = if directory.latest().exists() {
            Start::FromLatest
        } else {
            Start::New
        };
        Ok(Self {
            directory,
            record,
            data,
            encoder,
            start,
            _lock: lock,
        })
    }

    /// Where the run lives.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// What the run was started with.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// The data it learns from.
    pub fn data(&self) -> &DataSet {
        &self.data
    }

    /// Trains until an end; `observe` is told of every step, `stop` is looked at after each.
    ///
    /// # Errors
    /// See [`RunError`]; checkpoints written before stay.
    pub fn train<D: Backend>(
        &self,
        device: &D,
        observe: &mut dyn FnMut(&TrainingEvent),
        stop: &AtomicBool,
    ) -> Result<Ending, RunError> {
        let settings = &self.record.settings;
        let train = self.split(Split::Train)?;
        let dev = self.split(Split::Dev)?;
        let spec = ModelSpec {
            encoder: self.encoder.clone(),
            decoder: settings.decoder,
            vocabulary: self.data.vocabulary.len(),
        };
        let mut first_weights = random_stream(settings.seed, "first weights", 0);
        let mut model = Model::new(device, spec, &mut first_weights)
            .map_err(|error| TrainingError::Device(error.to_string()))?;
        if settings.encoder.standardise && self.start == Start::New {
            model.standardise(&train.inputs, train.references.len());
        }
        let checkpoints = Checkpoints {
            latest: self.directory.latest(),
            best: self.directory.best(),
        };
        let mut trainer = Trainer::new(settings, &self.data.vocabulary, &train, &dev, checkpoints, model)?;
        if self.start == Start::FromLatest {
            trainer.resume(&self.directory.latest())?;
        }

        let path = self.directory.events();
        let failed = |source| RunError::Io {
            path: path.clone(),
            source,
        };
        let mut log = EventLog::open(&path).map_err(failed)?;
        let mut logged = Ok(());
        let ending = trainer.run(
            &mut |event| {
                // A log that cannot be written must not end the training; it is reported at the end.
                if logged.is_ok() {
                    logged = log.append(event);
                }
                observe(event);
            },
            stop,
        )?;
        logged.map_err(failed)?;
        Ok(ending)
    }

    fn split(&self, split: Split) -> Result<TrainingSplit, RunError> {
        let photos: Vec<&Photo> = self.data.photos(split).collect();
        let inputs = PhotoInputs::open(&self.encoder, &self.record.data.directory, photos.iter().copied())?;
        let longest = self.record.settings.training.longest_caption;
        Ok(TrainingSplit::new(
            inputs,
            &photos,
            &self.data.vocabulary,
            longest,
        ))
    }
}

/// The directory of the features that the settings ask for; `None` where a network is to be trained along.
fn choose_features(settings: &EncoderSettings, data_set: &Path) -> Result<Option<PathBuf>, RunError> {
    let mut directories = feature_directories(data_set);
    let name = |path: &PathBuf| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let chosen = match settings.kind {
        EncoderKind::SmallCnn => return Ok(None),
        EncoderKind::Auto if directories.is_empty() && settings.features.is_empty() => return Ok(None),
        EncoderKind::Features if directories.is_empty() => return Err(RunError::NoFeatures),
        EncoderKind::Auto | EncoderKind::Features => match directories.as_slice() {
            [_] if settings.features.is_empty() => Some(0),
            _ => directories
                .iter()
                .position(|path| name(path) == settings.features),
        },
    };
    match chosen {
        Some(at) => Ok(Some(directories.swap_remove(at))),
        None => Err(RunError::WhichFeatures {
            found: directories.iter().map(name).collect(),
        }),
    }
}

/// An encoder that gives the features in this directory, or one that is trained along.
fn encoder_spec(settings: &EncoderSettings, features: Option<&Path>) -> Result<EncoderSpec, RunError> {
    match features {
        Some(directory) => {
            let store = FeatureStore::open(directory).map_err(InputsError::Store)?;
            Ok(EncoderSpec::Features(store.spec().clone()))
        }
        None => Ok(EncoderSpec::SmallCnn(settings.small_cnn.clone())),
    }
}

/// Takes the run's lock, which lasts as long as the file is open.
fn lock(directory: &RunDirectory) -> Result<File, RunError> {
    let path = directory.lock();
    let failed = |source| RunError::Io {
        path: path.clone(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::Locked(directory.name())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
