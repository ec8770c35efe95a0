//! Depthwise convolution on a GPU.
//!
//! Why it is fast: neighboring threads read neighboring channels, sum up in registers and finish what they have summed
//! up; nothing is laid out in between.

use super::{Convolution, Images, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{DeviceBuffer, KernelDevice, Launch, Stream, WindowArguments, elementwise};
use crate::nn::ops::conv_geometry::SlidingWindow;
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::DepthwiseKernel for Cuda {
    fn depthwise<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> DeviceResult<Self, Images<Self, T>> {
        match x.device().stream() {
            Some(stream) => fused(stream, x, kernel, bias, convolution),
            None => super::composed(x, kernel, bias, convolution),
        }
    }
}

/// [`DepthwiseKernel::depthwise`](super::DepthwiseKernel::depthwise).
pub(super) fn fused<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    x: Images<D, T>,
    kernel: Matrix<D>,
    bias: Matrix<D>,
    convolution: Convolution,
) -> DeviceResult<D, Images<D, T>> {
    let (images, height, width, channels) = *x.shape();
    let sliding = SlidingWindow::new(convolution.window, images, (height, width));
    let window_arguments = WindowArguments::from(&sliding);
    let (values_in, values_out) = (images * height * width * channels, sliding.outputs() * channels);
    let weights = sliding.window.taps() * channels;
    let (x, mut tape) = x.split_tape();
    let (y, out) =
        elementwise::alloc_tensor(x.device(), (images, sliding.output.0, sliding.output.1, channels))?;
    stream.run(
        Launch::per_value("depthwise", values_out)
            .values(D::slice(&x), values_in)
            .values(D::slice(&kernel), weights)
            .values(D::slice(&bias), channels)
            .values(out, values_out)
            .size(channels)
            .activation(convolution.activation)
            .sliding(&window_arguments)
            .count(values_out),
    )?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        elementwise::activation_backward(&stream, gradient, out, convolution.activation)?;
        let to_bias = D::gradient(gradients, &bias)?;
        elementwise::column_sums(&stream, gradient, to_bias, WriteMode::Accumulate)?;
        stream.run(
            Launch::per_value("depthwise_to_maps", values_in)
                .values(gradient, values_out)
                .values(D::slice(&kernel), weights)
                .values(D::gradient(gradients, &x)?, values_in)
                .size(channels)
                .sliding(&window_arguments)
                .count(values_in),
        )?;
        let sums = stream.alloc(images * weights)?;
        stream.run(
            Launch::per_value("depthwise_to_kernel", images * weights)
                .values(D::slice(&x), values_in)
                .values(gradient, values_out)
                .values(sums.slice(), images * weights)
                .size(channels)
                .sliding(&window_arguments)
                .count(images * weights),
        )?;
        let to_kernel = D::gradient(gradients, &kernel)?;
        elementwise::column_sums(&stream, sums.slice(), to_kernel, WriteMode::Accumulate)
    });
    Ok(result.put_tape(tape))
}
