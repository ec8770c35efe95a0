//! The training loop.

use super::batches::plan;
use super::data::TrainingSplit;
use super::event::{Evaluation, Step, TrainingEvent};
use super::position::Position;
use super::settings::RunSettings;
use crate::captioning::{Checkpoint, CheckpointError, Model, NamedMatrix, caption_all, save};
use crate::decoder::{CaptionBatch, Regularisation};
use crate::metrics;
use crate::nn::{Adam, Backend, Moments, Taped, random_stream};
use crate::text::Vocabulary;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Captions of a dev batch; no gradients are kept, so it may be larger than in training.
const DEV_BATCH: usize = 256;
/// Captions shown after each epoch.
const SAMPLES: usize = 5;

/// Where a run keeps its checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The last one written.
    pub latest: PathBuf,
    /// The one with the best dev metric.
    pub best: PathBuf,
}

/// Why a training ended that met no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done.
    Complete,
    /// The dev metric had not got better for as many epochs as `training.patience` allows.
    Early,
    /// It was asked to stop; `latest` holds all that was done.
    Interrupted,
}

/// What can end a training in mid-way.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// A loss or gradient that is not a number, or infinite.
    #[error(
        "the {what} became infinite or not a number at step {step}; the checkpoints before it are kept: try a lower training.learning_rate, or a smaller training.optimiser.gradient_clip"
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
    /// The device refused, for lack of memory most of the time.
    #[error("the device failed: {0}; try a smaller training.batch_size")]
    Device(String),
}

impl TrainingError {
    fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(error.to_string())
    }
}

/// A model in training.
pub struct Trainer<'a, D: Backend> {
    settings: &'a RunSettings,
    vocabulary: &'a Vocabulary,
    train: &'a TrainingSplit,
    dev: &'a TrainingSplit,
    checkpoints: Checkpoints,
    /// The model as it is now.
    pub model: Model<D>,
    adam: Adam<D>,
    position: Position,
}

impl<'a, D: Backend> Trainer<'a, D> {
    /// A training that starts with `model` as it is.
    ///
    /// # Errors
    /// Where a split is empty, or the device refuses.
    pub fn new(
        settings: &'a RunSettings,
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
            Adam::new(settings.training.optimiser, model.parameters()).map_err(TrainingError::device)?;
        Ok(Self {
            settings,
            vocabulary,
            train,
            dev,
            checkpoints,
            model,
            adam,
            position: Position::default(),
        })
    }

    /// Goes back to where a checkpoint was written: weights, moments and position.
    ///
    /// # Errors
    /// Where the checkpoint is damaged, or of another model.
    pub fn resume(&mut self, path: &Path) -> Result<(), TrainingError> {
        let checkpoint = Checkpoint::open(path)?;
        self.position = serde_json::from_value(checkpoint.training().clone()).map_err(|error| {
            TrainingError::Position {
                path: path.into(),
                why: error.to_string(),
            }
        })?;
        checkpoint.restore(&mut self.model)?;
        let device = self.model.device().clone();
        self.adam.step = self.position.step;
        for (parameter, moments) in self.model.parameters().into_iter().zip(&mut self.adam.moments) {
            let shape = parameter.shape();
            let [first, second] = moment_names(&parameter.name);
            moments.first = checkpoint.matrix(&device, &first, shape)?;
            moments.second = checkpoint.matrix(&device, &second, shape)?;
        }
        Ok(())
    }

    /// Where the training stands.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Trains until an end. `observe` is told of every step; `stop` is looked at after each.
    ///
    /// # Errors
    /// See [`TrainingError`]; the checkpoints written before stay.
    pub fn run(
        &mut self,
        observe: &mut dyn FnMut(&TrainingEvent),
        stop: &AtomicBool,
    ) -> Result<Ending, TrainingError> {
        let training = &self.settings.training;
        let examples = self.train.examples();
        while self.position.epoch < training.epochs {
            let epoch = self.position.epoch;
            let batches = plan(
                &examples,
                training.batch_size,
                training.batch_by,
                self.settings.seed,
                epoch,
            );
            for batch in batches.iter().skip(self.position.batch) {
                let step = self.learn(batch, batches.len())?;
                observe(&TrainingEvent::Step(step));
                if stop.load(Ordering::Relaxed) {
                    self.save_latest(observe)?;
                    return Ok(Ending::Interrupted);
                }
            }
            let evaluation = self.evaluate()?;
            self.position
                .end_epoch(&evaluation, training.metric, training.schedule.wait);
            let best = evaluation.best;
            observe(&TrainingEvent::Evaluation(evaluation));
            // Best first: a run killed in between repeats the epoch, instead of believing in a best it lacks.
            if best {
                self.save_best(observe)?;
            }
            self.save_latest(observe)?;
            if training.patience > 0 && self.position.stale() >= training.patience {
                return Ok(Ending::Early);
            }
        }
        Ok(Ending::Complete)
    }

    /// One update from one batch.
    fn learn(&mut self, captions: &[usize], batches: usize) -> Result<Step, TrainingError> {
        let training = &self.settings.training;
        let before = self.position.step;
        let learning_rate = self.learning_rate(batches);

        let (inputs, batch) = self.train.batch(captions);
        let mut stream = random_stream(self.settings.seed, "dropout", before);
        let regularisation = Regularisation {
            label_smoothing: training.label_smoothing,
            stream: &mut stream,
        };
        let regions = self
            .model
            .regions::<Taped<D>>(inputs)
            .map_err(TrainingError::device)?;
        let loss = self
            .model
            .decoder
            .training_loss(regions, &batch, regularisation)
            .map_err(TrainingError::device)?;
        let value = loss.as_vec()[0];
        if !value.is_finite() {
            return Err(self.not_finite("loss"));
        }
        use dfdx::prelude::Backward;
        let mut gradients = loss.try_backward().map_err(TrainingError::device)?;
        let gradient_norm = self
            .adam
            .update(self.model.parameters_mut(), &mut gradients, learning_rate)
            .map_err(TrainingError::device)?;
        if !gradient_norm.is_finite() {
            return Err(self.not_finite("gradient"));
        }
        let tokens = batch.tokens();
        self.position.count(value, tokens);
        Ok(Step {
            epoch: self.position.epoch,
            batch: self.position.batch,
            batches,
            step: self.position.step,
            loss: value,
            learning_rate,
            gradient_norm,
            tokens,
        })
    }

    fn learning_rate(&self, batches: usize) -> f32 {
        let training = &self.settings.training;
        let total = (training.epochs * batches) as u64;
        let Position { step, reductions, .. } = self.position;
        training.learning_rate * training.schedule.share(step, total, reductions)
    }

    fn not_finite(&self, what: &'static str) -> TrainingError {
        TrainingError::NotFinite {
            what,
            step: self.position.step,
        }
    }

    /// Loss and scores of the dev split.
    fn evaluate(&self) -> Result<Evaluation, TrainingError> {
        let places: Vec<usize> = (0..self.dev.references.len()).collect();
        let hypotheses = caption_all(
            &self.model,
            &self.dev.inputs,
            &places,
            &self.settings.search,
            &mut |_| (),
        )
        .map_err(TrainingError::device)?;
        let captions: Vec<Vec<String>> = hypotheses
            .iter()
            .map(|found| {
                found
                    .first()
                    .map(|best| self.vocabulary.decode(&best.tokens))
                    .unwrap_or_default()
            })
            .collect();
        let examples: Vec<metrics::Example<'_>> = captions
            .iter()
            .zip(&self.dev.references)
            .map(|(hypothesis, references)| metrics::Example {
                hypothesis,
                references,
            })
            .collect();
        let mut evaluation = Evaluation {
            epoch: self.position.epoch,
            step: self.position.step,
            training_loss: self.position.training_loss(),
            loss: self.dev_loss()?,
            scores: metrics::score(&examples),
            best: false,
            samples: captions
                .iter()
                .map(|words| words.join(" "))
                .enumerate()
                .take(SAMPLES)
                .collect(),
        };
        let value = self.settings.training.metric.value(&evaluation);
        evaluation.best = self.position.best.is_none_or(|best| value > best.value);
        Ok(evaluation)
    }

    fn dev_loss(&self) -> Result<f64, TrainingError> {
        let mut order: Vec<usize> = (0..self.dev.captions.len()).collect();
        order.sort_by_key(|&at| self.dev.captions[at].words.len());
        let (mut sum, mut tokens) = (0.0, 0);
        for captions in order.chunks(DEV_BATCH) {
            let (inputs, batch) = self.dev.batch(captions);
            let regions = self.model.regions(inputs).map_err(TrainingError::device)?;
            let loss = self
                .model
                .decoder
                .loss(regions, &batch)
                .map_err(TrainingError::device)?
                .as_vec()[0];
            sum += f64::from(loss) * batch.tokens() as f64;
            tokens += batch.tokens();
        }
        Ok(sum / tokens as f64)
    }

    /// Writes `latest`, unless the last update has ruined the weights: the checkpoint before is worth more.
    fn save_latest(&self, observe: &mut dyn FnMut(&TrainingEvent)) -> Result<(), TrainingError> {
        let parameters = self.model.parameters();
        for parameter in &parameters {
            if !D::try_norm_squared(&parameter.value)
                .map_err(TrainingError::device)?
                .is_finite()
            {
                return Err(self.not_finite("weights"));
            }
        }
        let moments =
            parameters
                .iter()
                .zip(&self.adam.moments)
                .flat_map(|(parameter, Moments { first, second })| {
                    let [first_name, second_name] = moment_names(&parameter.name);
                    [
                        NamedMatrix::new(first_name, first),
                        NamedMatrix::new(second_name, second),
                    ]
                });
        let position = serde_json::to_value(&self.position).map_err(|error| TrainingError::Position {
            path: self.checkpoints.latest.clone(),
            why: error.to_string(),
        })?;
        save(&self.checkpoints.latest, &self.model, moments.collect(), position)?;
        observe(&TrainingEvent::Checkpoint {
            name: "latest".into(),
            step: self.position.step,
        });
        Ok(())
    }

    fn save_best(&self, observe: &mut dyn FnMut(&TrainingEvent)) -> Result<(), TrainingError> {
        save(
            &self.checkpoints.best,
            &self.model,
            Vec::new(),
            serde_json::Value::Null,
        )?;
        observe(&TrainingEvent::Checkpoint {
            name: "best".into(),
            step: self.position.step,
        });
        Ok(())
    }
}

fn moment_names(parameter: &str) -> [String; 2] {
    ["first", "second"].map(|moment| format!("adam.{moment}.{parameter}"))
}

impl TrainingSplit {
    /// The inputs of the photos of some captions, each photo once, and the captions that refer to them.
    fn batch(&self, captions: &[usize]) -> (Vec<f32>, CaptionBatch) {
        let mut photos: Vec<usize> = captions.iter().map(|&at| self.captions[at].photo).collect();
        photos.sort_unstable();
        photos.dedup();
        let batch = CaptionBatch::new(captions.iter().map(|&at| {
            let caption = &self.captions[at];
            let row = photos.partition_point(|&photo| photo < caption.photo);
            (row, caption.words.as_slice())
        }));
        (self.inputs.read(&photos), batch)
    }
}
