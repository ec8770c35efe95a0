//! The device a model runs on, and the shapes of tensor that models speak in.

use super::conv2d::Conv2dKernel;
use super::depthwise::DepthwiseKernel;
use super::pool::PoolKernel;
use dfdx::prelude::{Cpu, Device, NoneTape, OwnedTape, Tensor};

/// A tape that records the backward operations of a training step.
pub type Taped<D> = OwnedTape<f32, D>;

/// `[rows, columns]`
pub type Matrix<D, T = NoneTape> = Tensor<(usize, usize), f32, D, T>;

/// `[photos, regions, channels]`: what a decoder is given to look at.
pub type Regions<D, T = NoneTape> = Tensor<(usize, usize, usize), f32, D, T>;

/// `[photos, height, width, channels]`: pixels, or a feature map.
pub type Images<D, T = NoneTape> = Tensor<(usize, usize, usize, usize), f32, D, T>;

/// A dfdx device that also has Cutline's operations.
pub trait Backend: Device<f32> + Conv2dKernel + DepthwiseKernel + PoolKernel {}

impl Backend for Cpu {}
