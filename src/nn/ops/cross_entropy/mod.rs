//! The output layer and its loss in one operation: logits, softmax, cross-entropy.
//!
//! They belong together because the logits, one row for every token and one column for every word, are the
//! largest thing in training a decoder: as separate operations each would write and read them again.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
#[cfg(test)]
mod tests;

use crate::nn::{Backend, DeviceResult, Linear, Matrix, Scalar};
use dfdx::prelude::*;

/// Mean cross-entropy of a softmax over a linear layer.
pub trait CrossEntropyKernel: Device<f32> {
    /// See [`cross_entropy`].
    fn try_cross_entropy<T: Tape<f32, Self>>(
        inputs: OutputInputs<Self, T>,
        output: &Linear<Self>,
        targets: Targets<'_>,
    ) -> Result<Scalar<Self, T>, Self::Err>
    where
        Self: Backend,
    {
        composed(inputs.rows, output, targets)
    }
}

/// The inputs of an output layer, `[rows, inputs]`.
///
/// ReLU and dropout leave zeros that pass no gradient on. A kernel may then skip the gradient of every zero. Rows made by
/// [`Linear::relu_dropout`] are marked as such; rows from anywhere else are not, since a zero may also be a value.
#[derive(Clone, Debug)]
pub struct OutputInputs<D: Backend, T> {
    rows: Matrix<D, T>,
    zeros: Zeros,
}

/// Whether the gradient of zeros among the rows is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::nn) enum Zeros {
    /// Zeros are values like all others.
    Differentiated,
    /// ReLU or dropout left the zeros: their gradient may be any finite number.
    Masked,
}

impl<D: Backend, T> From<Matrix<D, T>> for OutputInputs<D, T> {
    fn from(rows: Matrix<D, T>) -> Self {
        let zeros = Zeros::Differentiated;
        Self { rows, zeros }
    }
}

impl<D: Backend, T> OutputInputs<D, T> {
    /// Rows whose every zero comes from ReLU or dropout. Where that is not so, gradients are silently wrong.
    pub(in crate::nn) fn masked(rows: Matrix<D, T>) -> Self {
        let zeros = Zeros::Masked;
        Self { rows, zeros }
    }

    /// The same rows with another tape.
    pub fn map_tape<U>(self, change: impl FnOnce(T) -> U) -> OutputInputs<D, U>
    where
        T: Tape<f32, D>,
        U: Tape<f32, D>,
    {
        let (rows, tape) = self.rows.split_tape();
        OutputInputs {
            rows: rows.put_tape(change(tape)),
            zeros: self.zeros,
        }
    }

    /// The rows themselves.
    pub fn into_rows(self) -> Matrix<D, T> {
        self.rows
    }
}

/// The target of each row.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// For every row, the target's column in the output layer.
    pub columns: &'a [usize],
    /// The factor of each row's loss; `None`: one. A negative weight makes its target less likely.
    pub weights: Option<&'a [f32]>,
    /// Label smoothing (Szegedy et al. 2016, section 7): the target distribution gives `1 - smoothing` to the target
    /// and spreads `smoothing` evenly over all columns.
    pub smoothing: f32,
}

impl<'a> Targets<'a> {
    /// Equal weights, no smoothing.
    pub fn plain(columns: &'a [usize]) -> Self {
        Self {
            columns,
            weights: None,
            smoothing: 0.0,
        }
    }
}

/// The mean over rows of the cross-entropy, in nats, between the softmax of `output(inputs)` and the targets, each times
/// its weight.
pub fn cross_entropy<D: Backend, T: Tape<f32, D>>(
    inputs: impl Into<OutputInputs<D, T>>,
    output: &Linear<D>,
    targets: Targets<'_>,
) -> DeviceResult<D, Scalar<D, T>> {
    D::try_cross_entropy(inputs.into(), output, targets)
}

fn composed<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    output: &Linear<D>,
    targets: Targets<'_>,
) -> DeviceResult<D, Scalar<D, T>> {
    let device = rows.device().clone();
    let Targets {
        columns,
        weights,
        smoothing,
    } = targets;
    let count = columns.len();
    let log_probabilities = output.forward(rows)?.try_log_softmax::<Axis<1>>()?;
    let (log_probabilities, tape) = log_probabilities.split_tape();
    let columns = device.try_tensor_from_vec(columns.to_vec(), (count,))?;
    let weights = weights.map_or_else(|| vec![1.0; count], <[f32]>::to_vec);
    let weights: Tensor<(usize,), f32, D> = device.try_tensor_from_vec(weights, (count,))?;
    let of_targets: Tensor<(usize,), f32, D, T> =
        log_probabilities.clone().put_tape(tape).try_select(columns)?;
    let hit = of_targets
        .try_mul(weights.clone())?
        .try_mean::<(), _>()?
        .try_mul(smoothing - 1.0)?;
    if smoothing == 0.0 {
        return Ok(hit);
    }
    let spread: Tensor<(usize,), f32, D, T> = log_probabilities
        .put_tape(T::default())
        .try_mean::<_, Axis<1>>()?;
    let spread = spread
        .try_mul(weights)?
        .try_mean::<(), _>()?
        .try_mul(-smoothing)?;
    hit.try_add(spread)
}
