//! What the hypotheses of a search are ranked by: their probability, and how far the others agree with them.
//!
//! The likeliest caption is often a pale one. Minimum Bayes risk (Kumar and Byrne 2004) takes the one that is expected to
//! score highest if the model is right about what people would write: here by CIDEr-D, with the other hypotheses, each
//! by its probability, in the place of what people would write.

use super::ngrams::{Agreement, NGramTable};
use super::{Hypothesis, SearchSettings, Strategy};
use std::sync::Arc;

/// How captions are searched for, with what of the training captions that takes.
#[derive(Clone, Debug)]
pub struct Search {
    settings: SearchSettings,
    /// Where the settings weigh a consensus.
    ngrams: Option<Arc<NGramTable>>,
}

impl Search {
    /// A search by these settings; `ngrams` is asked for the table where they need it.
    ///
    /// # Errors
    /// Where there is no such table.
    pub fn new<E>(
        settings: SearchSettings,
        ngrams: impl FnOnce() -> Result<Arc<NGramTable>, E>,
    ) -> Result<Self, E> {
        let ngrams = settings.uses_mbr().then(ngrams).transpose()?;
        Ok(Self { settings, ngrams })
    }

    /// A search that ranks by probability alone, whatever the settings say of a consensus.
    pub fn by_probability(settings: SearchSettings) -> Self {
        let settings = SearchSettings {
            mbr_weight: 0.0,
            ..settings
        };
        Self {
            settings,
            ngrams: None,
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &SearchSettings {
        &self.settings
    }

    /// What was found, scored and with the best first; equal ones stay in their order.
    pub(super) fn rank(&self, found: Vec<Hypothesis>) -> Vec<Hypothesis> {
        let agreement = self.ngrams.as_ref().map(|ngrams| ngrams.agreement(&found));
        let scores = scores(&found, agreement.as_ref(), &self.settings);
        let mut ranked: Vec<Hypothesis> = found
            .into_iter()
            .zip(scores)
            .map(|(hypothesis, score)| Hypothesis { score, ..hypothesis })
            .collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        ranked
    }
}

impl SearchSettings {
    /// Whether hypotheses are ranked by how far they agree, too.
    pub fn uses_mbr(&self) -> bool {
        self.strategy == Strategy::Beam && self.mbr_weight > 0.0
    }
}

/// What each of an image's hypotheses is ranked by; without their agreement by probability alone.
pub fn scores(found: &[Hypothesis], agreement: Option<&Agreement>, settings: &SearchSettings) -> Vec<f64> {
    let by_probability: Vec<f64> = found
        .iter()
        .map(|hypothesis| by_probability(hypothesis, settings.length_penalty))
        .collect();
    let Some(agreement) = agreement.filter(|_| settings.uses_mbr()) else {
        return by_probability;
    };
    let weights = softmax(&by_probability, settings.mbr_temperature);
    let share = settings.mbr_weight;
    by_probability
        .iter()
        .enumerate()
        .map(|(at, score)| (1.0 - share) * score + share * expected(&agreement[at], &weights, at))
        .collect()
}

/// The log-probability, normalized for length.
pub(super) fn by_probability(hypothesis: &Hypothesis, length_penalty: f64) -> f64 {
    hypothesis.log_probability / ((hypothesis.tokens.len() + 1) as f64).powf(length_penalty)
}

/// The mean agreement with the others by their weights; zero where there are none.
fn expected(agreement: &[f64], weights: &[f64], own: usize) -> f64 {
    let others = || (0..weights.len()).filter(|&other| other != own);
    let total: f64 = others().map(|other| weights[other]).sum();
    let sum: f64 = others().map(|other| weights[other] * agreement[other]).sum();
    if total > 0.0 { sum / total } else { 0.0 }
}

/// Shares by the exponentials of values over a temperature.
fn softmax(values: &[f64], temperature: f64) -> Vec<f64> {
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

    /// Images of which people wrote so that the words from 4 on are all told apart.
    fn ngrams() -> Arc<NGramTable> {
        let images: Vec<Vec<Vec<TokenId>>> = (4..20).map(|word| vec![vec![word]]).collect();
        Arc::new(NGramTable::of(images.iter().map(Vec::as_slice)))
    }

    fn found() -> Vec<Hypothesis> {
        // The second and the third have much in common, the first nothing with either.
        let captions = [
            (vec![4, 5, 6, 7, 8], -4.0),
            (vec![9, 10, 11, 12, 13], -4.2),
            (vec![9, 10, 11, 12, 14], -4.4),
        ];
        let hypothesis = |(tokens, log_probability)| Hypothesis {
            tokens,
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
        let search = Search::new(settings, || Ok::<_, ()>(ngrams())).unwrap();
        search.rank(found()).swap_remove(0)
    }

    #[test]
    fn what_others_agree_with_comes_first_by_as_much_as_the_consensus_weighs() {
        assert_eq!(best(0.0).tokens, found()[0].tokens);
        assert_eq!(best(0.001).tokens, found()[0].tokens);
        assert_eq!(best(0.5).tokens[0], 9, "one of the two that agree");
    }

    #[test]
    fn the_whole_weight_is_the_expected_score_against_the_others() {
        let (found, ngrams) = (found(), ngrams());
        let settings = SearchSettings {
            mbr_weight: 1.0,
            mbr_temperature: 0.7,
            ..Default::default()
        };
        let scores = scores(&found, Some(&ngrams.agreement(&found)), &settings);
        let weight = |at: usize| (found[at].log_probability / 6f64.powf(0.7) / 0.7).exp();
        let score = |at: usize, against: usize| {
            ngrams
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
    fn the_table_is_asked_for_only_where_it_is_needed() {
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
            "there is one caption only"
        );
    }

    #[test]
    fn one_caption_alone_has_nothing_to_agree_with() {
        let alone = vec![found().swap_remove(0)];
        let settings = SearchSettings {
            mbr_weight: 1.0,
            ..Default::default()
        };
        let agreement = ngrams().agreement(&alone);
        assert_eq!(scores(&alone, Some(&agreement), &settings), [0.0]);
    }
}
