//! A training in its run directory: started or resumed, under the run's lock, with an event log.

use super::callback::{Callback, Outcome, Retry};
use super::checkpointing::Checkpoints;
use super::data::{DevSplit, EncodedSplit};
use super::error::TrainingError;
use super::run_config::{DataRecord, RecordError, RunConfig};
use super::settings::RunSettings;
use super::settings_changes::{ChangeError, Changes};
use super::settings_table::OutOfRange;
use super::state::TrainState;
use super::trained_run::dataset_of;
use super::trainer::Trainer;
use crate::data::{Dataset, DatasetError, Format, Image, Split};
use crate::files::ConfinedPath;
use crate::jobs::{
    ControlCommand, DevEvaluation, Directive, DirectoryError, EndReason, Event, FileError, JobInfo, JobKind,
    Lock, LockError, Record, Rejected, RunDirectory, Session, SessionError, StopFlag, read_events,
    summarize_end,
};
use crate::model::build::{BuildError, ChosenEncoder, augmentations};
use crate::model::{Checkpoint, CheckpointError, ImageInputs, feature_directories};
use crate::nn::Backend;
use crate::nn::cpu::partitions::set_partitions;
use crate::nn::device::Opened;
use crate::search::DocumentFrequenciesError;
use crate::text::VocabularyError;
use std::io;
use std::path::{Path, PathBuf};

/// With fewer training images features are not normalized: a channel that hardly differs between them would be huge in
/// another image.
const MIN_NORMALIZED_IMAGES: usize = 16;

/// Why a run cannot be started, resumed or finished.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum RunError {
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    #[error(transparent)]
    NGrams(#[from] DocumentFrequenciesError),
    #[error(transparent)]
    Settings(#[from] OutOfRange),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Training(#[from] TrainingError),
    #[error(
        "{}: the dataset has changed since run `{run}` was started on it; start a new run, or prepare it as it was", directory.display()
    )]
    OtherData { directory: PathBuf, run: String },
    #[error(
        "{}: run `{run}` has lost its latest checkpoint, and without it would begin at epoch 1 and overwrite the best one; put the file back, or {}", latest.display(), go_on_from_best(best, latest)
    )]
    NoLatest {
        latest: PathBuf,
        run: String,
        best: PathBuf,
    },
    #[error(
        "{error}; the best checkpoint of run `{run}` is whole; put the latest one back, or {}",
        go_on_from_best(best, latest)
    )]
    LatestUnusable {
        error: Box<TrainingError>,
        latest: PathBuf,
        run: String,
        best: PathBuf,
    },
    #[error(
        "the dataset no longer has the features `{name}` that the run is trained on; put their directory back, or prepare them again: cutline prepare {source_path} --name {dataset} {flags}, with the other flags as they were"
    )]
    FeaturesGone {
        name: String,
        source_path: String,
        dataset: String,
        flags: String,
    },
    #[error("run `{run}` is being trained by another process; wait for it, or stop it first ({lock})")]
    Locked { run: String, lock: LockError },
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("{}: {source}; check permissions and free space", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// How a training goes on without `latest`.
fn go_on_from_best(best: &Path, latest: &Path) -> String {
    if Checkpoint::open(best).is_err() {
        return "start a new run: its best checkpoint cannot be read either".to_owned();
    }
    format!(
        "train on from the best one: cp {} {}, and resume; or start a new run",
        best.display(),
        latest.display()
    )
}

/// A training in its run directory, ready to start.
#[derive(Debug)]
pub struct TrainingRun {
    setup: RunSetup,
    lock: Lock,
}

/// Everything of a run but its lock.
#[derive(Debug)]
struct RunSetup {
    directory: RunDirectory,
    record: RunConfig,
    data: Dataset,
    encoder: ChosenEncoder,
    /// The directory of the dataset.
    dataset: ConfinedPath,
    /// Settings to change on resuming.
    changes: Changes,
}

impl TrainingRun {
    /// A new run on the dataset in `dataset`. `create` creates its directory, after all checks.
    ///
    /// # Errors
    /// If the dataset or its features cannot be used, or files cannot be written.
    pub fn start(
        dataset: &ConfinedPath,
        mut settings: RunSettings,
        create: impl FnOnce() -> Result<RunDirectory, DirectoryError>,
    ) -> Result<Self, RunError> {
        settings.check()?;
        let data = Dataset::load(dataset)?;
        for (split, name) in [(Split::Train, "training"), (Split::Dev, "dev")] {
            if data.images(split).all(|image| image.captions.is_empty()) {
                return Err(TrainingError::Empty { split: name }.into());
            }
        }
        let encoder = ChosenEncoder::choose(&settings.encoder, settings.decoder.kind, dataset)?;
        encoder.check(settings.decoder.kind, &settings.augment, dataset)?;
        encoder.pin(&mut settings.encoder);
        settings.fit_lengths(&data.caption_lengths());
        settings.check()?;
        let directory = create()?;
        let record = RunConfig {
            version: env!("CARGO_PKG_VERSION").into(),
            data: DataRecord {
                name: data.manifest.name.clone(),
                directory: recorded_directory(dataset, &directory).map_err(|source| RunError::Io {
                    path: dataset.into(),
                    source,
                })?,
                hash: data.hash.clone(),
                weights: encoder.weights.clone(),
            },
            settings,
        };
        let lock = take_lock(&directory)?;
        // Checked under the lock: two processes may create the same run at the same time.
        if directory.config().exists() {
            let path = directory.path().to_owned();
            return Err(DirectoryError::Taken { path }.into());
        }
        data.vocabulary.write(directory.vocabulary())?;
        // Last: a directory with this file is a run.
        record.save(&directory.config())?;
        let setup = RunSetup {
            directory,
            record,
            data,
            encoder,
            dataset: dataset.clone(),
            changes: Changes::default(),
        };
        Ok(Self { setup, lock })
    }

    /// Resumes a run from its latest checkpoint, or from the beginning if it has none yet, with changed settings.
    ///
    /// # Errors
    /// If another trainer holds the run, its dataset has changed, or a file cannot be read.
    pub fn resume(directory: RunDirectory, changes: Changes) -> Result<Self, RunError> {
        let lock = take_lock(&directory)?;
        // Under the lock: temporary files of a killed trainer, not of a running one.
        directory
            .directory()
            .remove_leftovers()
            .map_err(|source| RunError::Io {
                path: directory.path().to_owned(),
                source,
            })?;
        let record = RunConfig::load(directory.config())?;
        record.settings.check()?;
        let log = summarize_end(&directory.job().events())
            .map_err(FileError::at(directory.job().events()))
            .map_err(SessionError::from)?;
        // All of these ends save `latest`.
        let has_saved = matches!(
            log.end,
            Some((
                EndReason::Complete | EndReason::EarlyStopped | EndReason::Stopped,
                _
            ))
        );
        if !directory.latest().exists() && (has_saved || directory.best().exists()) {
            return Err(RunError::NoLatest {
                latest: directory.latest().into(),
                best: directory.best().into(),
                run: directory.name(),
            });
        }
        let dataset = dataset_of(&directory, &record, &directory.root())?;
        let data = Dataset::load(&dataset)?;
        if data.hash != record.data.hash {
            return Err(RunError::OtherData {
                directory: dataset.into(),
                run: directory.name(),
            });
        }
        let settings = &record.settings;
        let encoder = ChosenEncoder::choose(&settings.encoder, settings.decoder.kind, &dataset)
            .map_err(|error| features_gone(error, &record, &data))?;
        let setup = RunSetup {
            directory,
            record,
            data,
            encoder,
            dataset,
            changes,
        };
        Ok(Self { setup, lock })
    }

    /// The run's directory.
    pub fn directory(&self) -> &RunDirectory {
        &self.setup.directory
    }

    /// The run's `config.toml`.
    pub fn record(&self) -> &RunConfig {
        &self.setup.record
    }

    /// The settings that the training goes on with: those of the record with all changes since.
    pub fn settings(&self) -> RunSettings {
        let saved = Checkpoint::open(self.setup.directory.latest())
            .ok()
            .and_then(|latest| {
                let state: TrainState = serde_json::from_value(latest.training().clone()).ok()?;
                Some(state.changes)
            });
        let settings = self.setup.record.settings.clone();
        saved
            .iter()
            .chain([&self.setup.changes])
            .fold(settings, |settings, changes| {
                changes.apply_to(&settings).unwrap_or(settings)
            })
    }

    /// Whether a small CNN is trained because the dataset has no features, though it is not the built-in one.
    pub fn lacks_features(&self) -> bool {
        let RunSetup {
            encoder,
            dataset,
            data,
            ..
        } = &self.setup;
        encoder.features.is_none() && lacks_features(dataset, data)
    }

    /// Name of the feature store; `None` if the run trains a small CNN.
    pub fn features(&self) -> Option<&str> {
        self.setup.encoder.features.as_deref()
    }

    /// The dataset.
    pub fn data(&self) -> &Dataset {
        &self.setup.data
    }

    /// Releases the lock, so that another process can train the run.
    pub fn release(self) -> RunDirectory {
        self.setup.directory
    }

    /// Trains to the end; `listener` receives every event of the log. Once `stop` is set, the training saves and ends.
    ///
    /// # Errors
    /// See [`RunError`]; earlier checkpoints are kept.
    pub fn train<D: Backend>(
        self,
        on: &Opened<D>,
        listener: &mut dyn FnMut(&Record),
        stop: &StopFlag,
    ) -> Result<Outcome, RunError> {
        let Self { setup, lock } = self;
        set_partitions(setup.record.settings.training.cpu_partitions);
        let job = setup.directory.job();
        let log = summarize_end(&job.events())
            .map_err(FileError::at(job.events()))
            .map_err(SessionError::from)?;
        let fail = |error: RunError, lock, listener| match log.events {
            0 => setup.log_failure(error, &on.name, lock, listener, stop),
            // A run that cannot be resumed stays as it was.
            _ => error,
        };
        let (train, dev) = match setup.splits() {
            Ok(splits) => splits,
            Err(error) => return Err(fail(error, lock, listener)),
        };
        let mut trainer = match setup.trainer(&on.device, &train, &dev) {
            Ok(trainer) => trainer,
            Err(error) => return Err(fail(error, lock, listener)),
        };
        let step = trainer.state().step;
        let info = setup.job_info(&on.name, trainer.settings(), step);
        let mut session = Session::start(&job, lock, info, stop, listener)?;
        // The log is synced before each checkpoint, so this takes a lost disk or an edited log.
        let lacks_steps = match log.step {
            Some(last) => last.step < step,
            None => log.events == 0 && step > 0,
        };
        let is_normalized =
            setup.record.settings.encoder.normalize_features && setup.encoder.features.is_some();
        if is_normalized && step == 0 && train.images() < MIN_NORMALIZED_IMAGES {
            session.warn(format!(
                "the features are not normalized: the standard deviation over {} training images says little about others",
                train.images()
            ));
        }
        if lacks_steps {
            session.warn(format!(
                "the log ends before the checkpoint's step {step}: charts lack the steps between"
            ));
        }
        match trainer.run(&mut session) {
            Ok(outcome) => {
                session.end(outcome.into(), None)?;
                Ok(outcome)
            }
            Err(_) if session.is_deleted() => Err(SessionError::Deleted {
                path: setup.directory.path().to_owned(),
            }
            .into()),
            // Nothing more may be logged.
            Err(error) if session.is_lock_lost() => Err(error.into()),
            Err(error) => Err(session.fail(error).into()),
        }
    }
}

impl RunSetup {
    /// Logs an error from before the training in a session of its own: a session starts with the step that the trainer
    /// resumes from, so the training's own begins after that.
    fn log_failure(
        &self,
        error: RunError,
        device: &str,
        lock: Lock,
        listener: &mut dyn FnMut(&Record),
        stop: &StopFlag,
    ) -> RunError {
        let info = self.job_info(device, &self.record.settings, 0);
        match Session::start(&self.directory.job(), lock, info, stop, listener) {
            Ok(session) => session.fail(error),
            Err(error) => error.into(),
        }
    }

    /// The start event of a session that begins at `step`.
    fn job_info(&self, device: &str, settings: &RunSettings, step: u64) -> JobInfo {
        JobInfo {
            kind: JobKind::Train,
            device: device.to_owned(),
            dataset: self.record.data.name.clone(),
            data_hash: Some(self.record.data.hash.clone()),
            settings: serde_json::to_value(settings).unwrap_or_default(),
            step,
        }
    }

    /// The training and the dev split.
    fn splits(&self) -> Result<(EncodedSplit, DevSplit), RunError> {
        let max_length = self
            .record
            .settings
            .training
            .max_caption_length
            .unwrap_or(usize::MAX);
        let (images, inputs) = self.images(Split::Train)?;
        let mut train = EncodedSplit::new(inputs, &images, &self.data.vocabulary, max_length);
        for augmentation in augmentations(&self.record.settings.augment) {
            let inputs = self
                .encoder
                .augmented_inputs(augmentation, &self.dataset, &images)?;
            train.add(augmentation, inputs);
        }
        self.write_ngrams(&train)?;
        let (images, inputs) = self.images(Split::Dev)?;
        let dev = DevSplit::new(inputs, &images, &self.data.vocabulary, max_length);
        Ok((train, dev))
    }

    fn images(&self, split: Split) -> Result<(Vec<&Image>, ImageInputs), RunError> {
        let images: Vec<&Image> = self.data.images(split).collect();
        let inputs = self.encoder.inputs(&self.dataset, &images)?;
        Ok((images, inputs))
    }

    /// Writes the document frequencies of n-grams next to the vocabulary, for MBR after the training.
    fn write_ngrams(&self, train: &EncodedSplit) -> Result<(), RunError> {
        let path = self.directory.ngrams();
        match path.exists() {
            true => Ok(()),
            false => Ok(train.ngrams().write(&path)?),
        }
    }

    fn trainer<'a, D: Backend>(
        &'a self,
        device: &D,
        train: &'a EncodedSplit,
        dev: &'a DevSplit,
    ) -> Result<Trainer<'a, D>, RunError> {
        let settings = &self.record.settings;
        let vocabulary = &self.data.vocabulary;
        let is_resumed = self.directory.latest().exists();
        let mut model = self
            .encoder
            .model(device, &settings.decoder, vocabulary.len(), settings.seed)
            .map_err(TrainingError::device)?;
        // A checkpoint holds the normalization.
        if settings.encoder.normalize_features && !is_resumed && train.images() >= MIN_NORMALIZED_IMAGES {
            model
                .normalize(&train.inputs, train.images())
                .map_err(TrainingError::device)?;
        }
        let checkpoints = Checkpoints {
            latest: self.directory.latest(),
            best: self.directory.best(),
        };
        let mut trainer = Trainer::new(settings, vocabulary, train, dev, checkpoints, model)?;
        if is_resumed {
            self.restore(&mut trainer)?;
        }
        trainer.change(self.changes.clone())?;
        Ok(trainer)
    }
}

impl RunSetup {
    /// Restores `latest`, which may be a copy of `best` that a user made to train on from it.
    fn restore<D: Backend>(&self, trainer: &mut Trainer<'_, D>) -> Result<(), RunError> {
        let (latest, best) = (self.directory.latest(), self.directory.best());
        let spec = trainer.model.spec().clone();
        let has_state = |checkpoint: &Checkpoint| !checkpoint.training().is_null();
        let restored = match Checkpoint::open(&latest) {
            Ok(checkpoint) if !has_state(&checkpoint) => {
                let evaluation = self.best_evaluation()?.ok_or_else(|| TrainingError::State {
                    path: (&latest).into(),
                    why: "it has weights only, and the log has no evaluation of them".into(),
                })?;
                trainer.resume_best(&latest, &evaluation)
            }
            _ => trainer.resume(&latest),
        };
        restored.map_err(|error| match Checkpoint::open(&best) {
            Ok(found)
                if *found.spec() == spec
                    && matches!(error, TrainingError::Checkpoint(_) | TrainingError::State { .. }) =>
            {
                RunError::LatestUnusable {
                    error: error.into(),
                    latest: (&latest).into(),
                    best: (&best).into(),
                    run: self.directory.name(),
                }
            }
            _ => error.into(),
        })
    }

    /// The last evaluation that was the best so far: that of the checkpoint `best`.
    fn best_evaluation(&self) -> Result<Option<DevEvaluation>, RunError> {
        let events = self.directory.job().events();
        let log = read_events(&events)
            .map_err(FileError::at(events))
            .map_err(SessionError::from)?;
        Ok(log
            .records
            .into_iter()
            .rev()
            .find_map(|record| match record.event {
                Event::Evaluation(evaluation) if evaluation.best => Some(*evaluation),
                _ => None,
            }))
    }
}

/// The path of a dataset in a run's `config.toml`: relative to the working directory that both are in, so that the
/// directory can be moved as a whole, or else absolute.
fn recorded_directory(dataset: &ConfinedPath, run: &RunDirectory) -> io::Result<PathBuf> {
    let dataset = std::path::absolute(dataset.as_path())?;
    // An empty root is the current directory, which `absolute` rejects.
    let root = std::path::absolute(Path::new(".").join(run.root().path()))?;
    Ok(dataset.strip_prefix(root).map_or(dataset.clone(), Path::to_owned))
}

/// Names the command that extracts the features of a run again.
fn features_gone(error: BuildError, record: &RunConfig, data: &Dataset) -> RunError {
    let BuildError::NoSuchFeatures { name, .. } = error else {
        return error.into();
    };
    RunError::FeaturesGone {
        source_path: data.manifest.source.path.display().to_string(),
        dataset: record.data.name.clone(),
        flags: match &record.data.weights {
            Some(weights) => {
                let backbone = name.split('-').next().unwrap_or_default();
                format!("--backbone {backbone} --weights {}", weights.display())
            }
            None => "--features-from FILE".to_owned(),
        },
        name,
    }
}

/// Whether a dataset has no features that it would need for a published CNN. The images of the built-in one are small.
pub fn lacks_features(dataset: &ConfinedPath, data: &Dataset) -> bool {
    data.manifest.source.format != Format::Scenes && feature_directories(dataset).is_empty()
}

fn take_lock(directory: &RunDirectory) -> Result<Lock, RunError> {
    Lock::take(&directory.job().lock()).map_err(|error| match error {
        LockError::Held(_) => RunError::Locked {
            run: directory.name(),
            lock: error,
        },
        error => SessionError::Lock(error).into(),
    })
}

/// Events go to the log of the session, commands come from its control directory.
impl Callback for Session<'_> {
    fn on_event(&mut self, event: Event) {
        self.emit(event);
    }

    fn poll_command(&mut self, state: &TrainState, settings: &RunSettings) -> Option<ControlCommand> {
        match self.poll_command(state.step, |command| accept(command, settings)) {
            Directive::Continue => None,
            Directive::Execute(command) => Some(command),
            Directive::Stop => Some(ControlCommand::Stop),
        }
    }

    fn before_checkpoint(&mut self) -> Result<(), SessionError> {
        self.before_checkpoint()
    }

    fn should_abort(&self) -> bool {
        self.stop_requested()
    }

    fn on_disk_full(&mut self, error: &CheckpointError) -> Retry {
        match self.wait_for_space(&error.to_string()) {
            true => Retry::Now,
            false => Retry::Never,
        }
    }
}

/// Refuses changes that do not fit the settings, before the command is acknowledged.
fn accept(command: ControlCommand, settings: &RunSettings) -> Result<ControlCommand, Rejected> {
    if let ControlCommand::Set { settings: pairs } = &command {
        let rejected = |error: ChangeError| Rejected(error.to_string());
        let changes = Changes::of(settings, pairs.clone()).map_err(rejected)?;
        changes.apply_to(settings).map_err(rejected)?;
    }
    Ok(command)
}

impl From<Outcome> for EndReason {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Complete => Self::Complete,
            Outcome::EarlyStopped => Self::EarlyStopped,
            Outcome::Interrupted => Self::Stopped,
        }
    }
}
