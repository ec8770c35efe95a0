//! Captions sampled word by word: one for each image in search, several for each in self-critical training.

use super::decode::{ActiveHypothesis, ExtendBeam, decode};
use super::ensemble::Ensemble;
use super::logits_processor::{largest, log_probabilities};
use super::{Hypothesis, SearchSettings};
use crate::decoders::{ImageRegions, StepDecoder, sample_index, sample_token};
use crate::nn::{Backend, DeviceResult, random_stream};
use crate::text::{END, TokenId};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::slice::{self, ChunksExactMut};

/// A caption with its own random stream, so that its draws do not depend on other captions.
struct Sampled<N> {
    caption: ActiveHypothesis,
    stream: ChaCha8Rng,
    logits_processor: N,
}

/// Draws the next word from a row of logits: its token and its log-probability. The words so far are given.
trait NextWord: Fn(&mut [f32], usize, &[TokenId], &mut ChaCha8Rng) -> (TokenId, f64) + Send {}

impl<F: Fn(&mut [f32], usize, &[TokenId], &mut ChaCha8Rng) -> (TokenId, f64) + Send> NextWord for F {}

impl<N: NextWord> ExtendBeam for Sampled<N> {
    fn captions(&self) -> &[ActiveHypothesis] {
        slice::from_ref(&self.caption)
    }

    fn captions_mut(&mut self) -> &mut [ActiveHypothesis] {
        slice::from_mut(&mut self.caption)
    }

    fn extend(&mut self, mut rows: ChunksExactMut<'_, f32>, words: usize) {
        if let Some(logits) = rows.next() {
            let (word, log_probability) =
                (self.logits_processor)(logits, words, &self.caption.words, &mut self.stream);
            self.caption.push(word, log_probability);
        }
    }
}

/// Samples one caption for each image, from the random stream of its index.
pub(super) fn search<D: Backend>(
    ensemble: Ensemble<'_, D>,
    indices: &[usize],
    settings: &SearchSettings,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let mut captions: Vec<_> = (indices.iter().enumerate())
        .map(|(row, &index)| Sampled {
            caption: ActiveHypothesis::start(row),
            stream: random_stream(settings.seed, "sampling", index as u64),
            logits_processor: |logits: &mut [f32],
                               width: usize,
                               words: &[TokenId],
                               stream: &mut ChaCha8Rng| {
                draw_next(
                    log_probabilities(logits, width, words, settings),
                    settings,
                    stream,
                )
            },
        })
        .collect();
    decode(ensemble, &mut captions, settings.max_length(), |_| ())?;
    let hypotheses = captions
        .into_iter()
        .map(|sampled| vec![sampled.caption.into_hypothesis(settings.length_penalty)]);
    Ok(hypotheses.collect())
}

/// Draws a word after temperature and top-k; its log-probability is that before them.
fn draw_next(log_probabilities: &[f32], settings: &SearchSettings, stream: &mut impl Rng) -> (TokenId, f64) {
    let count = match settings.top_k {
        0 => log_probabilities.len(),
        top_k => top_k,
    };
    let most_probable = largest(log_probabilities, count);
    let Some(&(first, best)) = most_probable.first() else {
        return (END, 0.0);
    };
    let weight = |value: f32| (f64::from(value - best) / settings.temperature).exp();
    let total: f64 = most_probable.iter().map(|&(_, value)| weight(value)).sum();
    let weights = most_probable.iter().map(|&(_, value)| weight(value));
    let drawn = sample_index(weights, total, stream.random());
    let (word, value) = drawn.map_or((first, best), |index| most_probable[index]);
    (word as TokenId, f64::from(value))
}

/// The captions that [`sample_captions`] draws.
#[derive(Clone, Copy, Debug)]
pub struct SampleSettings {
    /// Captions for each image.
    pub count: usize,
    /// Words after which a caption is truncated.
    pub max_length: usize,
    /// The seed of the random streams.
    pub seed: u64,
    /// The training step. Each step has its own streams.
    pub step: u64,
}

/// Samples captions from the decoder's distribution for all images:
/// `settings.count` for the first image, then those of the second, and so on.
///
/// Every token may be drawn, the unknown word and the special tokens too: a token that is never drawn could not become less
/// likely in training, and would take the probability that others lose.
///
/// # Errors
/// Those of the device.
pub fn sample_captions<D: Backend>(
    decoder: &dyn StepDecoder<D>,
    images: ImageRegions<D>,
    settings: SampleSettings,
) -> DeviceResult<D, Vec<Hypothesis>> {
    let SampleSettings {
        count, seed, step, ..
    } = settings;
    let mut captions: Vec<_> = (0..images.shape().0 * count)
        .map(|index| Sampled {
            caption: ActiveHypothesis::start(index / count),
            stream: random_stream(seed, "samples to reward", (step << 20) | index as u64),
            logits_processor: |logits: &mut [f32], _: usize, _: &[TokenId], stream: &mut ChaCha8Rng| {
                let (word, probability) = sample_token(logits, stream.random::<f32>());
                (word as TokenId, probability.ln())
            },
        })
        .collect();
    let ensemble = Ensemble::start(vec![(decoder, images)])?;
    decode(ensemble, &mut captions, settings.max_length, |_| ())?;
    let hypotheses = captions
        .into_iter()
        .map(|sampled| sampled.caption.into_hypothesis(0.0));
    Ok(hypotheses.collect())
}
