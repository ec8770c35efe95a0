//! A grid search over search settings: one beam search for each beam size, whose hypotheses are ranked by all settings.

use super::EvaluationError;
use crate::data::{Image, Split};
use crate::metrics::{CorpusScorer, Example, Scores, Statistics};
use crate::nn::Backend;
use crate::nn::device::DeviceError;
use crate::search::{
    DocumentFrequencies, Hypothesis, Member, Search, SearchSettings, Strategy, caption_all, scores,
};
use crate::text::Vocabulary;
use rayon::prelude::*;
use serde::Serialize;
use std::ops::ControlFlow;

/// Minimum Bayes risk needs this many hypotheses: of two, each has the same expected score.
const MIN_MBR_HYPOTHESES: usize = 3;

/// The values to try; combinations with equal results are tried once.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchGrid {
    /// Beam sizes.
    pub beam_sizes: Vec<usize>,
    /// Length penalties.
    pub length_penalties: Vec<f64>,
    /// Weights of minimum Bayes risk above zero; zero is always tried. Empty without a table of n-grams.
    pub mbr_weights: Vec<f64>,
    /// Temperatures of minimum Bayes risk.
    pub mbr_temperatures: Vec<f64>,
}

impl Default for SearchGrid {
    fn default() -> Self {
        Self {
            beam_sizes: vec![1, 2, 3, 4, 5, 6, 8, 12, 20],
            length_penalties: vec![0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4],
            mbr_weights: vec![0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
            mbr_temperatures: vec![0.25, 1.0],
        }
    }
}

impl SearchGrid {
    /// The number of hypotheses of all beam searches, for progress: a beam of eight takes eight times as long as one.
    pub fn captions(&self, images: usize) -> usize {
        images * self.beam_sizes.iter().sum::<usize>()
    }

    /// The settings that rank the hypotheses of a beam of this size.
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
            if beam_size >= MIN_MBR_HYPOTHESES {
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

/// Search settings and their scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// The settings.
    pub search: SearchSettings,
    /// The scores of the whole split.
    #[serde(flatten)]
    pub scores: Scores,
}

/// Tries search settings on the images of a split.
#[derive(Debug)]
pub struct SearchTuner<'a> {
    images: &'a [&'a Image],
    vocabulary: &'a Vocabulary,
    ngrams: Option<&'a DocumentFrequencies>,
    references: Vec<Vec<Vec<String>>>,
    scorer: CorpusScorer,
}

impl<'a> SearchTuner<'a> {
    /// Without `ngrams`, minimum Bayes risk is not tried.
    pub fn new(
        images: &'a [&'a Image],
        vocabulary: &'a Vocabulary,
        ngrams: Option<&'a DocumentFrequencies>,
    ) -> Self {
        let references: Vec<Vec<Vec<String>>> = images.iter().map(|image| references(image)).collect();
        Self {
            images,
            vocabulary,
            ngrams,
            scorer: CorpusScorer::new(references.iter().map(Vec::as_slice)),
            references,
        }
    }

    /// Tries the whole grid; other settings stay as in `base`. `progress` gets the number of finished hypotheses of
    /// [`SearchGrid::captions`], and may stop the run, which then returns the trials of the finished beam sizes.
    ///
    /// # Errors
    /// Without images, with the device's error, or if `progress` stops before the first beam size is finished.
    pub fn run<D: Backend>(
        &self,
        members: &[Member<'_, D>],
        base: &SearchSettings,
        grid: &SearchGrid,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<Trial>, EvaluationError> {
        if self.images.is_empty() {
            return Err(EvaluationError::Empty(Split::Dev));
        }
        let mut trials = Vec::new();
        let mut before = 0;
        for &beam in &grid.beam_sizes {
            let mut flow = ControlFlow::Continue(());
            let hypotheses = self.search(members, base, beam, &mut |images| {
                flow = progress(before + images * beam);
                flow
            });
            let hypotheses = match hypotheses {
                Err(EvaluationError::Stopped) if !trials.is_empty() => break,
                hypotheses => hypotheses?,
            };
            before += self.images.len() * beam;
            trials.extend(self.rank(&hypotheses, grid.rankings(beam, base)));
            if flow.is_break() {
                break;
            }
        }
        Ok(trials)
    }

    /// The hypotheses of each image, the most probable one first.
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
        let indices: Vec<usize> = (0..self.images.len()).collect();
        let hypotheses = caption_all(members, &indices, &search, progress)
            .map_err(|error| EvaluationError::Device(DeviceError::new(error)))?;
        match hypotheses.len() == indices.len() {
            true => Ok(hypotheses),
            false => Err(EvaluationError::Stopped),
        }
    }

    /// A trial for each of the rankings.
    fn rank(&self, hypotheses: &[Vec<Hypothesis>], rankings: Vec<SearchSettings>) -> Vec<Trial> {
        let of_images: Vec<Vec<Statistics>> = hypotheses
            .par_iter()
            .enumerate()
            .map(|(image, hypotheses)| self.rank_image(image, hypotheses, &rankings))
            .collect();
        let total = |index: usize| of_images.iter().map(|image| image[index]).sum::<Statistics>();
        let each = rankings.into_iter().enumerate();
        each.map(|(index, search)| Trial {
            search,
            scores: total(index).scores(),
        })
        .collect()
    }

    /// The statistics of the best hypothesis of an image by each ranking.
    fn rank_image(
        &self,
        image: usize,
        hypotheses: &[Hypothesis],
        rankings: &[SearchSettings],
    ) -> Vec<Statistics> {
        let agreement = self.ngrams.map(|ngrams| ngrams.pairwise_scores(hypotheses));
        // Most rankings agree on a few hypotheses, so each is scored once.
        let mut scored: Vec<Option<Statistics>> = vec![None; hypotheses.len()];
        let mut of_best = |ranking: &SearchSettings| {
            let best = largest(&scores(hypotheses, agreement.as_ref(), ranking));
            *scored[best].get_or_insert_with(|| self.statistics(image, &hypotheses[best]))
        };
        rankings.iter().map(&mut of_best).collect()
    }

    fn statistics(&self, image: usize, hypothesis: &Hypothesis) -> Statistics {
        let example = Example {
            hypothesis: &self.vocabulary.decode(&hypothesis.tokens),
            references: &self.references[image],
        };
        self.scorer.statistics(&example)
    }
}

fn references(image: &Image) -> Vec<Vec<String>> {
    let captions = image.captions.iter();
    captions.map(|caption| caption.tokens.clone()).collect()
}

/// The index of the largest value, the first of equal ones.
fn largest(values: &[f64]) -> usize {
    let indices = (0..values.len()).rev();
    indices
        .max_by(|&a, &b| values[a].total_cmp(&values[b]))
        .unwrap_or(0)
}
