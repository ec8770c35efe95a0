//! Reading numbers from a device without waiting for it.
//!
//! A call on the CPU returns when the operation is done. A GPU only enqueues it. Reading a number is a synchronization
//! point: the host waits until all enqueued work is done, and then the GPU idles until the host enqueues more.

use crate::nn::backend::{DeviceResult, Scalar};
use dfdx::prelude::{Cpu, Device, TryMul};
use std::num::NonZeroUsize;

/// How far the host may run ahead of a device.
pub trait AsyncDevice: Device<f32> {
    /// Training steps enqueued before their losses are read back. A loss that is not finite shows only then, so nothing
    /// is saved or evaluated before a read-back.
    const STEPS_IN_FLIGHT: usize = 1;
    /// The default batch size of feature extraction.
    const INFERENCE_BATCH: NonZeroUsize = NonZeroUsize::new(8).unwrap();
    /// Decoded batches of images in the prefetch queue.
    const PREFETCHED_BATCHES: usize = 1;

    /// A number of the device; read at once where that does not synchronize.
    fn device_scalar(scalar: Scalar<Self>) -> DeviceScalar<Self> {
        DeviceScalar::Known(scalar.as_vec()[0])
    }
}

impl AsyncDevice for Cpu {}

/// A number that a device has computed or is still computing.
#[derive(Clone, Debug)]
pub enum DeviceScalar<D: Device<f32>> {
    /// On the host.
    Known(f32),
    /// On the device.
    OnDevice(Scalar<D>),
}

impl<D: Device<f32>> DeviceScalar<D> {
    /// The number; waits for the device if necessary.
    pub fn get(&self) -> f32 {
        match self {
            Self::Known(value) => *value,
            Self::OnDevice(scalar) => scalar.as_vec()[0],
        }
    }

    /// The number, if it is already on the host.
    pub fn try_get(&self) -> Option<f32> {
        match self {
            Self::Known(value) => Some(*value),
            Self::OnDevice(_) => None,
        }
    }

    /// The factor that clips a norm to `highest`: at most one; always one if `highest` is zero.
    pub(in crate::nn) fn clip_factor(&self, highest: f32) -> DeviceResult<D, Self> {
        Ok(match self {
            _ if highest <= 0.0 => Self::Known(1.0),
            Self::Known(norm) if *norm > highest => Self::Known(highest / norm),
            Self::Known(_) => Self::Known(1.0),
            Self::OnDevice(norm) => {
                let norm = norm.clone().try_clamp(highest, f32::MAX)?;
                Self::OnDevice(norm.try_recip()?.try_mul(highest)?)
            }
        })
    }
}
