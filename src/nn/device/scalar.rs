//! How far the host may run ahead of a device.
//!
//! The CPU has done an operation when the call comes back. A GPU has only been told of it, and goes on by itself for as
//! long as nobody asks it for a number: then the host waits until all is done, and the GPU until it is told of more.

use crate::nn::backend::{DeviceResult, Scalar};
use dfdx::prelude::{Cpu, Device, TryMul};
use std::num::NonZeroUsize;

/// How a device wants its work handed over.
pub trait AsyncDevice: Device<f32> {
    /// Updates of a training after which the host asks what came of them. In between nobody knows of a loss that is not
    /// finite; nothing is saved or scored before it is known.
    const STEPS_IN_FLIGHT: usize = 1;
    /// Images that a network looks at together, where nobody says otherwise.
    const INFERENCE_BATCH: NonZeroUsize = NonZeroUsize::new(8).unwrap();
    /// Batches of images that wait decoded.
    const PREFETCHED_BATCHES: usize = 1;

    /// A number on its way to the host: read at once, where that costs nothing.
    fn device_scalar(scalar: Scalar<Self>) -> DeviceScalar<Self> {
        DeviceScalar::Known(scalar.as_vec()[0])
    }
}

impl AsyncDevice for Cpu {}

/// A number that a device has computed, or is still at.
#[derive(Clone, Debug)]
pub enum DeviceScalar<D: Device<f32>> {
    /// The host knows it.
    Known(f32),
    /// It is on the device.
    OnDevice(Scalar<D>),
}

impl<D: Device<f32>> DeviceScalar<D> {
    /// It, waited for if need be.
    pub fn get(&self) -> f32 {
        match self {
            Self::Known(value) => *value,
            Self::OnDevice(scalar) => scalar.as_vec()[0],
        }
    }

    /// It, where the host knows it.
    pub fn try_get(&self) -> Option<f32> {
        match self {
            Self::Known(value) => Some(*value),
            Self::OnDevice(_) => None,
        }
    }

    /// For a norm, the factor that brings it down to `highest`, or leaves it where it is lower; where `highest` is zero
    /// anything is left.
    ///
    /// # Errors
    /// Those of the device.
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
