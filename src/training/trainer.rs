//! The training loop, in the order in which things happen: phases, epochs, steps, read-back of losses, commands, and
//! the end of an epoch.

use super::callback::{Callback, Outcome};
use super::checkpointing::{CheckpointTimer, Checkpoints};
use super::data::{DevSplit, EncodedSplit};
use super::error::TrainingError;
use super::memory::resident_memory;
use super::scst::Reward;
use super::settings::{RunSettings, Sampler};
use super::settings_changes::Changes;
use super::state::{BestComparison, PhaseStart, TrainState};
use crate::decoders::{CaptionBatch, Regularization};
use crate::jobs::{ControlCommand, Event, StepEvent, Trigger};
use crate::model::{Checkpoint, Model};
use crate::nn::device::guarded;
use crate::nn::{Adam, Backend, DeviceResult, DeviceScalar, Ema, Scalar, Taped, random_stream};
use crate::search::DocumentFrequencies;
use crate::text::Vocabulary;
use dfdx::prelude::Backward;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const SCST_STARTED: &str = "self-critical phase started, from the best weights so far: the train loss is no longer \
                            the cross-entropy, and the dev loss will rise";

/// Whether the loop continues.
type Flow = ControlFlow<Outcome>;

type Loss<D> = Scalar<D, Taped<D>>;

/// A model in training.
pub struct Trainer<'a, D: Backend> {
    /// The current settings: those the run was started with, and the changes since.
    pub(super) settings: RunSettings,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) train: &'a EncodedSplit,
    pub(super) dev: &'a DevSplit,
    pub(super) checkpoints: Checkpoints,
    /// The model with its current weights.
    pub model: Model<D>,
    pub(super) adam: Adam<D>,
    /// The moving average of the weights, which is evaluated and saved as `best`, if `training.ema_decay` is set.
    pub(super) ema: Option<Ema<D>>,
    pub(super) state: TrainState,
    /// Steps enqueued on the device whose loss has not been read back, in order.
    pending: Vec<PendingStep<D>>,
    /// Steps per read-back.
    pub(super) steps_in_flight: usize,
    pub(super) timer: CheckpointTimer,
    /// Created at the start of the SCST phase.
    pub(super) reward: Option<Reward>,
    /// Document frequencies of the training captions, counted on first use.
    ngrams: OnceLock<Arc<DocumentFrequencies>>,
}

/// The captions and images of one step.
pub(super) struct Minibatch {
    /// Encoder inputs.
    pub(super) inputs: Vec<f32>,
    pub(super) captions: CaptionBatch,
    /// The mean reward, if the captions were sampled.
    pub(super) reward: Option<f32>,
}

/// A step whose loss and gradient norm may still be on the device.
struct PendingStep<D: Backend> {
    epoch: usize,
    batch: usize,
    batches: usize,
    step: u64,
    loss: DeviceScalar<D>,
    reward: Option<f32>,
    learning_rate: f32,
    grad_norm: DeviceScalar<D>,
    tokens: usize,
    started: Instant,
}

impl<'a, D: Backend> Trainer<'a, D> {
    /// A training that starts from the weights of `model`.
    ///
    /// # Errors
    /// If a split is empty, or the device fails.
    pub fn new(
        settings: &RunSettings,
        vocabulary: &'a Vocabulary,
        train: &'a EncodedSplit,
        dev: &'a DevSplit,
        checkpoints: Checkpoints,
        model: Model<D>,
    ) -> Result<Self, TrainingError> {
        for (split, name) in [(train, "training"), (&dev.encoded, "dev")] {
            if split.captions.is_empty() {
                return Err(TrainingError::Empty { split: name });
            }
        }
        let (adam, ema) = optimizer(settings, &model).map_err(TrainingError::device)?;
        Ok(Self {
            settings: settings.clone(),
            vocabulary,
            train,
            dev,
            checkpoints,
            model,
            adam,
            ema,
            state: TrainState::default(),
            pending: Vec::new(),
            steps_in_flight: D::STEPS_IN_FLIGHT,
            timer: CheckpointTimer::start(),
            reward: None,
            ngrams: OnceLock::new(),
        })
    }

    /// The current settings.
    pub fn settings(&self) -> &RunSettings {
        &self.settings
    }

    /// The current state.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    pub(super) fn ngrams(&self) -> Arc<DocumentFrequencies> {
        Arc::clone(self.ngrams.get_or_init(|| Arc::new(self.train.ngrams())))
    }

    /// Trains to the end.
    ///
    /// # Errors
    /// See [`TrainingError`]; earlier checkpoints are kept.
    pub fn run(&mut self, callback: &mut dyn Callback) -> Result<Outcome, TrainingError> {
        let batch_size = self.settings.training.batch_size;
        let outcome = guarded(|| self.run_phases(callback)).map_err(TrainingError::from);
        outcome
            .flatten()
            .map_err(|error| error.with_batch_size(batch_size))
    }

    fn run_phases(&mut self, callback: &mut dyn Callback) -> Result<Outcome, TrainingError> {
        if self.state.scst.is_none() {
            let outcome = self.run_phase(callback)?;
            if outcome == Outcome::Interrupted || self.settings.training.scst.epochs == 0 {
                return Ok(outcome);
            }
            self.start_scst(callback)?;
        }
        self.reward = Some(Reward::new(self.train));
        self.run_phase(callback)
    }

    fn run_phase(&mut self, callback: &mut dyn Callback) -> Result<Outcome, TrainingError> {
        // Read in each round: a command may change the number of epochs.
        while self.state.phase_epochs() < self.max_epochs() {
            if let Flow::Break(outcome) = self.run_epoch(callback)? {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Complete)
    }

    /// Maximum number of epochs of the current phase.
    fn max_epochs(&self) -> usize {
        let training = &self.settings.training;
        match self.state.scst {
            None => training.epochs,
            Some(_) => training.scst.epochs,
        }
    }

    /// Starts the SCST phase: the best weights so far, a new optimizer, and the LR schedule from its start.
    fn start_scst(&mut self, callback: &mut dyn Callback) -> Result<(), TrainingError> {
        if self.state.best.is_some() {
            Checkpoint::open(&self.checkpoints.best)?.restore(&mut self.model)?;
        }
        let scale = self.settings.training.scst.initial_logit_scale;
        let scaled = self.model.decoder.scale_logits(scale);
        (self.adam, self.ema) = scaled
            .and_then(|()| optimizer(&self.settings, &self.model))
            .map_err(TrainingError::device)?;
        self.state.scst = Some(PhaseStart {
            epoch: self.state.epoch,
            step: self.state.step,
        });
        (self.state.lr_drops, self.state.plateau_epochs) = (0, 0);
        callback.on_event(Event::message(SCST_STARTED));
        // Without this checkpoint, a resumed run would scale the logits a second time.
        self.save_latest(callback)
    }

    /// Runs the rest of the current epoch.
    fn run_epoch(&mut self, callback: &mut dyn Callback) -> Result<Flow, TrainingError> {
        let training = &self.settings.training;
        let sampler = match self.reward {
            None => training.sampler,
            Some(_) => Sampler::ByImage,
        };
        let (size, seed) = (training.batch_size, self.settings.seed);
        let batches = self.train.batches(sampler, size, seed, self.state.epoch);
        for batch in batches.iter().skip(self.state.batch) {
            if let Flow::Break(outcome) = self.handle_commands(callback)? {
                return Ok(Flow::Break(outcome));
            }
            self.step(batch, batches.len())?;
            if self.pending.len() >= self.steps_in_flight {
                self.flush(callback)?;
            }
            if self.is_checkpoint_due() {
                self.save_latest(callback)?;
            }
        }
        if let Flow::Break(outcome) = self.handle_commands(callback)? {
            return Ok(Flow::Break(outcome));
        }
        self.end_epoch(callback)
    }

    /// One step: forward, backward, update. It may only be enqueued on the device; [`Trainer::flush`] waits for it.
    fn step(&mut self, captions: &[usize], batches: usize) -> Result<(), TrainingError> {
        let started = Instant::now();
        let learning_rate = self.learning_rate(batches);
        let minibatch = match &self.reward {
            None => self.ground_truth_batch(captions),
            Some(reward) => self.sampled_batch(reward, captions)?,
        };
        let tokens = minibatch.captions.tokens();
        let loss = self.forward(minibatch.inputs, &minibatch.captions);
        let loss = loss.map_err(TrainingError::device)?;
        let loss_value = D::device_scalar(loss.retaped());
        // If the loss is already on the host (the CPU), a bad one stops here, before it ruins the weights. On a GPU
        // reading it would stall the device, so `flush` checks it some steps later.
        self.check_known("loss", &loss_value)?;
        let grad_norm = self.backward_and_update(loss, learning_rate);
        let grad_norm = grad_norm.map_err(TrainingError::device)?;
        self.check_known("gradient", &grad_norm)?;
        if let Some(ema) = &mut self.ema {
            let updated = ema.update(self.model.parameters(), self.adam.step);
            updated.map_err(TrainingError::device)?;
        }
        self.state.count_step();
        self.pending.push(PendingStep {
            epoch: self.state.epoch,
            batch: self.state.batch,
            batches,
            step: self.state.step,
            loss: loss_value,
            reward: minibatch.reward,
            learning_rate,
            grad_norm,
            tokens,
            started,
        });
        Ok(())
    }

    fn ground_truth_batch(&self, captions: &[usize]) -> Minibatch {
        let (images, captions) = self.train.batch(captions);
        Minibatch {
            inputs: self.augmented_inputs(&images),
            captions,
            reward: None,
        }
    }

    /// Encoder inputs of some training images, augmented for this step.
    pub(super) fn augmented_inputs(&self, images: &[usize]) -> Vec<f32> {
        let mut stream = random_stream(self.settings.seed, "mirrored images", self.state.step);
        self.train
            .augmented_inputs(images, &self.settings.augment, &mut stream)
    }

    fn forward(&self, inputs: Vec<f32>, captions: &CaptionBatch) -> DeviceResult<D, Loss<D>> {
        let mut stream = random_stream(self.settings.seed, "dropout", self.state.step);
        let regions = self.model.regions::<Taped<D>>(inputs)?;
        self.model
            .decoder
            .training_loss(regions, captions, self.regularization(&mut stream))
    }

    fn backward_and_update(&mut self, loss: Loss<D>, learning_rate: f32) -> DeviceResult<D, DeviceScalar<D>> {
        let mut gradients = loss.try_backward()?;
        self.adam
            .update(self.model.parameters_mut(), &mut gradients, learning_rate)
    }

    fn regularization<'r>(&self, stream: &'r mut ChaCha8Rng) -> Regularization<'r> {
        let training = &self.settings.training;
        match self.state.scst {
            None => Regularization {
                label_smoothing: training.label_smoothing,
                dropout: self.settings.decoder.dropout,
                weight_drop: self.settings.decoder.weight_drop,
                word_dropout: training.word_dropout,
                scheduled_sampling: self.scheduled_sampling(),
                stream,
            },
            Some(_) => Regularization {
                dropout: training.scst.dropout,
                ..Regularization::none(stream)
            },
        }
    }

    /// Rises linearly from 0 in the first epoch to the setting in the last.
    fn scheduled_sampling(&self) -> f32 {
        let epochs = self.settings.training.epochs;
        let done = self.state.epoch as f32 / epochs.saturating_sub(1).max(1) as f32;
        self.settings.training.scheduled_sampling * done.min(1.0)
    }

    fn learning_rate(&self, batches: usize) -> f32 {
        let training = &self.settings.training;
        let highest = match self.state.scst {
            None => training.learning_rate,
            Some(_) => training.scst.learning_rate,
        };
        let total = (self.max_epochs() * batches) as u64;
        let step = self.state.step - self.state.phase().step;
        highest * training.lr_schedule.factor_at(step, total, self.state.lr_drops)
    }

    /// Reads the losses and gradient norms of the pending steps back from the device, and reports them.
    ///
    /// # Errors
    /// If one of them is not finite. The weights are lost then; earlier checkpoints are kept.
    pub(super) fn flush(&mut self, callback: &mut dyn Callback) -> Result<(), TrainingError> {
        let pending = std::mem::take(&mut self.pending);
        let Some(started) = pending.first().map(|first| first.started) else {
            return Ok(());
        };
        // The first read is a synchronization with the device; all the others return at once.
        let values: Vec<(f32, f32)> = pending
            .iter()
            .map(|step| (step.loss.get(), step.grad_norm.get()))
            .collect();
        let tokens: usize = pending.iter().map(|step| step.tokens).sum();
        let tokens_per_second = tokens as f32 / started.elapsed().as_secs_f32();
        let memory = resident_memory();
        for (step, (loss, grad_norm)) in pending.into_iter().zip(values) {
            check_finite("loss", loss, step.step - 1)?;
            check_finite("gradient", grad_norm, step.step - 1)?;
            self.state.add_loss(loss, step.tokens);
            callback.on_event(Event::Step(StepEvent {
                epoch: step.epoch,
                batch: step.batch,
                batches: step.batches,
                step: step.step,
                loss,
                reward: step.reward,
                learning_rate: step.learning_rate,
                grad_norm,
                tokens: step.tokens,
                tokens_per_second,
                memory,
                metrics: BTreeMap::new(),
            }));
        }
        Ok(())
    }

    fn check_known(&self, what: &'static str, value: &DeviceScalar<D>) -> Result<(), TrainingError> {
        let known = value.try_get();
        known.map_or(Ok(()), |value| check_finite(what, value, self.state.step))
    }

    /// Carries out commands until there are none.
    fn handle_commands(&mut self, callback: &mut dyn Callback) -> Result<Flow, TrainingError> {
        while let Some(command) = callback.poll_command(&self.state, &self.settings) {
            self.flush(callback)?;
            match command {
                ControlCommand::Stop => return Ok(Flow::Break(self.stop(callback)?)),
                ControlCommand::Checkpoint => self.save_latest(callback)?,
                ControlCommand::Predict => {
                    let predictions = self.with_ema_weights(Self::predict)?;
                    callback.on_event(Event::Predictions(predictions));
                }
                ControlCommand::Evaluate => {
                    let report =
                        self.with_ema_weights(|trainer| trainer.evaluate(Trigger::Manual, callback))?;
                    if let Some((evaluation, predictions)) = report {
                        callback.on_event(Event::Evaluation(Box::new(evaluation)));
                        callback.on_event(Event::Predictions(predictions));
                    }
                }
                ControlCommand::Set { settings } => {
                    self.change(Changes::of(&self.settings, settings)?)?;
                    // Saved at once, so that the change survives a crash.
                    self.save_latest(callback)?;
                }
                // A paused callback blocks in `poll_command`.
                ControlCommand::Pause | ControlCommand::Resume => {}
            }
        }
        Ok(Flow::Continue(()))
    }

    fn stop(&mut self, callback: &mut dyn Callback) -> Result<Outcome, TrainingError> {
        self.save_latest(callback)?;
        Ok(Outcome::Interrupted)
    }

    /// Changes settings from the next step on.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn change(&mut self, changes: Changes) -> Result<(), TrainingError> {
        self.settings = changes.apply_to(&self.settings)?;
        self.adam.settings = self.settings.training.optimizer;
        self.state.changes.extend(changes);
        Ok(())
    }

    /// Evaluates, saves, and decides whether training stops early.
    fn end_epoch(&mut self, callback: &mut dyn Callback) -> Result<Flow, TrainingError> {
        self.flush(callback)?;
        let report = self.with_ema_weights(|trainer| trainer.evaluate(Trigger::EpochEnd, callback))?;
        let Some((evaluation, predictions)) = report else {
            // Aborted: the state is still that before the end of the epoch, which a resumed run repeats.
            return Ok(Flow::Break(self.stop(callback)?));
        };
        if !evaluation.dev_loss.is_finite() {
            let step = self.state.step;
            return Err(TrainingError::NotFinite {
                what: "dev loss",
                step,
            });
        }
        let training = &self.settings.training;
        let patience = training.early_stopping_patience;
        if self.compare_to_best(&evaluation) == BestComparison::SameWithLowerLoss && !self.state.loss_decided
        {
            self.state.loss_decided = true;
            callback.on_event(Event::message(training.monitor.tie_message(&evaluation)));
        }
        self.state
            .end_epoch(&evaluation, training.monitor, training.lr_schedule.patience);
        let is_best = evaluation.best;
        callback.on_event(Event::Evaluation(Box::new(evaluation)));
        callback.on_event(Event::Predictions(predictions));
        // `best` before `latest`: a run killed in between repeats the epoch. In the other order, `latest` would record
        // a best epoch whose weights are not in `best`.
        if is_best {
            self.with_ema_weights(|trainer| trainer.save_best(callback))?;
        }
        self.save_latest(callback)?;
        if patience > 0 && self.state.epochs_since_best() >= patience {
            return Ok(Flow::Break(Outcome::EarlyStopped));
        }
        Ok(Flow::Continue(()))
    }

    /// Calls `work` with the averaged weights in the model, if there is an average.
    fn with_ema_weights<R>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<R, TrainingError>,
    ) -> Result<R, TrainingError> {
        self.swap_ema_weights()?;
        let result = work(self);
        // Also after an error, so that `model` holds the current weights between calls.
        self.swap_ema_weights()?;
        result
    }

    fn swap_ema_weights(&mut self) -> Result<(), TrainingError> {
        match &mut self.ema {
            None => Ok(()),
            Some(ema) => ema
                .exchange(self.model.parameters_mut())
                .map_err(TrainingError::device),
        }
    }
}

/// A new optimizer, and a moving average if the settings ask for one.
pub(super) fn optimizer<D: Backend>(
    settings: &RunSettings,
    model: &Model<D>,
) -> DeviceResult<D, (Adam<D>, Option<Ema<D>>)> {
    let adam = Adam::new(settings.training.optimizer, model.parameters())?;
    let ema = match settings.training.ema_decay {
        0.0 => None,
        decay => Some(Ema::new(decay, model.parameters())?),
    };
    Ok((adam, ema))
}

fn check_finite(what: &'static str, value: f32, step: u64) -> Result<(), TrainingError> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(TrainingError::NotFinite { what, step }),
    }
}
