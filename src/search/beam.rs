//! Beam search.
//!
//! Each image keeps its `beam_size` most probable hypotheses. A finished one stays among them and is not extended.

use super::decode::{ActiveHypothesis, CaptionStatus, ExtendBeam, decode};
use super::ensemble::Ensemble;
use super::logits_processor::{largest, log_probabilities};
use super::{Hypothesis, SearchSettings};
use crate::nn::{Backend, DeviceResult};
use crate::text::TokenId;
use std::slice::ChunksExactMut;

/// The beam of one image.
struct Beam<'s> {
    hypotheses: Vec<ActiveHypothesis>,
    settings: &'s SearchSettings,
}

pub(super) fn search<D: Backend>(
    ensemble: Ensemble<'_, D>,
    images: usize,
    settings: &SearchSettings,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let start = |row| Beam {
        hypotheses: vec![ActiveHypothesis::start(row)],
        settings,
    };
    let mut beams: Vec<Beam<'_>> = (0..images).map(start).collect();
    decode(ensemble, &mut beams, settings.max_length(), |_| ())?;
    let finish = |beam: Beam<'_>| {
        let hypotheses = beam.hypotheses.into_iter();
        hypotheses
            .map(|hypothesis| hypothesis.into_hypothesis(settings.length_penalty))
            .collect()
    };
    Ok(beams.into_iter().map(finish).collect())
}

impl ExtendBeam for Beam<'_> {
    fn captions(&self) -> &[ActiveHypothesis] {
        &self.hypotheses
    }

    fn captions_mut(&mut self) -> &mut [ActiveHypothesis] {
        &mut self.hypotheses
    }

    /// Extends every live hypothesis by each of its most probable next words, and keeps the best of all.
    fn extend(&mut self, mut rows: ChunksExactMut<'_, f32>, words: usize) {
        let (settings, beam_size) = (self.settings, self.settings.beam_size);
        let mut candidates = Vec::with_capacity(beam_size * (beam_size + 1));
        for mut hypothesis in std::mem::take(&mut self.hypotheses) {
            if !hypothesis.is_live() {
                candidates.push(hypothesis);
                continue;
            }
            let Some(logits) = rows.next() else { continue };
            let next = largest(
                log_probabilities(logits, words, &hypothesis.words, settings),
                beam_size,
            );
            if next.is_empty() {
                hypothesis.status = CaptionStatus::Exhausted;
                candidates.push(hypothesis);
                continue;
            }
            candidates.extend(next.into_iter().map(|(word, log_probability)| {
                let mut extended = hypothesis.clone();
                extended.push(word as TokenId, f64::from(log_probability));
                extended
            }));
        }
        // A stable sort: equal candidates stay in the order of their hypotheses, so the result is deterministic.
        candidates.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
        candidates.truncate(beam_size);
        self.hypotheses = candidates;
    }
}
