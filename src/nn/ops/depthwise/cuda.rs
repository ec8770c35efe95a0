//! Depthwise convolution on a GPU.
//!
//! Why it is fast: neighboring threads read neighboring channels, sum up in registers and finish what they have summed
//! up; nothing is laid out in between.

use super::{Convolution, Images, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cpu::matmul::Existing;
use crate::nn::cuda::{Call, Engine, Own, Room, Walked, elementwise};
use crate::nn::ops::conv_geometry::Walk;
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::DepthwiseKernel for Cuda {
    fn depthwise<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        kernel: Matrix<Self>,
        bias: Matrix<Self>,
        convolution: Convolution,
    ) -> DeviceResult<Self, Images<Self, T>> {
        match x.device().engine() {
            Some(engine) => fused(engine, x, kernel, bias, convolution),
            None => super::composed(x, kernel, bias, convolution),
        }
    }
}

/// [`DepthwiseKernel::depthwise`](super::DepthwiseKernel::depthwise).
pub(super) fn fused<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    x: Images<D, T>,
    kernel: Matrix<D>,
    bias: Matrix<D>,
    convolution: Convolution,
) -> DeviceResult<D, Images<D, T>> {
    let (images, height, width, channels) = *x.shape();
    let walk = Walk::new(convolution.window, images, (height, width));
    let walked = Walked::from(&walk);
    let (values_in, values_out) = (images * height * width * channels, walk.outputs() * channels);
    let weights = walk.window.taps() * channels;
    let (x, mut tape) = x.split_tape();
    let (y, out) = elementwise::fresh(x.device(), (images, walk.output.0, walk.output.1, channels))?;
    engine.run(
        Call::of_values("depthwise", values_out)
            .values(D::span(&x), values_in)
            .values(D::span(&kernel), weights)
            .values(D::span(&bias), channels)
            .values(out, values_out)
            .size(channels)
            .activation(convolution.activation)
            .walk(&walked)
            .count(values_out),
    )?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        elementwise::undo_activation(&engine, gradient, out, convolution.activation)?;
        let to_bias = D::gradient(gradients, &bias)?;
        elementwise::column_sums(&engine, gradient, to_bias, Existing::Accumulate)?;
        engine.run(
            Call::of_values("depthwise_to_maps", values_in)
                .values(gradient, values_out)
                .values(D::span(&kernel), weights)
                .values(D::gradient(gradients, &x)?, values_in)
                .size(channels)
                .walk(&walked)
                .count(values_in),
        )?;
        let sums = engine.room(images * weights)?;
        engine.run(
            Call::of_values("depthwise_to_kernel", images * weights)
                .values(D::span(&x), values_in)
                .values(gradient, values_out)
                .values(sums.span(), images * weights)
                .size(channels)
                .walk(&walked)
                .count(images * weights),
        )?;
        let to_kernel = D::gradient(gradients, &kernel)?;
        elementwise::column_sums(&engine, sums.span(), to_kernel, Existing::Accumulate)
    });
    Ok(result.put_tape(tape))
}
