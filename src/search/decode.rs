//! The decoding loop: all captions are written together, one decoder step for a word of each.
//!
//! The live captions are the rows of one step. After it, every caption continues, ends, or is continued by several (in a
//! beam); the next step gathers the rows of those that are live.

use super::Hypothesis;
use super::ensemble::{Ensemble, Logits};
use crate::nn::{Backend, DeviceResult};
use crate::text::{END, START, TokenId};
use rayon::prelude::*;
use std::slice::ChunksExactMut;

/// A caption that is being written.
#[derive(Clone, Debug)]
pub(super) struct ActiveHypothesis {
    pub(super) words: Vec<TokenId>,
    pub(super) log_probability: f64,
    pub(super) status: CaptionStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CaptionStatus {
    /// It continues from this row of the decoder's state.
    Live { row: usize },
    /// It has its end token.
    Ended,
    /// No word may follow, and no end token either.
    Exhausted,
}

impl ActiveHypothesis {
    /// An empty caption that starts from a row of the decoder's first state.
    pub(super) fn start(row: usize) -> Self {
        Self {
            words: Vec::new(),
            log_probability: 0.0,
            status: CaptionStatus::Live { row },
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.status, CaptionStatus::Live { .. })
    }

    /// Appends a word, or ends the caption.
    pub(super) fn push(&mut self, word: TokenId, log_probability: f64) {
        self.log_probability += log_probability;
        if word == END {
            self.status = CaptionStatus::Ended;
        } else {
            self.words.push(word);
        }
    }

    pub(super) fn into_hypothesis(self, length_penalty: f64) -> Hypothesis {
        let is_complete = self.status == CaptionStatus::Ended;
        Hypothesis::new(self.words, self.log_probability, is_complete, length_penalty)
    }
}

/// The captions of one image, or a single one of several, that continue independently of all others.
pub(super) trait ExtendBeam: Send {
    fn captions(&self) -> &[ActiveHypothesis];

    fn captions_mut(&mut self) -> &mut [ActiveHypothesis];

    /// Continues the live captions by a word. `rows` has the logits of each in order: `words` for each member.
    fn extend(&mut self, rows: ChunksExactMut<'_, f32>, words: usize);
}

/// Writes captions until all have ended, or for `max_length` steps. `after_step` is called with the members' states.
pub(super) fn decode<D: Backend, E: ExtendBeam>(
    mut ensemble: Ensemble<'_, D>,
    groups: &mut [E],
    max_length: usize,
    mut after_step: impl FnMut(&Ensemble<'_, D>),
) -> DeviceResult<D, ()> {
    for _ in 0..max_length {
        let (rows, last_words) = live_rows(groups);
        if rows.is_empty() {
            break; // a state of no rows cannot be selected
        }
        let (mut logits, after) = ensemble.select(&rows)?.step(&last_words)?;
        after_step(&after);
        ensemble = after;
        renumber(groups);
        let (row_len, words) = (logits.row_len, logits.words);
        let mut logits_of_groups = split_by_group(&mut logits, groups);
        groups
            .par_iter_mut()
            .zip(logits_of_groups.par_iter_mut())
            .for_each(|(group, logits)| group.extend(logits.chunks_exact_mut(row_len), words));
    }
    Ok(())
}

/// For each live caption in order, its row of the state and its last word.
fn live_rows<E: ExtendBeam>(groups: &[E]) -> (Vec<usize>, Vec<TokenId>) {
    let captions = groups.iter().flat_map(|group| group.captions());
    captions
        .filter_map(|caption| match caption.status {
            CaptionStatus::Live { row } => Some((row, caption.words.last().copied().unwrap_or(START))),
            CaptionStatus::Ended | CaptionStatus::Exhausted => None,
        })
        .unzip()
}

/// After a step, the rows of the new state are the live captions in order.
fn renumber<E: ExtendBeam>(groups: &mut [E]) {
    let captions = groups.iter_mut().flat_map(|group| group.captions_mut());
    let rows = captions.filter_map(|caption| match &mut caption.status {
        CaptionStatus::Live { row } => Some(row),
        CaptionStatus::Ended | CaptionStatus::Exhausted => None,
    });
    rows.zip(0..).for_each(|(row, number)| *row = number);
}

fn split_by_group<'l, E: ExtendBeam>(logits: &'l mut Logits, groups: &[E]) -> Vec<&'l mut [f32]> {
    let row_len = logits.row_len;
    let mut logits = logits.values.as_mut_slice();
    let of_group = |group: &E| {
        let live = group
            .captions()
            .iter()
            .filter(|caption| caption.is_live())
            .count();
        let (of_group, rest) = std::mem::take(&mut logits).split_at_mut(live * row_len);
        logits = rest;
        of_group
    };
    groups.iter().map(of_group).collect()
}
