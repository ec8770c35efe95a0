//! Sufficient statistics of examples; the scores of a corpus are computed from their sum.

use super::meteor::MeteorCounts;
use super::{Example, METRICS, Metric, MetricDef, SCORERS, Scores};
use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;

/// Metrics that are computed together; a row of [`SCORERS`].
pub(super) struct Scorer {
    /// The metrics, in the order of their scores.
    pub(super) metrics: &'static [MetricDef],
    /// The number of statistics of an example.
    pub(super) statistics: usize,
    /// Prepares the scoring of a corpus from the references of all its images.
    pub(super) prepare: fn(&[&[Vec<String>]]) -> Measure,
    /// The scores of a corpus, from the sum of its examples' statistics and their number.
    pub(super) scores: fn(&[f64], f64) -> Vec<f64>,
}

/// Computes the statistics of an example.
pub(super) type Measure = Box<dyn Fn(&Example<'_>, &mut [f64]) + Send + Sync>;

impl Scorer {
    /// A metric whose corpus score is the mean of its examples' scores.
    pub(super) const fn mean(
        metrics: &'static [MetricDef],
        prepare: fn(&[&[Vec<String>]]) -> Measure,
    ) -> Self {
        Self {
            metrics,
            statistics: 1,
            prepare,
            scores: |sums, examples| vec![sums[0] / examples],
        }
    }
}

/// The number of statistics of all scorers.
const WIDTH: usize = {
    let (mut width, mut index) = (0, 0);
    while index < SCORERS.len() {
        width += SCORERS[index].statistics;
        index += 1;
    }
    width
};

/// Sufficient statistics of all metrics for an example, or their sum over any examples.
#[derive(Clone, Copy, Debug)]
pub struct Statistics {
    examples: f64,
    sums: [f64; WIDTH],
    meteor: Option<MeteorCounts>,
    spice: Option<f64>,
}

impl Statistics {
    /// The scores of the summed examples: corpus BLEU and METEOR, and the means of ROUGE-L, CIDEr-D and SPICE. METEOR and
    /// SPICE only if they were added.
    pub fn scores(&self) -> Scores {
        let values = self.values();
        let meteor = self.meteor.map(|counts| (Metric::METEOR, counts.score()));
        let spice = self
            .spice
            .map(|sum| (Metric::SPICE, sum / self.examples.max(1.0)));
        let standard = Metric::all().map(|metric| (metric, values[metric.index()]));
        standard.chain(meteor).chain(spice).collect()
    }

    /// Adds METEOR to the metrics of an example; to be called for all examples of a corpus.
    pub fn add_meteor(&mut self, counts: MeteorCounts) {
        self.meteor = Some(counts);
    }

    /// Adds SPICE, in 0 to 1, to the metrics of an example; to be called for all examples of a corpus.
    pub fn add_spice(&mut self, score: f64) {
        self.spice = Some(score);
    }

    /// The scores in the order of [`METRICS`].
    fn values(&self) -> [f64; METRICS.len()] {
        let mut values = [0.0; METRICS.len()];
        let (mut metric, mut sums) = (0, &self.sums[..]);
        for scorer in &SCORERS {
            let (own, rest) = sums.split_at(scorer.statistics);
            let scores = (scorer.scores)(own, self.examples.max(1.0));
            values[metric..metric + scores.len()].copy_from_slice(&scores);
            (metric, sums) = (metric + scores.len(), rest);
        }
        values
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            examples: 0.0,
            sums: [0.0; WIDTH],
            meteor: None,
            spice: None,
        }
    }
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        for (sum, value) in self.sums.iter_mut().zip(other.sums) {
            *sum += value;
        }
        match (&mut self.meteor, other.meteor) {
            (Some(sum), Some(counts)) => *sum += counts,
            (sum, counts) => *sum = sum.or(counts),
        }
        self.spice = match (self.spice, other.spice) {
            (Some(sum), Some(score)) => Some(sum + score),
            (sum, score) => sum.or(score),
        };
    }
}

impl Sum for Statistics {
    fn sum<I: Iterator<Item = Self>>(examples: I) -> Self {
        examples.fold(Self::default(), |mut corpus, example| {
            corpus += example;
            corpus
        })
    }
}

/// All metrics, prepared for a corpus (the document frequencies of CIDEr-D).
pub struct CorpusScorer {
    measures: [Measure; SCORERS.len()],
}

impl CorpusScorer {
    /// Prepares for a corpus; an item is the references of one image.
    pub fn new<'a>(references: impl IntoIterator<Item = &'a [Vec<String>]>) -> Self {
        let references: Vec<&[Vec<String>]> = references.into_iter().collect();
        Self {
            measures: SCORERS.each_ref().map(|scorer| (scorer.prepare)(&references)),
        }
    }

    /// The statistics of a single example.
    pub fn statistics(&self, example: &Example<'_>) -> Statistics {
        let mut statistics = Statistics {
            examples: 1.0,
            ..Statistics::default()
        };
        let mut rest = &mut statistics.sums[..];
        for (scorer, measure) in SCORERS.iter().zip(&self.measures) {
            let (own, after) = rest.split_at_mut(scorer.statistics);
            measure(example, own);
            rest = after;
        }
        statistics
    }
}

impl fmt::Debug for CorpusScorer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CorpusScorer").finish_non_exhaustive()
    }
}

/// The statistics of each example of a corpus, with document frequencies from all its references.
///
/// Corpus scores ([`Iterator::sum`], then [`Statistics::scores`]), sentence scores ([`Statistics::scores`] of each) and
/// intervals ([`Bootstrap`](super::Bootstrap)) are computed from them without counting n-grams again.
pub fn statistics(examples: &[Example<'_>]) -> Vec<Statistics> {
    let scorer = CorpusScorer::new(examples.iter().map(|example| example.references));
    examples
        .iter()
        .map(|example| scorer.statistics(example))
        .collect()
}

/// The scores of a corpus.
///
/// ```
/// use cutline::metrics::{Example, Metric, score};
///
/// let tokens = |caption: &str| caption.split(' ').map(str::to_owned).collect::<Vec<_>>();
/// let hypothesis = tokens("a red ball on stones");
/// let references = ["a red ball lies on grass", "a ball on the lawn"].map(tokens);
/// let scores = score(&[Example { hypothesis: &hypothesis, references: &references }]);
/// assert!((scores.score(Metric::BLEU_1) - 4.0 / 5.0).abs() < 1e-8);
/// ```
pub fn score(examples: &[Example<'_>]) -> Scores {
    statistics(examples).into_iter().sum::<Statistics>().scores()
}

/// The scores of each example, with the document frequencies of the whole corpus.
pub fn sentence_scores(examples: &[Example<'_>]) -> Vec<Scores> {
    statistics(examples).iter().map(Statistics::scores).collect()
}
