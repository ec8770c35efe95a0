//! The pieces of a recurrence on a GPU.
//!
//! Why they are fast: products read a weight in place and accumulate, in the backward pass directly into the gradient
//! itself; a cell is one kernel each way.

use super::{CellResult, Matrix, RowsKernel};
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::cuda::{DeviceBuffer, Elementwise, KernelDevice, Operand, Stream};
use crate::nn::ops::lstm::cuda::Cell;
use crate::nn::tape::{contiguous, record};
use crate::nn::{DeviceResult, MatrixResult};
use dfdx::prelude::*;

#[cfg(feature = "cuda")]
impl super::RecurrenceKernel for Cuda {
    /// Read in place.
    type StepWeight = Matrix<Cuda>;

    fn step_weight<T: Tape<f32, Self>>(weight: &Matrix<Self>, _: usize, tape: &mut T) -> MatrixResult<Self> {
        contiguous(weight, tape)
    }

    fn add_products<T: Tape<f32, Self>>(
        sums: Matrix<Self, T>,
        terms: &[(&Matrix<Self>, &Matrix<Self>)],
    ) -> MatrixResult<Self, T> {
        products(sums, terms)
    }

    fn try_lstm_cell<T: Tape<f32, Self>>(gates: Matrix<Self, T>, cell: &Matrix<Self>) -> CellResult<Self, T> {
        lstm_cell(gates, cell)
    }
}

/// See [`composed_products`](super::composed_products).
pub(super) fn products<D: KernelDevice + RowsKernel, T: Tape<f32, D>>(
    sums: Matrix<D, T>,
    terms: &[(&Matrix<D>, &Matrix<D>)],
) -> MatrixResult<D, T> {
    let Some(stream) = sums.device().stream() else {
        return super::composed_products(sums, terms);
    };
    let (sums, mut tape) = sums.try_contiguous()?.split_tape();
    let terms = terms
        .iter()
        .map(|(x, weight)| Ok((contiguous(x, &mut tape)?, contiguous(weight, &mut tape)?)))
        .collect::<DeviceResult<D, Vec<(Matrix<D>, Matrix<D>)>>>()?;
    let shape @ (live, columns) = *sums.shape();
    // The first rows of `x`, and the weight.
    let factors = move |(x, weight): &(Matrix<D>, Matrix<D>)| {
        let inputs = weight.shape().0;
        (
            Operand::new(D::slice(x), live, inputs),
            Operand::new(D::slice(weight), inputs, columns),
        )
    };
    let (y, out) = sums.device().alloc_tensor(shape)?;
    stream.copy(D::slice(&sums), out)?;
    for term in &terms {
        let (x, weight) = factors(term);
        stream.matmul(out, x, weight, WriteMode::Accumulate)?;
    }
    Ok(record(y, tape, move |gradients, y| {
        let gradient = D::gradient(gradients, y)?;
        let down = Operand::new(gradient, live, columns);
        for term in &terms {
            let (x, weight) = factors(term);
            let to_x = D::gradient(gradients, &term.0)?.first(live * term.1.shape().0);
            stream.matmul(to_x, down, weight.transposed(), WriteMode::Accumulate)?;
            let (to_weight, mode) = D::gradient_target(gradients, &term.1)?;
            stream.matmul(to_weight, x.transposed(), down, mode)?;
        }
        stream.write(gradient, D::gradient_target(gradients, &sums)?)
    }))
}

/// [`RecurrenceKernel::try_lstm_cell`](super::RecurrenceKernel::try_lstm_cell).
pub(super) fn lstm_cell<D: KernelDevice + RowsKernel, T: Tape<f32, D>>(
    gates: Matrix<D, T>,
    cell: &Matrix<D>,
) -> CellResult<D, T> {
    let Some(stream) = gates.device().stream() else {
        return super::composed_cell(gates, cell);
    };
    let (gates, mut tape) = gates.try_contiguous()?.split_tape();
    let cell = contiguous(cell, &mut tape)?;
    let (live, width) = *gates.shape();
    let hidden = width / 4;
    let activated = stream.alloc(live * width)?;
    stream.copy(D::slice(&gates), activated.slice())?;
    let (new_cell, cell_slice) = gates.device().alloc_tensor((live, hidden))?;
    let (new_hidden, hidden_slice) = gates.device().alloc_tensor((live, hidden))?;
    let step = Cell {
        gates: activated.slice(),
        before: Some(D::slice(&cell)),
        cell: cell_slice,
        hidden,
    };
    step.forward(&stream, None, hidden_slice)?;
    let result = new_cell.clone();
    let new_hidden = record(new_hidden, tape, move |gradients, new_hidden| {
        let from_hidden = D::gradient(gradients, new_hidden)?;
        let through = D::gradient(gradients, &new_cell)?;
        step.back(&stream, from_hidden, through)?;
        stream.write(activated.slice(), D::gradient_target(gradients, &gates)?)?;
        stream.add(through, D::gradient(gradients, &cell)?.first(live * hidden))
    });
    Ok((new_hidden, result))
}
