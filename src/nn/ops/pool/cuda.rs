//! Pooling on a GPU.
//!
//! Why it is fast: a thread for each value that comes out reads its inputs in place, its neighbors the
//! neighboring channels. In the backward pass every value collects its gradient, so that no thread waits for another.

use super::{Images, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cuda::{DeviceBuffer, KernelDevice, Launch, Stream, WindowArguments, elementwise};
use crate::nn::ops::conv_geometry::{ConvGeometry, SlidingWindow};
use crate::nn::ops::rows::cuda::{mean_of_groups, spread_to_groups};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::PoolKernel for Cuda {
    fn max_pool<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        window: ConvGeometry,
    ) -> DeviceResult<Self, Images<Self, T>> {
        match x.device().stream() {
            Some(stream) => max_pool(stream, x, window),
            None => super::composed_max(x, window),
        }
    }

    fn global_avg_pool<T: Tape<f32, Self>>(x: Images<Self, T>) -> DeviceResult<Self, Matrix<Self, T>> {
        match x.device().stream() {
            Some(stream) => global_avg_pool(stream, x),
            None => super::composed_mean(x),
        }
    }
}

/// [`PoolKernel::max_pool`](super::PoolKernel::max_pool); the first of equal values gets the gradient.
pub(super) fn max_pool<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    x: Images<D, T>,
    window: ConvGeometry,
) -> DeviceResult<D, Images<D, T>> {
    let (images, height, width, channels) = *x.shape();
    let sliding = SlidingWindow::new(window, images, (height, width));
    let window_arguments = WindowArguments::from(&sliding);
    let (values_in, values_out) = (images * height * width * channels, sliding.outputs() * channels);
    let (x, mut tape) = x.split_tape();
    let (y, out) =
        elementwise::alloc_tensor(x.device(), (images, sliding.output.0, sliding.output.1, channels))?;
    stream.run(
        Launch::per_value("max_pool", values_out)
            .values(D::slice(&x), values_in)
            .values(out, values_out)
            .size(channels)
            .sliding(&window_arguments)
            .count(values_out),
    )?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let places = stream.alloc(values_out)?;
        stream.run(
            Launch::per_value("max_pool_places", values_out)
                .values(D::slice(&x), values_in)
                .values(out, values_out)
                .values(places.slice(), values_out)
                .size(channels)
                .sliding(&window_arguments)
                .count(values_out),
        )?;
        stream.run(
            Launch::per_value("max_pool_back", values_in)
                .values(D::gradient(gradients, &y)?, values_out)
                .values(places.slice(), values_out)
                .values(D::gradient(gradients, &x)?, values_in)
                .size(channels)
                .sliding(&window_arguments)
                .count(values_in),
        )
    });
    Ok(result.put_tape(tape))
}

/// [`PoolKernel::global_avg_pool`](super::PoolKernel::global_avg_pool).
pub(super) fn global_avg_pool<D: KernelDevice, T: Tape<f32, D>>(
    stream: D::Stream,
    x: Images<D, T>,
) -> DeviceResult<D, Matrix<D, T>> {
    let (images, height, width, channels) = *x.shape();
    let pixels = height * width;
    let (x, mut tape) = x.split_tape();
    let (y, out) = elementwise::alloc_tensor(x.device(), (images, channels))?;
    mean_of_groups(&stream, D::slice(&x), out, pixels, channels)?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        spread_to_groups(&stream, gradient, D::gradient(gradients, &x)?, pixels, channels)
    });
    Ok(result.put_tape(tape))
}
