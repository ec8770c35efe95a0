//! Bootstrap: confidence intervals of one system, and paired significance tests of two.
//!
//! Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile intervals); Koehn 2004,
//! "Statistical Significance Tests for Machine Translation Evaluation" (resamples of sentences, each scored as a corpus).
//! CIDEr-D uses the document frequencies of the full corpus in all resamples.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Metric, Scores, Statistics};

/// The quantiles of a 95 % interval.
const TAILS: (f64, f64) = (0.025, 0.975);

/// Smaller values are printed as 0.0000.
const SMALLEST_PRINTED: f64 = 5e-5;

/// The significance level: differences with a smaller p-value are significant.
pub const SIGNIFICANCE: f64 = 0.05;

/// The settings of resampling. A resample has as many examples as the corpus, drawn with replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The number of resamples; 0 counts as 1.
    pub resamples: usize,
    /// The seed of the resamples.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 1_000,
            seed: 0,
        }
    }
}

/// A 95 % percentile interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The 2.5 % quantile.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

/// The difference in score between two systems on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreDifference {
    /// The first system's score minus the second's, on the full corpus.
    pub observed: f64,
    /// The 95 % interval of the difference.
    pub interval: Interval,
    /// Two-sided: twice the fraction of resamples with a difference of at most 0, or at least 0 if that is smaller. In
    /// 2 / (resamples + 1) to 1.
    pub p_value: f64,
}

impl ScoreDifference {
    /// Whether the p-value is below [`SIGNIFICANCE`], and the difference large enough to be printed: two scores that
    /// are both practically 0 may differ in all resamples.
    pub fn is_significant(&self) -> bool {
        self.p_value < SIGNIFICANCE && self.observed.abs() >= SMALLEST_PRINTED
    }
}

/// The error of a comparison of systems with different examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "cannot pair {ours} examples with {theirs}: score both systems on the same images, in the same order"
)]
pub struct UnpairedError {
    /// The number of examples of the first system.
    pub ours: usize,
    /// The number of examples of the second system.
    pub theirs: usize,
}

impl Bootstrap {
    /// The 95 % interval of each corpus score; 0 to 0 without examples.
    pub fn intervals(&self, examples: &[Statistics]) -> Scores<Interval> {
        let values = self.resample(examples.len(), |chosen| scores_of(examples, chosen));
        per_metric(&values, |_, sorted| interval(sorted))
    }

    /// The difference between `ours` and `theirs`; both are scored on the same resamples.
    ///
    /// # Errors
    ///
    /// [`UnpairedError`] if the numbers of examples differ.
    pub fn compare(
        &self,
        ours: &[Statistics],
        theirs: &[Statistics],
    ) -> Result<Scores<ScoreDifference>, UnpairedError> {
        if ours.len() != theirs.len() {
            return Err(UnpairedError {
                ours: ours.len(),
                theirs: theirs.len(),
            });
        }
        let difference = |chosen: &[usize]| -> Scores {
            let (ours, theirs) = (scores_of(ours, chosen), scores_of(theirs, chosen));
            let shared = ours
                .iter()
                .filter_map(|(metric, score)| Some((metric, score - theirs.get(metric)?)));
            shared.collect()
        };
        let everything: Vec<usize> = (0..ours.len()).collect();
        let observed = difference(&everything);
        let values = self.resample(ours.len(), difference);
        Ok(per_metric(&values, |metric, sorted| ScoreDifference {
            observed: observed.score(metric),
            interval: interval(sorted),
            p_value: p_value(sorted),
        }))
    }

    /// The values of each resample; `values_of` gets the indices of its examples.
    fn resample(&self, examples: usize, values_of: impl Fn(&[usize]) -> Scores) -> Vec<Scores> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut chosen = vec![0; examples];
        let draw = |_| {
            chosen.fill_with(|| rng.random_range(0..examples));
            values_of(&chosen)
        };
        (0..self.resamples.max(1)).map(draw).collect()
    }
}

fn scores_of(examples: &[Statistics], chosen: &[usize]) -> Scores {
    chosen
        .iter()
        .map(|&index| examples[index])
        .sum::<Statistics>()
        .scores()
}

/// Summarizes each metric's resampled values; `summary` gets the metric and its values in ascending order.
fn per_metric<S>(resamples: &[Scores], summary: impl Fn(Metric, &[f64]) -> S) -> Scores<S> {
    let metrics = resamples.iter().take(1).flat_map(Scores::iter);
    let summarize = |(metric, _): (Metric, &f64)| {
        let mut values: Vec<f64> = resamples.iter().map(|scores| scores.score(metric)).collect();
        values.sort_unstable_by(f64::total_cmp);
        (metric, summary(metric, &values))
    };
    metrics.map(summarize).collect()
}

fn interval(sorted: &[f64]) -> Interval {
    Interval {
        low: quantile(sorted, TAILS.0),
        high: quantile(sorted, TAILS.1),
    }
}

/// Linear interpolation, as R's type 7 and numpy's default; `sorted` has at least one value.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let [below, above] = [position.floor(), position.ceil()].map(|index| sorted[index as usize]);
    below + (above - below) * position.fract()
}

/// The observed sample counts as one more resample, so that the p-value is never 0 (Davison and Hinkley 1997, section
/// 4.2).
fn p_value(differences: &[f64]) -> f64 {
    let count = |holds: fn(&f64) -> bool| differences.iter().filter(|difference| holds(difference)).count();
    let rarer = count(|difference| *difference <= 0.0).min(count(|difference| *difference >= 0.0)) + 1;
    (2.0 * rarer as f64 / (differences.len() + 1) as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::test_support::{examples, tokens};
    use crate::metrics::{CiderD, Metric, score, statistics};

    /// `count` images; every fourth has a wrong caption.
    fn system(count: usize) -> Vec<(Vec<String>, Vec<Vec<String>>)> {
        let reference = |index: usize| tokens(&format!("object {index} lies on the red table"));
        let caption = |index: usize| {
            if index.is_multiple_of(4) {
                tokens("a dog runs over green grass")
            } else {
                reference(index)
            }
        };
        (0..count)
            .map(|index| (caption(index), vec![reference(index)]))
            .collect()
    }

    #[test]
    fn quantiles_equal_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], [0.025, 0.5, 0.975])
        let values = [1.0, 2.0, 4.0, 8.0, 16.0];
        assert!((quantile(&values, 0.025) - 1.1).abs() < 1e-12);
        assert_eq!(quantile(&values, 0.5), 4.0);
        assert!((quantile(&values, 0.975) - 15.2).abs() < 1e-12);
    }

    #[test]
    fn interval_width_equals_the_binomial_one() {
        // ROUGE-L is 1 for three of four images and 0 for the others: its mean is a binomial proportion with standard error
        // sqrt(0.75 * 0.25 / 400), and 95 % are within 1.96 standard errors.
        let system = system(400);
        let intervals = Bootstrap::default().intervals(&statistics(&examples(&system)));
        let interval = intervals.get(Metric::ROUGE_L).unwrap();
        let half_width = 1.96 * (0.75f64 * 0.25 / 400.0).sqrt();
        for (found, expected) in [
            (interval.low, 0.75 - half_width),
            (interval.high, 0.75 + half_width),
        ] {
            assert!((found - expected).abs() < 0.006, "{interval:?}");
        }
    }

    #[test]
    fn interval_contains_the_score_and_depends_on_the_seed() {
        let system = system(60);
        let examples = examples(&system);
        let statistics = statistics(&examples);
        let intervals = Bootstrap::default().intervals(&statistics);
        for (metric, score) in score(&examples).iter() {
            let interval = intervals.get(metric).unwrap();
            assert!(interval.low < *score && *score < interval.high);
        }
        assert_eq!(intervals, Bootstrap::default().intervals(&statistics));
        let other = Bootstrap {
            seed: 1,
            ..Bootstrap::default()
        };
        assert_ne!(intervals, other.intervals(&statistics));
    }

    #[test]
    fn resample_scores_equal_those_of_its_examples() {
        let system = system(9);
        let examples = examples(&system);
        let chosen = [0, 3, 3, 8, 5, 5, 5, 1, 2];
        let drawn: Vec<_> = chosen.iter().map(|&index| examples[index]).collect();
        let resampled = scores_of(&statistics(&examples), &chosen);
        let expected = score(&drawn);
        for metric in Metric::all().filter(|metric| *metric != Metric::CIDER_D) {
            assert_eq!(resampled.score(metric), expected.score(metric));
        }
        let cider = CiderD::from_references(examples.iter().map(|example| example.references));
        let mean = drawn
            .iter()
            .map(|drawn| cider.score(drawn.hypothesis, drawn.references))
            .sum::<f64>()
            / 9.0;
        assert!((resampled.score(Metric::CIDER_D) - mean).abs() < 1e-12);
    }

    #[test]
    fn comparison_is_significant_for_a_better_system_only() {
        let (worse, best) = (system(80), system(80));
        let best: Vec<_> = best
            .into_iter()
            .map(|(_, references)| (references[0].clone(), references))
            .collect();
        let (worse, best) = (statistics(&examples(&worse)), statistics(&examples(&best)));
        let rouge_l = |ours: &[Statistics], theirs: &[Statistics]| {
            let differences = Bootstrap::default().compare(ours, theirs)?;
            Ok(*differences.get(Metric::ROUGE_L).unwrap())
        };

        let gain = rouge_l(&best, &worse).unwrap();
        assert!(
            (gain.observed - 0.25).abs() < 0.01 && gain.interval.low > 0.1,
            "{gain:?}"
        );
        assert!((gain.p_value - 2.0 / 1_001.0).abs() < 1e-12);
        let loss = rouge_l(&worse, &best).unwrap();
        assert_eq!((loss.observed, loss.p_value), (-gain.observed, gain.p_value));

        let none = rouge_l(&worse, &worse).unwrap();
        assert_eq!((none.observed, none.p_value), (0.0, 1.0));
        assert_eq!(
            rouge_l(&worse, &best[1..]),
            Err(UnpairedError { ours: 80, theirs: 79 })
        );
    }

    #[test]
    fn intervals_without_examples_or_resamples_are_defined() {
        let none = Bootstrap::default().intervals(&[]);
        assert_eq!(none, Scores::from_fn(|_| Interval::default()));
        let bootstrap = Bootstrap {
            resamples: 0,
            seed: 0,
        };
        let intervals = bootstrap.intervals(&statistics(&examples(&system(5))));
        assert!(
            intervals
                .iter()
                .all(|(_, interval)| interval.low == interval.high)
        );
    }
}
