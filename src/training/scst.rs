//! Self-critical sequence training: the model samples captions, and the probability of those with a reward above the
//! others of their image rises.
//!
//! Rennie et al. 2017, "Self-critical Sequence Training for Image Captioning", equations 5 and 7: the gradient of the
//! expected reward is that of the log-probability of a sampled caption, times the difference of its reward and a
//! baseline; for the baseline see [`advantages`].

use super::data::EncodedSplit;
use super::error::TrainingError;
use super::settings::RewardSettings;
use super::trainer::{Minibatch, Trainer};
use crate::decoders::{CaptionBatch, WeightedCaption};
use crate::metrics::{BleuStatistics, CiderD, MAX_ORDER};
use crate::nn::{Backend, DeviceResult};
use crate::search::{Hypothesis, SampleSettings, sample_captions};
use crate::text::{END, PAD, START, TokenId, UNKNOWN};
use rayon::prelude::*;

impl<D: Backend> Trainer<'_, D> {
    /// Samples captions for the images of some captions, weighted by their advantages.
    pub(super) fn sampled_batch(
        &self,
        reward: &Reward,
        captions: &[usize],
    ) -> Result<Minibatch, TrainingError> {
        let settings = &self.settings.training.scst;
        let images = self.train.images_of(captions);
        let inputs = self.augmented_inputs(&images);
        let draw = SampleSettings {
            count: settings.samples,
            max_length: self.settings.search.max_length(),
            seed: self.settings.seed,
            step: self.state.step,
        };
        let samples = self.sample(inputs.clone(), draw);
        let samples = samples.map_err(TrainingError::device)?;
        let row = |sample: usize| sample / draw.count;
        let rewards: Vec<f64> = samples
            .par_iter()
            .enumerate()
            .map(|(i, sample)| reward.score(images[row(i)], sample, &settings.reward))
            .collect();
        let weighted = samples.iter().zip(advantages(&rewards, draw.count));
        let captions = CaptionBatch::weighted(weighted.enumerate().map(|(i, (sample, advantage))| {
            WeightedCaption {
                image: row(i),
                words: &sample.tokens,
                weight: advantage,
                // A truncated sample has no end token. Penalizing the one that was never sampled would make captions
                // grow without end.
                end_weight: if sample.is_complete { advantage } else { 0.0 },
            }
        }));
        let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
        Ok(Minibatch {
            inputs,
            captions,
            reward: Some(mean as f32),
        })
    }

    fn sample(&self, inputs: Vec<f32>, draw: SampleSettings) -> DeviceResult<D, Vec<Hypothesis>> {
        // Without a tape: the gradient comes from a second forward pass over the sampled words, by teacher forcing.
        let regions = self.model.regions(inputs)?;
        sample_captions(self.model.decoder.inference()?.as_ref(), regions, draw)
    }
}

/// Scores sampled captions, in token ids, against those of the training split.
///
/// Captions are scored with their end token: a reward without it teaches the model to stop after "in a" (as in the
/// code of Rennie et al. 2017, and Luo 2018, section 4).
pub(super) struct Reward {
    cider: CiderD<TokenId>,
    /// The captions of every image.
    references: Vec<Vec<Vec<TokenId>>>,
}

impl Reward {
    pub(super) fn new(split: &EncodedSplit) -> Self {
        let mut references = vec![Vec::new(); split.images()];
        for caption in &split.captions {
            references[caption.image].push(with_end(&caption.words));
        }
        Self {
            cider: CiderD::from_references(references.iter().map(Vec::as_slice)),
            references,
        }
    }

    fn score(&self, image: usize, sample: &Hypothesis, settings: &RewardSettings) -> f64 {
        let references = &self.references[image];
        let words = scored_words(sample);
        let cider = match settings.cider_d {
            0.0 => 0.0,
            weight => f64::from(weight) * self.cider.score(&words, references),
        };
        let bleu = match settings.bleu_4 {
            0.0 => 0.0,
            weight => f64::from(weight) * BleuStatistics::count(&words, references).scores()[MAX_ORDER - 1],
        };
        cider + bleu
    }
}

/// The words to score. Tokens that captioning never outputs become padding, which matches no reference.
fn scored_words(sample: &Hypothesis) -> Vec<TokenId> {
    let scored = |&word: &TokenId| match word {
        UNKNOWN | START => PAD,
        word => word,
    };
    let words: Vec<TokenId> = sample.tokens.iter().map(scored).collect();
    match sample.is_complete {
        true => with_end(&words),
        false => words,
    }
}

fn with_end(words: &[TokenId]) -> Vec<TokenId> {
    [words, &[END]].concat()
}

/// The difference of each reward and the mean reward of the other samples of its image; the samples of an image are
/// `count` neighbors.
///
/// The mean of the others is a baseline that costs nothing and does not depend on the sample itself (Kool et al. 2019,
/// "Buy 4 REINFORCE samples, get a baseline for free"; Luo 2020, "A better variant of self-critical sequence
/// training"). Rennie et al. 2017 decode a further caption greedily instead.
fn advantages(rewards: &[f64], count: usize) -> Vec<f32> {
    let of_image = |rewards: &[f64]| -> Vec<f32> {
        let total: f64 = rewards.iter().sum();
        let others = (rewards.len() - 1).max(1) as f64;
        let advantage = |reward: &f64| (reward - (total - reward) / others) as f32;
        rewards.iter().map(advantage).collect()
    };
    rewards.chunks(count).flat_map(of_image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn advantage_is_difference_to_mean_of_others() {
        assert_eq!(
            advantages(&[3.0, 1.0, 2.0, 5.0, 5.0, 5.0], 3),
            [1.5, -1.5, 0.0, 0.0, 0.0, 0.0]
        );
    }

    proptest! {
        #[test]
        fn advantages_of_an_image_sum_to_zero(rewards in prop::collection::vec(0.0_f64..10.0, 5..=5)) {
            let sum: f32 = advantages(&rewards, 5).iter().sum();
            prop_assert!(sum.abs() < 1e-4);
        }
    }
}
