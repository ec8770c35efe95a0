//! The pieces of a recurrence that is written out step by step.
//!
//! A whole LSTM is one operation, [`Lstm`](crate::nn::Lstm). Attention decoders, which attend to the image between two
//! steps, are made of these. Where an operation takes several tensors, one carries the history of all: a tape that is
//! handed out twice would run twice.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
#[cfg(test)]
mod tests;

use crate::nn::ops::lstm::cell_update;
use crate::nn::ops::rows::{RowsKernel, first_rows};
use crate::nn::{Backend, DeviceResult, LstmState, Matrix, MatrixResult};
use dfdx::prelude::*;

/// The operations of a step.
pub trait RecurrenceKernel: RowsKernel {
    /// A weight matrix as the device reads it at every step.
    type StepWeight: std::fmt::Debug;

    /// Prepares `weight` to be multiplied by `uses` rows in all steps together. The gradient that all steps add to it is
    /// recorded on `tape`.
    fn step_weight<T: Tape<f32, Self>>(
        weight: &Matrix<Self>,
        uses: usize,
        tape: &mut T,
    ) -> Result<Self::StepWeight, Self::Err>;

    /// `sums` `[live, outputs]`, plus the first `live` rows of each `x` times its weight. The history of every `x`
    /// must be part of that of `sums`. [`composed_products`] is the reference.
    fn add_products<T: Tape<f32, Self>>(
        sums: Matrix<Self, T>,
        terms: &[(&Matrix<Self>, &Self::StepWeight)],
    ) -> MatrixResult<Self, T>;

    /// The next state from the gates before their activations, `[live, 4 * hidden]`, and the cells before, of which
    /// the first `live` rows continue. The history of both results travels with the hidden state.
    fn try_lstm_cell<T: Tape<f32, Self>>(gates: Matrix<Self, T>, cell: &Matrix<Self>) -> CellResult<Self, T> {
        composed_cell(gates, cell)
    }
}

/// The hidden state after a step, with the history, and the cell.
pub type CellResult<D, T> = DeviceResult<D, (Matrix<D, T>, Matrix<D>)>;

/// See [`RecurrenceKernel::try_lstm_cell`].
pub fn lstm_cell<D: Backend, T: Tape<f32, D>>(
    gates: Matrix<D, T>,
    cell: &Matrix<D>,
) -> DeviceResult<D, (LstmState<D>, T)> {
    let (hidden, cell) = D::try_lstm_cell(gates, cell)?;
    let (hidden, tape) = hidden.split_tape();
    Ok((LstmState { hidden, cell }, tape))
}

/// [`RecurrenceKernel::add_products`], composed of dfdx operations: it runs on any device.
pub fn composed_products<D: RowsKernel, T: Tape<f32, D>>(
    sums: Matrix<D, T>,
    terms: &[(&Matrix<D>, &Matrix<D>)],
) -> MatrixResult<D, T> {
    let live = sums.shape().0;
    terms.iter().try_fold(sums, |sums, &(x, weight)| {
        sums.try_add(first_rows(x.retaped::<T>(), live)?.try_matmul(weight.clone())?)
    })
}

fn composed_cell<D: RowsKernel, T: Tape<f32, D>>(gates: Matrix<D, T>, cell: &Matrix<D>) -> CellResult<D, T> {
    let (live, width) = *gates.shape();
    let (cell, slicing) = first_rows(cell.retaped::<T>(), live)?.split_tape();
    let (gates, tape) = gates.split_tape();
    cell_update(gates.put_tape(tape.merge(slicing)), cell, width / 4)
}
