//! The pieces of a recurrence that is written out step by step.
//!
//! A whole LSTM is one operation, [`Lstm`](super::Lstm). Decoders that attend to the image between two steps
//! put theirs together from these. Where an operation takes several tensors, one carries the history of all: a tape
//! that is handed out twice would run twice.

mod cpu;
#[cfg(any(test, feature = "cuda"))]
mod cuda;
#[cfg(test)]
mod tests;

use crate::nn::backend::{Backend, DeviceResult, Matrix};
use crate::nn::layers::lstm::LstmState;
use crate::nn::layers::parameter::Parameter;
use crate::nn::ops::lstm::cell_update;
use crate::nn::ops::rows::{first_rows, gather_rows};
use dfdx::prelude::*;
use std::ops::Range;

/// The operations of a step.
pub trait RecurrenceKernel: Device<f32> {
    /// A weight matrix, or some of its rows, as the device reads it at every step.
    type StepWeight: std::fmt::Debug;

    /// The listed rows of `weight`, for `uses` rows in all. What all steps together add to the gradient joins the
    /// history of `tape`.
    fn try_step_weight<T: Tape<f32, Self>>(
        weight: &Matrix<Self>,
        rows: Range<usize>,
        uses: usize,
        tape: &mut T,
    ) -> Result<Self::StepWeight, Self::Err>
    where
        Self: Backend;

    /// `sums` `[live, outputs]`, plus the first `live` rows of each `x` times its weight. The history of every `x`
    /// must be part of that of `sums`. [`composed_products`] says what a kernel must compute.
    fn try_add_products<T: Tape<f32, Self>>(
        sums: Matrix<Self, T>,
        terms: &[(&Matrix<Self>, &Self::StepWeight)],
    ) -> Result<Matrix<Self, T>, Self::Err>
    where
        Self: Backend;

    /// The next state from the gates before their activations, `[live, 4 * hidden]`, and the cells before, of which
    /// the first `live` rows go on. The history of both results travels with the hidden state.
    fn try_lstm_cell<T: Tape<f32, Self>>(gates: Matrix<Self, T>, cell: &Matrix<Self>) -> CellResult<Self, T>
    where
        Self: Backend,
    {
        composed_cell(gates, cell)
    }
}

/// The hidden state after a step, with the history, and the cell.
pub type CellResult<D, T> = DeviceResult<D, (Matrix<D, T>, Matrix<D>)>;

/// A parameter, or some of its rows, that every step of a recurrence multiplies by.
#[derive(Debug)]
pub struct StepWeight<D: Backend>(D::StepWeight);

impl<D: Backend> StepWeight<D> {
    /// The listed rows of `parameter`, for `uses` rows in all; see [`RecurrenceKernel::try_step_weight`].
    pub fn new<T: Tape<f32, D>>(
        parameter: &Parameter<D>,
        rows: Range<usize>,
        uses: usize,
        tape: &mut T,
    ) -> DeviceResult<D, Self> {
        Ok(Self(D::try_step_weight(&parameter.value, rows, uses, tape)?))
    }
}

/// See [`RecurrenceKernel::try_add_products`].
pub fn add_products<D: Backend, T: Tape<f32, D>>(
    sums: Matrix<D, T>,
    terms: &[(&Matrix<D>, &StepWeight<D>)],
) -> DeviceResult<D, Matrix<D, T>> {
    let terms: Vec<_> = terms.iter().map(|(x, weight)| (*x, &weight.0)).collect();
    D::try_add_products(sums, &terms)
}

/// See [`RecurrenceKernel::try_lstm_cell`].
pub fn lstm_cell<D: Backend, T: Tape<f32, D>>(
    gates: Matrix<D, T>,
    cell: &Matrix<D>,
) -> DeviceResult<D, (LstmState<D>, T)> {
    let (hidden, cell) = D::try_lstm_cell(gates, cell)?;
    let (hidden, tape) = hidden.split_tape();
    Ok((LstmState { hidden, cell }, tape))
}

/// [`RecurrenceKernel::try_add_products`], composed of dfdx operations: it runs on any device.
pub fn composed_products<D: Backend, T: Tape<f32, D>>(
    sums: Matrix<D, T>,
    terms: &[(&Matrix<D>, &Matrix<D>, Range<usize>)],
) -> DeviceResult<D, Matrix<D, T>> {
    let live = sums.shape().0;
    terms.iter().try_fold(sums, |sums, (x, weight, rows)| {
        let rows: Vec<usize> = rows.clone().collect();
        let weight = gather_rows(weight.retaped::<T>(), &rows)?;
        sums.try_add(first_rows(x.retaped::<T>(), live)?.try_matmul(weight)?)
    })
}

fn composed_cell<D: Backend, T: Tape<f32, D>>(gates: Matrix<D, T>, cell: &Matrix<D>) -> CellResult<D, T> {
    let (live, width) = *gates.shape();
    let (cell, slicing) = first_rows(cell.retaped::<T>(), live)?.split_tape();
    let (gates, tape) = gates.split_tape();
    cell_update(gates.put_tape(tape.merge(slicing)), cell, width / 4)
}
