//! Which search settings score best: one beam search for every width, then its hypotheses ranked in every way.

use super::EvaluationError;
use crate::data::{Image, Split};
use crate::metrics::{CorpusScorer, Example, Scores, Statistics};
use crate::nn::Backend;
use crate::nn::device::DeviceError;
use crate::search::{Hypothesis, Member, NGramTable, Search, SearchSettings, Strategy, caption_all, scores};
use crate::text::Vocabulary;
use rayon::prelude::*;
use serde::Serialize;
use std::ops::ControlFlow;

/// Minimum Bayes risk needs this many hypotheses: of two, each has the same expected score.
const FEWEST_THAT_AGREE: usize = 3;

/// The values that are tried, in all combinations that differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Beam sizes.
    pub beam_sizes: Vec<usize>,
    /// Length penalties.
    pub length_penalties: Vec<f64>,
    /// Weights of minimum Bayes risk above zero; zero is always tried. Empty without a table of n-grams.
    pub mbr_weights: Vec<f64>,
    /// Temperatures of minimum Bayes risk.
    pub mbr_temperatures: Vec<f64>,
}

impl Default for Grid {
    fn default() -> Self {
        Self {
            beam_sizes: vec![1, 2, 3, 4, 5, 6, 8, 12, 20],
            length_penalties: vec![0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4],
            mbr_weights: vec![0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
            mbr_temperatures: vec![0.25, 1.0],
        }
    }
}

impl Grid {
    /// How many captions are searched for in all, to tell progress by: a beam of eight takes eight times as long as one.
    pub fn captions(&self, images: usize) -> usize {
        images * self.beam_sizes.iter().sum::<usize>()
    }

    /// The ways of ranking what a beam of this width finds.
    fn rankings(&self, beam_size: usize, base: &SearchSettings) -> Vec<SearchSettings> {
        let plain = SearchSettings {
            strategy: Strategy::Beam,
            beam_size,
            mbr_weight: 0.0,
            ..base.clone()
        };
        if beam_size == 1 {
            return vec![plain];
        }
        let mut rankings = Vec::new();
        for &length_penalty in &self.length_penalties {
            let plain = SearchSettings {
                length_penalty,
                ..plain.clone()
            };
            rankings.push(plain.clone());
            if beam_size >= FEWEST_THAT_AGREE {
                rankings.extend(self.with_mbr(&plain));
            }
        }
        rankings
    }

    fn with_mbr(&self, plain: &SearchSettings) -> impl Iterator<Item = SearchSettings> {
        let weights = self.mbr_weights.iter();
        let both = weights.flat_map(|&weight| self.mbr_temperatures.iter().map(move |&t| (weight, t)));
        both.map(|(mbr_weight, mbr_temperature)| SearchSettings {
            mbr_weight,
            mbr_temperature,
            ..plain.clone()
        })
    }
}

/// Settings and what they score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The settings.
    pub search: SearchSettings,
    /// The scores of the whole split.
    #[serde(flatten)]
    pub scores: Scores,
}

/// The images of a split, as they are to be captioned and scored.
#[derive(Debug)]
pub struct Sweep<'a> {
    images: &'a [&'a Image],
    vocabulary: &'a Vocabulary,
    ngrams: Option<&'a NGramTable>,
    references: Vec<Vec<Vec<String>>>,
    scorer: CorpusScorer,
}

impl<'a> Sweep<'a> {
    /// Over these images; without the table of n-grams minimum Bayes risk is not tried.
    pub fn new(images: &'a [&'a Image], vocabulary: &'a Vocabulary, ngrams: Option<&'a NGramTable>) -> Self {
        let references: Vec<Vec<Vec<String>>> = images.iter().map(|image| references(image)).collect();
        Self {
            images,
            vocabulary,
            ngrams,
            scorer: CorpusScorer::new(references.iter().map(Vec::as_slice)),
            references,
        }
    }

    /// Tries the whole grid; what it does not name stays as in `base`. `progress` is told how many of
    /// [`Grid::captions`] were searched for, and may break off: what was found with the beams until then is given.
    ///
    /// # Errors
    /// Where there are no images, the device refuses, or `progress` breaks off within the first beam.
    pub fn run<D: Backend>(
        &self,
        members: &[Member<'_, D>],
        base: &SearchSettings,
        grid: &Grid,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<Tried>, EvaluationError> {
        if self.images.is_empty() {
            return Err(EvaluationError::Empty(Split::Dev));
        }
        let mut tried = Vec::new();
        let mut before = 0;
        for &beam in &grid.beam_sizes {
            let mut flow = ControlFlow::Continue(());
            let found = self.search(members, base, beam, &mut |images| {
                flow = progress(before + images * beam);
                flow
            });
            let found = match found {
                Err(EvaluationError::Stopped) if !tried.is_empty() => break,
                found => found?,
            };
            before += self.images.len() * beam;
            tried.extend(self.rank(&found, grid.rankings(beam, base)));
            if flow.is_break() {
                break;
            }
        }
        Ok(tried)
    }

    /// What a beam of this width finds for every image, the likeliest first.
    fn search<D: Backend>(
        &self,
        members: &[Member<'_, D>],
        base: &SearchSettings,
        beam_size: usize,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<Hypothesis>>, EvaluationError> {
        let search = Search::by_probability(SearchSettings {
            strategy: Strategy::Beam,
            beam_size,
            length_penalty: 0.0,
            ..base.clone()
        });
        let places: Vec<usize> = (0..self.images.len()).collect();
        let found = caption_all(members, &places, &search, progress)
            .map_err(|error| EvaluationError::Device(DeviceError::new(error)))?;
        match found.len() == places.len() {
            true => Ok(found),
            false => Err(EvaluationError::Stopped),
        }
    }

    /// What was found, ranked in each of these ways and scored.
    fn rank(&self, found: &[Vec<Hypothesis>], rankings: Vec<SearchSettings>) -> Vec<Tried> {
        let of_images: Vec<Vec<Statistics>> = found
            .par_iter()
            .enumerate()
            .map(|(place, found)| self.rank_image(place, found, &rankings))
            .collect();
        let total = |at: usize| of_images.iter().map(|image| image[at]).sum::<Statistics>();
        let each = rankings.into_iter().enumerate();
        each.map(|(at, search)| Tried {
            search,
            scores: total(at).scores(),
        })
        .collect()
    }

    /// How the best hypothesis of an image by each ranking does. Most rankings agree on a few.
    fn rank_image(&self, place: usize, found: &[Hypothesis], rankings: &[SearchSettings]) -> Vec<Statistics> {
        let agreement = self.ngrams.map(|ngrams| ngrams.agreement(found));
        let mut known: Vec<Option<Statistics>> = vec![None; found.len()];
        let mut of_best = |ranking: &SearchSettings| {
            let best = largest(&scores(found, agreement.as_ref(), ranking));
            *known[best].get_or_insert_with(|| self.statistics(place, &found[best]))
        };
        rankings.iter().map(&mut of_best).collect()
    }

    fn statistics(&self, place: usize, hypothesis: &Hypothesis) -> Statistics {
        let example = Example {
            hypothesis: &self.vocabulary.decode(&hypothesis.tokens),
            references: &self.references[place],
        };
        self.scorer.statistics(&example)
    }
}

fn references(image: &Image) -> Vec<Vec<String>> {
    let captions = image.captions.iter();
    captions.map(|caption| caption.tokens.clone()).collect()
}

/// The place of the largest value, the first of equal ones.
fn largest(values: &[f64]) -> usize {
    let places = (0..values.len()).rev();
    places
        .max_by(|&a, &b| values[a].total_cmp(&values[b]))
        .unwrap_or(0)
}
