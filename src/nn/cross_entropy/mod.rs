//! The output layer and its loss in one operation: logits, softmax, cross-entropy.
//!
//! They belong together because the logits, one row for every token and one column for every word, are the
//! largest thing in training a decoder: as separate operations each would write and read them again.

mod cpu;
#[cfg(test)]
mod tests;

use super::backend::{Backend, DeviceResult, Matrix, Scalar};
use super::linear::Linear;
use dfdx::prelude::*;

/// Mean cross-entropy of a softmax over a linear layer.
pub trait CrossEntropyKernel: Device<f32> {
    /// See [`cross_entropy`]. The default is composed of dfdx operations and so runs on any device; it says
    /// what a kernel of a device's own must compute.
    fn try_cross_entropy<T: Tape<f32, Self>>(
        rows: Matrix<Self, T>,
        output: &Linear<Self>,
        targets: &[usize],
        smoothing: f32,
    ) -> Result<Scalar<Self, T>, Self::Err>
    where
        Self: Backend,
    {
        composed(rows, output, targets, smoothing)
    }
}

/// The mean over `rows` of the cross-entropy, in nats, between the softmax of `output(rows)` and the targets.
///
/// `rows` is `[rows, inputs]`, `targets` holds a column of `output` for every row. With label smoothing
/// (Szegedy et al. 2016, section 7) the target distribution gives `1 - smoothing` to the target and spreads
/// `smoothing` evenly over all columns.
pub fn cross_entropy<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    output: &Linear<D>,
    targets: &[usize],
    smoothing: f32,
) -> DeviceResult<D, Scalar<D, T>> {
    D::try_cross_entropy(rows, output, targets, smoothing)
}

fn composed<D: Backend, T: Tape<f32, D>>(
    rows: Matrix<D, T>,
    output: &Linear<D>,
    targets: &[usize],
    smoothing: f32,
) -> DeviceResult<D, Scalar<D, T>> {
    let device = rows.device().clone();
    let log_probabilities = output.forward(rows)?.try_log_softmax::<Axis<1>>()?;
    let (log_probabilities, tape) = log_probabilities.split_tape();
    let targets = device.try_tensor_from_vec(targets.to_vec(), (targets.len(),))?;
    let of_targets: Tensor<(usize,), f32, D, T> =
        log_probabilities.clone().put_tape(tape).try_select(targets)?;
    let hit = of_targets.try_mean::<(), _>()?.try_mul(smoothing - 1.0)?;
    if smoothing == 0.0 {
        return Ok(hit);
    }
    let spread = log_probabilities
        .put_tape(T::default())
        .try_mean::<(), _>()?
        .try_mul(-smoothing)?;
    hit.try_add(spread)
}
