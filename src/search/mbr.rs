//! Ranking of hypotheses by probability and minimum Bayes risk.
//!
//! The most probable caption is often bland. Minimum Bayes risk (Kumar and Byrne 2004, "Minimum Bayes-risk decoding for
//! statistical machine translation") takes the hypothesis with the highest expected score under the model's distribution:
//! here its CIDEr-D against the other hypotheses, each weighted by its probability.

use super::document_frequencies::{DocumentFrequencies, PairwiseScores};
use super::{Hypothesis, SearchSettings, Strategy};
use std::sync::Arc;

/// A search: its settings, and the document frequencies that minimum Bayes risk needs.
#[derive(Clone, Debug)]
pub struct Search {
    settings: SearchSettings,
    /// Present if the settings use minimum Bayes risk.
    document_frequencies: Option<Arc<DocumentFrequencies>>,
}

impl Search {
    /// A search by these settings. Calls `document_frequencies` only if they use minimum Bayes risk.
    ///
    /// # Errors
    /// Those of `document_frequencies`.
    pub fn new<E>(
        settings: SearchSettings,
        document_frequencies: impl FnOnce() -> Result<Arc<DocumentFrequencies>, E>,
    ) -> Result<Self, E> {
        let document_frequencies = settings.uses_mbr().then(document_frequencies).transpose()?;
        Ok(Self {
            settings,
            document_frequencies,
        })
    }

    /// A search that ranks by probability only.
    pub fn by_probability(settings: SearchSettings) -> Self {
        let settings = SearchSettings {
            mbr_weight: 0.0,
            ..settings
        };
        Self {
            settings,
            document_frequencies: None,
        }
    }

    /// The settings of the search.
    pub fn settings(&self) -> &SearchSettings {
        &self.settings
    }

    /// Scores hypotheses and sorts them, the best first; equal ones keep their order.
    pub(super) fn rank(&self, hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
        let frequencies = self.document_frequencies.as_ref();
        let pairwise = frequencies.map(|frequencies| frequencies.pairwise_scores(&hypotheses));
        let scores = scores(&hypotheses, pairwise.as_ref(), &self.settings);
        let mut ranked: Vec<Hypothesis> = hypotheses
            .into_iter()
            .zip(scores)
            .map(|(hypothesis, score)| Hypothesis { score, ..hypothesis })
            .collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        ranked
    }
}

impl SearchSettings {
    /// Whether hypotheses are ranked by minimum Bayes risk.
    pub fn uses_mbr(&self) -> bool {
        self.strategy == Strategy::Beam && self.mbr_weight > 0.0
    }
}

/// The ranking scores of an image's hypotheses; without pairwise scores, by probability only.
pub fn scores(
    hypotheses: &[Hypothesis],
    pairwise: Option<&PairwiseScores>,
    settings: &SearchSettings,
) -> Vec<f64> {
    let by_probability: Vec<f64> = hypotheses
        .iter()
        .map(|hypothesis| by_probability(hypothesis, settings.length_penalty))
        .collect();
    let Some(pairwise) = pairwise.filter(|_| settings.uses_mbr()) else {
        return by_probability;
    };
    let probabilities = unnormalized_softmax(&by_probability, settings.mbr_temperature);
    let weight = settings.mbr_weight;
    by_probability
        .iter()
        .enumerate()
        .map(|(i, score)| (1.0 - weight) * score + weight * expected_score(&pairwise[i], &probabilities, i))
        .collect()
}

/// The log-probability, normalized for length.
pub(super) fn by_probability(hypothesis: &Hypothesis, length_penalty: f64) -> f64 {
    hypothesis.log_probability / ((hypothesis.tokens.len() + 1) as f64).powf(length_penalty)
}

/// The expected score of hypothesis `own` against the others; zero if there are none.
fn expected_score(scores: &[f64], probabilities: &[f64], own: usize) -> f64 {
    let others = || (0..probabilities.len()).filter(|&other| other != own);
    let total: f64 = others().map(|other| probabilities[other]).sum();
    let sum: f64 = others().map(|other| probabilities[other] * scores[other]).sum();
    if total > 0.0 { sum / total } else { 0.0 }
}

/// The exponentials of `values / temperature`, divided by the largest one.
fn unnormalized_softmax(values: &[f64], temperature: f64) -> Vec<f64> {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values
        .iter()
        .map(|value| ((value - largest) / temperature).exp())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::TokenId;

    /// Document frequencies of the words from 4 on, each in one image.
    fn frequencies() -> Arc<DocumentFrequencies> {
        let images: Vec<Vec<Vec<TokenId>>> = (4..20).map(|word| vec![vec![word]]).collect();
        Arc::new(DocumentFrequencies::from_images(images.iter().map(Vec::as_slice)))
    }

    fn found() -> Vec<Hypothesis> {
        // The second and the third are similar, the first is not.
        let captions = [
            (vec![4, 5, 6, 7, 8], -4.0),
            (vec![9, 10, 11, 12, 13], -4.2),
            (vec![9, 10, 11, 12, 14], -4.4),
        ];
        let hypothesis = |(tokens, log_probability)| Hypothesis {
            tokens,
            is_complete: true,
            log_probability,
            score: 0.0,
        };
        captions.map(hypothesis).into()
    }

    fn best(mbr_weight: f64) -> Hypothesis {
        let settings = SearchSettings {
            mbr_weight,
            ..Default::default()
        };
        let search = Search::new(settings, || Ok::<_, ()>(frequencies())).unwrap();
        search.rank(found()).swap_remove(0)
    }

    #[test]
    fn mbr_weight_moves_similar_hypotheses_up() {
        assert_eq!(best(0.0).tokens, found()[0].tokens);
        assert_eq!(best(0.001).tokens, found()[0].tokens);
        assert_eq!(best(0.5).tokens[0], 9, "one of the two similar ones");
    }

    #[test]
    fn mbr_weight_of_one_is_the_expected_score() {
        let (found, frequencies) = (found(), frequencies());
        let settings = SearchSettings {
            mbr_weight: 1.0,
            mbr_temperature: 0.7,
            ..Default::default()
        };
        let scores = scores(&found, Some(&frequencies.pairwise_scores(&found)), &settings);
        let weight = |at: usize| (found[at].log_probability / 6f64.powf(0.7) / 0.7).exp();
        let score = |at: usize, against: usize| {
            frequencies
                .cider()
                .score(&found[at].tokens, &[found[against].tokens.clone()])
        };
        for (at, [one, other]) in [[1, 2], [0, 2], [0, 1]].into_iter().enumerate() {
            let expected = (weight(one) * score(at, one) + weight(other) * score(at, other))
                / (weight(one) + weight(other));
            assert!((scores[at] - expected).abs() < 1e-12, "{scores:?}");
        }
    }

    #[test]
    fn document_frequencies_are_read_only_for_mbr() {
        let needs = |settings: SearchSettings| Search::new(settings, || Err(())).is_err();
        let weighted = |strategy, mbr_weight| SearchSettings {
            strategy,
            mbr_weight,
            ..Default::default()
        };
        assert!(needs(weighted(Strategy::Beam, 0.3)));
        assert!(!needs(weighted(Strategy::Beam, 0.0)));
        assert!(
            !needs(weighted(Strategy::Sample, 0.3)),
            "sampling has one hypothesis"
        );
    }

    #[test]
    fn single_hypothesis_has_mbr_score_zero() {
        let alone = vec![found().swap_remove(0)];
        let settings = SearchSettings {
            mbr_weight: 1.0,
            ..Default::default()
        };
        let pairwise = frequencies().pairwise_scores(&alone);
        assert_eq!(scores(&alone, Some(&pairwise), &settings), [0.0]);
    }
}
