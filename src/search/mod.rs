//! From a decoder to captions: beam search and sampling, ensembles, reranking by minimum Bayes risk, attention weights.

mod attention_weights;
mod beam;
mod captioner;
mod ensemble;
mod mbr;
mod next_word;
mod ngrams;
mod samples;
mod sampling;
mod settings;
mod split;
#[cfg(test)]
mod tests;

use crate::decoders::Decoder;
use crate::nn::{Backend, DeviceResult, Regions};
use crate::text::TokenId;
use dfdx::prelude::HasShape;
use rayon::prelude::*;
use serde::Serialize;

pub use attention_weights::{Attention, AttentionError, Focus, LookedWord};
pub use captioner::{Captioner, CaptionerError, CpuCaptioner, ImagePixels, Lenses, WrittenCaption, cpu};
pub use ensemble::Member;
use ensemble::{Beginning, Ensemble};
pub use mbr::{Search, scores};
pub use ngrams::{Agreement, NGramTable, NGramTableError};
pub use samples::{Draw, Sample, SampleEnd, draw_samples};
pub use settings::{SearchSettings, Strategy};
pub use split::caption_all;

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
        hypothesis.score = mbr::by_probability(&hypothesis, length_penalty);
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
