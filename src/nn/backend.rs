//! The device of a model, and the shapes of its tensors.

use super::{
    AsyncDevice, AttentionKernel, Conv2dKernel, CrossEntropyKernel, DepthwiseKernel, InferenceKernel,
    LinearKernel, LstmKernel, OptimizerKernel, PoolKernel, RecurrenceKernel, RowsKernel,
};
use dfdx::prelude::{Cpu, Device, HasErr, NoneTape, OwnedTape, Tensor};

/// A tape that records the backward operations of a training step.
pub type Taped<D> = OwnedTape<f32, D>;

/// `[rows, columns]`
pub type Matrix<D, T = NoneTape> = Tensor<(usize, usize), f32, D, T>;

/// `[images, regions, channels]`: the features that a decoder reads.
pub type Regions<D, T = NoneTape> = Tensor<(usize, usize, usize), f32, D, T>;

/// `[images, height, width, channels]`: pixels, or a feature map.
pub type Images<D, T = NoneTape> = Tensor<(usize, usize, usize, usize), f32, D, T>;

/// The result of an operation on device `D`, or the device's error, mostly out of memory.
pub type DeviceResult<D, V> = Result<V, <D as HasErr>::Err>;

/// A matrix or the device's error.
pub type MatrixResult<D, T = NoneTape> = DeviceResult<D, Matrix<D, T>>;

/// A single number, such as a loss.
pub type Scalar<D, T = NoneTape> = Tensor<(), f32, D, T>;

/// A dfdx device that also has Cutline's operations.
pub trait Backend:
    Device<f32>
    + AttentionKernel
    + Conv2dKernel
    + CrossEntropyKernel
    + DepthwiseKernel
    + InferenceKernel
    + LinearKernel
    + LstmKernel
    + OptimizerKernel
    + AsyncDevice
    + PoolKernel
    + RecurrenceKernel
    + RowsKernel
{
}

impl Backend for Cpu {}
