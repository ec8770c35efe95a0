//! The fully connected layer's arithmetic.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
#[cfg(test)]
mod tests;

use crate::nn::{Activation, Matrix, MatrixResult};
use dfdx::prelude::*;

/// A fully connected layer's arithmetic.
pub trait LinearKernel: Device<f32> {
    /// `activation(rows weight + bias)`: `[rows, inputs]` to `[rows, outputs]`, with `weight` `[inputs, outputs]` and
    /// `bias` `[1, outputs]`.
    fn try_linear<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        weight: &Matrix<Self>,
        bias: &Matrix<Self>,
        activation: Activation,
    ) -> MatrixResult<Self, T> {
        composed(rows, weight, bias, activation)
    }
}

pub(in crate::nn) fn composed<D: Device<f32>, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    weight: &Matrix<D>,
    bias: &Matrix<D>,
    activation: Activation,
) -> MatrixResult<D, T> {
    let (_, outputs) = *weight.shape();
    let product = rows.try_matmul(weight.clone())?;
    let bias = bias
        .clone()
        .put_tape(T::default())
        .try_reshape_like(&(outputs,))?;
    let bias = bias.try_broadcast_like::<_, Axis<0>>(product.shape())?;
    activation.composed(product.try_add(bias)?)
}
