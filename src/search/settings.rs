//! The settings of a search.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How captions are searched for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchSettings {
    /// Beam search or sampling.
    pub strategy: Strategy,
    /// Hypotheses kept at each step of a beam search; one is greedy search.
    pub beam: usize,
    /// A finished hypothesis of `n` words scores its log-probability over `(n + 1)` to this power: zero
    /// favors short captions, one judges by the mean.
    pub length_penalty: f64,
    /// How much of a hypothesis' score is how far the other ones of the beam agree with it, by CIDEr-D: from zero, which
    /// ranks by probability alone, to one. A wider beam gives more to agree with.
    pub consensus: f64,
    /// How the other hypotheses count in the consensus: the exponentials of their scores over this; the lower, the more
    /// the likely ones do.
    pub consensus_temperature: f64,
    /// The end marker may not come before this many words.
    pub minimum_length: usize,
    /// Captions are cut after this many words.
    pub maximum_length: usize,
    /// No run of this many words may come twice in a caption; zero allows all.
    pub no_repeat_ngram: usize,
    /// Sampling: logits are divided by it; below one favors likely words.
    pub temperature: f64,
    /// Sampling: only this many of the likeliest words are drawn from; zero means all.
    pub top_k: usize,
    /// Sampling: where draws start.
    pub seed: u64,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            strategy: Strategy::Beam,
            beam: 3,
            length_penalty: 0.7,
            consensus: 0.0,
            consensus_temperature: 1.0,
            minimum_length: 1,
            maximum_length: 20,
            no_repeat_ngram: 0,
            temperature: 1.0,
            top_k: 0,
            seed: 0,
        }
    }
}

/// In a few words, as a line under a table has room for.
impl fmt::Display for SearchSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strategy {
            Strategy::Beam if self.beam <= 1 => out.write_str("greedy"),
            Strategy::Beam if self.weighs_consensus() => {
                write!(out, "beam {}, consensus {}", self.beam, self.consensus)
            }
            Strategy::Beam => write!(out, "beam {}", self.beam),
            Strategy::Sample => write!(
                out,
                "drawn at temperature {} with seed {}",
                self.temperature, self.seed
            ),
        }
    }
}

/// How the next word is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Keep the likeliest hypotheses.
    #[default]
    Beam,
    /// Draw words by their probability.
    Sample,
}
