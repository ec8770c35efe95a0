//! Depthwise convolution on a GPU.
//!
//! Why it is fast: neighboring threads read neighboring channels and finish their sums in registers; nothing is laid out
//! in between.

use super::{Convolution, Images, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cuda::{DeviceBuffer, Elementwise, KernelDevice, Stream, launch};
use crate::nn::ops::conv_geometry::SlidingWindow;
use crate::nn::tape::record;
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
crate::nn::cuda::impl_for_cuda! { super::DepthwiseKernel:
    fn depthwise(x: Images<Self, T>, kernel: Matrix<Self>, bias: Matrix<Self>, convolution: Convolution) -> Images<Self, T>
        = fused;
}

/// [`DepthwiseKernel::depthwise`](super::DepthwiseKernel::depthwise).
pub(in crate::nn::ops) fn fused<D: KernelDevice, T: Tape<f32, D>>(
    x: Images<D, T>,
    kernel: Matrix<D>,
    bias: Matrix<D>,
    convolution: Convolution,
) -> DeviceResult<D, Images<D, T>> {
    let Some(stream) = x.device().stream() else {
        return super::composed(x, kernel, bias, convolution);
    };
    let (images, height, width, channels) = *x.shape();
    let (sliding, activation) = (
        SlidingWindow::new(convolution.window, images, (height, width)),
        convolution.activation,
    );
    let (values_in, values_out) = (images * height * width * channels, sliding.outputs() * channels);
    let sums = images * sliding.window.taps() * channels;
    let (x, tape) = x.split_tape();
    let (maps, weights) = (
        D::slice(&x).first(values_in),
        D::slice(&kernel).first(sums / images),
    );
    let (y, out) = x.device().alloc_tensor(sliding.output_shape(channels))?;
    let of_bias = D::slice(&bias).first(channels);
    launch!(stream => depthwise[values_out](maps, weights, of_bias, out, channels, activation, &sliding, values_out))?;
    Ok(record(y, tape, move |gradients, y| {
        let gradient = D::gradient(gradients, y)?.first(values_out);
        stream.activation_backward(gradient, out, activation)?;
        let (to_bias, mode) = D::gradient_target(gradients, &bias)?;
        stream.column_sums(gradient, to_bias, mode)?;
        let to_maps = D::gradient(gradients, &x)?.first(values_in);
        launch!(stream => depthwise_to_maps[values_in](gradient, weights, to_maps, channels, &sliding, values_in))?;
        let of_images = stream.alloc(sums)?;
        let maps = D::slice(&x).first(values_in);
        launch!(stream => depthwise_to_kernel[sums](maps, gradient, of_images.slice(), channels, &sliding, sums))?;
        let (to_kernel, mode) = D::gradient_target(gradients, &kernel)?;
        stream.column_sums(of_images.slice(), to_kernel, mode)
    }))
}
