//! The encoded images that decoders read.

use crate::nn::{Backend, MatrixResult, Regions};
use dfdx::prelude::*;
use std::sync::Arc;

/// Encoded images, `[images, regions, channels]`. Images with fewer regions than others end in padding, which no decoder
/// reads.
#[derive(Clone, Debug)]
pub struct ImageRegions<D: Backend, T = NoneTape> {
    pub(super) regions: Regions<D, T>,
    /// Regions of each image, where there is padding.
    pub(super) counts: Option<Arc<[usize]>>,
}

impl<D: Backend, T> From<Regions<D, T>> for ImageRegions<D, T> {
    /// Images of equally many regions.
    fn from(regions: Regions<D, T>) -> Self {
        Self {
            regions,
            counts: None,
        }
    }
}

impl<D: Backend, T: Tape<f32, D>> ImageRegions<D, T> {
    /// Images of which each has `counts` regions, at least one, before its padding.
    ///
    /// # Panics
    /// If a count is 0 or larger than the dimension, or the counts are not those of the images.
    pub fn padded(regions: Regions<D, T>, counts: &[usize]) -> Self {
        let (images, most, _) = *regions.shape();
        assert_eq!(counts.len(), images, "a count for each image");
        assert!(
            counts.iter().all(|count| (1..=most).contains(count)),
            "counts of regions"
        );
        let is_padded = counts.iter().any(|&count| count < most);
        Self {
            regions,
            counts: is_padded.then(|| counts.into()),
        }
    }

    /// Images, regions of the largest one, and channels.
    pub fn shape(&self) -> (usize, usize, usize) {
        *self.regions.shape()
    }

    /// All numbers, those of padding too.
    pub fn as_vec(&self) -> Vec<f32> {
        self.regions.as_vec()
    }

    pub(super) fn split_tape(self) -> (ImageRegions<D>, T) {
        let (regions, tape) = self.regions.split_tape();
        let counts = self.counts;
        (ImageRegions { regions, counts }, tape)
    }

    /// The mean region of each image, `[images, channels]`.
    pub(super) fn mean(self) -> MatrixResult<D, T> {
        let (images, count, channels) = self.shape();
        match &self.counts {
            Some(counts) => mean_without_padding(self.regions, counts),
            None if count == 1 => self.regions.try_reshape_like(&(images, channels)),
            None => self.regions.try_mean::<(usize, usize), Axis<1>>(),
        }
    }
}

impl<D: Backend> ImageRegions<D> {
    pub(super) fn put_tape<T: Tape<f32, D>>(self, tape: T) -> ImageRegions<D, T> {
        ImageRegions {
            regions: self.regions.put_tape(tape),
            counts: self.counts,
        }
    }
}

/// The mean of the first `counts` regions of each image: `[images, regions, channels]` to `[images, channels]`.
pub(super) fn mean_without_padding<D: Backend, T: Tape<f32, D>>(
    regions: Regions<D, T>,
    counts: &[usize],
) -> MatrixResult<D, T> {
    let (images, most, channels) = *regions.shape();
    let mut weights = vec![0.0; images * most];
    for (weights, &count) in weights.chunks_exact_mut(most).zip(counts) {
        weights[..count].fill(1.0 / count as f32);
    }
    let device = regions.device().clone();
    let (regions, tape) = regions.split_tape();
    let weights = device.try_tensor_from_vec(weights, (images, 1, most))?;
    weights
        .put_tape(tape)
        .try_matmul(regions)?
        .try_reshape_like(&(images, channels))
}
