//! Im2col: the pixels under every position of a sliding window as one tensor, for composed convolutions and pools.

use crate::nn::backend::{Images, Regions};
use crate::nn::ops::conv_geometry::SlidingWindow;
use dfdx::prelude::*;

/// `[output pixels, taps, channels]`, with `outside` where a tap is in the padding.
pub(crate) fn windows<D: Device<f32>, T: Tape<f32, D>>(
    x: Images<D, T>,
    sliding: &SlidingWindow,
    outside: f32,
) -> Result<Regions<D, T>, D::Err> {
    let device = x.device().clone();
    let (images, height, width, channels) = *x.shape();
    let pixels = images * height * width;
    let map = x.try_reshape_like(&(pixels, channels))?;
    let padding: Tensor<(usize, usize), f32, D> =
        device.try_tensor_from_vec(vec![outside; channels], (1, channels))?;
    let padded = (map, padding).try_concat_along(Axis::<0>)?;
    let index =
        device.try_tensor_from_vec(index(sliding, pixels), (sliding.outputs(), sliding.window.taps()))?;
    padded.try_gather(index)
}

/// The input pixel that each tap of each output pixel reads, or `outside`.
fn index(sliding: &SlidingWindow, outside: usize) -> Vec<usize> {
    let taps = sliding.window.taps();
    let mut index = vec![outside; sliding.outputs() * taps];
    for (output, seen) in index.chunks_exact_mut(taps).enumerate() {
        for run in sliding.runs(sliding.position(output)) {
            for (slot, pixel) in seen[run.taps].iter_mut().zip(run.pixel..) {
                *slot = pixel;
            }
        }
    }
    index
}
