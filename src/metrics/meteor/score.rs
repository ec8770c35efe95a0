//! The counts of an alignment, and the score that is computed from them.

use std::ops::AddAssign;

/// Relative weight of recall in the mean of precision and recall.
const ALPHA: f64 = 0.85;
/// Exponent of the fragmentation.
const BETA: f64 = 0.2;
/// The largest penalty.
const GAMMA: f64 = 0.6;
/// Weight of a content word; that of a function word is the rest to 1.
const DELTA: f64 = 0.75;

/// Why words match, in the order in which matches are sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MatchKind {
    Exact,
    Stem,
    Synonym,
    Paraphrase,
}

/// The weight of a match of each kind.
const MATCH_WEIGHTS: [f64; 4] = [1.0, 0.6, 0.8, 0.6];

/// Words of one caption, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct WordCounts {
    pub(super) content: f64,
    pub(super) function: f64,
}

impl WordCounts {
    fn total(&self) -> f64 {
        self.content + self.function
    }

    fn weighted(&self) -> f64 {
        DELTA * self.content + (1.0 - DELTA) * self.function
    }
}

impl AddAssign for WordCounts {
    fn add_assign(&mut self, other: Self) {
        self.content += other.content;
        self.function += other.function;
    }
}

/// The words of one side of an alignment, and those that matches of each kind cover.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct AlignmentSide {
    pub(super) words: WordCounts,
    pub(super) matched: [WordCounts; 4],
}

impl AlignmentSide {
    fn matches(&self) -> f64 {
        self.matched.iter().map(WordCounts::total).sum()
    }

    /// The weighted part of the words that is matched; NaN without words.
    fn coverage(&self) -> f64 {
        let weighted = self.matched.iter().zip(MATCH_WEIGHTS);
        let matched: f64 = weighted.map(|(counts, weight)| weight * counts.weighted()).sum();
        matched / self.words.weighted()
    }
}

impl AddAssign for AlignmentSide {
    fn add_assign(&mut self, other: Self) {
        self.words += other.words;
        for (matched, more) in self.matched.iter_mut().zip(other.matched) {
            *matched += more;
        }
    }
}

/// The counts that METEOR is computed from; those of a corpus are the sum of its captions'.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeteorCounts {
    pub(super) hypothesis: AlignmentSide,
    pub(super) reference: AlignmentSide,
    /// Runs of matches in the same order on both sides; 0 if the captions match entirely, in order.
    pub(super) chunks: f64,
}

impl MeteorCounts {
    pub(super) fn new(hypothesis: AlignmentSide, reference: AlignmentSide, chunks: usize) -> Self {
        let is_entire = |side: &AlignmentSide| side.matches() == side.words.total();
        let is_same = chunks == 1 && is_entire(&hypothesis) && is_entire(&reference);
        Self {
            hypothesis,
            reference,
            chunks: if is_same { 0.0 } else { chunks as f64 },
        }
    }

    /// METEOR, in 0 to 1; 0 if nothing matches or a side is empty.
    ///
    /// (1 - γ (chunks / matches)^β) PR / (αP + (1 - α)R), with α = 0.85, β = 0.2, γ = 0.6: Denkowski and Lavie 2014,
    /// "Meteor Universal: Language Specific Translation Evaluation for Any Target Language", section 2.
    pub fn score(&self) -> f64 {
        let (precision, recall) = (self.hypothesis.coverage(), self.reference.coverage());
        let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
        let matches = (self.hypothesis.matches() + self.reference.matches()) / 2.0;
        let penalty = GAMMA * (self.chunks / matches).powf(BETA);
        let score = mean * (1.0 - penalty);
        // NaN without matches.
        score.max(0.0)
    }
}

impl AddAssign for MeteorCounts {
    fn add_assign(&mut self, other: Self) {
        self.hypothesis += other.hypothesis;
        self.reference += other.reference;
        self.chunks += other.chunks;
    }
}
