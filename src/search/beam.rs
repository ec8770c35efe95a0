//! Beam search over many images at once.
//!
//! Each image keeps its `beam` likeliest hypotheses; a finished one keeps its place among them and is not
//! extended. The live hypotheses of all images are the rows of one decoder step.

use super::ensemble::{Ensemble, Logits};
use super::next_word::{largest, log_probabilities};
use super::{Hypothesis, SearchSettings};
use crate::nn::{Backend, DeviceResult};
use crate::text::{END, START, TokenId};
use rayon::prelude::*;
use std::slice::ChunksExactMut;

/// A hypothesis in the making.
#[derive(Clone, Debug)]
struct Beam {
    words: Vec<TokenId>,
    log_probability: f64,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Goes on from this row of the decoder's state.
    Live { row: usize },
    /// The end marker was reached.
    Finished,
}

impl Beam {
    /// The beam with one more word, or finished.
    fn read(&self, word: usize, log_probability: f32) -> Self {
        let mut after = self.clone();
        after.log_probability += f64::from(log_probability);
        if word == END as usize {
            after.progress = Progress::Finished;
        } else {
            after.words.push(word as TokenId);
        }
        after
    }
}

pub(super) fn search<D: Backend>(
    mut ensemble: Ensemble<'_, D>,
    images: usize,
    settings: &SearchSettings,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let mut beams: Vec<Vec<Beam>> = (0..images)
        .map(|row| {
            vec![Beam {
                words: Vec::new(),
                log_probability: 0.0,
                progress: Progress::Live { row },
            }]
        })
        .collect();
    for _ in 0..settings.max_length {
        let (rows, last_words) = live(&beams);
        if rows.is_empty() {
            break;
        }
        let (mut logits, after) = ensemble.select(&rows)?.step(&last_words)?;
        ensemble = after;
        renumber(&mut beams);
        let (row_len, words) = (logits.row_len, logits.words);
        let mut logits_of_image = split_by_image(&mut logits, &beams);
        beams = beams
            .into_par_iter()
            .zip(logits_of_image.par_iter_mut())
            .map(|(beams, logits)| extend(beams, logits.chunks_exact_mut(row_len), words, settings))
            .collect();
    }
    Ok(beams.into_iter().map(|beams| finish(beams, settings)).collect())
}

/// The rows of the state that go on, image after image, and the word each reads next.
fn live(beams: &[Vec<Beam>]) -> (Vec<usize>, Vec<TokenId>) {
    beams
        .iter()
        .flatten()
        .filter_map(|beam| match beam.progress {
            Progress::Live { row } => Some((row, beam.words.last().copied().unwrap_or(START))),
            Progress::Finished => None,
        })
        .unzip()
}

/// After a step, the rows of the new state are the live beams in order.
fn renumber(beams: &mut [Vec<Beam>]) {
    let live = beams
        .iter_mut()
        .flatten()
        .filter_map(|beam| match &mut beam.progress {
            Progress::Live { row } => Some(row),
            Progress::Finished => None,
        });
    live.zip(0..).for_each(|(row, number)| *row = number);
}

fn split_by_image<'a>(logits: &'a mut Logits, beams: &[Vec<Beam>]) -> Vec<&'a mut [f32]> {
    let row_len = logits.row_len;
    let mut logits = logits.values.as_mut_slice();
    beams
        .iter()
        .map(|beams| {
            let live = beams
                .iter()
                .filter(|beam| matches!(beam.progress, Progress::Live { .. }))
                .count();
            let (of_image, rest) = std::mem::take(&mut logits).split_at_mut(live * row_len);
            logits = rest;
            of_image
        })
        .collect()
}

/// One step of one image: every live beam with each of its likeliest next words, the best of all kept.
fn extend(
    beams: Vec<Beam>,
    mut rows: ChunksExactMut<'_, f32>,
    words: usize,
    settings: &SearchSettings,
) -> Vec<Beam> {
    let mut candidates = Vec::with_capacity(settings.beam_size * (settings.beam_size + 1));
    for beam in beams {
        if let Progress::Finished = beam.progress {
            candidates.push(beam);
            continue;
        }
        let Some(logits) = rows.next() else { continue };
        let next = largest(
            log_probabilities(logits, words, &beam.words, settings),
            settings.beam_size,
        );
        if next.is_empty() {
            // Every word is forbidden: the caption ends here, without its marker.
            candidates.push(Beam {
                progress: Progress::Finished,
                ..beam
            });
            continue;
        }
        candidates.extend(
            next.into_iter()
                .map(|(word, log_probability)| beam.read(word, log_probability)),
        );
    }
    // Stable: equal candidates stay in the order of their beams, so the result does not depend on chance.
    candidates.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    candidates.truncate(settings.beam_size);
    candidates
}

/// The hypotheses, the likeliest first.
fn finish(beams: Vec<Beam>, settings: &SearchSettings) -> Vec<Hypothesis> {
    beams
        .into_iter()
        .map(|beam| Hypothesis::new(beam.words, beam.log_probability, settings.length_penalty))
        .collect()
}
