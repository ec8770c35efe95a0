//! From one row of logits to log-probabilities of the words that may come next.

use super::SearchSettings;
use crate::text::{END, PAD, START, TokenId, UNKNOWN};

/// Turns logits into log-probabilities, in place; words that may not follow `words` get minus infinity.
pub(super) fn log_probabilities(logits: &mut [f32], words: &[TokenId], settings: &SearchSettings) {
    let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - maximum).exp()).sum();
    let log_sum = maximum + sum.ln() as f32;
    logits.iter_mut().for_each(|logit| *logit -= log_sum);
    for word in forbidden(words, settings) {
        if let Some(logit) = logits.get_mut(word as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// Words that may not follow `words`: markers that are never written, the end marker where it is too early,
/// whatever would repeat a run of words.
fn forbidden(words: &[TokenId], settings: &SearchSettings) -> Vec<TokenId> {
    let mut forbidden = vec![PAD, START, UNKNOWN];
    if words.len() < settings.minimum_length {
        forbidden.push(END);
    }
    let n = settings.no_repeat_ngram;
    if n > 0 && words.len() >= n {
        let tail = &words[words.len() + 1 - n..];
        forbidden.extend(
            words
                .windows(n)
                .filter(|run| run[..n - 1] == *tail)
                .map(|run| run[n - 1]),
        );
    }
    forbidden
}

/// The `count` largest finite values with their positions, largest first; equal ones by position.
pub(super) fn largest(values: &[f32], count: usize) -> Vec<(usize, f32)> {
    let by_value = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut all: Vec<(usize, f32)> = values
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
        .collect();
    if all.len() > count && count > 0 {
        all.select_nth_unstable_by(count - 1, by_value);
    }
    all.truncate(count);
    all.sort_by(by_value);
    all
}
