//! From a row of logits to the log-probabilities of the next word.

use super::SearchSettings;
use crate::nn::cpu::elementary;
use crate::nn::cpu::slices::add;
use crate::text::{END, PAD, START, TokenId, UNKNOWN};
use pulp::Arch;

/// The mean of the members' log-probabilities, computed in place from a row of their logits, `width` of each. Words that may
/// not follow `words` get minus infinity.
pub(super) fn log_probabilities<'l>(
    logits: &'l mut [f32],
    width: usize,
    words: &[TokenId],
    settings: &SearchSettings,
) -> &'l mut [f32] {
    logits.chunks_exact_mut(width).for_each(subtract_log_sum);
    let mean = mean_of_members(logits, width);
    for word in forbidden(words, settings) {
        if let Some(logit) = mean.get_mut(word as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
    mean
}

/// The mean of the members' values, written over the first member's. A single member's values keep their bits.
fn mean_of_members(row: &mut [f32], width: usize) -> &mut [f32] {
    let members = row.len() / width;
    let (mean, others) = row.split_at_mut(width);
    if members > 1 {
        let weight = 1.0 / members as f32;
        Arch::new().dispatch(|| {
            for other in others.chunks_exact(width) {
                add(mean, other);
            }
            mean.iter_mut().for_each(|value| *value *= weight);
        });
    }
    mean
}

/// Subtracts the log-sum-exp.
fn subtract_log_sum(logits: &mut [f32]) {
    Arch::new().dispatch(|| {
        // Relative to the maximum, so that no exponential overflows.
        let maximum = elementary::largest(logits);
        let log_sum = maximum + elementary::sum_of(logits, |logit| elementary::exp(logit - maximum)).ln();
        for logit in &mut *logits {
            *logit -= log_sum;
        }
    });
}

/// Words that may not follow `words`: special tokens, the end token before the minimum length, and words that would
/// repeat an n-gram.
fn forbidden(words: &[TokenId], settings: &SearchSettings) -> Vec<TokenId> {
    let mut forbidden = vec![PAD, START, UNKNOWN];
    if words.len() < settings.min_length {
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

/// The `count` largest finite values with their indices, largest first; equal ones by index.
pub(super) fn largest(values: &[f32], count: usize) -> Vec<(usize, f32)> {
    let by_value = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count == 0 {
        return Vec::new();
    }
    // A buffer of twice as many as requested, cut to the largest whenever it is full. Values up to the least of those are
    // skipped, soon nearly all.
    let mut largest = Vec::with_capacity(values.len().min(2 * count));
    let mut bound = f32::NEG_INFINITY;
    for (i, &value) in values.iter().enumerate() {
        if value > bound && value.is_finite() {
            largest.push((i, value));
            if largest.len() == 2 * count {
                largest.select_nth_unstable_by(count - 1, by_value);
                largest.truncate(count);
                bound = largest[count - 1].1;
            }
        }
    }
    largest.sort_unstable_by(by_value);
    largest.truncate(count);
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::assert_close;
    use proptest::prelude::*;

    proptest! {
        /// Few different values, so that there are equal ones.
        #[test]
        fn largest_values_come_first(values in prop::collection::vec(-9i8..9, 0..60), count in 0usize..70) {
            let infinite = |value: i8| if value == 8 { f32::NEG_INFINITY } else { value.into() };
            let values: Vec<f32> = values.into_iter().map(infinite).collect();
            let mut expected: Vec<_> = values.iter().copied().enumerate().filter(|(_, value)| value.is_finite()).collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1));
            expected.truncate(count);
            prop_assert_eq!(largest(&values, count), expected);
        }

        #[test]
        fn log_probabilities_equal_those_in_f64(mut logits in prop::collection::vec(-20.0_f32..20.0, 1..200)) {
            let log_sum = logits.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
            let expected: Vec<f32> = logits.iter().map(|&logit| (f64::from(logit) - log_sum) as f32).collect();
            subtract_log_sum(&mut logits);
            assert_close(&logits, &expected, 1e-6);
        }
    }
}
