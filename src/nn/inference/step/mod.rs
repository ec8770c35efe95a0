//! Layers whose weights do not change while they are used, as a decoder's while it writes captions.
//!
//! A device may lay such weights out as it likes, once, and read them so for every word. What training changes later
//! does not reach them.

mod cpu;
#[cfg(test)]
mod tests;

use crate::nn::backend::{Backend, DeviceResult, Matrix};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::lstm::{Lstm, LstmState};
use crate::nn::ops::activation::Activation;
use dfdx::prelude::*;

/// A device that can hold layers fixed. There are no gradients.
pub trait FixedKernel: Device<f32> {
    /// A fully connected layer as the device reads it; [`Linear`] where it has no way of its own.
    type FixedLinear: std::fmt::Debug;

    /// A step of an LSTM as the device reads it; [`Lstm`] where it has no way of its own.
    type FixedLstm: std::fmt::Debug;

    /// The layer as it is now.
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    fn fix_linear(layer: &Linear<Self>) -> DeviceResult<Self, Self::FixedLinear>
    where
        Self: Backend;

    /// The layer as it is now.
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    fn fix_lstm(layer: &Lstm<Self>) -> DeviceResult<Self, Self::FixedLstm>
    where
        Self: Backend;

    /// See [`Linear::activated`].
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    fn fixed_linear(
        layer: &Self::FixedLinear,
        rows: Matrix<Self>,
        activation: Activation,
    ) -> DeviceResult<Self, Matrix<Self>>;

    /// See [`Lstm::step`].
    ///
    /// # Errors
    /// Those of the device, e.g. memory.
    fn fixed_step(
        layer: &Self::FixedLstm,
        inputs: Matrix<Self>,
        state: LstmState<Self>,
    ) -> DeviceResult<Self, LstmState<Self>>
    where
        Self: Backend;
}
