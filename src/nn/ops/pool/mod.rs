//! Pooling: the maximum of every window, the mean of every map.

pub(in crate::nn) mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
#[cfg(test)]
mod tests;

use crate::nn::backend::{Backend, Images, Matrix, MatrixResult};
use crate::nn::ops::conv_geometry::{ConvGeometry, SlidingWindow};
use crate::nn::ops::im2col::windows;
use crate::nn::{Activation, Convolution, depthwise};
use dfdx::prelude::*;
use serde::{Deserialize, Serialize};

/// Pooling on a device.
pub trait PoolKernel: Device<f32> {
    /// See [`max_pool`], which has made `x` contiguous.
    fn max_pool<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        window: ConvGeometry,
    ) -> Result<Images<Self, T>, Self::Err> {
        composed_max(x, window)
    }

    /// See [`global_avg_pool`], which has made `x` contiguous.
    fn global_avg_pool<T: Tape<f32, Self>>(x: Images<Self, T>) -> MatrixResult<Self, T> {
        composed_mean(x)
    }
}

/// The largest value in every window, channel by channel: `[images, height, width, channels]` ->
/// `[images, height', width', channels]`. Padding never wins.
///
/// Of several equal maxima, kernels give the gradient to the first, as PyTorch does; the composed default, like dfdx's
/// own `max`, to each of them.
///
/// # Panics
/// If the window does not fit the padded map.
pub fn max_pool<D: Backend, T: Tape<f32, D>>(
    x: Images<D, T>,
    window: ConvGeometry,
) -> Result<Images<D, T>, <D as HasErr>::Err> {
    D::max_pool(x.try_contiguous()?, window)
}

/// The mean in a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AveragePool {
    /// Size, stride and padding.
    pub window: ConvGeometry,
    /// The number by which the sum is divided.
    pub divisor: PoolDivisor,
}

/// The divisor of an average at the edge of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolDivisor {
    /// The size of the window, padding included (PyTorch's default).
    Window,
    /// The pixels of the map in the window (TensorFlow).
    Pixels,
}

impl AveragePool {
    /// The reciprocal divisor at each output pixel of a map, row after row.
    pub(crate) fn scales(self, map: (usize, usize)) -> Vec<f32> {
        let sliding = SlidingWindow::new(self.window, 1, map);
        let scale = |output: usize| {
            let seen = || {
                sliding
                    .runs(sliding.position(output))
                    .map(|run| run.taps.len())
                    .sum()
            };
            let divisor: usize = match self.divisor {
                PoolDivisor::Window => self.window.taps(),
                PoolDivisor::Pixels => seen(),
            };
            1.0 / divisor.max(1) as f32
        };
        (0..sliding.outputs()).map(scale).collect()
    }
}

/// The mean in every window, channel by channel: `[images, height, width, channels]` ->
/// `[images, height', width', channels]`.
///
/// # Panics
/// If the window does not fit the padded map.
pub fn avg_pool<D: Backend, T: Tape<f32, D>>(
    x: Images<D, T>,
    pool: AveragePool,
) -> Result<Images<D, T>, <D as HasErr>::Err> {
    let device = x.device().clone();
    let (_, height, width, channels) = *x.shape();
    let sums = Convolution {
        window: pool.window,
        activation: Activation::None,
    };
    let ones = device.try_ones_like(&(pool.window.taps(), channels))?;
    let sums = depthwise(x, &ones, &device.try_zeros_like(&(1, channels))?, sums)?;
    let shape = *sums.shape();
    let scales: Matrix<D> = device.try_tensor_from_vec(pool.scales((height, width)), (shape.1, shape.2))?;
    sums.try_mul(scales.try_broadcast_like::<_, Axes2<0, 3>>(&shape)?)
}

/// The mean over all pixels: `[images, height, width, channels]` -> `[images, channels]`.
pub fn global_avg_pool<D: Backend, T: Tape<f32, D>>(x: Images<D, T>) -> MatrixResult<D, T> {
    D::global_avg_pool(x.try_contiguous()?)
}

fn composed_max<D: Device<f32>, T: Tape<f32, D>>(
    x: Images<D, T>,
    window: ConvGeometry,
) -> Result<Images<D, T>, D::Err> {
    let (images, height, width, channels) = *x.shape();
    let sliding = SlidingWindow::new(window, images, (height, width));
    let largest: Matrix<D, T> = windows(x, &sliding, f32::NEG_INFINITY)?.try_max::<_, Axis<1>>()?;
    largest.try_reshape_like(&sliding.output_shape(channels))
}

fn composed_mean<D: Device<f32>, T: Tape<f32, D>>(x: Images<D, T>) -> MatrixResult<D, T> {
    let (images, height, width, channels) = *x.shape();
    x.try_reshape_like(&(images, height * width, channels))?
        .try_mean::<_, Axis<1>>()
}
