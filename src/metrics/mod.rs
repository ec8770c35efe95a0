//! Caption metrics: pure functions on token lists.
//!
//! BLEU-1 to BLEU-4, ROUGE-L, CIDEr-D and METEOR equal coco-caption's (PyPI `pycocoevalcap`) to 1e-9 on the same tokens.
//! coco-caption's tokenizer is [`PtbTokenizer`](crate::text::PtbTokenizer); its tokens may have no-break spaces, at which
//! BLEU and CIDEr-D split them, as coco-caption does.
//!
//! Every corpus has scores: an example without references scores 0 (it is not left out), an empty hypothesis scores 0
//! (ROUGE-L: 1 against an empty reference), CIDEr-D of a single image is 0, and an empty corpus scores 0.
//!
//! A new metric is a file with a `SCORER` and a row in `SCORERS`: tables, charts, reports, exports, bootstrap and
//! flags read the table.

pub mod bleu;
pub mod bootstrap;
pub mod cider;
pub mod diversity;
pub mod meteor;
mod metric;
mod ngram;
pub mod rouge;
mod scores;
pub mod shuffle_test;
mod statistics;
#[cfg(test)]
mod tests;

use std::hash::Hash;

pub use bleu::BleuStatistics;
pub use bootstrap::{Bootstrap, Interval, ScoreDifference, UnpairedError};
pub use cider::CiderD;
pub use diversity::{Diversity, TrainingCorpus};
pub use metric::{DisplayLevel, Metric, MetricDef};
pub use ngram::MAX_ORDER;
pub use rouge::rouge_l;
pub use scores::Scores;
pub use shuffle_test::Shuffled;
use statistics::Scorer;
pub use statistics::{CorpusScorer, Statistics, score, sentence_scores, statistics};

/// The scorers, as in coco-caption's `COCOEvalCap`.
const SCORERS: [Scorer; 3] = [bleu::SCORER, rouge::SCORER, cider::SCORER];

/// The metrics that need more than captions; scores have them only where they were added to the [`Statistics`].
const OPTIONAL: [MetricDef; 2] = [
    MetricDef::new("meteor", "METEOR", DisplayLevel::Full),
    MetricDef::new("spice", "SPICE", DisplayLevel::Full),
];

/// [`METRICS`], then the optional ones.
const ROWS: [MetricDef; METRIC_COUNT + OPTIONAL.len()] = {
    let mut rows = [OPTIONAL[0]; METRIC_COUNT + OPTIONAL.len()];
    let mut index = 0;
    while index < rows.len() {
        rows[index] = match index < METRIC_COUNT {
            true => METRICS[index],
            false => OPTIONAL[index - METRIC_COUNT],
        };
        index += 1;
    }
    rows
};

/// The metrics of all scorers: the order in which tables show them.
pub const METRICS: [MetricDef; METRIC_COUNT] = {
    let mut metrics = [SCORERS[0].metrics[0]; METRIC_COUNT];
    let (mut count, mut scorer) = (0, 0);
    while scorer < SCORERS.len() {
        let mut index = 0;
        while index < SCORERS[scorer].metrics.len() {
            metrics[count] = SCORERS[scorer].metrics[index];
            (count, index) = (count + 1, index + 1);
        }
        scorer += 1;
    }
    metrics
};

const METRIC_COUNT: usize = {
    let (mut count, mut scorer) = (0, 0);
    while scorer < SCORERS.len() {
        count += SCORERS[scorer].metrics.len();
        scorer += 1;
    }
    count
};

/// A token of n-gram metrics: a word or a token id.
pub trait Token: Clone + Ord + Hash {}

impl<T: Clone + Ord + Hash> Token for T {}

/// A generated caption and the reference captions of the same image.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    /// The tokens of the caption to be scored.
    pub hypothesis: &'a [String],
    /// The tokens of each reference caption.
    pub references: &'a [Vec<String>],
}

#[cfg(test)]
mod test_support {
    use super::Example;

    pub(super) fn tokens(caption: &str) -> Vec<String> {
        caption.split_whitespace().map(str::to_owned).collect()
    }

    /// Examples of hypotheses with their references.
    pub(super) fn examples(system: &[(Vec<String>, Vec<Vec<String>>)]) -> Vec<Example<'_>> {
        system
            .iter()
            .map(|(hypothesis, references)| Example {
                hypothesis,
                references,
            })
            .collect()
    }
}
