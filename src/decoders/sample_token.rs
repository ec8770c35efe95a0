//! Sampling a word from its logits.

use crate::nn::cpu::elementary;
use crate::text::END;
use pulp::Arch;

/// Samples a column by the softmax of `logits`; `draw` is uniform from 0 to 1. Returns the column and its probability.
/// Overwrites the logits.
pub(crate) fn sample_token(logits: &mut [f32], draw: f32) -> (usize, f64) {
    Arch::new().dispatch(|| {
        let largest = elementary::largest(logits);
        for logit in &mut *logits {
            *logit = elementary::exp(*logit - largest);
        }
    });
    let weights = logits.iter().copied().map(f64::from);
    let total: f64 = weights.clone().sum();
    let word = sample_index(weights, total, f64::from(draw)).unwrap_or_else(|| {
        logits
            .iter()
            .rposition(|&weight| weight > 0.0)
            .unwrap_or(END as usize)
    });
    (
        word,
        logits.get(word).map_or(0.0, |&weight| f64::from(weight) / total),
    )
}

/// The first index at which the cumulative sum of `weights` exceeds `draw * total`; `None` where rounding leaves a rest that
/// no index reaches.
pub(crate) fn sample_index(mut weights: impl Iterator<Item = f64>, total: f64, draw: f64) -> Option<usize> {
    let mut left = draw * total;
    weights.position(|weight| {
        left -= weight;
        left < 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draw_word_follows_the_probabilities() {
        let logits = [0.0, 2.0_f32.ln(), 5.0_f32.ln()];
        const DRAWS: u32 = 8000;
        let mut counts = [0; 3];
        for draw in 0..DRAWS {
            let (word, probability) = sample_token(&mut logits.clone(), draw as f32 / DRAWS as f32);
            assert!((probability - [0.125, 0.25, 0.625][word]).abs() < 1e-6);
            counts[word] += 1;
        }
        assert_eq!(counts, [1000, 2000, 5000]);
        assert_eq!(sample_token(&mut logits.clone(), 1.0).0, 2);
    }
}
