//! The fully connected layer.

use super::backend::{Backend, DeviceResult, Matrix};
use super::layer::Layer;
use super::parameter::{Initialisation, Parameter};
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
    /// Zero bias, weights as `initialisation` says.
    pub fn new(
        device: &D,
        name: &str,
        shape: (usize, usize),
        initialisation: Initialisation,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        Ok(Self {
            weight: Parameter::new(device, format!("{name}.weight"), shape, initialisation, rng)?,
            bias: Parameter::new(
                device,
                format!("{name}.bias"),
                (1, shape.1),
                Initialisation::Constant(0.0),
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
        affine(rows, &self.weight, &self.bias)
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

/// `rows weight + bias`: `[rows, inputs]` to `[rows, outputs]`.
pub(crate) fn affine<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    weight: &Parameter<D>,
    bias: &Parameter<D>,
) -> DeviceResult<D, Matrix<D, T>> {
    let outputs = weight.shape().1;
    let product = rows.try_matmul(weight.value.clone())?;
    let bias = bias
        .value
        .clone()
        .put_tape(T::default())
        .try_reshape_like(&(outputs,))?;
    let bias = bias.try_broadcast_like::<_, Axis<0>>(product.shape())?;
    product.try_add(bias)
}
