//! Captions drawn word by word.

use super::ensemble::Ensemble;
use super::next_word::{largest, log_probabilities};
use super::{Hypothesis, SearchSettings};
use crate::nn::{Backend, DeviceResult, random_stream};
use crate::text::{END, START, TokenId};
use rand::{Rng, RngExt};

/// One caption an image, drawn from the stream of its place.
pub(super) fn draw<D: Backend>(
    mut ensemble: Ensemble<'_, D>,
    places: &[usize],
    settings: &SearchSettings,
) -> DeviceResult<D, Vec<Vec<Hypothesis>>> {
    let images = places.len();
    let mut streams: Vec<_> = places
        .iter()
        .map(|&place| random_stream(settings.seed, "sampling", place as u64))
        .collect();
    let mut captions = vec![Drawn::default(); images];
    let mut live: Vec<usize> = (0..images).collect();
    for _ in 0..settings.max_length {
        let words: Vec<TokenId> = live
            .iter()
            .map(|&image| captions[image].words.last().copied().unwrap_or(START))
            .collect();
        let (mut logits, after) = ensemble.step(&words)?;
        let rows = logits.values.chunks_exact_mut(logits.row_len);
        let mut going_on = Vec::with_capacity(live.len());
        for (row, (&image, row_of_logits)) in live.iter().zip(rows).enumerate() {
            let logits = log_probabilities(row_of_logits, logits.words, &captions[image].words, settings);
            if captions[image].read(draw_word(logits, settings, &mut streams[image])) {
                going_on.push(row);
            }
        }
        if going_on.is_empty() {
            break; // a state of no rows cannot be selected
        }
        ensemble = after.select(&going_on)?;
        live = going_on.into_iter().map(|row| live[row]).collect();
    }
    let finish = |caption: Drawn| {
        vec![Hypothesis::new(
            caption.words,
            caption.log_probability,
            settings.length_penalty,
        )]
    };
    Ok(captions.into_iter().map(finish).collect())
}

#[derive(Clone, Default)]
struct Drawn {
    words: Vec<TokenId>,
    log_probability: f64,
}

impl Drawn {
    /// Takes up the next word; false if that was the end.
    fn read(&mut self, (word, log_probability): (TokenId, f64)) -> bool {
        self.log_probability += log_probability;
        if word != END {
            self.words.push(word);
        }
        word != END
    }
}

/// A word, by probability after temperature and cut, with its log-probability before them.
fn draw_word(log_probabilities: &[f32], settings: &SearchSettings, stream: &mut impl Rng) -> (TokenId, f64) {
    let count = if settings.top_k == 0 {
        log_probabilities.len()
    } else {
        settings.top_k
    };
    let likeliest = largest(log_probabilities, count);
    let Some(&(first, best)) = likeliest.first() else {
        return (END, 0.0);
    };
    let weight = |value: f32| (f64::from(value - best) / settings.temperature).exp();
    let total: f64 = likeliest.iter().map(|&(_, value)| weight(value)).sum();
    let mut left = stream.random::<f64>() * total;
    let drawn = likeliest.iter().find(|&&(_, value)| {
        left -= weight(value);
        left < 0.0
    });
    let &(word, value) = drawn.unwrap_or(&(first, best));
    (word as TokenId, f64::from(value))
}
