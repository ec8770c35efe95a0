//! Depthwise convolution with bias and ReLU: one kernel for each channel.

pub(in crate::nn) mod cpu;
#[cfg(any(test, feature = "cuda"))]
pub(super) mod cuda;

use crate::nn::ops::conv_geometry::SlidingWindow;
use crate::nn::ops::conv_kernel::finish_composed;
use crate::nn::ops::im2col::windows;
use crate::nn::tape::contiguous;
use crate::nn::{Backend, Convolution, Images, Matrix};
use dfdx::prelude::*;

/// Depthwise convolution on a device.
pub trait DepthwiseKernel: Device<f32> {
    /// See [`depthwise`], which has checked the shapes and made every operand contiguous.
    fn depthwise<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> Result<Images<Self, T>, Self::Err> {
        composed(x, kernel, bias, convolution)
    }
}

/// Convolves each channel of `[images, height, width, channels]` with its own column of `kernel`
/// `[kernel height * kernel width, channels]`, adds `bias` `[1, channels]` and applies the activation:
/// `[images, height', width', channels]` (Sifre 2014; Howard et al. 2017, equation 3).
///
/// # Panics
/// If the shapes do not match.
pub fn depthwise<D: Backend, T: Tape<f32, D>>(
    x: Images<D, T>,
    kernel: &Matrix<D>,
    bias: &Matrix<D>,
    convolution: Convolution,
) -> Result<Images<D, T>, <D as HasErr>::Err> {
    let (_, _, _, channels) = *x.shape();
    assert_eq!(
        *kernel.shape(),
        (convolution.window.taps(), channels),
        "shape of a depthwise kernel"
    );
    assert_eq!(*bias.shape(), (1, channels), "shape of a bias");
    let (x, mut tape) = x.try_contiguous()?.split_tape();
    let kernel = contiguous(kernel, &mut tape)?;
    let bias = contiguous(bias, &mut tape)?;
    convolution.with_activation(|convolution| D::depthwise(x.put_tape(tape), kernel, bias, convolution))
}

pub(super) fn composed<D: Device<f32>, T: Tape<f32, D>>(
    x: Images<D, T>,
    kernel: Matrix<D>,
    bias: Matrix<D>,
    convolution: Convolution,
) -> Result<Images<D, T>, D::Err> {
    let (images, height, width, _) = *x.shape();
    let sliding = SlidingWindow::new(convolution.window, images, (height, width));
    let seen = windows(x, &sliding, 0.0)?;
    let shape = *seen.shape();
    let kernel = kernel.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&shape)?;
    let sums: Matrix<D, T> = seen.try_mul(kernel)?.try_sum::<_, Axis<1>>()?;
    finish_composed(sums, bias, convolution.activation, &sliding)
}
