//! What the tests of operations on maps share: random tensors, windows, finite differences.

use crate::nn::backend::{Images, Taped};
use crate::nn::window::{Padding, Window};
use dfdx::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Uniform in `[-1, 1]`.
pub(crate) fn random<S: Shape>(shape: S, rng: &mut ChaCha8Rng) -> Tensor<S, f32, Cpu> {
    let values = (0..shape.num_elements())
        .map(|_| rng.random_range(-1.0..=1.0))
        .collect();
    Cpu::default().tensor_from_vec(values, shape)
}

/// A window of up to 4x3 with any stride and padding, and a map that it fits.
pub(crate) fn random_window(rng: &mut ChaCha8Rng) -> (Window, (usize, usize)) {
    let kernel = (rng.random_range(1..=4), rng.random_range(1..=3));
    let window = Window {
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

/// A scalar that depends on every element of `y` in its own way, so that no gradient can hide.
pub(crate) fn probe<S: Shape>(y: Tensor<S, f32, Cpu, Taped<Cpu>>) -> Tensor<(), f32, Cpu, Taped<Cpu>> {
    let weights = random(*y.shape(), &mut rng(99));
    let length = y.shape().num_elements();
    (y * weights).reshape_like(&(length,)).sum()
}

/// Every element within `tolerance` of `expected`, relative to the largest element.
#[track_caller]
pub(crate) fn assert_close<S: Shape>(
    what: &str,
    actual: &Tensor<S, f32, Cpu>,
    expected: &Tensor<S, f32, Cpu>,
    tolerance: f32,
) {
    assert_eq!(actual.shape(), expected.shape(), "{what}");
    let (actual, expected) = (actual.as_vec(), expected.as_vec());
    let scale = expected
        .iter()
        .fold(1e-3_f32, |scale, value| scale.max(value.abs()));
    for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
        assert!(
            (actual - expected).abs() <= tolerance * scale,
            "{what}[{index}]: {actual}, expected {expected}"
        );
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

/// `x[photo, y, x, channel]`, zero outside of the map.
pub(crate) fn padded_pixel(
    map: &Images<Cpu>,
    photo: usize,
    y: isize,
    x: isize,
    channel: usize,
) -> Option<f32> {
    let (_, height, width, _) = *map.shape();
    let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
    (y < height && x < width).then(|| map[[photo, y, x, channel]])
}
