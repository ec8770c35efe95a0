//! Pooling on a GPU.
//!
//! Why it is fast: a thread for each output value reads its inputs in place, its neighbors the neighboring channels. In the
//! backward pass every value collects its gradient, so that no thread waits for another.

use super::Images;
use crate::nn::cuda::{DeviceBuffer, KernelDevice, Stream, launch};
use crate::nn::ops::conv_geometry::{ConvGeometry, SlidingWindow};
use crate::nn::ops::rows::cuda::{mean_of_groups, spread_to_groups};
use crate::nn::tape::record;
use crate::nn::{DeviceResult, MatrixResult};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
crate::nn::cuda::impl_for_cuda! { super::PoolKernel:
    fn max_pool(x: Images<Self, T>, window: ConvGeometry) -> Images<Self, T> = max_pool;
    fn global_avg_pool(x: Images<Self, T>) -> super::Matrix<Self, T> = global_avg_pool;
}

/// [`PoolKernel::max_pool`](super::PoolKernel::max_pool); the first of equal values gets the gradient.
pub(super) fn max_pool<D: KernelDevice, T: Tape<f32, D>>(
    x: Images<D, T>,
    window: ConvGeometry,
) -> DeviceResult<D, Images<D, T>> {
    let Some(stream) = x.device().stream() else {
        return super::composed_max(x, window);
    };
    let (images, height, width, channels) = *x.shape();
    let sliding = SlidingWindow::new(window, images, (height, width));
    let (values_in, values_out) = (images * height * width * channels, sliding.outputs() * channels);
    let (x, tape) = x.split_tape();
    let (y, out) = x.device().alloc_tensor(sliding.output_shape(channels))?;
    let maps = D::slice(&x).first(values_in);
    launch!(stream => max_pool[values_out](maps, out, channels, &sliding, values_out))?;
    Ok(record(y, tape, move |gradients, y| {
        let places = stream.alloc(values_out)?;
        let (places, maps) = (places.slice(), D::slice(&x).first(values_in));
        launch!(stream => max_pool_places[values_out](maps, out, places, channels, &sliding, values_out))?;
        let (gradient, to_maps) = (D::gradient(gradients, y)?, D::gradient(gradients, &x)?);
        let (gradient, to_maps) = (gradient.first(values_out), to_maps.first(values_in));
        launch!(stream => max_pool_back[values_in](gradient, places, to_maps, channels, &sliding, values_in))
    }))
}

/// [`PoolKernel::global_avg_pool`](super::PoolKernel::global_avg_pool).
pub(super) fn global_avg_pool<D: KernelDevice, T: Tape<f32, D>>(x: Images<D, T>) -> MatrixResult<D, T> {
    let Some(stream) = x.device().stream() else {
        return super::composed_mean(x);
    };
    let (images, height, width, channels) = *x.shape();
    let pixels = height * width;
    let (x, tape) = x.split_tape();
    let (y, out) = x.device().alloc_tensor((images, channels))?;
    mean_of_groups(&stream, D::slice(&x), out, pixels, channels)?;
    Ok(record(y, tape, move |gradients, y| {
        let gradient = D::gradient(gradients, y)?;
        spread_to_groups(&stream, gradient, D::gradient(gradients, &x)?, pixels, channels)
    }))
}
