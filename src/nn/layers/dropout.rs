//! Dropout (Srivastava et al. 2014), with masks from a stream that a resumed training finds again.

use crate::nn::backend::{Backend, Matrix, MatrixResult};
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

/// Zeroes a fraction `rate` of the elements and scales the others by `1 / (1 - rate)`.
#[derive(Debug)]
pub struct Dropout<'a> {
    rate: f32,
    /// `None` drops nothing.
    stream: Option<&'a mut ChaCha8Rng>,
}

impl<'a> Dropout<'a> {
    /// Masks are drawn from `stream`. A rate of zero leaves everything as it is and draws nothing.
    pub fn new(rate: f32, stream: &'a mut ChaCha8Rng) -> Self {
        let stream = Some(stream).filter(|_| rate != 0.0);
        Self { rate, stream }
    }

    /// Drops nothing.
    pub fn off() -> Self {
        Self {
            rate: 0.0,
            stream: None,
        }
    }

    /// Drops elements of `rows`.
    pub fn apply<D: Backend, T: Tape<f32, D>>(&mut self, rows: Matrix<D, T>) -> MatrixResult<D, T> {
        let Some(stream) = &mut self.stream else {
            return Ok(rows);
        };
        let mask = Mask::new(self.rate, stream, rows.shape().num_elements());
        D::drop_elements(rows, &mask)
    }
}

/// Elements that a word of the stream decides on.
const DRAWS_OF_A_WORD: usize = 2;

/// Which of `len` elements are dropped, by the next bits of a random stream. A device may draw it itself.
///
/// Sixteen random bits decide an element, the lower ones of a word first, so the rate is exact to one part in 65,536.
#[derive(Clone, Debug)]
pub struct Mask {
    pub(in crate::nn) stream: ChaCha8Rng,
    rate: f32,
    pub(in crate::nn) len: usize,
}

impl Mask {
    /// Takes what it needs from `stream`.
    pub(in crate::nn) fn new(rate: f32, stream: &mut ChaCha8Rng, len: usize) -> Self {
        let mask = Self {
            stream: stream.clone(),
            rate,
            len,
        };
        let drawn = len.div_ceil(DRAWS_OF_A_WORD) as u128;
        stream.set_word_pos(stream.get_word_pos() + drawn);
        mask
    }

    /// An element whose bits are less than this is dropped.
    pub(in crate::nn) fn drop_below(&self) -> u32 {
        (self.rate * 65536.0) as u32
    }

    /// The factor of the other elements.
    pub(in crate::nn) fn scale(&self) -> f32 {
        1.0 / (1.0 - self.rate)
    }

    /// A factor for every element.
    pub(in crate::nn) fn factors(&self) -> Vec<f32> {
        let (mut stream, drop_below, kept) = (self.stream.clone(), self.drop_below(), self.scale());
        let mut factors = Vec::with_capacity(self.len + 1);
        while factors.len() < self.len {
            let bits = stream.next_u32();
            factors
                .extend([bits & 0xffff, bits >> 16].map(|draw| if draw < drop_below { 0.0 } else { kept }));
        }
        factors.truncate(self.len);
        factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two masks in a row drop the same elements as one mask of both lengths.
    #[test]
    fn the_stream_goes_on_where_the_mask_ends() {
        let ones = |len: usize| Cpu::default().tensor_from_vec(vec![1.0; len], (1, len));
        let (mut stream, mut whole) = (random_stream(1, "test", 0), random_stream(1, "test", 0));
        let mut dropout = Dropout::new(0.5, &mut stream);
        let parts = [6, 37, 8].map(|len| dropout.apply(ones(len)).unwrap().as_vec());
        // The last half of a word that a mask has no use for is left out.
        let expected = Dropout::new(0.5, &mut whole)
            .apply(ones(6 + 38 + 8))
            .unwrap()
            .as_vec();
        assert_eq!(parts[0], expected[..6]);
        assert_eq!(parts[1], expected[6..43]);
        assert_eq!(parts[2], expected[44..]);
    }

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
