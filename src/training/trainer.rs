//! The training loop.

use super::batches::{Example, plan};
use super::changes::{ChangeError, Changes};
use super::data::TrainingSplit;
use super::position::{Beginning, Position};
use super::reward::Reward;
use super::saving::Cadence;
use super::settings::{RunSettings, Sampler};
use super::supervisor::{Order, Supervisor};
use super::unread::Unread;
use crate::jobs::{Event, Trigger};
use crate::model::{Checkpoint, CheckpointError, Model};
use crate::nn::device::{DeviceError, guarded};
use crate::nn::{Adam, Backend, DeviceResult, Ema};
use crate::search::DocumentFrequencies;
use crate::text::Vocabulary;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Told where the phase of self-critical training begins.
const REWARDS_BEGIN: &str = "from here on the model's own captions are rewarded, beginning with the best weights so far: \
                             its loss is of another kind now, and that of the dev split rises";

/// Where a run keeps its checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The last one written.
    pub latest: PathBuf,
    /// The one with the best monitored value.
    pub best: PathBuf,
}

/// Why a training ended that met no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done.
    Complete,
    /// The dev metric had not got better for as many epochs as `training.early_stopping_patience` allows.
    Early,
    /// It was asked to stop; `latest` holds all that was done.
    Interrupted,
}

/// What can end a training in mid-way.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// A loss or gradient that is not a number, or infinite.
    #[error(
        "the {what} became infinite or not a number at step {step}; the checkpoints before it are kept: try a lower training.learning_rate, or a smaller training.optimizer.max_grad_norm"
    )]
    NotFinite {
        /// Loss, gradient or weights.
        what: &'static str,
        /// Updates made before.
        step: u64,
    },
    /// A split without captions.
    #[error("the {split} split has no captions; prepare the data set with other splits")]
    Empty {
        /// Which one.
        split: &'static str,
    },
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// What a checkpoint says of training cannot be understood.
    #[error("{}: cannot go on from this checkpoint: {why}; start a new run", path.display())]
    Position {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Settings that were changed on the way do not fit.
    #[error(transparent)]
    Changes(#[from] ChangeError),
    /// The device has no room for a batch.
    #[error(
        "the device has no memory left for batches of {batch_size} captions; what was saved is kept: start a new run with {}", smaller(*batch_size)
    )]
    OutOfMemory {
        /// Captions of a batch.
        batch_size: usize,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl TrainingError {
    pub(crate) fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(DeviceError::new(error))
    }

    /// The same, where there was no memory left with what that was for.
    pub(super) fn in_batches_of(self, batch_size: usize) -> Self {
        match self {
            Self::Device(error) if error.is_out_of_memory() => Self::OutOfMemory { batch_size },
            error => error,
        }
    }
}

/// The settings that take less memory.
fn smaller(batch_size: usize) -> String {
    match batch_size / 2 {
        0 => "a smaller decoder.hidden_size and decoder.embedding_size".to_owned(),
        half => format!("--set training.batch_size={half}"),
    }
}

/// A model in training.
pub struct Trainer<'a, D: Backend> {
    /// As they are now: those the run was started with, and what was changed on the way.
    pub(super) settings: RunSettings,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) train: &'a TrainingSplit,
    pub(super) dev: &'a TrainingSplit,
    pub(super) checkpoints: Checkpoints,
    /// The model as it is now.
    pub model: Model<D>,
    pub(super) adam: Adam<D>,
    /// Of the weights, where that is what is scored.
    pub(super) average: Option<Ema<D>>,
    pub(super) position: Position,
    /// In the order of their steps.
    pub(super) unread: Vec<Unread<D>>,
    /// So many are asked about together.
    pub(super) steps_unread: usize,
    pub(super) cadence: Cadence,
    /// Of the training captions; counted where it is needed.
    ngrams: OnceLock<Arc<DocumentFrequencies>>,
}

/// Whether the training goes on.
type Flow = ControlFlow<Ending>;

impl<'a, D: Backend> Trainer<'a, D> {
    /// A training that starts with `model` as it is.
    ///
    /// # Errors
    /// Where a split is empty, or the device refuses.
    pub fn new(
        settings: &RunSettings,
        vocabulary: &'a Vocabulary,
        train: &'a TrainingSplit,
        dev: &'a TrainingSplit,
        checkpoints: Checkpoints,
        model: Model<D>,
    ) -> Result<Self, TrainingError> {
        for (split, name) in [(train, "training"), (dev, "dev")] {
            if split.captions.is_empty() {
                return Err(TrainingError::Empty { split: name });
            }
        }
        let adam =
            Adam::new(settings.training.optimizer, model.parameters()).map_err(TrainingError::device)?;
        let average = average_of(settings, &model).map_err(TrainingError::device)?;
        Ok(Self {
            settings: settings.clone(),
            vocabulary,
            train,
            dev,
            checkpoints,
            model,
            adam,
            average,
            position: Position::default(),
            unread: Vec::new(),
            steps_unread: D::STEPS_IN_FLIGHT,
            cadence: Cadence::start(),
            ngrams: OnceLock::new(),
        })
    }

    /// The settings, with what was changed on the way.
    pub fn settings(&self) -> &RunSettings {
        &self.settings
    }

    /// In how many training images each n-gram is written of.
    pub(super) fn ngrams(&self) -> Arc<DocumentFrequencies> {
        Arc::clone(self.ngrams.get_or_init(|| Arc::new(self.train.ngrams())))
    }

    /// Where the training stands.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Trains until an end.
    ///
    /// # Errors
    /// See [`TrainingError`]; the checkpoints written before stay.
    pub fn run(&mut self, supervisor: &mut dyn Supervisor) -> Result<Ending, TrainingError> {
        let batch_size = self.settings.training.batch_size;
        let ending = guarded(|| self.run_phases(supervisor)).map_err(TrainingError::from);
        ending.flatten().map_err(|error| error.in_batches_of(batch_size))
    }

    fn run_phases(&mut self, supervisor: &mut dyn Supervisor) -> Result<Ending, TrainingError> {
        let examples = self.train.examples();
        let is_cross_entropy = self.position.scst.is_none();
        if is_cross_entropy {
            let ending = self.run_phase(&examples, None, supervisor)?;
            if ending == Ending::Interrupted || self.settings.training.scst.epochs == 0 {
                return Ok(ending);
            }
            self.begin_scst(supervisor)?;
        }
        let reward = Reward::new(self.train);
        self.run_phase(&examples, Some(&reward), supervisor)
    }

    /// Trains to the end of a phase: the one that reads captions, or the one that rewards those of the model.
    fn run_phase(
        &mut self,
        examples: &[Example],
        reward: Option<&Reward>,
        supervisor: &mut dyn Supervisor,
    ) -> Result<Ending, TrainingError> {
        while self.position.epoch - self.position.phase().epoch < self.epochs_of_phase() {
            if let Flow::Break(ending) = self.run_epoch(examples, reward, supervisor)? {
                return Ok(ending);
            }
        }
        Ok(Ending::Complete)
    }

    pub(super) fn epochs_of_phase(&self) -> usize {
        let training = &self.settings.training;
        match self.position.scst {
            None => training.epochs,
            Some(_) => training.scst.epochs,
        }
    }

    /// From the best weights so far, the optimizer afresh.
    fn begin_scst(&mut self, supervisor: &mut dyn Supervisor) -> Result<(), TrainingError> {
        if self.position.best.is_some() {
            Checkpoint::open(&self.checkpoints.best)?.restore(&mut self.model)?;
        }
        let sharpening = self.settings.training.scst.initial_logit_scale;
        self.model
            .decoder
            .scale_logits(sharpening)
            .map_err(TrainingError::device)?;
        self.adam = Adam::new(self.settings.training.optimizer, self.model.parameters())
            .map_err(TrainingError::device)?;
        self.average = average_of(&self.settings, &self.model).map_err(TrainingError::device)?;
        self.position.scst = Some(Beginning {
            epoch: self.position.epoch,
            step: self.position.step,
        });
        (self.position.reductions, self.position.waited) = (0, 0);
        supervisor.observe(Event::message(REWARDS_BEGIN));
        self.save_latest(supervisor)
    }

    /// Goes on to the end of the epoch.
    fn run_epoch(
        &mut self,
        examples: &[Example],
        reward: Option<&Reward>,
        supervisor: &mut dyn Supervisor,
    ) -> Result<Flow, TrainingError> {
        let training = &self.settings.training;
        let sampler = match reward {
            None => training.sampler,
            Some(_) => Sampler::ByImage,
        };
        let (size, seed) = (training.batch_size, self.settings.seed);
        let batches = plan(examples, size, sampler, seed, self.position.epoch);
        for batch in batches.iter().skip(self.position.batch) {
            if let Flow::Break(ending) = self.obey(supervisor)? {
                return Ok(Flow::Break(ending));
            }
            self.update(batch, reward, batches.len())?;
            if self.unread.len() >= self.steps_unread {
                self.settle(supervisor)?;
            }
            if self.is_checkpoint_due() {
                self.save_latest(supervisor)?;
            }
        }
        if let Flow::Break(ending) = self.obey(supervisor)? {
            return Ok(Flow::Break(ending));
        }
        self.end_epoch(supervisor)
    }

    /// Does what is asked for until nothing is.
    fn obey(&mut self, supervisor: &mut dyn Supervisor) -> Result<Flow, TrainingError> {
        while let Some(order) = supervisor.next_order(&self.position, &self.settings) {
            self.settle(supervisor)?;
            match order {
                Order::Stop => return Ok(Flow::Break(self.stop(supervisor)?)),
                Order::Checkpoint => self.save_latest(supervisor)?,
                Order::Sample => {
                    let samples = self.averaged(Self::samples)?;
                    supervisor.observe(Event::Predictions(samples));
                }
                Order::Evaluate => {
                    let found = self.averaged(|trainer| trainer.evaluate(Trigger::Manual, supervisor))?;
                    if let Some((evaluation, samples)) = found {
                        supervisor.observe(Event::Evaluation(Box::new(evaluation)));
                        supervisor.observe(Event::Predictions(samples));
                    }
                }
                Order::Change(changes) => {
                    self.change(changes)?;
                    // Saved at once: what was asked for is not lost, whatever happens next.
                    self.save_latest(supervisor)?;
                }
            }
        }
        Ok(Flow::Continue(()))
    }

    fn stop(&mut self, supervisor: &mut dyn Supervisor) -> Result<Ending, TrainingError> {
        self.save_latest(supervisor)?;
        Ok(Ending::Interrupted)
    }

    /// Goes on with other settings.
    ///
    /// # Errors
    /// Where they do not fit.
    pub fn change(&mut self, changes: Changes) -> Result<(), TrainingError> {
        self.settings = changes.over(&self.settings)?;
        self.adam.settings = self.settings.training.optimizer;
        self.position.changes.extend(changes);
        Ok(())
    }

    /// Scores the dev split, saves, and decides whether another epoch follows.
    fn end_epoch(&mut self, supervisor: &mut dyn Supervisor) -> Result<Flow, TrainingError> {
        self.settle(supervisor)?;
        let found = self.averaged(|trainer| trainer.evaluate(Trigger::EpochEnd, supervisor))?;
        let Some((evaluation, samples)) = found else {
            // The epoch is ended by whoever resumes.
            return Ok(Flow::Break(self.stop(supervisor)?));
        };
        let training = &self.settings.training;
        let (monitor, wait, patience) = (
            training.monitor,
            training.lr_schedule.patience,
            training.early_stopping_patience,
        );
        self.position.end_epoch(&evaluation, monitor, wait);
        let best = evaluation.best;
        supervisor.observe(Event::Evaluation(Box::new(evaluation)));
        supervisor.observe(Event::Predictions(samples));
        // Best first: a run killed in between repeats the epoch, instead of believing in a best it lacks.
        if best {
            self.averaged(|trainer| trainer.save_best(supervisor))?;
        }
        self.save_latest(supervisor)?;
        if patience > 0 && self.position.stale() >= patience {
            return Ok(Flow::Break(Ending::Early));
        }
        Ok(Flow::Continue(()))
    }

    /// Does `work` with the averaged weights, where there are some.
    fn averaged<R>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<R, TrainingError>,
    ) -> Result<R, TrainingError> {
        self.exchange_weights()?;
        let result = work(self);
        self.exchange_weights()?;
        result
    }

    fn exchange_weights(&mut self) -> Result<(), TrainingError> {
        match &mut self.average {
            None => Ok(()),
            Some(average) => average
                .exchange(self.model.parameters_mut())
                .map_err(TrainingError::device),
        }
    }

    pub(super) fn not_finite(&self, what: &'static str) -> TrainingError {
        TrainingError::NotFinite {
            what,
            step: self.position.step,
        }
    }
}

fn average_of<D: Backend>(settings: &RunSettings, model: &Model<D>) -> DeviceResult<D, Option<Ema<D>>> {
    match settings.training.ema_decay {
        0.0 => Ok(None),
        decay => Ema::new(decay, model.parameters()).map(Some),
    }
}
