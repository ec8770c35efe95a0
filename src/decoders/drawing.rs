//! A word drawn as likely as its logits say.

use crate::nn::cpu::elementary;
use crate::text::END;
use pulp::Arch;

/// The column at which the probabilities of all columns up to it pass `share`, from 0 to 1.
/// The logits are used up.
pub(crate) fn draw_word(logits: &mut [f32], share: f32) -> usize {
    Arch::new().dispatch(|| {
        let most = elementary::largest(logits);
        for logit in &mut *logits {
            *logit = elementary::exp(*logit - most);
        }
    });
    let total: f64 = logits.iter().copied().map(f64::from).sum();
    let mut left = f64::from(share) * total;
    let passed = logits.iter().position(|&weight| {
        left -= f64::from(weight);
        left < 0.0
    });
    // Rounding may leave a little at the end.
    passed.unwrap_or_else(|| {
        logits
            .iter()
            .rposition(|&weight| weight > 0.0)
            .unwrap_or(END as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_drawn_as_likely_as_they_are() {
        let logits = [0.0, 2.0_f32.ln(), 5.0_f32.ln()];
        const DRAWS: u32 = 8000;
        let mut counts = [0; 3];
        for draw in 0..DRAWS {
            counts[draw_word(&mut logits.clone(), draw as f32 / DRAWS as f32)] += 1;
        }
        assert_eq!(counts, [1000, 2000, 5000]);
        assert_eq!(draw_word(&mut logits.clone(), 1.0), 2);
    }
}
