//! BLEU-1 to BLEU-4, equal to coco-caption's scorer.
//!
//! Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation", in the form that
//! caption papers report: coco-caption's `Bleu` (PyPI `pycocoevalcap`), whose effective reference length is
//! that of the reference closest in length to the hypothesis, the shorter of two equally close ones.
//!
//! # Against NLTK
//!
//! NLTK's unsmoothed `corpus_bleu` gives the same corpus scores to 1e-9 wherever every hypothesis has at
//! least four tokens and the corpus has at least one matching n-gram of each order. They differ in two cases:
//!
//! - A hypothesis shorter than *n* tokens has no n-grams. NLTK counts one unmatched n-gram for it all the
//!   same, so its BLEU-*n* is lower; coco-caption counts none.
//! - Where no n-gram of an order matches, as in many single sentences, NLTK puts the smallest positive float
//!   in place of the zero count (BLEU-4 is then about 1e-77) and coco-caption 1e-15 (at most about 2e-4).

use super::ngram::{self, ByNGram, MAX_ORDER};
use super::statistics::Scorer;
use super::{DisplayLevel, MetricDef};
use std::iter::Sum;

/// BLEU-1 to BLEU-4.
pub(super) const SCORER: Scorer = Scorer {
    metrics: &[
        MetricDef::new("bleu_1", "BLEU-1", DisplayLevel::Summary),
        MetricDef::new("bleu_2", "BLEU-2", DisplayLevel::Full),
        MetricDef::new("bleu_3", "BLEU-3", DisplayLevel::Full),
        MetricDef::new("bleu_4", "BLEU-4", DisplayLevel::Headline),
    ],
    statistics: 2 + 2 * MAX_ORDER,
    prepare: |_| {
        Box::new(|example, sums| {
            let (hypothesis, references) = (
                ngram::words(example.hypothesis),
                ngram::words_of_all(example.references),
            );
            sums.copy_from_slice(&BleuStatistics::count(&hypothesis, &references).to_array());
        })
    },
    scores: |sums, _| BleuStatistics::from_slice(sums).scores().to_vec(),
};

/// Added to counts of matches, so that none at all makes a small score rather than zero (coco-caption's `tiny`).
const TINY: f64 = 1e-15;
/// Added to denominators, so that none is zero (coco-caption's `small`).
const SMALL: f64 = 1e-9;

/// The counts that BLEU is computed from; those of a corpus are the sum of its sentences'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BleuStatistics {
    hypothesis_tokens: u64,
    reference_tokens: u64,
    /// n-grams of the hypothesis found in a reference, clipped to how often it has them, by order.
    matched: [u64; MAX_ORDER],
    /// n-grams of the hypothesis, by order.
    proposed: [u64; MAX_ORDER],
}

impl BleuStatistics {
    /// The counts of one hypothesis against its references.
    ///
    /// Without references nothing matches and the reference length is 0, so every order scores close to 0.
    pub fn count<T: Ord>(hypothesis: &[T], references: &[Vec<T>]) -> Self {
        let references_counted: Vec<_> = references
            .iter()
            .map(|reference| ngram::count(reference))
            .collect();
        let hypothesis_counted = ngram::count(hypothesis);
        Self {
            hypothesis_tokens: hypothesis.len() as u64,
            reference_tokens: closest_length(hypothesis.len(), references) as u64,
            matched: std::array::from_fn(|index| {
                let of_order = references_counted.iter().map(|reference| &reference[index]);
                matches(&hypothesis_counted[index], of_order)
            }),
            proposed: std::array::from_fn(|index| hypothesis.len().saturating_sub(index) as u64),
        }
    }

    /// BLEU-1 to BLEU-4 of the corpus these counts sum over, which may be a single sentence; each in 0 to 1.
    ///
    /// BLEU-*n* is the geometric mean of the clipped precisions of orders 1 to *n*, times the brevity penalty
    /// exp(1 - r/c) where the hypotheses' *c* tokens are fewer than the references' *r*. An empty hypothesis,
    /// or no sentence at all, scores 0.
    pub fn scores(&self) -> [f64; MAX_ORDER] {
        let penalty = self.brevity_penalty();
        let mut product = 1.0;
        std::array::from_fn(|index| {
            product *= (self.matched[index] as f64 + TINY) / (self.proposed[index] as f64 + SMALL);
            f64::powf(product, 1.0 / (index + 1) as f64) * penalty
        })
    }

    /// The counts as floating-point numbers, which hold them exactly up to 2^53.
    fn to_array(self) -> [f64; 2 + 2 * MAX_ORDER] {
        let mut counts = [self.hypothesis_tokens, self.reference_tokens]
            .into_iter()
            .chain(self.matched)
            .chain(self.proposed);
        std::array::from_fn(|_| counts.next().unwrap_or_default() as f64)
    }

    /// The inverse of [`to_array`](Self::to_array).
    fn from_slice(counts: &[f64]) -> Self {
        Self {
            hypothesis_tokens: counts[0] as u64,
            reference_tokens: counts[1] as u64,
            matched: std::array::from_fn(|index| counts[2 + index] as u64),
            proposed: std::array::from_fn(|index| counts[2 + MAX_ORDER + index] as u64),
        }
    }

    fn brevity_penalty(&self) -> f64 {
        let ratio = (self.hypothesis_tokens as f64 + TINY) / (self.reference_tokens as f64 + SMALL);
        if ratio < 1.0 {
            (1.0 - 1.0 / ratio).exp()
        } else {
            1.0
        }
    }
}

/// The counts of a corpus, from those of its sentences.
impl Sum for BleuStatistics {
    fn sum<I: Iterator<Item = Self>>(sentences: I) -> Self {
        let mut sums = Self::default().to_array();
        for sentence in sentences {
            sums = std::array::from_fn(|index| sums[index] + sentence.to_array()[index]);
        }
        Self::from_slice(&sums)
    }
}

/// The n-grams of the hypothesis found in a reference, each counted at most as often as the reference that
/// has it most often.
fn matches<'a, T: Ord + 'a>(
    hypothesis: &ByNGram<'a, T, u64>,
    references: impl Iterator<Item = &'a ByNGram<'a, T, u64>> + Clone,
) -> u64 {
    let clipped = |(ngram, count): &(&[T], u64)| {
        let most = references
            .clone()
            .map(|reference| ngram::value(reference, ngram))
            .max();
        most.unwrap_or(0).min(*count)
    };
    hypothesis.iter().map(clipped).sum()
}

fn closest_length<T>(hypothesis_length: usize, references: &[Vec<T>]) -> usize {
    let lengths = references.iter().map(Vec::len);
    lengths
        .min_by_key(|&length| (length.abs_diff(hypothesis_length), length))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::test_support::tokens;

    fn bleu(hypothesis: &str, references: &[&str]) -> [f64; MAX_ORDER] {
        let references: Vec<_> = references.iter().map(|reference| tokens(reference)).collect();
        BleuStatistics::count(&tokens(hypothesis), &references).scores()
    }

    #[test]
    fn bleu_clips_counts_of_repeated_words() {
        // Papineni et al. 2002, section 2.1: the clipped precision is 2/7.
        let scores = bleu(
            "the the the the the the the",
            &["the cat is on the mat", "there is a cat on the mat"],
        );
        assert!((scores[0] - 2.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn closest_reference_length_prefers_the_shorter_of_two() {
        let references = [vec!['a'; 6], vec!['a'; 4], vec!['a'; 9]];
        assert_eq!(closest_length(5, &references), 4);
        assert_eq!(closest_length(8, &references), 9);
    }

    #[test]
    fn brevity_penalty_is_exponential() {
        let scores = bleu("a dog runs", &["a dog runs over grass now"]);
        assert!((scores[0] - (1.0f64 - 6.0 / 3.0).exp()).abs() < 1e-8);
    }

    #[test]
    fn bleu_without_hypothesis_or_references_is_zero() {
        assert_eq!(bleu("", &["a dog"]), [0.0; 4]);
        assert_eq!(bleu("", &[]), [0.0; 4]);
        assert_eq!(BleuStatistics::default().scores(), [0.0; 4]);
        assert!(bleu("a dog runs", &[])[0] < 1e-15);
    }
}
