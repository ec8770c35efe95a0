//! From a decoder to captions: beam search and sampling, ensembles, reranking by minimum Bayes risk, attention weights.

mod attention_weights;
mod batches;
mod beam;
mod captioner;
mod decode;
mod document_frequencies;
mod ensemble;
mod logits_processor;
mod mbr;
mod sampling;
mod settings;
#[cfg(test)]
mod tests;

use crate::decoders::{Decoder, ImageRegions};
use crate::nn::{Backend, DeviceResult};
use crate::text::TokenId;
use rayon::prelude::*;
use serde::Serialize;

pub use attention_weights::{Attention, AttentionError, PeakRegion, WordAttention};
pub use batches::caption_all;
pub use captioner::{
    Captioner, CaptionerError, CpuCaptioner, EncoderInput, Preprocessor, WrittenCaption, cpu,
};
pub use document_frequencies::{DocumentFrequencies, DocumentFrequenciesError, PairwiseScores};
pub use ensemble::Member;
use ensemble::{Ensemble, MemberStart};
pub use mbr::{Search, scores};
pub use sampling::{SampleSettings, sample_captions};
pub use settings::{SearchSettings, Strategy};

/// A caption that a decoder has written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hypothesis {
    /// Words, without special tokens.
    pub tokens: Vec<TokenId>,
    /// Whether it has its end token; a truncated caption has none.
    pub is_complete: bool,
    /// Natural logarithm of its probability, that of the end token included.
    pub log_probability: f64,
    /// The score of the ranking: the log-probability, normalized for length, mixed with minimum Bayes risk by its weight.
    pub score: f64,
}

impl Hypothesis {
    fn new(tokens: Vec<TokenId>, log_probability: f64, is_complete: bool, length_penalty: f64) -> Self {
        let mut hypothesis = Self {
            tokens,
            is_complete,
            log_probability,
            score: 0.0,
        };
        hypothesis.score = mbr::by_probability(&hypothesis, length_penalty);
        hypothesis
    }
}

/// Captions all images, such as `[images, regions, channels]`, together. Returns the hypotheses of each image, best
/// first: `beam_size` of them, or the one that was sampled.
///
/// Hypotheses are ranked by probability: minimum Bayes risk takes more than a decoder, see [`Search`].
///
/// # Errors
/// Those of the device.
pub fn write_captions<D: Backend>(
    decoder: &dyn Decoder<D>,
    images: impl Into<ImageRegions<D>>,
    settings: &SearchSettings,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let decoder = decoder.inference()?;
    let search = Search::by_probability(settings.clone());
    search_all(vec![(decoder.as_ref(), images.into())], &search)
}

/// Captions all images of the members.
fn search_all<D: Backend>(
    members: Vec<MemberStart<'_, D>>,
    search: &Search,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let images = members.first().map_or(0, |(_, regions)| regions.shape().0);
    let indices: Vec<usize> = (0..images).collect();
    search_at(members, &indices, search)
}

/// As [`search_all`], for a part of a longer list of images: `indices` are their indices there. A caption is sampled from
/// the random stream of its image's index, so it does not depend on the batch.
fn search_at<D: Backend>(
    members: Vec<MemberStart<'_, D>>,
    indices: &[usize],
    search: &Search,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let settings = search.settings();
    let ensemble = Ensemble::start(members)?;
    let hypotheses = match settings.strategy {
        Strategy::Beam => beam::search(ensemble, indices.len(), settings)?,
        Strategy::Sample => sampling::search(ensemble, indices, settings)?,
    };
    Ok(hypotheses
        .into_par_iter()
        .map(|hypotheses| search.rank(hypotheses))
        .collect())
}
