//! Self-critical sequence training: the model writes captions, and those above its own average are made likelier.
//!
//! Rennie et al. 2017, "Self-critical Sequence Training for Image Captioning", equations 5 and 7: the gradient of the
//! expected reward is that of the log-probability of a drawn caption, times by how much its reward lies above a
//! baseline; for the baseline see [`advantages`].

use super::data::TrainingSplit;
use super::reward::{Drawn, Reward, advantages};
use super::trainer::{Trainer, TrainingError};
use crate::decoders::{CaptionBatch, WeightedCaption};
use crate::nn::Backend;
use crate::search::{Hypothesis, SampleSettings, sample_captions};

/// What is learned from in one update.
pub(super) struct Lesson {
    /// The encoder's inputs.
    pub(super) inputs: Vec<f32>,
    pub(super) batch: CaptionBatch,
    /// The mean reward, where captions were drawn.
    pub(super) reward: Option<f32>,
}

impl<D: Backend> Trainer<'_, D> {
    /// Captions drawn for the images of some captions, to be made likelier or less likely.
    pub(super) fn drawn_lesson(&self, reward: &Reward, captions: &[usize]) -> Result<Lesson, TrainingError> {
        let settings = &self.settings.training.scst;
        let images = self.train.images_of(captions);
        let inputs = self.image_inputs(&images);
        let draw = SampleSettings {
            count: settings.samples,
            max_length: self.settings.search.max_length,
            seed: self.settings.seed,
            step: self.position.step,
        };
        let drawn = self.draw(inputs.clone(), draw).map_err(TrainingError::device)?;
        let rows: Vec<usize> = (0..drawn.len()).map(|caption| caption / draw.count).collect();
        let of_images = drawn.iter().zip(&rows).map(|(sample, &row)| Drawn {
            image: images[row],
            sample,
        });
        let to_score: Vec<Drawn<'_>> = of_images.collect();
        let rewards = reward.of(&to_score, &settings.reward);
        let weights = advantages(&rewards, draw.count);
        let captions = drawn.iter().zip(&rows).zip(weights);
        let batch = CaptionBatch::weighted(captions.map(|((sample, &image), weight)| WeightedCaption {
            image,
            words: &sample.tokens,
            weight,
            // A marker that was not drawn must not be made less likely: captions would grow without end.
            end_weight: if sample.is_complete { weight } else { 0.0 },
        }));
        let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
        Ok(Lesson {
            inputs,
            batch,
            reward: Some(mean as f32),
        })
    }

    fn draw(&self, inputs: Vec<f32>, draw: SampleSettings) -> Result<Vec<Hypothesis>, D::Err> {
        let regions = self.model.regions(inputs)?;
        sample_captions(self.model.decoder.inference()?.as_ref(), regions, draw)
    }
}

impl TrainingSplit {
    /// The images of some captions, each once, in order.
    pub(super) fn images_of(&self, captions: &[usize]) -> Vec<usize> {
        let mut images: Vec<usize> = captions.iter().map(|&at| self.captions[at].image).collect();
        images.sort_unstable();
        images.dedup();
        images
    }
}
