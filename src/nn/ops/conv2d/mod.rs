//! Two-dimensional convolution with bias and ReLU: a row gather and one large matrix product.

pub(in crate::nn) mod cpu;
#[cfg(any(test, feature = "cuda"))]
pub(super) mod cuda;

use crate::nn::ops::conv_geometry::{ConvGeometry, SlidingWindow};
use crate::nn::ops::conv_kernel::finish_composed;
use crate::nn::ops::im2col::windows;
use crate::nn::tape::contiguous;
use crate::nn::{Activation, Backend, Images, Matrix};
use dfdx::prelude::*;
use serde::{Deserialize, Serialize};

/// The geometry and activation of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convolution {
    /// Size, stride and padding.
    pub window: ConvGeometry,
    /// The activation of the sums.
    pub activation: Activation,
}

impl Convolution {
    /// The maps that `run` makes of the convolution. Where a tape records an activation whose slope needs the sums, it is
    /// an operation of its own.
    pub(super) fn with_activation<D: Device<f32>, T: Tape<f32, D>>(
        self,
        run: impl FnOnce(Self) -> Result<Images<D, T>, D::Err>,
    ) -> Result<Images<D, T>, D::Err> {
        if !T::OWNS_TAPE || self.activation.has_slope_of_output() {
            return run(self);
        }
        let sums = run(Self {
            activation: Activation::None,
            ..self
        })?;
        self.activation.composed(sums)
    }
}

/// Convolution on a device.
pub trait Conv2dKernel: Device<f32> {
    /// See [`conv2d`], which has checked the shapes and made every operand contiguous.
    fn conv2d<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> Result<Images<Self, T>, Self::Err> {
        composed(x, kernel, bias, convolution)
    }
}

/// Convolves `[images, height, width, inputs]` with `kernel` `[kernel height * kernel width * inputs, outputs]`,
/// adds `bias` `[1, outputs]` and applies the activation: `[images, height', width', outputs]`.
///
/// A dense layer is the case of a 1x1 kernel on a 1x1 map.
///
/// # Panics
/// If the shapes do not match.
///
/// ```
/// # use dfdx::prelude::*;
/// # use cutline::nn::{conv2d, Activation, Convolution, Padding, ConvGeometry};
/// let cpu = Cpu::default();
/// let image = cpu.tensor_from_vec((0..9).map(|v| v as f32).collect(), (1, 3, 3, 1));
/// let sum = cpu.tensor_from_vec(vec![1.0; 4], (4, 1));
/// let bias = cpu.tensor_from_vec(vec![-10.0], (1, 1));
/// let convolution = Convolution {
///     window: ConvGeometry::square(2, 1, Padding::NONE),
///     activation: Activation::Relu,
/// };
/// let map = conv2d(image, &sum, &bias, convolution)?;
/// assert_eq!(map.shape(), &(1, 2, 2, 1));
/// assert_eq!(map.as_vec(), [0.0, 2.0, 10.0, 14.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn conv2d<D: Backend, T: Tape<f32, D>>(
    x: Images<D, T>,
    kernel: &Matrix<D>,
    bias: &Matrix<D>,
    convolution: Convolution,
) -> Result<Images<D, T>, <D as HasErr>::Err> {
    let (_, _, _, inputs) = *x.shape();
    let (rows, outputs) = *kernel.shape();
    assert_eq!(rows, convolution.window.taps() * inputs, "rows of a kernel");
    assert_eq!(*bias.shape(), (1, outputs), "shape of a bias");
    let (x, mut tape) = x.try_contiguous()?.split_tape();
    let kernel = contiguous(kernel, &mut tape)?;
    let bias = contiguous(bias, &mut tape)?;
    convolution.with_activation(|convolution| D::conv2d(x.put_tape(tape), kernel, bias, convolution))
}

pub(super) fn composed<D: Device<f32>, T: Tape<f32, D>>(
    x: Images<D, T>,
    kernel: Matrix<D>,
    bias: Matrix<D>,
    convolution: Convolution,
) -> Result<Images<D, T>, D::Err> {
    let (images, height, width, _) = *x.shape();
    let sliding = SlidingWindow::new(convolution.window, images, (height, width));
    let (rows, _) = *kernel.shape();
    let columns: Matrix<D, T> = windows(x, &sliding, 0.0)?.try_reshape_like(&(sliding.outputs(), rows))?;
    let sums = columns.try_matmul(kernel)?;
    finish_composed(sums, bias, convolution.activation, &sliding)
}
