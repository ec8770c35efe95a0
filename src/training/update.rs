//! One update: what is learned from, the loss, the gradient, the step of the optimizer.

use super::data::TrainingSplit;
use super::reward::Reward;
use super::self_critical::Lesson;
use super::trainer::{Trainer, TrainingError};
use super::unread::{Unread, check_finite};
use crate::decoders::{CaptionBatch, Regularization};
use crate::nn::{Backend, Taped, random_stream};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

impl<D: Backend> Trainer<'_, D> {
    /// One update from one batch. What came of it is asked for by [`Trainer::settle`].
    pub(super) fn update(
        &mut self,
        captions: &[usize],
        reward: Option<&Reward>,
        batches: usize,
    ) -> Result<(), TrainingError> {
        let since = Instant::now();
        let learning_rate = self.learning_rate(batches);
        let Lesson {
            inputs,
            batch,
            reward,
        } = match reward {
            None => self.read_lesson(captions),
            Some(reward) => self.drawn_lesson(reward, captions)?,
        };
        let mut stream = random_stream(self.settings.seed, "dropout", self.position.step);
        let regularization = self.regularization(&mut stream);
        let regions = self
            .model
            .regions::<Taped<D>>(inputs)
            .map_err(TrainingError::device)?;
        let loss = self
            .model
            .decoder
            .training_loss(regions, &batch, regularization)
            .map_err(TrainingError::device)?;
        let step = self.position.step;
        let figure = D::device_scalar(loss.retaped());
        // A host that knows it by now keeps the weights as they are.
        figure
            .try_get()
            .map_or(Ok(()), |loss| check_finite("loss", loss, step))?;
        use dfdx::prelude::Backward;
        let mut gradients = loss.try_backward().map_err(TrainingError::device)?;
        let grad_norm = self
            .adam
            .update(self.model.parameters_mut(), &mut gradients, learning_rate)
            .map_err(TrainingError::device)?;
        let known = grad_norm.try_get();
        known.map_or(Ok(()), |norm| check_finite("gradient", norm, step))?;
        if let Some(average) = &mut self.average {
            average
                .update(self.model.parameters(), self.adam.step)
                .map_err(TrainingError::device)?;
        }
        self.position.advance();
        self.unread.push(Unread {
            epoch: self.position.epoch,
            batch: self.position.batch,
            batches,
            step: self.position.step,
            loss: figure,
            reward,
            learning_rate,
            grad_norm,
            tokens: batch.tokens(),
            since,
        });
        Ok(())
    }

    /// Captions of the data set, to be read.
    fn read_lesson(&self, captions: &[usize]) -> Lesson {
        let (images, batch) = self.train.batch(captions);
        Lesson {
            inputs: self.image_inputs(&images),
            batch,
            reward: None,
        }
    }

    /// The encoder's inputs of some training images, for this step.
    pub(super) fn image_inputs(&self, images: &[usize]) -> Vec<f32> {
        let mut stream = random_stream(self.settings.seed, "mirrored images", self.position.step);
        self.train.inputs_of(images, &self.settings.augment, &mut stream)
    }

    fn regularization<'r>(&self, stream: &'r mut ChaCha8Rng) -> Regularization<'r> {
        let training = &self.settings.training;
        match self.position.scst {
            None => Regularization {
                label_smoothing: training.label_smoothing,
                dropout: self.settings.decoder.dropout,
                weight_drop: self.settings.decoder.weight_drop,
                word_dropout: training.word_dropout,
                scheduled_sampling: self.share_of_own_words(),
                stream,
            },
            Some(_) => Regularization {
                dropout: training.scst.dropout,
                ..Regularization::none(stream)
            },
        }
    }

    /// Grows from nothing in the first epoch to what the settings say in the last.
    fn share_of_own_words(&self) -> f32 {
        let epochs = self.settings.training.epochs;
        let done = self.position.epoch as f32 / epochs.saturating_sub(1).max(1) as f32;
        self.settings.training.scheduled_sampling * done.min(1.0)
    }

    fn learning_rate(&self, batches: usize) -> f32 {
        let training = &self.settings.training;
        let highest = match self.position.scst {
            None => training.learning_rate,
            Some(_) => training.scst.learning_rate,
        };
        let total = (self.epochs_of_phase() * batches) as u64;
        let step = self.position.step - self.position.phase().step;
        highest
            * training
                .lr_schedule
                .factor_at(step, total, self.position.reductions)
    }
}

impl TrainingSplit {
    /// The images of some captions, each once, and the captions that refer to them.
    pub(super) fn batch(&self, captions: &[usize]) -> (Vec<usize>, CaptionBatch) {
        let images = self.images_of(captions);
        let batch = CaptionBatch::new(captions.iter().map(|&at| {
            let caption = &self.captions[at];
            let row = images.partition_point(|&image| image < caption.image);
            (row, caption.words.as_slice())
        }));
        (images, batch)
    }
}
