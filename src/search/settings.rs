//! The settings of a search.

use crate::config::AutoOr;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The settings of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "SETTINGS describes each setting")]
pub struct SearchSettings {
    pub strategy: Strategy,
    pub beam_size: usize,
    /// A hypothesis of `n` words scores its log-probability over `(n + 1)` to this power: 0 favors short captions, 1 takes
    /// the mean over its tokens.
    pub length_penalty: f64,
    pub mbr_weight: f64,
    pub mbr_temperature: f64,
    pub min_length: usize,
    pub max_length: AutoOr<usize>,
    pub no_repeat_ngram: usize,
    pub temperature: f64,
    pub top_k: usize,
    pub seed: u64,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            strategy: Strategy::Beam,
            beam_size: 3,
            length_penalty: 0.7,
            mbr_weight: 0.0,
            mbr_temperature: 1.0,
            min_length: 1,
            max_length: AutoOr::Auto,
            no_repeat_ngram: 0,
            temperature: 1.0,
            top_k: 0,
            seed: 0,
        }
    }
}

impl SearchSettings {
    /// The maximum caption length in words of an `auto` that no training captions were fitted to.
    pub const DEFAULT_MAX_LENGTH: usize = 20;

    /// The maximum caption length in words.
    pub fn max_length(&self) -> usize {
        self.max_length.unwrap_or(Self::DEFAULT_MAX_LENGTH)
    }
}

/// A short description, for the line below a table.
impl fmt::Display for SearchSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strategy {
            Strategy::Beam if self.beam_size <= 1 => out.write_str("greedy"),
            Strategy::Beam if self.uses_mbr() => {
                write!(out, "beam {}, mbr {}", self.beam_size, self.mbr_weight)
            }
            Strategy::Beam => write!(out, "beam {}", self.beam_size),
            Strategy::Sample => write!(
                out,
                "sampled at temperature {} with seed {}",
                self.temperature, self.seed
            ),
        }
    }
}

/// How the next word is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Keep the most probable hypotheses.
    #[default]
    Beam,
    /// Draw words by their probability.
    Sample,
}
