//! The fully connected layer.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
#[cfg(test)]
mod tests;

use super::activation::Activation;
use super::backend::{Backend, DeviceResult, Matrix};
use super::layer::Layer;
use super::parameter::{Initialization, Parameter};
use dfdx::prelude::*;
use rand::Rng;

/// `x W + b` with trainable `W` and `b`.
#[derive(Clone, Debug)]
pub struct Linear<D: Backend> {
    /// `W`: `[inputs, outputs]`
    pub weight: Parameter<D>,
    /// `b`: `[1, outputs]`
    pub bias: Parameter<D>,
}

impl<D: Backend> Linear<D> {
    /// Zero bias, weights as `initialization` says.
    pub fn new(
        device: &D,
        name: &str,
        shape: (usize, usize),
        initialization: Initialization,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        Ok(Self {
            weight: Parameter::new(device, format!("{name}.weight"), shape, initialization, rng)?,
            bias: Parameter::new(
                device,
                format!("{name}.bias"),
                (1, shape.1),
                Initialization::Constant(0.0),
                rng,
            )?,
        })
    }

    /// How many numbers a layer of this shape learns.
    pub fn size((inputs, outputs): (usize, usize)) -> usize {
        inputs.saturating_mul(outputs).saturating_add(outputs)
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub fn forward<T: Tape<f32, D>>(&self, rows: Matrix<D, T>) -> DeviceResult<D, Matrix<D, T>> {
        self.activated(rows, Activation::None)
    }

    /// [`forward`](Self::forward), and what `activation` makes of it.
    pub fn activated<T: Tape<f32, D>>(
        &self,
        rows: Matrix<D, T>,
        activation: Activation,
    ) -> DeviceResult<D, Matrix<D, T>> {
        D::try_linear(rows, &self.weight.value, &self.bias.value, activation)
    }
}

impl<D: Backend> Layer<D> for Linear<D> {
    fn parameters(&self) -> Vec<&Parameter<D>> {
        vec![&self.weight, &self.bias]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![&mut self.weight, &mut self.bias]
    }
}

/// A fully connected layer's arithmetic.
pub trait LinearKernel: Device<f32> {
    /// `activation(rows weight + bias)`: `[rows, inputs]` to `[rows, outputs]`, with `weight` `[inputs, outputs]` and
    /// `bias` `[1, outputs]`.
    ///
    /// The default is composed of dfdx operations and so runs on any device; it says what a kernel of a device's own
    /// must compute.
    fn try_linear<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        weight: &Matrix<Self>,
        bias: &Matrix<Self>,
        activation: Activation,
    ) -> Result<Matrix<Self, T>, Self::Err>
    where
        Self: Backend,
    {
        composed(rows, weight, bias, activation)
    }
}

pub(super) fn composed<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    weight: &Matrix<D>,
    bias: &Matrix<D>,
    activation: Activation,
) -> DeviceResult<D, Matrix<D, T>> {
    let (_, outputs) = *weight.shape();
    let product = rows.try_matmul(weight.clone())?;
    let bias = bias
        .clone()
        .put_tape(T::default())
        .try_reshape_like(&(outputs,))?;
    let bias = bias.try_broadcast_like::<_, Axis<0>>(product.shape())?;
    activation.composed(product.try_add(bias)?)
}
