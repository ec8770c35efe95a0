//! Pooling on a GPU.
//!
//! Why it is fast: a thread for each value that comes out reads what it needs where it lies, its neighbors the
//! neighboring channels. On the way back every value collects its gradient, so that no thread waits for another.

use super::{Images, Matrix};
use crate::nn::backend::DeviceResult;
use crate::nn::cuda::{Call, Engine, Own, Room, Walked, elementwise};
use crate::nn::ops::conv_geometry::{Walk, Window};
use crate::nn::ops::rows::cuda::{mean_of_groups, spread_to_groups};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::PoolKernel for Cuda {
    fn max_pool<T: Tape<f32, Self>>(
        x: Images<Self, T>,
        window: Window,
    ) -> DeviceResult<Self, Images<Self, T>> {
        match x.device().engine() {
            Some(engine) => max_pool(engine, x, window),
            None => super::composed_max(x, window),
        }
    }

    fn global_mean<T: Tape<f32, Self>>(x: Images<Self, T>) -> DeviceResult<Self, Matrix<Self, T>> {
        match x.device().engine() {
            Some(engine) => global_mean(engine, x),
            None => super::composed_mean(x),
        }
    }
}

/// [`PoolKernel::max_pool`](super::PoolKernel::max_pool); the first of equal values gets the gradient.
pub(super) fn max_pool<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    x: Images<D, T>,
    window: Window,
) -> DeviceResult<D, Images<D, T>> {
    let (images, height, width, channels) = *x.shape();
    let walk = Walk::new(window, images, (height, width));
    let walked = Walked::from(&walk);
    let (values_in, values_out) = (images * height * width * channels, walk.outputs() * channels);
    let (x, mut tape) = x.split_tape();
    let (y, out) = elementwise::fresh(x.device(), (images, walk.output.0, walk.output.1, channels))?;
    engine.run(
        Call::of_values("max_pool", values_out)
            .values(D::span(&x), values_in)
            .values(out, values_out)
            .size(channels)
            .walk(&walked)
            .count(values_out),
    )?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let places = engine.room(values_out)?;
        engine.run(
            Call::of_values("max_pool_places", values_out)
                .values(D::span(&x), values_in)
                .values(out, values_out)
                .values(places.span(), values_out)
                .size(channels)
                .walk(&walked)
                .count(values_out),
        )?;
        engine.run(
            Call::of_values("max_pool_back", values_in)
                .values(D::gradient(gradients, &y)?, values_out)
                .values(places.span(), values_out)
                .values(D::gradient(gradients, &x)?, values_in)
                .size(channels)
                .walk(&walked)
                .count(values_in),
        )
    });
    Ok(result.put_tape(tape))
}

/// [`PoolKernel::global_mean`](super::PoolKernel::global_mean).
pub(super) fn global_mean<D: Own, T: Tape<f32, D>>(
    engine: D::Engine,
    x: Images<D, T>,
) -> DeviceResult<D, Matrix<D, T>> {
    let (images, height, width, channels) = *x.shape();
    let pixels = height * width;
    let (x, mut tape) = x.split_tape();
    let (y, out) = elementwise::fresh(x.device(), (images, channels))?;
    mean_of_groups(&engine, D::span(&x), out, pixels, channels)?;
    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        let gradient = D::gradient(gradients, &y)?;
        spread_to_groups(&engine, gradient, D::gradient(gradients, &x)?, pixels, channels)
    });
    Ok(result.put_tape(tape))
}
