//! A training in a run directory: started or resumed, held by a lock, logged.

use crate::data::{Dataset, DatasetError, Image, Split};
use crate::decoders::DecoderKind;
use crate::files::remove_leftovers;
use crate::jobs::{
    ControlCommand, Directive, DirectoryError, EndReason, Event, JobInfo, JobKind, Lock, LockError, Record,
    Rejected, RunDirectory, Session, SessionEnd, SessionError,
};
use crate::model::{
    CheckpointError, EncoderSpec, ImageInputs, InputsError, Model, ModelSpec, feature_directories,
};
use crate::nn::device::Opened;
use crate::nn::{Backend, random_stream};
use crate::search::DocumentFrequenciesError;
use crate::text::VocabularyError;
use crate::training::{
    AugmentSettings, Changes, Checkpoints, DataRecord, EncoderKind, EncoderSettings, Ending, Order,
    OutOfRange, Position, RecordError, RunRecord, RunSettings, SecondTry, Supervisor, Trainer, TrainingError,
    TrainingSplit,
};
use crate::vision::augment::Augmentation;
use crate::vision::backbones::LayerRange;
use crate::vision::features::extractor::{ExtractorError, layers_after};
use crate::vision::features::store::{FeatureSpec, FeatureStore, read_weights_path};
use crate::vision::weights::{WeightFile, WeightsError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Why a run cannot be started, resumed or brought to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data set.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The run's directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The run's `config.toml`.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The run's vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The run's table of n-grams.
    #[error(transparent)]
    NGrams(#[from] DocumentFrequenciesError),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] OutOfRange),
    /// Features or images.
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
    /// Features of other views for a network that reads images.
    #[error(
        "augment.hflip_prob and augment.random_crops are for stored features, and this run trains a small CNN along; leave them at 0, or prepare the data set with --backbone, --weights, --hflip and --random-crops"
    )]
    NoOtherViews,
    /// Layers of a published network that reads images itself.
    #[error(
        "encoder.unfreeze_until is for layers behind stored features, and this run trains a small CNN along; leave it empty, or prepare the data set with --backbone, --weights, --features grid and an early --layer"
    )]
    NothingToFineTune,
    /// Features of a network whose file of weights is not known any more.
    #[error(
        "{}: which file of weights these features were made with is not noted there, and encoder.unfreeze_until needs it; prepare them again", directory.display()
    )]
    NoWeights {
        /// The features.
        directory: PathBuf,
    },
    /// The file of weights.
    #[error("{0}; encoder.unfreeze_until goes on from the weights that the features were made with")]
    Weights(#[from] WeightsError),
    /// Layers that cannot be trained further.
    #[error("encoder.unfreeze_until: {0}")]
    FineTune(#[from] ExtractorError),
    /// An image as a whole for a decoder that looks at regions.
    #[error(
        "the {decoder} decoder looks at one region of an image after another, and {images}; prepare the data set with \
         --backbone, --weights and --features grid, or choose --decoder merge"
    )]
    NoGrid {
        /// The decoder.
        decoder: DecoderKind,
        /// What it would see.
        images: String,
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
    #[error("run `{run}` is being trained by another process; wait for it, or stop it first ({lock})")]
    Locked {
        /// The run.
        run: String,
        /// Who holds it.
        lock: LockError,
    },
    /// The run's log or inbox.
    #[error(transparent)]
    Session(#[from] SessionError),
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
    plan: Plan,
    lock: Lock,
}

/// All that a training is made of.
#[derive(Debug)]
struct Plan {
    directory: RunDirectory,
    record: RunRecord,
    data: Dataset,
    /// The name of the features.
    features: Option<String>,
    encoder: ChosenEncoder,
    start: Start,
    /// Settings to go on with that are others than before.
    changes: Changes,
}

/// Where regions come from.
#[derive(Debug)]
struct ChosenEncoder {
    spec: EncoderSpec,
    /// Layers that are trained further, as they were published.
    published: Option<LayerRange>,
}

impl ChosenEncoder {
    /// The inputs of images of the data set in `directory` that are seen in this way.
    fn inputs_seen(
        &self,
        view: Augmentation,
        directory: &Path,
        images: &[&Image],
    ) -> Result<ImageInputs, RunError> {
        let spec = self.spec.with_augmentation(view).ok_or(RunError::NoOtherViews)?;
        Ok(ImageInputs::open(&spec, directory, images.iter().copied())?)
    }
}

/// What a decoder sees that is given images as a whole.
fn told_whole(features: Option<&Path>) -> String {
    match features {
        Some(directory) => format!("features {} hold images as a whole", name_of(directory)),
        None => "without stored features the small CNN gives it images as a whole".to_owned(),
    }
}

/// The ways in which training sees images besides the usual one.
fn other_views(augment: &AugmentSettings) -> impl DoubleEndedIterator<Item = Augmentation> {
    let mirrored = (augment.hflip_prob > 0.0).then_some(Augmentation::HFlip);
    mirrored
        .into_iter()
        .chain((1..=augment.random_crops).map(Augmentation::Crop))
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
        let data = Dataset::load(data_set)?;
        for (split, name) in [(Split::Train, "training"), (Split::Dev, "dev")] {
            if data.images(split).all(|image| image.captions.is_empty()) {
                return Err(TrainingError::Empty { split: name }.into());
            }
        }
        let features = choose_features(&settings, data_set)?;
        let encoder = choose_encoder(&settings.encoder, features.as_deref())?;
        if settings.decoder.kind.attends() && encoder.spec.regions() == 1 {
            return Err(RunError::NoGrid {
                decoder: settings.decoder.kind,
                images: told_whole(features.as_deref()),
            });
        }
        // The last window first: what is missing for it is missing for all.
        for view in other_views(&settings.augment).rev() {
            encoder.inputs_seen(view, data_set, &[])?;
        }
        let record = RunRecord {
            program: env!("CARGO_PKG_VERSION").into(),
            data: DataRecord {
                name: data.manifest.name.clone(),
                directory: std::path::absolute(data_set).map_err(|source| RunError::Io {
                    path: data_set.into(),
                    source,
                })?,
                hash: data.hash.clone(),
                weights: features.as_deref().and_then(read_weights_path),
            },
            settings,
        };
        let directory = create()?;
        let lock = lock(&directory)?;
        if directory.config().exists() {
            let path = directory.path().to_owned();
            return Err(DirectoryError::Taken { path }.into());
        }
        data.vocabulary.write(&directory.vocabulary())?;
        record.save(&directory.config())?;
        let plan = Plan {
            directory,
            record,
            data,
            features: features.as_deref().map(name_of),
            encoder,
            start: Start::New,
            changes: Changes::default(),
        };
        Ok(Self { plan, lock })
    }

    /// Goes on with a run from its latest checkpoint, under changed settings; from the beginning where it was stopped
    /// before its first.
    ///
    /// # Errors
    /// Where another trainer holds the run, its data set has changed, or a file cannot be read.
    pub fn resume(directory: RunDirectory, changes: Changes) -> Result<Self, RunError> {
        let lock = lock(&directory)?;
        remove_leftovers(directory.path()).map_err(|source| RunError::Io {
            path: directory.path().to_owned(),
            source,
        })?;
        let record = RunRecord::load(&directory.config())?;
        record.settings.check()?;
        let data = Dataset::load(&record.data.directory)?;
        if data.hash != record.data.hash {
            return Err(RunError::OtherData {
                directory: record.data.directory,
                run: directory.name(),
            });
        }
        let features = choose_features(&record.settings, &record.data.directory)?;
        let encoder = choose_encoder(&record.settings.encoder, features.as_deref())?;
        let start = if directory.latest().exists() {
            Start::FromLatest
        } else {
            Start::New
        };
        let plan = Plan {
            directory,
            record,
            data,
            features: features.as_deref().map(name_of),
            encoder,
            start,
            changes,
        };
        Ok(Self { plan, lock })
    }

    /// Where the run lives.
    pub fn directory(&self) -> &RunDirectory {
        &self.plan.directory
    }

    /// What the run was started with.
    pub fn record(&self) -> &RunRecord {
        &self.plan.record
    }

    /// The features it learns from: the name of their directory; `None` where it trains a small CNN along.
    pub fn features(&self) -> Option<&str> {
        self.plan.features.as_deref()
    }

    /// The data it learns from.
    pub fn data(&self) -> &Dataset {
        &self.plan.data
    }

    /// Lets go of the run, so that another process may train it.
    pub fn release(self) -> RunDirectory {
        self.plan.directory
    }

    /// Trains until an end; `listener` hears every event of the log. Once `stop` is set, the training saves and ends.
    ///
    /// # Errors
    /// See [`RunError`]; checkpoints written before stay.
    pub fn train<D: Backend>(
        self,
        on: &Opened<D>,
        listener: &mut dyn FnMut(&Record),
        stop: &AtomicBool,
    ) -> Result<Ending, RunError> {
        let Self { plan, lock } = self;
        let job = plan.directory.job();
        // What fails before the first step is told in the log as well.
        let splits = plan
            .split(Split::Train)
            .and_then(|train| Ok((train, plan.split(Split::Dev)?)))
            .and_then(|(train, dev)| plan.keep_ngrams(&train).map(|()| (train, dev)));
        let (train, dev) = match splits {
            Ok(splits) => splits,
            Err(error) => {
                let info = plan.job_info(&on.name, &plan.record.settings, 0);
                return Err(Session::start(&job, lock, info, stop, listener)?.fail(error));
            }
        };
        let mut trainer = match plan.trainer(&on.device, &train, &dev) {
            Ok(trainer) => trainer,
            Err(error) => {
                let info = plan.job_info(&on.name, &plan.record.settings, 0);
                return Err(Session::start(&job, lock, info, stop, listener)?.fail(error));
            }
        };
        let info = plan.job_info(&on.name, trainer.settings(), trainer.position().step);
        let mut session = Session::start(&job, lock, info, stop, listener)?;
        match trainer.run(&mut session) {
            Ok(ending) => {
                session.end(SessionEnd {
                    reason: ending.into(),
                    error: None,
                })?;
                Ok(ending)
            }
            Err(_) if session.is_deleted() => Err(SessionError::Deleted {
                path: plan.directory.path().to_owned(),
            }
            .into()),
            Err(error) => Err(session.fail(error).into()),
        }
    }
}

impl Plan {
    /// What the log says of it. `step` updates have been made before.
    fn job_info(&self, device: &str, settings: &RunSettings, step: u64) -> JobInfo {
        JobInfo {
            kind: JobKind::Train,
            device: device.to_owned(),
            data_set: self.record.data.name.clone(),
            data_hash: Some(self.record.data.hash.clone()),
            settings: serde_json::to_value(settings).unwrap_or_default(),
            step,
        }
    }

    fn trainer<'a, D: Backend>(
        &'a self,
        device: &D,
        train: &'a TrainingSplit,
        dev: &'a TrainingSplit,
    ) -> Result<Trainer<'a, D>, RunError> {
        let settings = &self.record.settings;
        let spec = ModelSpec {
            encoder: self.encoder.spec.clone(),
            decoder: settings.decoder,
            vocabulary: self.data.vocabulary.len(),
        };
        let mut first_weights = random_stream(settings.seed, "first weights", 0);
        let mut model = Model::new(device, spec, &mut first_weights).map_err(TrainingError::device)?;
        if let Some(published) = &self.encoder.published {
            let rate = settings.encoder.lr_multiplier;
            model
                .fine_tune(published.clone(), rate)
                .map_err(TrainingError::device)?;
        }
        if settings.encoder.normalize_features && self.start == Start::New {
            let images = train.references.len();
            model
                .normalize(&train.inputs, images)
                .map_err(TrainingError::device)?;
        }
        let checkpoints = Checkpoints {
            latest: self.directory.latest(),
            best: self.directory.best(),
        };
        let mut trainer = Trainer::new(settings, &self.data.vocabulary, train, dev, checkpoints, model)?;
        if self.start == Start::FromLatest {
            trainer.resume(&self.directory.latest())?;
        }
        trainer.change(self.changes.clone())?;
        Ok(trainer)
    }

    /// Writes the table of n-grams beside the vocabulary; a run of an earlier version gets it when it is resumed.
    fn keep_ngrams(&self, train: &TrainingSplit) -> Result<(), RunError> {
        let path = self.directory.ngrams();
        match path.exists() {
            true => Ok(()),
            false => Ok(train.ngrams().write(&path)?),
        }
    }

    fn split(&self, split: Split) -> Result<TrainingSplit, RunError> {
        let images: Vec<&Image> = self.data.images(split).collect();
        let inputs = ImageInputs::open(
            &self.encoder.spec,
            &self.record.data.directory,
            images.iter().copied(),
        )?;
        let training = &self.record.settings.training;
        let mut split_read = TrainingSplit::new(
            inputs,
            &images,
            &self.data.vocabulary,
            training.max_caption_length,
        );
        if split == Split::Train {
            for view in other_views(&self.record.settings.augment) {
                let directory = &self.record.data.directory;
                split_read.add(view, self.encoder.inputs_seen(view, directory, &images)?);
            }
        }
        Ok(split_read)
    }
}

/// The directory of the features that the settings ask for; `None` where a network is to be trained along. Where they
/// name none, and there are several, those of the only grid for a decoder that attends, and the only pooled ones for
/// another.
fn choose_features(settings: &RunSettings, data_set: &Path) -> Result<Option<PathBuf>, RunError> {
    let (kind, wanted) = (settings.encoder.kind, settings.encoder.features.as_str());
    let directories = feature_directories(data_set);
    match kind {
        EncoderKind::SmallCnn => return Ok(None),
        EncoderKind::Auto if directories.is_empty() && wanted.is_empty() => return Ok(None),
        EncoderKind::Features if directories.is_empty() => return Err(RunError::NoFeatures),
        EncoderKind::Auto | EncoderKind::Features => {}
    }
    let is_grid = |path: &Path| matches!(FeatureSpec::read(path), Ok(Some(spec)) if spec.regions > 1);
    let only = |fits: &dyn Fn(&Path) -> bool| {
        let mut fitting = directories.iter().filter(|path| fits(path));
        fitting.next().filter(|_| fitting.next().is_none()).cloned()
    };
    let chosen = match wanted {
        "" => only(&|_| true).or_else(|| only(&|path| is_grid(path) == settings.decoder.kind.attends())),
        wanted => only(&|path| name_of(path) == wanted),
    };
    match chosen {
        Some(directory) => Ok(Some(directory)),
        None => Err(RunError::WhichFeatures {
            found: directories.iter().map(|path| name_of(path)).collect(),
        }),
    }
}

/// The last part of a path.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// An encoder that gives the features in this directory, one that goes on from them, or one that is trained along.
fn choose_encoder(settings: &EncoderSettings, features: Option<&Path>) -> Result<ChosenEncoder, RunError> {
    let up_to = settings.unfreeze_until.as_str();
    let Some(directory) = features else {
        return match up_to {
            "" => Ok(ChosenEncoder {
                spec: EncoderSpec::SmallCnn(settings.small_cnn.clone()),
                published: None,
            }),
            _ => Err(RunError::NothingToFineTune),
        };
    };
    let store = FeatureStore::open(directory).map_err(InputsError::Store)?;
    let features = store.spec().clone();
    if up_to.is_empty() {
        return Ok(ChosenEncoder {
            spec: EncoderSpec::Features(features),
            published: None,
        });
    }
    let weights = read_weights_path(directory).ok_or_else(|| RunError::NoWeights {
        directory: directory.to_owned(),
    })?;
    let published = layers_after(&features, &WeightFile::open(&weights)?, up_to)?.with_channel_scale();
    Ok(ChosenEncoder {
        spec: EncoderSpec::FineTuned {
            features,
            tail: published.spec(),
        },
        published: Some(published),
    })
}

fn lock(directory: &RunDirectory) -> Result<Lock, RunError> {
    Lock::take(&directory.job().lock()).map_err(|error| match error {
        LockError::Held(_) => RunError::Locked {
            run: directory.name(),
            lock: error,
        },
        error => SessionError::Lock(error).into(),
    })
}

/// The training tells its job's log, and obeys its job's inbox.
impl Supervisor for Session<'_> {
    fn observe(&mut self, event: Event) {
        self.emit(event);
    }

    fn next_order(&mut self, position: &Position, settings: &RunSettings) -> Option<Order> {
        match self.poll_command(position.step, |command| order(command, settings)) {
            Directive::Continue => None,
            Directive::Execute(order) => Some(order),
            Directive::Stop => Some(Order::Stop),
        }
    }

    fn is_hurried(&self) -> bool {
        self.stop_requested()
    }

    fn out_of_space(&mut self, error: &CheckpointError) -> SecondTry {
        match self.wait_for_space(&error.to_string()) {
            true => SecondTry::Now,
            false => SecondTry::No,
        }
    }
}

/// What a command means to a training with these settings.
fn order(command: ControlCommand, settings: &RunSettings) -> Result<Order, Rejected> {
    Ok(match command {
        ControlCommand::Checkpoint => Order::Checkpoint,
        ControlCommand::Evaluate => Order::Evaluate,
        ControlCommand::Predict => Order::Sample,
        ControlCommand::Set { settings: pairs } => {
            let refused = |error: crate::training::ChangeError| Rejected(error.to_string());
            let changes = Changes::new(pairs).map_err(refused)?;
            changes.over(settings).map_err(refused)?;
            Order::Change(changes)
        }
        ControlCommand::Stop => Order::Stop,
        ControlCommand::Pause | ControlCommand::Resume => {
            return Err(Rejected("it is obeyed before it comes here".into()));
        }
    })
}

impl From<Ending> for EndReason {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Complete => Self::Complete,
            Ending::Early => Self::EarlyStopped,
            Ending::Interrupted => Self::Stopped,
        }
    }
}
