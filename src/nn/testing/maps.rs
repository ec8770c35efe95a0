//! Windows, definitions and finite differences for tests of operations on maps.

use super::assert_all_close;
use crate::nn::{Activation, ConvGeometry, Images, Padding};
use dfdx::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A window of up to 4x3 with any stride and padding, and a map that it fits.
pub(crate) fn random_window(rng: &mut ChaCha8Rng) -> (ConvGeometry, (usize, usize)) {
    let kernel = (rng.random_range(1..=4), rng.random_range(1..=3));
    let window = ConvGeometry {
        kernel,
        stride: rng.random_range(1..=3),
        padding: Padding {
            top: rng.random_range(0..=2),
            left: rng.random_range(0..=2),
            bottom: rng.random_range(0..=2),
            right: rng.random_range(0..=2),
        },
    };
    let extent = |smallest, rng: &mut ChaCha8Rng| rng.random_range(smallest..=smallest + 6);
    (window, (extent(kernel.0, rng), extent(kernel.1, rng)))
}

/// [`assert_close`](super::assert_close) for tensors, with a name for the message.
#[track_caller]
pub(crate) fn assert_close<S: Shape>(
    what: &str,
    found: &Tensor<S, f32, Cpu>,
    expected: &Tensor<S, f32, Cpu>,
    tolerance: f32,
) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    assert_all_close(what, &found.as_vec(), &expected.as_vec(), tolerance);
}

/// The activation of one sum, by its definition.
pub(crate) fn activated(activation: Activation, sum: f32) -> f32 {
    match activation {
        Activation::None => sum,
        Activation::Relu => sum.max(0.0),
        Activation::Relu6 => sum.clamp(0.0, 6.0),
        Activation::Tanh => sum.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-sum).exp()),
        Activation::Swish => sum / (1.0 + (-sum).exp()),
        Activation::HardSigmoid => ((sum + 3.0) / 6.0).clamp(0.0, 1.0),
        Activation::HardSwish => sum * ((sum + 3.0) / 6.0).clamp(0.0, 1.0),
        // tanh's approximation, within 5e-4
        Activation::Gelu => 0.5 * sum * (1.0 + (0.797_884_6 * (sum + 0.044_715 * sum.powi(3))).tanh()),
    }
}

/// The gradient of `f` at `x` by central differences.
pub(crate) fn differences<S: Shape>(
    x: &Tensor<S, f32, Cpu>,
    f: impl Fn(Tensor<S, f32, Cpu>) -> f32,
) -> Tensor<S, f32, Cpu> {
    const STEP: f32 = 1e-2;
    let values = x.as_vec();
    let moved = |index: usize, by: f32| {
        let mut values = values.clone();
        values[index] += by;
        f(x.device().tensor_from_vec(values, *x.shape()))
    };
    let slopes = (0..values.len())
        .map(|index| (moved(index, STEP) - moved(index, -STEP)) / (2.0 * STEP))
        .collect();
    x.device().tensor_from_vec(slopes, *x.shape())
}

/// `x[image, y, x, channel]`, zero outside of the map.
pub(crate) fn padded_pixel(
    map: &Images<Cpu>,
    image: usize,
    y: isize,
    x: isize,
    channel: usize,
) -> Option<f32> {
    let (_, height, width, _) = *map.shape();
    let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
    (y < height && x < width).then(|| map[[image, y, x, channel]])
}
