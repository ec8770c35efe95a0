//! From features to sentences: greedy, beam search, sampling.

mod attention;
mod beam;
mod captioner;
mod checkpoint;
mod ensemble;
mod inputs;
mod model;
mod ngrams;
mod ranking;
mod samples;
mod sampling;
mod scores;
mod split;
mod standardization;
#[cfg(test)]
mod tests;

use crate::decoders::Decoder;
use crate::nn::{Backend, DeviceResult, Regions};
use crate::text::TokenId;
use dfdx::prelude::HasShape;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;

pub use attention::{Attention, AttentionError, Focus, LookedWord};
pub use captioner::{Captioner, CaptionerError, CpuCaptioner, ImagePixels, Lenses, WrittenCaption, cpu};
pub use checkpoint::{Checkpoint, CheckpointError, NamedMatrix, save};
pub use ensemble::Member;
use ensemble::{Beginning, Ensemble};
pub use inputs::{ImageInputs, InputsError, feature_directories};
pub use model::{EncoderSpec, Model, ModelSpec};
pub use ngrams::{Agreement, NGramTable, NGramTableError};
pub use ranking::{Search, scores};
pub use samples::{Draw, Sample, SampleEnd, draw_samples};
pub use split::caption_all;
pub use standardization::Standardization;

/// How captions are searched for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchSettings {
    /// Beam search or sampling.
    pub strategy: Strategy,
    /// Hypotheses kept at each step of a beam search; one is greedy search.
    pub beam: usize,
    /// A finished hypothesis of `n` words scores its log-probability over `(n + 1)` to this power: zero
    /// favors short captions, one judges by the mean.
    pub length_penalty: f64,
    /// How much of a hypothesis' score is how far the other ones of the beam agree with it, by CIDEr-D: from zero, which
    /// ranks by probability alone, to one. A wider beam gives more to agree with.
    pub consensus: f64,
    /// How the other hypotheses count in the consensus: the exponentials of their scores over this; the lower, the more
    /// the likely ones do.
    pub consensus_temperature: f64,
    /// The end marker may not come before this many words.
    pub minimum_length: usize,
    /// Captions are cut after this many words.
    pub maximum_length: usize,
    /// No run of this many words may come twice in a caption; zero allows all.
    pub no_repeat_ngram: usize,
    /// Sampling: logits are divided by it; below one favors likely words.
    pub temperature: f64,
    /// Sampling: only this many of the likeliest words are drawn from; zero means all.
    pub top_k: usize,
    /// Sampling: where draws start.
    pub seed: u64,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            strategy: Strategy::Beam,
            beam: 3,
            length_penalty: 0.7,
            consensus: 0.0,
            consensus_temperature: 1.0,
            minimum_length: 1,
            maximum_length: 20,
            no_repeat_ngram: 0,
            temperature: 1.0,
            top_k: 0,
            seed: 0,
        }
    }
}

/// In a few words, as a line under a table has room for.
impl fmt::Display for SearchSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strategy {
            Strategy::Beam if self.beam <= 1 => out.write_str("greedy"),
            Strategy::Beam if self.weighs_consensus() => {
                write!(out, "beam {}, consensus {}", self.beam, self.consensus)
            }
            Strategy::Beam => write!(out, "beam {}", self.beam),
            Strategy::Sample => write!(
                out,
                "drawn at temperature {} with seed {}",
                self.temperature, self.seed
            ),
        }
    }
}

/// How the next word is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Keep the likeliest hypotheses.
    #[default]
    Beam,
    /// Draw words by their probability.
    Sample,
}

/// A caption that a decoder has written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hypothesis {
    /// Words, without markers.
    pub tokens: Vec<TokenId>,
    /// Natural logarithm of its probability, end marker included where it was reached.
    pub log_probability: f64,
    /// What hypotheses are ranked by: the log-probability, normalized for length, and the consensus where it counts.
    pub score: f64,
}

impl Hypothesis {
    fn new(tokens: Vec<TokenId>, log_probability: f64, length_penalty: f64) -> Self {
        let mut hypothesis = Self {
            tokens,
            log_probability,
            score: 0.0,
        };
        hypothesis.score = ranking::by_probability(&hypothesis, length_penalty);
        hypothesis
    }
}

/// Writes captions for all images of `regions` (`[images, regions, channels]`) at once. For every image the
/// hypotheses found, best first: `beam` of them, or the one that was drawn.
///
/// The same settings give the same captions. They are ranked by probability alone: a consensus takes more than a
/// decoder, see [`Search`].
///
/// # Errors
/// Those of the device.
pub fn write_captions<D: Backend>(
    decoder: &dyn Decoder<D>,
    regions: Regions<D>,
    settings: &SearchSettings,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let writer = decoder.writer()?;
    let search = Search::by_probability(settings.clone());
    write(vec![(writer.as_ref(), regions)], &search)
}

/// As [`write_captions`], by members that begin with the same images.
fn write<D: Backend>(
    members: Vec<Beginning<'_, D>>,
    search: &Search,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let images = members.first().map_or(0, |(_, regions)| regions.shape().0);
    let places: Vec<usize> = (0..images).collect();
    write_at(members, &places, search)
}

/// As [`write`], for images at these `places` of a longer list: what is drawn for an image depends on its place there,
/// and not on the images beside it.
fn write_at<D: Backend>(
    members: Vec<Beginning<'_, D>>,
    places: &[usize],
    search: &Search,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let settings = search.settings();
    let ensemble = Ensemble::start(members)?;
    let found = match settings.strategy {
        Strategy::Beam => beam::search(ensemble, places.len(), settings)?,
        Strategy::Sample => sampling::draw(ensemble, places, settings)?,
    };
    Ok(found.into_par_iter().map(|found| search.rank(found)).collect())
}
