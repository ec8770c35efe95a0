//! Caption metrics: pure functions on token lists.
//!
//! BLEU-1 to BLEU-4, ROUGE-L and CIDEr-D are those of coco-caption (PyPI `pycocoevalcap`), to 1e-9 on the same
//! tokens. Tokens may be words or token ids: whatever is a [`Token`]. Text is taken as it is; coco-caption's
//! own tokenizer is not part of this.
//!
//! Every corpus has scores, however odd: an example without references scores 0 (not left out), an empty
//! hypothesis scores 0 (ROUGE-L: 1 against an empty reference), CIDEr-D is 0 over a single image (no n-gram
//! tells it from others), and no examples at all score 0 throughout.

pub mod bleu;
pub mod bootstrap;
mod chosen;
pub mod cider;
pub mod diversity;
mod ngram;
pub mod rouge;
pub mod shuffled;
#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

pub use bleu::BleuStatistics;
pub use bootstrap::{Bootstrap, Difference, Interval, UnpairedError};
pub use chosen::Score;
pub use cider::CiderD;
pub use diversity::{Background, Diversity};
pub use ngram::MAX_ORDER;
pub use rouge::rouge_l;
pub use shuffled::Shuffled;

/// Anything captions can be made of: words (`String`, `&str`) or token ids.
pub trait Token: Clone + Ord + Hash {}

impl<T: Clone + Ord + Hash> Token for T {}

/// A generated caption and the captions people gave to the same image.
#[derive(Debug)]
pub struct Example<'a, T = String> {
    /// The tokens of the caption to be scored.
    pub hypothesis: &'a [T],
    /// The tokens of each reference caption.
    pub references: &'a [Vec<T>],
}

// Derived, these would ask for tokens that are `Copy`; only the slices are copied.
impl<T> Clone for Example<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Example<'_, T> {}

/// One value for each metric: the score itself or something said of it, such as an [`Interval`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores<T = f64> {
    /// BLEU-1 to BLEU-4; a score lies in 0 to 1.
    pub bleu: [T; MAX_ORDER],
    /// ROUGE-L; a score lies in 0 to 1.
    pub rouge_l: T,
    /// CIDEr-D; a score lies in 0 to 10.
    pub cider_d: T,
}

impl Scores {
    /// The metrics' usual names, in the order of [`Scores::into_array`].
    pub const NAMES: [&'static str; 6] = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D"];
}

impl<T> Scores<T> {
    /// The values in the order of [`Scores::NAMES`].
    pub fn into_array(self) -> [T; 6] {
        let [bleu_1, bleu_2, bleu_3, bleu_4] = self.bleu;
        [bleu_1, bleu_2, bleu_3, bleu_4, self.rouge_l, self.cider_d]
    }

    /// Puts together values that stand in the order of [`Scores::NAMES`].
    pub fn from_array([bleu_1, bleu_2, bleu_3, bleu_4, rouge_l, cider_d]: [T; 6]) -> Self {
        Self {
            bleu: [bleu_1, bleu_2, bleu_3, bleu_4],
            rouge_l,
            cider_d,
        }
    }
}

/// What examples add to the scores of a corpus: sums, so that any choice of examples is scored by adding.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    examples: u64,
    bleu: BleuStatistics,
    rouge_l: f64,
    cider_d: f64,
}

impl Statistics {
    /// The statistics of a single example.
    pub fn of<T: Token>(example: &Example<'_, T>, cider: &CiderD<T>) -> Self {
        let Example {
            hypothesis,
            references,
        } = *example;
        Self {
            examples: 1,
            bleu: BleuStatistics::of(hypothesis, references),
            rouge_l: rouge_l(hypothesis, references),
            cider_d: cider.score(hypothesis, references),
        }
    }

    /// The scores of the examples summed here: corpus BLEU, and the means of ROUGE-L and CIDEr-D.
    pub fn scores(&self) -> Scores {
        let examples = self.examples.max(1) as f64;
        Scores {
            bleu: self.bleu.scores(),
            rouge_l: self.rouge_l / examples,
            cider_d: self.cider_d / examples,
        }
    }
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.bleu += other.bleu;
        self.rouge_l += other.rouge_l;
        self.cider_d += other.cider_d;
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

/// The statistics of each example of a corpus, with document frequencies from all its references.
///
/// From these come corpus scores ([`Iterator::sum`], then [`Statistics::scores`]), sentence scores (each one's
/// own [`Statistics::scores`]) and intervals ([`Bootstrap`]) without counting anything twice.
pub fn statistics<T: Token>(examples: &[Example<'_, T>]) -> Vec<Statistics> {
    let cider = CiderD::from_references(examples.iter().map(|example| example.references));
    examples
        .iter()
        .map(|example| Statistics::of(example, &cider))
        .collect()
}

/// The scores of a corpus.
///
/// ```
/// use cutline::metrics::{Example, score};
///
/// let hypothesis = ["a", "red", "ball", "on", "stones"];
/// let references = [vec!["a", "red", "ball", "lies", "on", "grass"], vec!["a", "ball", "on", "the", "lawn"]];
/// let scores = score(&[Example { hypothesis: &hypothesis, references: &references }]);
/// assert!((scores.bleu[0] - 4.0 / 5.0).abs() < 1e-8);
/// assert!((scores.bleu[1] - (4.0f64 / 5.0 * 3.0 / 4.0).sqrt()).abs() < 1e-8);
/// ```
pub fn score<T: Token>(examples: &[Example<'_, T>]) -> Scores {
    statistics(examples).into_iter().sum::<Statistics>().scores()
}

/// The scores of each example by itself, in order; the document frequencies are still the whole corpus'.
pub fn sentence_scores<T: Token>(examples: &[Example<'_, T>]) -> Vec<Scores> {
    statistics(examples).iter().map(Statistics::scores).collect()
}

#[cfg(test)]
mod test_support {
    pub(super) fn tokens(caption: &str) -> Vec<String> {
        caption.split_whitespace().map(str::to_owned).collect()
    }
}
