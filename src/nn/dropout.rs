//! Dropout (Srivastava et al. 2014), with masks from a stream that a resumed training finds again.

use super::backend::{Backend, DeviceResult, Matrix};
use super::rows::scale_elements;
use dfdx::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The random stream of one step of one purpose: the same for the same `(seed, purpose, step)` whatever
/// was drawn before. That makes a resumed training repeat the draws of an uninterrupted one without saving
/// a generator's state.
pub fn random_stream(seed: u64, purpose: &str, step: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&seed.to_le_bytes())
        .update(&step.to_le_bytes())
        .update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// Zeroes a share `rate` of the elements and scales the others by `1 / (1 - rate)`.
#[derive(Debug)]
pub struct Dropout<'a> {
    rate: f32,
    stream: &'a mut ChaCha8Rng,
}

impl<'a> Dropout<'a> {
    /// Masks are drawn from `stream`. A rate of zero leaves everything as it is and draws nothing.
    pub fn new(rate: f32, stream: &'a mut ChaCha8Rng) -> Self {
        Self { rate, stream }
    }

    /// Drops elements of `rows`.
    pub fn apply<D: Backend, T: Tape<f32, D>>(
        &mut self,
        rows: Matrix<D, T>,
    ) -> DeviceResult<D, Matrix<D, T>> {
        if self.rate == 0.0 {
            return Ok(rows);
        }
        let mask = self.mask(rows.shape().num_elements());
        scale_elements(rows, mask)
    }

    /// Sixteen random bits decide an element: the rate is met to one part in 65,536.
    fn mask(&mut self, len: usize) -> Vec<f32> {
        let drop_below = (self.rate * 65536.0) as u32;
        let kept = 1.0 / (1.0 - self.rate);
        let mut mask = Vec::with_capacity(len + 1);
        while mask.len() < len {
            let bits = self.stream.next_u32();
            mask.extend([bits & 0xffff, bits >> 16].map(|draw| if draw < drop_below { 0.0 } else { kept }));
        }
        mask.truncate(len);
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_mean_and_repeats_itself() {
        let rows = Cpu::default()
            .try_tensor_from_vec(vec![1.0; 200 * 101], (200, 101))
            .unwrap();
        let dropped = |seed| {
            let mut stream = random_stream(seed, "test", 7);
            Dropout::new(0.3, &mut stream)
                .apply(rows.clone())
                .unwrap()
                .as_vec()
        };
        let values = dropped(1);
        let share = values.iter().filter(|&&v| v == 0.0).count() as f32 / values.len() as f32;
        assert!((share - 0.3).abs() < 0.02, "dropped {share}");
        assert!((values.iter().sum::<f32>() / values.len() as f32 - 1.0).abs() < 0.02);
        assert_eq!(values, dropped(1));
        assert_ne!(values, dropped(2));
    }
}
